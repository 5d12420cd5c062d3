from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bootpath.block.leaves.images.unpack import unpack_whole
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import read_bytes
from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import DeviceError, LimitError
from bootpath.core.limits import limits_raised

MIB = 1 << 20
IMAGES = (DiskImage("gzip", "", 5),)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_zeros_are_holes_and_the_file_has_no_name(folder: Path) -> None:
    heard: list[int] = []
    pieces = [(bytes(3 * MIB), 1), (b"x" * 100, 2), (bytes(2 * MIB), 3), (b"", 4)]
    device = unpack_whole(
        MemoryDevice(512), pieces, disk_images=IMAGES, progress=lambda done, total, name: heard.append(done)
    )
    assert list(folder.iterdir()) == []
    assert device.size_bytes == 5 * MIB + 512
    assert (device.padding_bytes, device.disk_images) == (412, IMAGES)
    assert read_bytes(device, 3 * MIB, 512) == b"x" * 100 + bytes(412)
    assert os.fstat(device.fileno()).st_blocks * 512 < MIB
    assert heard == [1, 2, 3, 4]
    device.close()


def test_a_limit() -> None:
    with limits_raised(unpacked_image_bytes=MIB), pytest.raises(LimitError, match="the unpacked disk is too large"):
        unpack_whole(MemoryDevice(512), iter([(bytes(MIB), 0), (b"x", 1)]), disk_images=())


def test_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.statvfs_result((4096, 4096, 1000, 10, 10, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda fd: full)
    with pytest.raises(DeviceError, match="there is no room to unpack the disk") as caught:
        unpack_whole(MemoryDevice(512), iter([(b"x", 0)]), disk_images=())
    assert caught.value.errno == errno.ENOSPC


def test_nothing_comes_of_it() -> None:
    with pytest.raises(DeviceError, match="a disk of 0 bytes is no disk"):
        unpack_whole(MemoryDevice(512), iter(()), disk_images=())
