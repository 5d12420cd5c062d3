"""FAT volumes of ours before fsck.fat and mtools."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.core.errors import Error
from bootpath.formats.repart.definition import CopyFiles
from bootpath.image.filesystems.fatwriter import fat_geometry, fat_size, fat_stamp, write_fat
from bootpath.image.filesystems.filetree import FileTree, collect_tree
from bootpath.image.redox.build import LiveImage, build_live
from tests.support.tools import tool

EPOCH = 1_700_000_000
MIB = 1 << 20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    directory = tmp_path / "tree"
    contents = {
        "EFI/BOOT/BOOTX64.EFI": bytes(range(256)) * 300,
        "EFI/Linux/linux-6.1.0-13_Ünï+3-0.efi": b"MZ" * 5000,
        "loader/entries/linux-6.1.0+3-0.conf": b"title one\n",
        "loader/entries/linux-6.1.0+3-1.conf": b"title two\n",
        "loader/loader.conf": b"timeout 3\n",
        "thirteen char": b"13",
        "EMPTY": b"",
    }
    for name, content in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def collected(directory: Path) -> FileTree:
    return collect_tree([CopyFiles(str(directory), "/")], base=Path("/"))


def judge(volume: Path, tree: Path, copy: Path) -> None:
    subprocess.run([tool("fsck.fat"), "-n", volume], check=True, capture_output=True)
    copy.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    command: list[str | Path] = [
        tool("mcopy"),
        "-s",
        "-m",
        "-i",
        volume,
        *(f"::{path.name}" for path in tree.iterdir()),
        copy,
    ]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    wanted = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*") if path.is_file()} == wanted


@pytest.mark.parametrize(("mib", "bits"), [(1, 12), (2, 12), (3, 12), (5, 16), (33, 16), (40, 32), (64, 32), (300, 32)])
def test_fsck_and_mtools_agree(tmp_path: Path, tree: Path, mib: int, bits: int) -> None:
    volume = tmp_path / "volume"
    geometry = write_fat(volume, mib * MIB, collected(tree), serial=7, label="esp", epoch=EPOCH)
    assert geometry.bits == bits
    assert volume.stat().st_blocks * 512 < MIB
    judge(volume, tree, tmp_path / "copy")
    assert {path.stat().st_mtime for path in (tmp_path / "copy").rglob("*") if path.is_file()} == {EPOCH}


def test_a_directory_of_many_files(tmp_path: Path) -> None:
    directory = tmp_path / "tree"
    (directory / "many").mkdir(parents=True)
    for number in range(700):
        (directory / f"many/file number {number}").write_bytes(b"%d" % number)
    volume = tmp_path / "volume"
    write_fat(volume, 40 * MIB, collected(directory), serial=1)
    judge(volume, directory, tmp_path / "copy")


def test_every_size_has_a_type() -> None:
    for kib in (*range(128, 5000, 3), *range(30000, 42000, 37), *range(255 << 10, 270 << 10, 999), 1 << 30):
        geometry = fat_geometry(kib << 10)
        ends = geometry.data_sector + geometry.clusters * geometry.cluster_sectors
        assert ends <= geometry.sectors
        assert (geometry.clusters + 2) * geometry.bits <= geometry.fat_sectors * 4096
        expected = 12 if geometry.clusters < 4085 else 16 if geometry.clusters < 65525 else 32
        assert geometry.bits == expected


def test_the_smallest_size_holds_the_tree(tmp_path: Path, tree: Path) -> None:
    (tree / "large").write_bytes(b"x" * (3 * MIB - 1))
    size = fat_size(collected(tree))
    write_fat(tmp_path / "volume", size, collected(tree), serial=1)
    with pytest.raises(Error, match="the files do not fit into the partition"):
        write_fat(tmp_path / "volume", size - MIB, collected(tree), serial=1)
    assert fat_size(collected(tree), spare=1.0) > size


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path, tree: Path) -> None:
    for name in "ab":
        write_fat(tmp_path / name, 4 * MIB, collected(tree), serial=7, epoch=EPOCH)
        (tree / "loader/loader.conf").touch()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_fat_does_not_have_is_refused(tmp_path: Path, tree: Path) -> None:
    (tree / "link").symlink_to("EMPTY")
    with pytest.raises(Error, match="no file and no directory"):
        write_fat(tmp_path / "volume", MIB, collected(tree), serial=1)
    with pytest.raises(Error, match="the size of the FAT volume is out of range"):
        fat_geometry(32 << 10)


def test_times_of_fat() -> None:
    assert fat_stamp(0) == (0x21, 0)
    assert fat_stamp(EPOCH) == ((2023 - 1980) << 9 | 11 << 5 | 14, 22 << 11 | 13 << 5 | 10)
    assert fat_stamp(1e11) == (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29)


@pytest.mark.parametrize("mib", [1, 8, 40, 300])
def test_the_efi_partition_of_a_live_disk(tree: Path, tmp_path: Path, mib: int) -> None:
    """By a link to the loader, in FAT12, FAT16 and FAT32; the same each time."""
    loader, link = tree / "EFI/BOOT/BOOTX64.EFI", tmp_path / "loader"
    link.symlink_to(loader)
    (tmp_path / "root").mkdir()
    image = LiveImage(tmp_path / "root", UUID(int=7), 0, efi_bytes=mib << 20, efi_loader=link, clamp_mtime_ns=0)
    disk = build_live(image, tmp_path / "disk.img").path
    volume = tmp_path / "esp.img"
    with disk.open("rb") as file:
        file.seek(1 << 20)
        volume.write_bytes(file.read(mib << 20))
    wanted = tmp_path / "wanted"
    (wanted / "EFI/BOOT").mkdir(parents=True)
    (wanted / "EFI/BOOT/BOOTX64.EFI").write_bytes(loader.read_bytes())
    judge(volume, wanted, tmp_path / "copy")
    os.utime(loader, (0, 0))
    assert build_live(image, tmp_path / "again.img").path.read_bytes() == disk.read_bytes()


def test_a_loader_that_does_not_fit_or_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "loader").write_bytes(bytes(1 << 20))
    image = LiveImage(tmp_path / "root", UUID(int=7), 0, efi_loader=tmp_path / "loader")
    with pytest.raises(Error, match="EFI partition: FAT: the files do not fit into the partition"):
        build_live(image, tmp_path / "disk.img")
    with pytest.raises(FileNotFoundError, match="none"):
        build_live(replace(image, efi_loader=tmp_path / "none"), tmp_path / "disk.img")
    assert {path.name for path in tmp_path.iterdir()} == {"root", "loader"}
