"""UBI images against ubinize: every volume has the content that it was given. The images are made by ubi/make.sh.

What a kernel reads of them is compared in tests/vm/test_volumes.py.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.region import Region
from bootpath.formats.ubi.attach import Ubi, check_ubi_volume, read_leb, read_ubi
from bootpath.formats.ubi.headers import RecordFlag, VolumeType
from tests.support.volumes import open_ubi_volume

HERE = Path(__file__).parent / "ubi"
NUMBERS = "".join(f"{number}\n" for number in range(100000, 200000)).encode()
CONTENT = {"kernel": NUMBERS[:30000], "root fs": NUMBERS[:50000], "aligned": NUMBERS[:30000], "empty": b""}
GEOMETRY = {"nand": (16384, 512, 1024, 7), "page": (131072, 2048, 4096, 9), "nor": (16384, 64, 128, 7)}
NAMES = pytest.mark.parametrize("name", GEOMETRY)


def image(name: str) -> MemoryDevice:
    content = gzip.decompress((HERE / f"{name}.img.gz").read_bytes())
    return MemoryDevice(content)


def leb_by_leb(device: Device, ubi: Ubi, name: str) -> bytes:
    volume = ubi.volume(name)
    assert volume is not None
    lebs = {leb.lnum: read_leb(Region(device), ubi, volume, leb) for leb in volume.lebs}
    return b"".join(lebs.get(lnum, b"\xff" * volume.usable_bytes) for lnum in range(volume.reserved_pebs))


@NAMES
def test_what_ubinize_was_asked_for(name: str) -> None:
    device = image(name)
    ubi = read_ubi(device)
    assert (ubi.peb_bytes, ubi.vid_offset, ubi.data_offset, ubi.image_seq) == GEOMETRY[name]
    assert [(volume.number, volume.name) for volume in ubi.volumes] == [
        (0, "kernel"),
        (3, "root fs"),
        (5, "aligned"),
        (7, "empty"),
    ]
    assert [volume.type for volume in ubi.volumes] == [VolumeType.STATIC, *[VolumeType.DYNAMIC] * 3]
    assert [volume.name for volume in ubi.volumes if volume.flags & RecordFlag.AUTORESIZE] == ["root fs"]
    assert (ubi.counts.used, ubi.counts.stale, ubi.corrupted, ubi.table_fault) == (ubi.pebs, 0, 0, None)
    assert ubi.max_erase_count == (5 if name == "page" else 0)
    kernel = ubi.volume("kernel")
    assert kernel is not None
    assert kernel.size_bytes == 30000
    for volume in ubi.volumes[1:]:
        assert volume.size_bytes == volume.reserved_pebs * volume.usable_bytes
        assert volume.usable_bytes == ubi.leb_bytes - (ubi.leb_bytes % 4096 if volume.name == "aligned" else 0)
    for volume in ubi.volumes:
        content = leb_by_leb(device, ubi, volume.name)
        assert content.startswith(CONTENT[volume.name])
        assert set(content[len(CONTENT[volume.name]) :]) <= {255}
        check_ubi_volume(device, ubi, volume)


@NAMES
def test_volumes_as_devices(name: str) -> None:
    device = image(name)
    ubi = read_ubi(device)
    for volume in ubi.volumes:
        if name == "nor":  # there headers are not padded to sectors
            assert (
                "the data offset is not a multiple of sectors; expected a multiple of 512 bytes, found 128 bytes"
                in str(volume.refusal)
            )
            continue
        with_volume = open_ubi_volume(device, ubi, volume)
        content = read_bytes(with_volume, 0, with_volume.size_bytes)
        assert with_volume.size_bytes == volume.size_bytes // 512 * 512
        assert content == (CONTENT[volume.name].ljust(volume.size_bytes, b"\xff"))[: with_volume.size_bytes]
        with pytest.raises(DeviceError, match="read-only"):
            with_volume.write(0, bytes(512))
        with_volume.close()
    assert read_bytes(device, 0, 512).startswith(b"UBI#")


def test_a_changed_kernel_is_noticed() -> None:
    content = bytearray(gzip.decompress((HERE / "page.img.gz").read_bytes()))
    ubi = read_ubi(MemoryDevice(bytes(content)))
    volume = ubi.volumes[0]
    content[ubi.place(volume.lebs[0]) + 29999] ^= 1
    with pytest.raises(FormatError, match="ubi: kernel: the CRC of logical eraseblock 0"):
        check_ubi_volume(MemoryDevice(bytes(content)), ubi, volume)
