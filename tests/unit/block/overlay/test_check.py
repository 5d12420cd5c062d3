from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.check import (
    LostData,
    OverlayCheck,
    check_overlay,
    check_storage,
    repair_overlay,
    repair_storage,
)
from bootpath.block.overlay.commit import commit_overlay
from bootpath.block.overlay.file import OverlayFile, load_for
from bootpath.block.overlay.state import lay_out, load
from bootpath.core.device import Buffer, read_bytes
from bootpath.core.errors import DeviceError, FormatError, LimitError
from bootpath.core.extents import Extent
from bootpath.core.limits import limits_raised
from tests.support.crashstorage import CrashStorage
from tests.support.errors import raises
from tests.support.patterns import pattern
from tests.unit.block.support import KIB, disk, whole

SIZE = 64 * KIB - 512
BLOCK = 4096


def made(storage: CrashStorage | None = None, *, checksums: bool = True, close: bool = True) -> CrashStorage:
    """A file that holds blocks 2 to 5, the last one, and zeros."""
    storage = storage or CrashStorage()
    base = disk(SIZE)
    overlay = OverlayFile(storage, lay_out(storage, base, checksums=checksums), base)
    overlay.write(8 * KIB, pattern(8 * KIB, 16 * KIB, tag=1))
    overlay.write(60 * KIB, pattern(60 * KIB, SIZE - 60 * KIB, tag=2))
    overlay.discard(32 * KIB, 8 * KIB)
    overlay.flush()
    if close:
        overlay.close()
    return storage


def cluster_of(storage: CrashStorage, block: int) -> int:
    return load(storage, writable=False).blocks.get(block)


def rows(check: OverlayCheck) -> list[tuple[str, LostData | None]]:
    return [(finding.fault.code, finding.lost) for finding in check.findings]


def codes(check: OverlayCheck) -> list[tuple[str, bool, str | None]]:
    return [
        (finding.fault.code, finding.damage, None if finding.repair is None else finding.repair.code)
        for finding in check.findings
    ]


@pytest.mark.parametrize("checksums", [True, False])
def test_a_sound_file(checksums: bool) -> None:
    storage = made(checksums=checksums)
    before = bytes(storage.current)
    check = check_storage(storage)
    assert check.findings == ()
    assert (check.damaged, check.repairs) == (False, ())
    assert (check.checksums, check.closed, check.held_bytes) == (checksums, True, 5 * BLOCK)
    assert check.uuid == load(storage, writable=False).journal.header.uuid
    assert repair_storage(storage) == ((), check)
    assert storage.current == before


def test_a_file_that_was_not_closed_is_sound() -> None:
    check = check_storage(made(close=False))
    assert (check.findings, check.closed) == ((), False)


def test_every_damaged_cluster_is_named_with_its_bytes_of_the_disk() -> None:
    storage = made()
    first, last = cluster_of(storage, 2), cluster_of(storage, 15)
    for cluster in (first, first + 1, first + 3, last):
        storage.current[cluster * BLOCK + 7] ^= 4
    check = check_storage(storage)
    assert rows(check) == [
        ("data-damaged", LostData(first, 2, Extent(8 * KIB, 8 * KIB))),
        ("data-damaged", LostData(first + 3, 1, Extent(20 * KIB, 4 * KIB))),
        ("data-damaged", LostData(last, 1, Extent(60 * KIB, SIZE - 60 * KIB))),
    ]
    assert check.damaged
    assert check.repairs == ()
    before = bytes(storage.current)
    assert repair_storage(storage) == ((), check)
    assert storage.current == before


def test_without_checksums_damaged_data_is_not_found() -> None:
    storage = made(checksums=False)
    storage.current[cluster_of(storage, 2) * BLOCK] ^= 1
    assert not check_storage(storage).findings


class BadSectors(CrashStorage):
    """Some clusters cannot be read."""

    bad: Sequence[int] = ()

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        if any(offset < (cluster + 1) * BLOCK and cluster * BLOCK < offset + length for cluster in self.bad):
            raise DeviceError("a bad sector", where=self.identity.name)
        return super().read(offset, length)


