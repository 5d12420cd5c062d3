from __future__ import annotations

import errno
from collections.abc import Callable
from uuid import UUID

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.disk import Classic, Live, accept_same_disk, live_disk
from bootpath.block.live.late import LateDisk
from bootpath.block.live.preload import Preload
from bootpath.block.targets.log import Log
from bootpath.core.device import Identity, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent
from bootpath.core.iolog import Read, Record
from tests.support.errors import raises
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting, disk, whole

SIZE = 64 * KIB
EXTENTS = [Extent(32 * KIB + 100, 5000), Extent(0, 9000), Extent(9000, 24), Extent(40 * KIB, 512)]


def packed(extents: list[Extent], tag: int = 0) -> bytes:
    return b"".join(pattern(extent.offset, extent.length, tag) for extent in extents)


def test_every_range_is_cut_by_byte_at_the_preloads_edges() -> None:
    log: list[Record] = []
    late = LateDisk.ready(Log(disk(SIZE, tag=1), log.append))
    live = Live(packed(EXTENTS), EXTENTS, SIZE, late)
    for offset in range(0, SIZE, 512):
        for length in (512, 4096, 20 * KIB):
            if offset + length > SIZE:
                continue
            expected = bytearray(pattern(offset, length, tag=1))
            for extent in EXTENTS:
                low, high = max(extent.offset, offset), min(extent.end, offset + length)
                if low < high:
                    expected[low - offset : high - offset] = pattern(low, high - low)
            assert read_bytes(live, offset, length) == expected
            resident = live.read_resident(offset, length)
            assert resident is not None
            assert b"".join(resident) == expected


def test_preloaded_reads_are_one_view_and_never_ask_the_disk() -> None:
    memory = bytearray(packed(EXTENTS))
    live = Live(memory, EXTENTS, SIZE, LateDisk.none())
    (view,) = live.read(512, 8512)
    assert isinstance(view, memoryview)
    assert view.obj is memory
    assert view.readonly
    assert_pattern(bytes(view), 512)
    (view,) = live.read(8 * KIB, 512)  # over two extents that are adjacent in the file system and in RAM
    assert_pattern(bytes(view), 8 * KIB)


def test_the_disk_is_asked_for_the_gap_only() -> None:
    log: list[Record] = []
    live = Live(packed([Extent(0, 8192)]), [Extent(0, 8192)], SIZE, LateDisk.ready(Log(disk(SIZE), log.append)))
    assert_pattern(read_bytes(live, 4 * KIB, 8 * KIB), 4 * KIB)
    assert log == [Read(8 * KIB, 4 * KIB)]


def test_a_resident_read_needs_the_disk_to_be_there_and_resident() -> None:
    extents = [Extent(0, 8192)]
    assert Live(packed(extents), extents, SIZE, LateDisk.none()).read_resident(4 * KIB, 8 * KIB) is None
    cold = Counting(pattern(0, SIZE))
    live = Live(packed(extents), extents, SIZE, LateDisk.ready(cold))
    assert live.read_resident(4 * KIB, 8 * KIB) is None
    cold.resident = True
    assert live.read_resident(4 * KIB, 8 * KIB) is not None
    assert cold.reads == []


def test_extents_do_not_wait() -> None:
    extents = [Extent(4 * KIB, 4 * KIB)]
    expected = [
        Segment(512, 3584, "disk"),
        Segment(4 * KIB, 4 * KIB, "preload"),
        Segment(8 * KIB, 1024, "disk"),
    ]
    assert list(Live(packed(extents), extents, SIZE, LateDisk.none()).extents(512, 8704)) == expected
    assert list(Live(packed(extents), extents, SIZE, LateDisk.ready(disk(SIZE))).extents(512, 8704)) == expected


