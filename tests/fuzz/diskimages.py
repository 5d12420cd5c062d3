"""Disk images: their headers and indexes, and all that comes of unpacking them."""

from __future__ import annotations

from contextlib import closing

from bootpath.block.leaves.images.androidsparse import open_android_sparse
from bootpath.block.leaves.images.compressed import open_compressed
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.limits import limits_raised
from bootpath.formats.diskimages.androidsparse import read_sparse_image
from bootpath.formats.diskimages.qcow2 import check_whole, parse_qcow
from bootpath.formats.diskimages.recognise import COMPRESSED, recognise
from bootpath.formats.diskimages.vdi import check_whole_vdi
from bootpath.formats.diskimages.vmdk import read_vmdk_names
from bootpath.formats.diskimages.xz import read_xz_index, stream_of_block
from bootpath.formats.diskimages.zstd import read_seek_table, skippable_bytes
from bootpath.formats.named import name_contents
from bootpath.formats.region import Region
from tests.fuzz.entry import Entry

_MAX_BYTES = 1 << 20


def _file(data: bytes) -> tuple[Device, Region]:
    device = MemoryDevice(data.ljust(-(-max(len(data), 1) // 512) * 512, b"\0"))
    return device, Region(device, 0, len(data))


def _read_all(device: Device) -> None:
    with closing(device):
        assert device.size_bytes % device.block_bytes == 0
        for at in range(0, min(device.size_bytes, _MAX_BYTES), 4096):
            length = min(4096, device.size_bytes - at)
            assert len(read_bytes(device, at, length)) == length
            assert sum(each.length for each in device.extents(at, length)) == length


def _qcow2(data: bytes) -> None:
    _, region = _file(data)
    header = parse_qcow(region)
    assert header.version in (1, 2, 3)
    check_whole(region)


def _vmdk(data: bytes) -> None:
    _, region = _file(data)
    names = read_vmdk_names(region)
    assert all(names.extents)


def _vdi(data: bytes) -> None:
    check_whole_vdi(_file(data)[1])


def _android_sparse(data: bytes) -> None:
    device, region = _file(data)
    image = read_sparse_image(region)
    assert sum(chunk.length for chunk in image.chunks) == image.size_bytes
    _read_all(open_android_sparse(device, region, (), None))


def _compressed(data: bytes) -> None:
    device, region = _file(data)
    kind = recognise(data)
    if kind not in COMPRESSED or kind is None:
        skippable_bytes(data)
        raise FormatError("this is not compressed")
    with limits_raised(unpacked_image_bytes=_MAX_BYTES, unpacking_bytes=64 << 20):
        _read_all(open_compressed(device, region, kind, (), None))


def _packed_index(data: bytes) -> None:
    """The indexes alone, which are at the end: what is before them may be anything."""
    _, region = _file(data)
    frames = read_seek_table(region)
    if frames is not None:
        assert all(frame.size_bytes for frame in frames)
        return
    blocks = read_xz_index(region)
    assert all(len(stream_of_block(block, b"")) % 4 == 0 for block in blocks)


def _named(data: bytes) -> None:
    for known in (False, True):
        for each in name_contents(_file(data)[1], known=known):
            str(each).encode()


DISK_IMAGES = (
    Entry(
        "named", _named, made=lambda: [b"hsqs".ljust(4000, b"\1") + b"0\x82\0\x04abcd\0\0\0\0\0\0\0\x08"], refuses=False
    ),
    Entry("qcow2", _qcow2),
    Entry("vmdk", _vmdk),
    Entry("vdi", _vdi),
    Entry("android_sparse", _android_sparse, (FormatError, DeviceError), rounds=1000),
    Entry("compressed", _compressed, (FormatError, DeviceError), rounds=1000),
    Entry("packed_index", _packed_index),
)
