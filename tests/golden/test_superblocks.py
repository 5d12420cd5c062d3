"""Superblocks against the programs that write them: blkid's opinion is ours.

The golden images are made by superblocks/make.sh, with what blkid says of them; more are made while the tests run.
"""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.formats.superblocks.btrfs import BtrfsSuperblock
from bootpath.formats.superblocks.ext import ExtSuperblock
from bootpath.formats.superblocks.fat import FatSuperblock
from bootpath.formats.superblocks.luks import Luks2Header
from bootpath.formats.superblocks.registry import probe_superblocks, scan_superblocks
from bootpath.formats.superblocks.value import Checksum, Superblock
from tests.support.superblocks import NAMES, blkid_says, device
from tests.support.tools import tool

# What is in an image beside what blkid names, and where blkid has another notion of a block.
SECTOR_AS_BLOCK = {"xfs"}
WITH_CHECKSUM = {"ext4", "erofs", "btrfs-crc32c", "btrfs-sha256", "btrfs-blake2", "xfs", "exfat", "luks2", "ubifs"}
LESS_THAN_THE_DEVICE = {"erofs": 20480, "squashfs": None, "luks1": 0, "luks2": 0, "bridge": 0, "udf": 0}


def agrees(found: Superblock, said: dict[str, str]) -> None:
    assert found.kind == said["TYPE"]
    assert (found.uuid or "") == said.get("UUID", "")
    assert found.label == said.get("LABEL", "")
    if "BLOCK_SIZE" in said and found.kind not in SECTOR_AS_BLOCK:
        assert found.block_bytes == int(said["BLOCK_SIZE"])
    if "VERSION" in said:
        assert found.version == said["VERSION"]
    if isinstance(found, BtrfsSuperblock):
        assert found.device_uuid == said["UUID_SUB"]
    if isinstance(found, FatSuperblock):
        assert found.boot_label == said.get("LABEL_FATBOOT", "")
    if isinstance(found, Luks2Header):
        assert found.subsystem == said.get("SUBSYSTEM", "")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "stale"])
def test_golden_is_what_blkid_says(name: str) -> None:
    (found,) = probe_superblocks(device(name))
    said = blkid_says(name)
    agrees(found, said)
    expected = LESS_THAN_THE_DEVICE.get(name, int(said["SIZE"]))
    assert found.size_bytes == expected or (expected is None and 0 < found.size_bytes <= int(said["SIZE"]))
    assert (found.checksum is Checksum.VALID) == (name in WITH_CHECKSUM)
    assert (found.checksum is Checksum.UNCHECKED) == (name == "btrfs-xxhash")
    assert found.read_only == (name in {"erofs", "squashfs", "iso9660", "iso9660joliet"})


def test_an_ambivalent_disk_is_told_as_such() -> None:
    """blkid refuses to say what it is: a squashfs was written over the beginning of a btrfs."""
    assert blkid_says("stale")["AMBIGUOUS"] == "1"
    result = scan_superblocks(device("stale"))
    assert result.ambiguous
    assert [found.kind for found in result.found] == ["squashfs", "btrfs"]
    assert result.faults == ()


def make(path: Path, size: int, *command: str | Path) -> Superblock:
    """The only superblock of what a command makes of an empty file; blkid agrees."""
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run([tool(str(command[0])), *command[1:]], check=True, capture_output=True)
    output = subprocess.run([tool("blkid"), "-p", "-o", "export", path], check=True, capture_output=True, text=True)
    disk = FileDevice.open(path)
    (found,) = probe_superblocks(disk)
    disk.close()
    agrees(found, dict(line.replace("\\ ", " ").split("=", 1) for line in output.stdout.splitlines()))
    return found


@pytest.mark.parametrize("block_bytes", [1024, 2048, 4096])
@pytest.mark.parametrize("features", ["none", "has_journal", "extent", "64bit,extent,metadata_csum,inline_data"])
def test_what_mke2fs_writes_now(tmp_path: Path, block_bytes: int, features: str) -> None:
    path = tmp_path / "disk"
    found = make(path, 8 << 20, "mke2fs", "-q", "-t", "ext2", "-b", str(block_bytes), "-O", features, path)
    assert isinstance(found, ExtSuperblock)
    said = subprocess.run([tool("dumpe2fs"), "-h", path], check=True, capture_output=True, text=True).stdout
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in said.splitlines())}
    assert found.size_bytes == int(fields["Block count"]) * int(fields["Block size"])
    assert (found.inodes, found.inode_bytes) == (int(fields["Inode count"]), int(fields["Inode size"]))
    assert found.clean == (fields["Filesystem state"] == "clean")
    assert (found.checksum is Checksum.VALID) == ("metadata_csum" in features)


