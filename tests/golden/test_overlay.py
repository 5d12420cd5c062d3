"""Overlay files that releases have made with overlay/make.py, with and without checksums: they go on as they are."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.check import check_overlay
from bootpath.block.overlay.commit import commit_overlay, overlay_info
from bootpath.block.overlay.file import OverlayFile
from bootpath.core.device import checked, read_bytes
from tests.golden.overlay.make import SIZE
from tests.support.patterns import pattern

HERE = Path(__file__).parent / "overlay"
CLOSED = {"closed": True, "killed": False}


def unpacked(name: str) -> bytes:
    return gzip.decompress((HERE / f"{name}.gz").read_bytes())


def base() -> MemoryDevice:
    return MemoryDevice(pattern(0, SIZE))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", CLOSED)
def test_a_file_is_read_and_written(version: int, name: str, tmp_path: Path) -> None:
    path = tmp_path / "old.overlay"
    path.write_bytes(unpacked(f"version-{version}-{name}.overlay"))
    assert (overlay_info(path).checksums, overlay_info(path).closed) == (version == 2, CLOSED[name])
    assert check_overlay(path).findings == ()
    model = bytearray(unpacked("disk.img"))
    for tag in range(3):
        overlay = OverlayFile.open(path, base())
        disk = checked(overlay)
        assert read_bytes(disk, 0, SIZE) == model
        for offset, length in ((512, 1024), (64 * 512, 40960), (SIZE - 1024, 1024)):
            model[offset : offset + length] = pattern(offset, length, 100 + tag)
            disk.write(offset, pattern(offset, length, 100 + tag))
        disk.close()
    assert path.read_bytes()[8:12] == version.to_bytes(4, "little")
    image = tmp_path / "disk.img"
    image.write_bytes(pattern(0, SIZE))
    commit_overlay(path, image)
    assert image.read_bytes() == model
    assert path.read_bytes()[8:12] == version.to_bytes(4, "little")


def test_a_file_without_checksums_is_of_version_1(tmp_path: Path) -> None:
    """So the release that has no checksums can read it."""
    path = tmp_path / "new.overlay"
    overlay = OverlayFile.create(path, base(), checksums=False)
    overlay.write(0, pattern(0, 4096, 1))
    overlay.close()
    assert path.read_bytes()[8:12] == b"\1\0\0\0"
    assert not overlay_info(path).checksums
