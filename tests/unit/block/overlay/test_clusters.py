from __future__ import annotations

import errno
from array import array
from collections.abc import Sequence
from dataclasses import replace
from threading import Event, Thread
from zlib import crc32

import pytest

from bootpath.block.overlay.clusters import Checksums, Clusters
from bootpath.block.overlay.file import OverlayFile, load_for
from bootpath.block.overlay.state import lay_out, load, replay
from bootpath.core.device import Buffer, read_bytes
from bootpath.core.errors import DeviceError, FormatError, IntegrityError
from bootpath.formats.overlayfile import LogRecord, OverlayLog, RecordKind, pack_checksums, pack_entries
from tests.support.crashstorage import CrashStorage
from tests.support.errors import raises
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, disk, whole

SIZE = 64 * KIB
BLOCK = 4096


def in_memory(storage: CrashStorage | None = None) -> tuple[CrashStorage, OverlayFile]:
    storage = storage or CrashStorage()
    base = disk(SIZE)
    return storage, OverlayFile(storage, lay_out(storage, base), base)


def cluster_of(overlay: OverlayFile, block: int) -> int:
    return overlay._writer.blocks.get(block)


def flip(storage: CrashStorage, cluster: int, byte: int = 0) -> None:
    storage.current[cluster * BLOCK + byte] ^= 1


# Checksums in memory


def test_checksums_of_runs_across_regions() -> None:
    sums = Checksums()
    values = array("I", range(1, 1001))
    sums.put(100, values)
    assert sums.get(100, 1000) == values
    assert sums.get(99, 3).tolist() == [0, 1, 2]
    assert sums.get(1098, 3).tolist() == [999, 1000, 0]
    assert sums.get(1 << 31, 2).tolist() == [0, 0]
    sums.put(127, array("I", [7, 8]))
    assert sums.get(126, 4).tolist() == [27, 7, 8, 30]
    assert sums.pack([(0, 126, 2), (9, 1, 5), (2, 128, 1)]) == pack_checksums(array("I", [27, 7, 8]))


@pytest.mark.parametrize(("checksums", "given", "expected"), [(True, 2, 3), (True, 4, 3), (False, 1, 0), (True, 0, 3)])
def test_a_record_must_have_the_checksums_of_its_clusters(checksums: bool, given: int, expected: int) -> None:
    entries = pack_entries([(0, 70, 2), (9, 1, 5), (7, 90, 1)])
    record = LogRecord(RecordKind.COMMIT, 5, entries, bytes(4 * given))
    with raises(FormatError, found=given, expected=expected, where="overlay") as error:
        Clusters(CrashStorage(), checksums=checksums).replay(record)
    assert error.value.what == "record 5 of the log has another number of checksums than of clusters"


def test_a_file_of_version_1_with_checksums_in_its_log_is_refused() -> None:
    storage, overlay = in_memory()
    overlay.write(0, pattern(0, BLOCK, tag=1))
    overlay.close()
    state = load(storage, writable=False)
    header = replace(state.journal.header, checksums=False)
    entries = pack_entries(state.blocks.held())
    log = OverlayLog((LogRecord(RecordKind.CHECKPOINT, 1, entries, bytes(4)),), 512, torn=False)
    with raises(FormatError, where="overlay.bpo: overlay", found=1, expected=0):
        replay(storage, header, log)


# Damage


def test_damage_is_eio_that_names_the_cluster_and_the_bytes_of_the_disk() -> None:
    storage, overlay = in_memory()
    overlay.write(8 * KIB, pattern(8 * KIB, 16 * KIB, tag=1))
    cluster = cluster_of(overlay, 4)
    flip(storage, cluster, 700)
    for offset, length in ((16 * KIB, 512), (17 * KIB, 1 * KIB), (0, SIZE), (12 * KIB + 512, 8 * KIB)):
        with raises(IntegrityError, where="overlay.bpo", errno=errno.EIO) as error:
            overlay.read(offset, length)
        assert error.value.what == (
            f"cluster {cluster} does not match its checksum: bytes 16384 to 20479 of the disk are damaged"
        )
        assert overlay.read_resident(offset, length) is None
    assert_pattern(read_bytes(overlay, 8 * KIB, 8 * KIB), 8 * KIB, tag=1)
    assert_pattern(read_bytes(overlay, 20 * KIB, 4 * KIB), 20 * KIB, tag=1)


def test_a_damaged_block_can_be_written_as_a_whole_and_not_in_part() -> None:
    storage, overlay = in_memory()
    overlay.write(0, pattern(0, 8 * KIB, tag=1), fua=True)
    flip(storage, cluster_of(overlay, 0))
    with pytest.raises(IntegrityError):
        overlay.write(512, bytes(512))
    with pytest.raises(IntegrityError):
        overlay.zero(0, 512)
    overlay.write(0, pattern(0, BLOCK, tag=2))
    assert_pattern(read_bytes(overlay, 0, BLOCK), 0, tag=2)
    flip(storage, cluster_of(overlay, 0))
    overlay.discard(0, BLOCK)
    assert not any(read_bytes(overlay, 0, BLOCK))