@pytest.mark.parametrize(
    ("size", "arguments", "bits"),
    [
        (1 << 20, ("-s", "1"), 12),
        (8 << 20, ("-F", "16", "-s", "2", "-n", "A B"), 16),
        (8 << 20, ("-F", "12", "-S", "4096", "-f", "1"), 12),
        (40 << 20, ("-F", "32", "-s", "1", "-n", "CAPS"), 32),
        (40 << 20, ("-F", "32", "-S", "2048"), 32),
        (2 << 30, (), 32),
    ],
)
def test_what_mkfs_fat_writes_now(tmp_path: Path, size: int, arguments: tuple[str, ...], bits: int) -> None:
    path = tmp_path / "disk"
    found = make(path, size, "mkfs.vfat", *arguments, path)
    assert isinstance(found, FatSuperblock)
    assert found.bits == bits
    assert size - (64 << 10) < found.size_bytes <= size  # it rounds down to tracks


def test_a_label_behind_other_names_is_found_as_by_blkid(tmp_path: Path) -> None:
    """A root directory of several clusters, with the label in the last one."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    subprocess.run([tool("mkfs.fat"), "-F", "32", "-s", "1", path], check=True, capture_output=True)
    for number in range(40):
        (tmp_path / f"file{number}").write_bytes(b"x")
    names = sorted(tmp_path.glob("file*"))
    subprocess.run([tool("mcopy"), "-i", path, *names, "::"], check=True, capture_output=True)
    subprocess.run([tool("mlabel"), "-i", path, "::LATE"], check=True, capture_output=True)
    said = subprocess.check_output([tool("blkid"), "-p", "-s", "LABEL", "-o", "value", path], text=True)
    with closing(FileDevice.open(path)) as device:
        (found,) = probe_superblocks(device)
    assert found.label == said.strip() == "LATE"


def test_a_label_set_later_is_the_root_directorys(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    make(path, 8 << 20, "mkfs.vfat", "-n", "BEFORE", path)
    subprocess.run([tool("mlabel"), "-i", path, "::AFTER"], check=True, capture_output=True)
    disk = FileDevice.open(path)
    (found,) = probe_superblocks(disk)
    disk.close()
    assert found.label == "AFTER"


@pytest.mark.parametrize("page_bytes", [4096, 8192, 16384, 32768, 65536])
def test_what_mkswap_writes_now(tmp_path: Path, page_bytes: int) -> None:
    path = tmp_path / "disk"
    found = make(path, 2 << 20, "mkswap", "-q", "-p", str(page_bytes), path)
    assert (found.block_bytes, found.size_bytes) == (page_bytes, 2 << 20)


def test_a_luks2_with_a_big_header(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    key = tmp_path / "key"
    key.write_bytes(b"pass")
    options = (
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
        "--luks2-metadata-size",
        "64k",
        "--sector-size",
        "512",
    )
    cipher = ("--cipher", "aes-cbc-essiv:sha256")
    found = make(path, 32 << 20, "cryptsetup", "luksFormat", "-q", "--type", "luks2", *options, *cipher, path, key)
    assert isinstance(found, Luks2Header)
    (segment,) = found.metadata.segments
    said = subprocess.run([tool("cryptsetup"), "luksDump", path], check=True, capture_output=True, text=True).stdout
    assert f"offset: {segment.offset_bytes} [bytes]" in said
    assert f"cipher: {segment.encryption}" in said
    assert f"sector: {segment.sector_bytes} [bytes]" in said
    assert (segment.size_bytes, found.header_bytes, found.copy_fault) == (None, 65536, None)


def test_what_dump_erofs_says(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"content" * 1000)
    path = tmp_path / "disk"
    found = make(path, 0, "mkfs.erofs", path, tree)
    said = subprocess.run([tool("dump.erofs"), "-s", path], check=True, capture_output=True, text=True).stdout
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in said.splitlines())}
    assert found.size_bytes == int(fields["Filesystem blocks"]) * found.block_bytes
    assert found.uuid == fields["Filesystem UUID"]
