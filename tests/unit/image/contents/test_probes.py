"""UBIFS by mkfs.ubifs, RedoxFS by its crate."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.ubifs import probe_ubifs
from bootpath.formats.superblocks.value import Checksum
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.image.contents.probes import probe_redoxfs_header
from bootpath.image.contents.read import read_contents
from bootpath.image.roots.choice import Verdict, choose_root
from tests.support.ddi import make_ubi_image
from tests.support.images import CREATED_NS, FS_UUID
from tests.support.tools import tool

LEB_BYTES = (16 << 10) - 1024


@pytest.fixture(scope="module")
def ubifs(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("ubifs")
    (directory / "tree/etc").mkdir(parents=True)
    (directory / "tree/etc/os-release").write_text("ID=test\n")
    command = [tool("mkfs.ubifs"), "-r", str(directory / "tree"), "-m", "512", "-e", str(LEB_BYTES), "-c", "64"]
    subprocess.run([*command, "-o", str(directory / "ubifs")], check=True, capture_output=True)
    return (directory / "ubifs").read_bytes()


def region(content: bytes) -> Region:
    return Region(MemoryDevice(content.ljust(-(-len(content) // 512) * 512, b"\xff")))


def test_ubifs(ubifs: bytes) -> None:
    found = probe_ubifs(region(ubifs))
    assert found is not None
    assert (found.kind, found.block_bytes, found.checksum) == ("ubifs", 512, Checksum.VALID)
    assert found.size_bytes % LEB_BYTES == 0
    assert len(ubifs) <= found.size_bytes <= 64 * LEB_BYTES
    assert (found.uuid, found.version) == (str(UUID(bytes=ubifs[108:124])), "w4r0")


@pytest.mark.parametrize("place", [4, 8, 16, 20, 36, 40, 108, 4095])
def test_a_damaged_ubifs(ubifs: bytes, place: int) -> None:
    broken = bytearray(ubifs)
    broken[place] ^= 1
    with pytest.raises(FormatError, match="ubifs"):
        probe_ubifs(region(bytes(broken)))


def test_something_else_is_no_ubifs(ubifs: bytes) -> None:
    assert probe_ubifs(region(b"x" + ubifs[1:])) is None
    assert probe_ubifs(region(ubifs[:2048])) is None
    assert probe_ubifs(region(b"")) is None


def test_a_root_on_flash(ubifs: bytes, tmp_path: Path) -> None:
    """A volume as large as the file system says, of which only the beginning is written."""
    size = (probe_ubifs(region(ubifs)) or pytest.fail("no UBIFS")).size_bytes
    image = make_ubi_image(tmp_path / "ubi.img", {"rootfs": ubifs.ljust(size, b"\xff")})
    choice = choose_root(read_contents(MemoryDevice(image.read_bytes())))
    assert choice.verdict is Verdict.UNPROTECTED
    assert choice.root is not None
    assert choice.root.data.content is not None
    assert choice.root.data.content.kind == "ubifs"


def test_redoxfs() -> None:
    disk = MemoryDevice(4 << 20)
    RedoxFS.create(disk, uuid=FS_UUID, created_ns=CREATED_NS).close()
    found = probe_redoxfs_header(Region(disk))
    assert found is not None
    assert (found.kind, found.uuid, found.size_bytes) == ("redoxfs", str(FS_UUID), found.header.size_bytes)
    disk.write(512, b"\xff" * 512)
    with pytest.raises(FormatError, match="ring slot 0"):
        probe_redoxfs_header(Region(disk))
    disk.write(0, bytes(512))
    assert probe_redoxfs_header(Region(disk)) is None