def test_live_is_read_only() -> None:
    live = Live(b"", [], SIZE, LateDisk.none())
    operations: list[Callable[[], object]] = [
        lambda: live.write(0, bytes(512)),
        lambda: live.discard(0, 512),
        lambda: live.zero(0, 512),
        lambda: checked(live).write(0, bytes(512)),
    ]
    for operation in operations:
        with pytest.raises(DeviceError, match=r"live: .* read-only") as caught:
            operation()
        assert caught.value.errno == errno.EPERM
    live.flush()
    assert live.read_only


def test_direct_when_everything_is_preloaded() -> None:
    extents = [Extent(0, SIZE)]
    direct = Live(packed(extents), extents, SIZE, LateDisk.none()).direct()
    assert direct is not None
    assert direct.buffer is not None
    assert not direct.writable
    assert Live(b"", [], SIZE, LateDisk.none()).direct() is None


@pytest.mark.parametrize(
    ("memory_bytes", "extents", "text"),
    [
        (9999, [Extent(0, 10000)], "the preload is too short; expected at least 10000, found 9999 bytes"),
        (8192, [Extent(0, 4096), Extent(4095, 4096)], "overlap"),
        (8192, [Extent(SIZE - 512, 1024)], "past the device"),
    ],
)
def test_a_preload_that_cannot_be_right_is_refused(memory_bytes: int, extents: list[Extent], text: str) -> None:
    with pytest.raises(DeviceError, match=text) as caught:
        Live(bytes(memory_bytes), extents, SIZE, LateDisk.none())
    assert caught.value.errno == errno.EINVAL


def test_a_size_that_is_not_whole_blocks_is_refused() -> None:
    with raises(DeviceError, expected="a multiple of 4096"):
        Live(b"", [], SIZE + 512, LateDisk.none(), block_bytes=4096)


def test_preload_finds_views() -> None:
    preload = Preload(packed(EXTENTS), EXTENTS, SIZE)
    view = preload.view(8999, 3)
    assert view is not None
    assert_pattern(bytes(view), 8999)
    assert preload.view(9023, 2) is None
    assert preload.view(50 * KIB, 1) is None
    assert Preload(b"", [Extent(5, 0)], SIZE).view(5, 1) is None
    pieces = [(start, length, part is not None) for start, length, part in preload.split(8000, 32 * KIB)]
    assert pieces == [
        (8000, 1024, True),
        (9024, 23844, False),
        (32868, 5000, True),
        (37868, 2900, False),
    ]


def test_the_live_disk_writes_over_both_halves() -> None:
    late = LateDisk.ready(disk(SIZE))
    device = live_disk(packed(EXTENTS), EXTENTS, SIZE, late, identity=Identity("root"))
    assert device.identity.name == "root"
    device.write(8 * KIB + 512, pattern(8 * KIB + 512, 1024, tag=2))
    device.write(48 * KIB, pattern(48 * KIB, 512, tag=2))
    expected = bytearray(pattern(0, SIZE))
    expected[8 * KIB + 512 : 9 * KIB + 512] = pattern(8 * KIB + 512, 1024, tag=2)
    expected[48 * KIB : 48 * KIB + 512] = pattern(48 * KIB, 512, tag=2)
    assert whole(device) == expected


@pytest.mark.parametrize("owns", [False, True])
def test_closing(owns: bool) -> None:
    lower = Counting(bytes(SIZE))
    Live(b"", [], SIZE, LateDisk.ready(lower), owns=owns).close()
    assert lower.closed == owns
    live_disk(b"", [], SIZE, LateDisk.ready(lower)).close()
    assert lower.closed == owns + 1


# The same disk?

IDENTITY = Identity("root", UUID(int=1), UUID(int=2), UUID(int=3))


def accepts(candidate: MemoryDevice, identity: Identity = IDENTITY) -> None:
    accept_same_disk(packed(EXTENTS), EXTENTS, SIZE, identity=identity, probes=[Extent(0, 9024), EXTENTS[0]])(candidate)