@pytest.mark.parametrize("checksums", [True, False])
def test_clusters_that_cannot_be_read(checksums: bool) -> None:
    storage = BadSectors()
    made(storage, checksums=checksums)
    first = cluster_of(storage, 2)
    storage.bad = (first + 1, first + 2)
    check = check_storage(storage)
    assert rows(check) == [("data-unreadable", LostData(first + 1, 2, Extent(12 * KIB, 8 * KIB)))]
    assert check.damaged


@pytest.mark.parametrize("copy", [0, 1])
def test_a_damaged_copy_of_the_header_is_written_again(copy: int) -> None:
    storage = made()
    good = bytes(storage.current)
    storage.current[copy * BLOCK + 100] ^= 1
    check = check_storage(storage)
    assert codes(check) == [("header-damaged", True, "write-header")]
    assert str(check.findings[0].fault) == (
        f"copy {copy} of the header is damaged: the header's checksum does not match"
    )
    assert not repair_storage(storage)[1].findings
    assert storage.current == good


def test_an_older_copy_of_the_header_is_what_a_crash_leaves() -> None:
    storage = made()
    old = bytes(storage.current[:BLOCK])
    overlay = load(storage, writable=True)
    header = overlay.journal.header
    overlay.journal.rewrite(replace(header, generation=header.generation + 1))
    storage.current[BLOCK : 2 * BLOCK] = old
    assert codes(check_storage(storage)) == [("header-older", False, "write-header")]
    assert not check_storage(storage).damaged
    assert not repair_storage(storage)[1].findings


def test_neither_copy_of_the_header_is_valid() -> None:
    storage = made()
    for copy in range(2):
        storage.current[copy * BLOCK + 100] ^= 1
    check = check_storage(storage)
    assert codes(check) == [("unusable", True, None)]
    assert (check.uuid, check.checksums, check.held_bytes) == (None, None, None)
    assert repair_storage(storage) == ((), check)
    storage.current[: 2 * BLOCK] = bytes(2 * BLOCK)
    with raises(FormatError, what="the file does not begin as an overlay"):
        check_storage(storage)


def test_a_record_that_was_not_finished_is_dropped() -> None:
    storage = made(close=False)
    journal = load(storage, writable=False).journal
    tail = journal.header.log_cluster * BLOCK + journal._tail_bytes
    storage.current[tail : tail + 1024] = b"\x89bpr" + bytes(200) + b"x" * 820
    check = check_storage(storage)
    assert codes(check) == [("record-unfinished", False, "drop-record")]
    assert (check.damaged, check.closed) == (False, False)
    done, after = repair_storage(storage)
    assert done == check.repairs
    assert (after.findings, after.closed) == ((), True)
    assert not any(storage.current[tail + 512 : (journal.header.log_cluster + journal.header.log_clusters) * BLOCK])


def test_a_damaged_log_leaves_nothing_to_repair() -> None:
    storage = made()
    header = load(storage, writable=False).journal.header
    storage.current[header.log_cluster * BLOCK + 512 + 60] ^= 1
    storage.current[BLOCK + 100] ^= 1
    check = check_storage(storage)
    assert codes(check) == [("header-damaged", True, None), ("unusable", True, None)]
    assert "the record at byte 512 of the log is damaged" in str(check.findings[1].fault)
    assert check.uuid == header.uuid
    before = bytes(storage.current)
    assert repair_storage(storage) == ((), check)
    assert storage.current == before


def test_a_limit_is_no_damage() -> None:
    storage = made()
    with limits_raised(overlay_map_bytes=16), pytest.raises(LimitError):
        check_storage(storage)


def test_clusters_at_the_end_that_belong_to_nothing_are_cut() -> None:
    storage = made()
    end = storage.length()
    storage.write(end, bytes(9000))
    check = check_storage(storage)
    assert codes(check) == [("file-long", False, "cut")]
    assert not repair_storage(storage)[1].findings
    assert storage.length() == end


