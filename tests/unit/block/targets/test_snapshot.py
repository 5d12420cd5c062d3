from __future__ import annotations

import errno
import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.exceptionstore import ExceptionStore
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.block.targets.snapshot import Snapshot
from bootpath.core.device import Device, Identity, read_bytes
from bootpath.core.errors import DeviceError, FormatError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.exceptionstore import (
    SnapshotHeader,
    iter_exceptions,
    pack_exceptions,
    pack_snapshot_header,
    parse_snapshot_header,
)
from tests.support.errors import raises
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting, disk

CHUNK = 4 * KIB
HEADER = SnapshotHeader(8)


def snapshot(cow: Device, *, size: int = 128 * KIB, zero_discarded: bool = False) -> Snapshot:
    origin = disk(size, identity=Identity("sda"))
    store = ExceptionStore(cow, chunk_sectors=8, origin_bytes=size)
    return Snapshot(origin, store, zero_discarded=zero_discarded)


def cow_device(chunks: int = 64) -> MemoryDevice:
    return MemoryDevice(bytearray(chunks * CHUNK), identity=Identity("cow"))


def test_nothing_is_written_before_something_is() -> None:
    cow = cow_device()
    device = snapshot(cow)
    assert_pattern(read_bytes(device, 0, device.size_bytes), 0)
    device.flush()
    device.close()
    assert read_bytes(cow, 0, cow.size_bytes) == bytes(cow.size_bytes)


def test_the_store_is_the_kernels() -> None:
    cow = cow_device()
    device = snapshot(cow)
    device.write(5 * CHUNK + 512, b"\xaa" * 512)
    device.write(3 * CHUNK, b"\xbb" * CHUNK)
    device.write(5 * CHUNK + 1024, b"\xcc" * 512)  # in place
    device.flush()
    assert read_bytes(cow, 0, 16) == struct.pack("<4sIII", b"SnAp", 1, 1, 8)
    assert read_bytes(cow, 16, CHUNK - 16) == bytes(CHUNK - 16)
    assert read_bytes(cow, CHUNK, 48) == struct.pack("<6Q", 5, 2, 3, 3, 0, 0)
    chunk = bytearray(pattern(5 * CHUNK, CHUNK))
    chunk[512:1536] = b"\xaa" * 512 + b"\xcc" * 512
    assert read_bytes(cow, 2 * CHUNK, CHUNK) == chunk
    assert read_bytes(cow, 3 * CHUNK, CHUNK) == b"\xbb" * CHUNK


def test_it_is_there_again() -> None:
    cow = cow_device()
    device = snapshot(cow)
    device.write(30 * CHUNK + 2048, b"\xdd" * (CHUNK + 512))
    before = read_bytes(device, 0, device.size_bytes)
    device.close()
    again = snapshot(cow)
    assert read_bytes(again, 0, again.size_bytes) == before
    assert [(each.offset, each.source) for each in again.extents(0, again.size_bytes)] == [
        (0, "memory"),
        (30 * CHUNK, "overlay"),
    ]


def test_what_was_not_flushed_is_lost_and_nothing_else() -> None:
    cow = cow_device()
    device = snapshot(cow)
    device.write(0, b"\x11" * CHUNK)
    device.flush()
    device.write(CHUNK, b"\x22" * CHUNK)  # no flush: the machine stops here
    again = snapshot(cow)
    assert read_bytes(again, 0, CHUNK) == b"\x11" * CHUNK
    assert_pattern(read_bytes(again, CHUNK, 8 * CHUNK), CHUNK)
    again.write(2 * CHUNK, b"\x33" * CHUNK, fua=True)
    third = snapshot(cow)
    assert read_bytes(third, 2 * CHUNK, CHUNK) == b"\x33" * CHUNK
    assert_pattern(read_bytes(third, CHUNK, CHUNK), CHUNK)


def test_neighbours_are_read_in_one_piece() -> None:
    cow = Counting(bytearray(64 * CHUNK))
    device = snapshot(cow)
    device.write(4 * CHUNK, bytes(8 * CHUNK))
    cow.reads.clear()
    device.read(0, 32 * CHUNK)
    assert cow.reads == [(2 * CHUNK, 8 * CHUNK)]


def test_several_areas() -> None:
    """Chunks of 512 bytes: 32 exceptions an area, so that 100 of them fill three."""
    origin = disk(100 * 512)
    cow = MemoryDevice(bytearray(256 * 512))
    store = ExceptionStore(cow, chunk_sectors=1, origin_bytes=origin.size_bytes)
    device = Snapshot(origin, store)
    for number in range(100):
        device.write((number * 37 % 100) * 512, bytes([number]) * 512)
        if number % 7 == 0:
            device.flush()
            again = Snapshot(origin, ExceptionStore(cow, chunk_sectors=0, origin_bytes=origin.size_bytes))
            assert read_bytes(again, 0, origin.size_bytes) == read_bytes(device, 0, origin.size_bytes)
    assert sorted(store.mapping) == list(range(100))
    assert not any(new in (0, 1, 34, 67, 100) for new in store.mapping.values())