def test_a_cluster_that_is_a_hole_is_damaged_unless_it_was_zeros() -> None:
    storage, overlay = in_memory()
    overlay.write(0, pattern(0, BLOCK, tag=1) + bytes(BLOCK))
    storage.discard(cluster_of(overlay, 0) * BLOCK, 2 * BLOCK)
    with pytest.raises(IntegrityError):
        overlay.read(0, BLOCK)
    assert not any(read_bytes(overlay, BLOCK, BLOCK))


def test_without_checksums_damage_is_data() -> None:
    storage, base = CrashStorage(), disk(SIZE)
    overlay = OverlayFile(storage, lay_out(storage, base, checksums=False), base)
    overlay.write(0, bytes(BLOCK))
    flip(storage, cluster_of(overlay, 0), 5)
    assert read_bytes(overlay, 0, 8) == b"\0\0\0\0\0\1\0\0"
    assert overlay.read_resident(0, 8) is not None


def test_checksums_come_back_from_a_checkpoint_and_from_commits() -> None:
    storage, overlay = in_memory()
    overlay.write(0, pattern(0, 16 * KIB, tag=1), fua=True)
    overlay._writer.commit(1 << 24)  # a new log
    overlay.write(8 * KIB, pattern(8 * KIB, 16 * KIB, tag=2), fua=True)
    overlay.write(8 * KIB, pattern(8 * KIB, 512, tag=3), fua=True)
    expected, base = whole(overlay), disk(SIZE)
    overlay.close()
    again = OverlayFile(storage, load_for(storage, base, writable=True), base)
    assert whole(again) == expected
    for block in (0, 2, 5):
        flip(storage, cluster_of(again, block))
        with pytest.raises(IntegrityError):
            again.read(block * BLOCK, BLOCK)


class Stumbling(CrashStorage):
    """A write that fails has written its first half."""

    fails = False

    def write(self, offset: int, data: Buffer) -> None:
        if self.fails:
            super().write(offset, memoryview(data)[: len(data) // 2])
            raise DeviceError("the cable is loose", where=self.identity.name)
        super().write(offset, data)


def test_a_write_that_failed_half_way_is_no_damage() -> None:
    """What was flushed of a block stays readable, when only another part of it was to be written."""
    storage = Stumbling()
    _, overlay = in_memory(storage)
    overlay.write(0, pattern(0, BLOCK, tag=1), fua=True)
    overlay.write(0, pattern(0, 512, tag=2))  # a new cluster, which the next one is written into
    storage.fails = True
    with pytest.raises(DeviceError, match="the cable is loose"):
        overlay.write(1 * KIB, pattern(1 * KIB, 2 * KIB, tag=3))
    storage.fails = False
    data = read_bytes(overlay, 0, BLOCK)
    assert_pattern(data[:512], 0, tag=2)
    assert_pattern(data[512 : 1 * KIB], 512, tag=1)
    assert_pattern(data[1 * KIB : 2 * KIB], 1 * KIB, tag=3)
    assert_pattern(data[2 * KIB :], 2 * KIB, tag=1)
    overlay.flush()
    base = disk(SIZE)
    after = CrashStorage(bytes(storage.current))
    assert read_bytes(OverlayFile(after, load_for(after, base, writable=True), base), 0, BLOCK) == data


class Slow(CrashStorage):
    """A write of a whole block that stops in its middle until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False
        self.entered, self.go = Event(), Event()

    def write(self, offset: int, data: Buffer) -> None:
        if self.armed:
            super().write(offset, memoryview(data)[:2048])
            self.entered.set()
            assert self.go.wait(60)
        super().write(offset, data)


def test_a_block_that_is_being_written_in_place_is_not_damaged() -> None:
    storage = Slow()
    _, overlay = in_memory(storage)
    overlay.write(0, pattern(0, BLOCK, tag=1))
    storage.armed = True
    writer = Thread(target=overlay.write, args=(0, pattern(0, BLOCK, tag=2)))
    writer.start()
    assert storage.entered.wait(60)
    assert overlay.read_resident(0, BLOCK) is None
    found: list[Sequence[Buffer]] = []
    reader = Thread(target=lambda: found.append(overlay.read(0, BLOCK)))
    reader.start()
    storage.go.set()
    writer.join()
    reader.join()
    assert_pattern(bytes(found[0][0]), 0, tag=2)


def test_the_checksum_is_zlibs() -> None:
    _, overlay = in_memory()
    data = pattern(0, BLOCK, tag=1)
    overlay.write(0, data)
    checksums = overlay._state.clusters.checksums
    assert checksums is not None
    assert checksums.get(cluster_of(overlay, 0), 1).tolist() == [crc32(data)]