def test_what_a_short_file_has_lost_reads_eio_after_the_repair() -> None:
    storage = made()
    content = whole(OverlayFile(storage, load(storage, writable=False), disk(SIZE), writable=False))
    last, end = cluster_of(storage, 15), storage.length()
    assert end == (last + 1) * BLOCK
    storage.truncate(last * BLOCK - 100)
    check = check_storage(storage)
    assert codes(check) == [
        ("file-short", True, "extend"),
        ("data-missing", True, None),
        ("data-missing", True, None),
    ]
    assert [finding.lost.disk for finding in check.findings if finding.lost is not None] == [
        Extent(20 * KIB, 4 * KIB),
        Extent(60 * KIB, SIZE - 60 * KIB),
    ]
    base = disk(SIZE)
    with pytest.raises(FormatError, match="truncated"):
        load_for(storage, base, writable=True)
    done, after = repair_storage(storage)
    assert done == check.repairs
    assert storage.length() == end
    assert after.damaged
    assert [finding.fault.code for finding in after.findings] == ["data-damaged"] * 2
    overlay = OverlayFile(storage, load_for(storage, base, writable=True), base)
    assert read_bytes(overlay, 0, 20 * KIB) == content[: 20 * KIB]
    for offset in (20 * KIB, 60 * KIB):
        with pytest.raises(DeviceError) as error:
            overlay.read(offset, 512)
        assert error.value.errno == errno.EIO


def test_a_short_file_without_checksums_is_not_made_longer() -> None:
    """What would be zeros there might be taken for data."""
    storage = made(checksums=False)
    storage.truncate(storage.length() - BLOCK)
    check = check_storage(storage)
    assert codes(check) == [("file-short", True, None), ("data-missing", True, None)]
    before = bytes(storage.current)
    assert repair_storage(storage) == ((), check)
    assert storage.current == before


def test_every_prefix_of_a_repair_can_be_repaired() -> None:
    """The power goes between any two writes of it."""
    storage = made(close=False)
    end = storage.length()
    storage.current[100] ^= 1
    journal = load(storage, writable=False).journal
    tail = journal.header.log_cluster * BLOCK + journal._tail_bytes
    storage.current[tail : tail + 1024] = b"\xaa" * 1024
    damaged = bytes(storage.current[: end - BLOCK])
    repaired = CrashStorage(damaged)
    _, expected = repair_storage(repaired)
    random = Random(3)
    for upto in range(len(repaired.calls) + 1):
        for keep in (0.0, 0.5, 1.0):
            after = CrashStorage(repaired.lost_power(upto, random, keep=keep))
            assert repair_storage(after)[1].findings == expected.findings
            assert repair_storage(after)[0] == ()


def test_a_file_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "disk.overlay"
    overlay = OverlayFile.create(path, disk(SIZE))
    with raises(DeviceError, errno=errno.EBUSY):
        check_overlay(path)
    with raises(DeviceError, errno=errno.EBUSY):
        repair_overlay(path)
    overlay.close()
    reader = OverlayFile.open(path, disk(SIZE), writable=False)
    assert not check_overlay(path).findings
    with raises(DeviceError, errno=errno.EBUSY):
        repair_overlay(path)
    reader.close()
    assert repair_overlay(path) == ((), check_overlay(path))


def test_a_commit_that_did_not_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / "disk.overlay"
    overlay = OverlayFile.create(path, disk(SIZE))
    overlay.write(0, pattern(0, BLOCK, tag=1))
    overlay.close()

    class FailsLate(MemoryDevice):
        def flush(self) -> None:
            raise DeviceError("the stick was pulled out", where="base")

    with pytest.raises(DeviceError, match="pulled out"):
        commit_overlay(path, FailsLate(bytearray(pattern(0, SIZE))))
    assert codes(check_overlay(path)) == [("commit-unfinished", False, None)]