def test_a_store_with_more_exceptions_than_may_be_kept_is_not_read() -> None:
    cow = cow_device()
    device = snapshot(cow)
    device.write(0, bytes(8 * CHUNK))
    device.close()
    for most in (7, 255):  # so many exceptions, and less than an area has room for
        with (
            limits_raised(snapshot_exceptions=most),
            raises(LimitError, what="the snapshot has too many exceptions"),
        ):
            snapshot(cow)


def test_a_crash_between_two_writes_of_a_commit_leaves_a_store() -> None:
    """Whatever prefix of the commit reached the device: what was flushed before is there, the rest is old or new."""
    origin = disk(100 * 512)
    writes: list[tuple[int, bytes]] = []

    class Noting(MemoryDevice):
        def write(self, offset: int, data: bytes | bytearray | memoryview, *, fua: bool = False) -> None:
            writes.append((offset, bytes(data)))
            super().write(offset, data, fua=fua)

    cow = Noting(bytearray(256 * 512))
    device = Snapshot(origin, ExceptionStore(cow, chunk_sectors=1, origin_bytes=origin.size_bytes))
    device.write(0, b"\x01" * 30 * 512)
    device.flush()
    flushed = read_bytes(cow, 0, cow.size_bytes)
    writes.clear()
    device.write(40 * 512, b"\x02" * 50 * 512)
    device.flush()
    for count in range(len(writes) + 1):
        image = bytearray(flushed)
        for offset, data in writes[:count]:
            image[offset : offset + len(data)] = data
        again = Snapshot(origin, ExceptionStore(MemoryDevice(image), chunk_sectors=1, origin_bytes=origin.size_bytes))
        content = read_bytes(again, 0, origin.size_bytes)
        assert content[: 30 * 512] == b"\x01" * 30 * 512
        old, new = pattern(40 * 512, 50 * 512), b"\x02" * 50 * 512
        for start in range(0, 50 * 512, 512):
            found = content[40 * 512 + start : 40 * 512 + start + 512]
            assert found in (old[start : start + 512], new[start : start + 512])
    assert content[40 * 512 : 90 * 512] == new


def test_a_full_store_refuses_all_of_a_write() -> None:
    cow = cow_device(6)  # a header, an area, four chunks
    device = snapshot(cow)
    device.write(0, bytes(3 * CHUNK))
    with pytest.raises(DeviceError, match="cow: the snapshot is full: it has no room for 2 more chunks") as caught:
        device.write(8 * CHUNK, bytes(2 * CHUNK))
    assert caught.value.errno == errno.ENOSPC
    assert_pattern(read_bytes(device, 8 * CHUNK, 2 * CHUNK), 8 * CHUNK)
    device.write(8 * CHUNK, bytes(CHUNK))
    device.write(0, bytes(3 * CHUNK))
    device.flush()
    assert read_bytes(snapshot(cow), 8 * CHUNK, CHUNK) == bytes(CHUNK)


def test_an_area_is_not_filled_without_room_for_the_next() -> None:
    origin = disk(64 * 512)
    cow = MemoryDevice(bytearray(34 * 512))  # a header, an area of 32, 32 chunks: nothing for the next area
    device = Snapshot(origin, ExceptionStore(cow, chunk_sectors=1, origin_bytes=origin.size_bytes))
    device.write(0, bytes(31 * 512))
    with pytest.raises(DeviceError, match="full"):
        device.write(40 * 512, bytes(512))
    device.flush()
    assert len(ExceptionStore(cow, chunk_sectors=1, origin_bytes=origin.size_bytes).mapping) == 31


def test_a_read_only_cow_device_makes_a_read_only_snapshot() -> None:
    device = snapshot(MemoryDevice(bytes(64 * CHUNK)))
    assert device.read_only
    device.flush()
    assert_pattern(read_bytes(device, 0, 8 * CHUNK), 0)