def test_the_same_disk_is_accepted() -> None:
    accepts(disk(SIZE, identity=IDENTITY))
    accepts(disk(SIZE + 4096, identity=Identity("nothing known")))
    accepts(disk(SIZE, block_bytes=4096))
    accepts(disk(SIZE, identity=IDENTITY), Identity("nothing known"))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            Identity("sdb", UUID(int=9), UUID(int=2), UUID(int=3)),
            f"its uuid differs; expected {UUID(int=1)}, found {UUID(int=9)}",
        ),
        (Identity("sdb", UUID(int=1), UUID(int=9), UUID(int=3)), "sdb: the disk is another one: its disk_guid differs"),
        (
            Identity("sdb", UUID(int=1), UUID(int=2), UUID(int=9)),
            "sdb: the disk is another one: its partition_guid differs",
        ),
    ],
)
def test_another_identity_is_refused(found: Identity, text: str) -> None:
    with pytest.raises(DeviceError, match=text):
        accepts(disk(SIZE, identity=found))


def test_other_bytes_are_refused_wherever_they_are_in_the_probes() -> None:
    for offset in (0, 8999, 9023, EXTENTS[0].offset, EXTENTS[0].end - 1):
        content = bytearray(pattern(0, SIZE))
        content[offset] ^= 1
        with pytest.raises(DeviceError, match="the disk differs from the preload"):
            accepts(MemoryDevice(content))
    content = bytearray(pattern(0, SIZE))
    content[SIZE - 1] ^= 1  # outside: not read
    accepts(MemoryDevice(content))


def test_a_truncated_disk_is_refused() -> None:
    with pytest.raises(DeviceError, match=f"the disk is truncated; expected at least {SIZE}, found {SIZE - 512} bytes"):
        accepts(disk(SIZE - 512))


def test_a_probe_must_be_preloaded() -> None:
    with pytest.raises(DeviceError, match="probe of 1 bytes at 9024 is not preloaded"):
        accept_same_disk(packed(EXTENTS), EXTENTS, SIZE, identity=IDENTITY, probes=[Extent(0, 9025)])


# The old daemon


def test_classic_serves_the_preload_and_nothing_else() -> None:
    classic = Classic(pattern(0, 16 * KIB + 100))
    assert (classic.size_bytes, classic.block_bytes, classic.read_only) == (16 * KIB, 4096, False)
    assert_pattern(read_bytes(classic, 4 * KIB, 8 * KIB), 4 * KIB)
    classic.write(4 * KIB, pattern(4 * KIB, 4 * KIB, tag=1))
    classic.zero(8 * KIB, 4 * KIB)
    classic.discard(0, 4 * KIB)
    classic.flush()
    assert_pattern(read_bytes(classic, 0, 4 * KIB), 0)
    assert_pattern(b"".join(classic.read_resident(4 * KIB, 4 * KIB) or ()), 4 * KIB, tag=1)
    assert read_bytes(classic, 8 * KIB, 4 * KIB) == bytes(4 * KIB)
    assert list(classic.extents(0, 16 * KIB)) == [
        Segment(0, 4 * KIB, "preload"),
        Segment(4 * KIB, 8 * KIB, "overlay"),
        Segment(12 * KIB, 4 * KIB, "preload"),
    ]
    operations: list[Callable[[], object]] = [
        lambda: classic.read(16 * KIB, 4 * KIB),
        lambda: classic.write(12 * KIB, bytes(8 * KIB)),
        lambda: classic.zero(512, 4096),
        lambda: classic.discard(0, 20 * KIB),
    ]
    for operation in operations:
        with pytest.raises(DeviceError) as caught:
            operation()
        assert caught.value.errno == errno.EINVAL
    classic.close()


def test_classic_can_show_a_size_that_it_does_not_have() -> None:
    device = checked(Classic(pattern(0, 8 * KIB), shown_bytes=SIZE))
    assert device.size_bytes == SIZE
    assert_pattern(read_bytes(device, 4 * KIB, 4 * KIB), 4 * KIB)
    with raises(DeviceError, expected="blocks of 4096 bytes below 8192") as caught:
        device.read(8 * KIB, 4 * KIB)
    assert caught.value.errno == errno.EINVAL