@pytest.mark.parametrize(("offset", "length"), [(4 * CHUNK, 2 * CHUNK), (4 * CHUNK + 512, 512), (CHUNK, 2 * CHUNK)])
def test_a_chunk_is_known_only_when_its_content_is_there(offset: int, length: int) -> None:
    cow = cow_device()
    snapshot(cow).write(CHUNK, b"\x55" * CHUNK, fua=True)
    device = snapshot(Fault(cow, parse_rules("write:error:after=0:count=1")))
    with pytest.raises(DeviceError, match="cow: write"):
        device.write(offset, b"\xee" * length)
    device.flush()
    again = snapshot(cow)
    for each in (device, again):
        assert read_bytes(each, CHUNK, CHUNK) == b"\x55" * CHUNK
        assert_pattern(read_bytes(each, 2 * CHUNK, 6 * CHUNK), 2 * CHUNK)


def test_discard() -> None:
    for zeroes in (False, True):
        device = snapshot(cow_device(), zero_discarded=zeroes)
        device.write(CHUNK, b"\x77" * 2 * CHUNK)
        device.discard(0, 2 * CHUNK + 512)
        expected = bytes(CHUNK) if zeroes else b"\x77" * CHUNK
        assert read_bytes(device, CHUNK, 2 * CHUNK) == expected + b"\x77" * CHUNK
        assert_pattern(read_bytes(device, 0, CHUNK), 0)


def store_image(*exceptions: tuple[int, int], header: bytes | None = None) -> MemoryDevice:
    image = bytearray(64 * CHUNK)
    head = pack_snapshot_header(HEADER) if header is None else header
    image[: len(head)] = head
    image[CHUNK : 2 * CHUNK] = pack_exceptions(exceptions, HEADER)
    return MemoryDevice(image, identity=Identity("cow"))


@pytest.mark.parametrize(
    ("cow", "text"),
    [
        (
            store_image(header=b"LABELONE" + bytes(8)),
            "cow: snapshot store: the device holds something else than a snapshot store",
        ),
        (store_image(header=struct.pack("<4I", 0x70416E53, 1, 2, 8)), "the version is not supported"),
        (store_image(header=struct.pack("<4I", 0x70416E53, 1, 1, 0)), "chunk_sectors is not a size of chunks"),
        (store_image(header=struct.pack("<4I", 0x70416E53, 1, 1, 12)), "chunk_sectors is not a size of chunks"),
        (store_image(header=struct.pack("<4I", 0x70416E53, 1, 1, 1 << 31)), "chunk_sectors is"),
        (store_image((32, 2)), "exception of chunk 32 is past the origin's end"),
        (store_image((1, 2), (1, 3)), "exception of chunk 1 is past the origin's end, or there twice"),
        (store_image((1, 2), (2, 2)), "chunk 2 is stored in chunk 2, which cannot hold content, or holds another's"),
        (store_image((1, 1)), "chunk 1 is stored in chunk 1, which cannot hold content, or holds another's"),
        (store_image((1, 64)), "chunk 1 is stored in chunk 64, which cannot hold content, or holds another's"),
        (
            store_image((1, 2**64 - 1)),
            "chunk 1 is stored in chunk 18446744073709551615, which cannot hold content, or holds another's",
        ),
    ],
)
def test_a_store_that_the_kernel_did_not_write(cow: MemoryDevice, text: str) -> None:
    with pytest.raises(FormatError, match=text):
        snapshot(cow)


def test_a_store_without_an_end() -> None:
    header = SnapshotHeader(1)
    image = bytearray(pack_snapshot_header(header))
    image += pack_exceptions([(number, number + 2) for number in range(32)], header) + bytes(32 * 512)
    with pytest.raises(FormatError, match="the exceptions have no end within 34 chunks"):
        ExceptionStore(MemoryDevice(image), chunk_sectors=1, origin_bytes=1 << 20)


def test_a_snapshot_that_the_kernel_gave_up() -> None:
    with pytest.raises(DeviceError, match="cow: the snapshot is marked invalid") as caught:
        snapshot(store_image(header=pack_snapshot_header(SnapshotHeader(8, valid=False))))
    assert caught.value.errno == errno.EIO


def test_header_and_exceptions_come_back() -> None:
    for valid in (False, True):
        assert parse_snapshot_header(pack_snapshot_header(SnapshotHeader(16, valid))) == SnapshotHeader(16, valid)
    assert parse_snapshot_header(bytes(512)) is None
    with raises(FormatError, found="15 bytes"):
        parse_snapshot_header(bytes(15))
    exceptions = [(7, 2), (0, 3)]
    assert list(iter_exceptions(pack_exceptions(exceptions, HEADER))) == exceptions


def test_the_places_of_areas() -> None:
    header = SnapshotHeader(1)
    assert [header.area_chunk(area) for area in range(3)] == [1, 34, 67]
    assert [chunk for chunk in range(70) if not header.is_content(chunk)] == [0, 1, 34, 67]
    assert header.after(33) == 35
