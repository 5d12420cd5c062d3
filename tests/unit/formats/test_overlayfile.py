from __future__ import annotations

import contextlib
from array import array
from dataclasses import replace
from hashlib import blake2b
from random import Random
from uuid import UUID

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.overlayfile import (
    HEADER_BYTES,
    BaseIdentity,
    LogRecord,
    OverlayFileState,
    OverlayHeader,
    RecordKind,
    choose_header,
    iter_entries,
    pack_checksums,
    pack_entries,
    pack_header,
    pack_record,
    parse_header,
    parse_log,
    record_bytes,
    unpack_checksums,
)
from tests.fuzz.mutation import mutate
from tests.support.errors import raises

KEY = bytes(range(16))
BASE = BaseIdentity("disk ❄.img", 1 << 30, 1 << 20, b"d" * 32, uuid=UUID(int=5), partition_guid=UUID(int=7))
HEADER = OverlayHeader(9, UUID(int=1), OverlayFileState.READY, 2, 64, 17, KEY, BASE)
ENTRIES = [(0, 70, 3), (1 << 20, 1, 1 << 16), (9, 80, 1)]


SUMMED = replace(HEADER, checksums=True, log_records=3)


def log_of(*records: LogRecord) -> bytes:
    return b"".join(pack_record(record, KEY) for record in records) + bytes(4096)


CHECKPOINT = LogRecord(RecordKind.CHECKPOINT, 17, pack_entries(ENTRIES))
COMMIT = LogRecord(RecordKind.COMMIT, 18, pack_entries([(4, 90, 1)] * 40))
CLOSED = LogRecord(RecordKind.CLOSED, 19, b"")


def test_header_layout() -> None:
    data = pack_header(HEADER)
    assert len(data) == HEADER_BYTES
    assert data[:16] == b"\x89bpovl\r\n" + b"\x01\0\0\0" + b"\0\x10\0\0"
    assert data[144:176] == b"d" * 32
    assert data[176:190].startswith("disk ❄.img".encode())
    assert parse_header(data) == HEADER


def test_a_log_that_has_fewer_records_than_the_header_says() -> None:
    data = log_of(CHECKPOINT, COMMIT, CLOSED)
    assert len(parse_log(data, KEY, 17, 3).records) == 3
    with raises(FormatError, found="3 records", expected="at least 4"):
        parse_log(data, KEY, 17, 4)


def test_a_header_of_version_1_does_not_say_how_many_records_there_are() -> None:
    with raises(FormatError, what="reserved bytes of the header are not zero"):
        parse_header(pack_header(replace(HEADER, log_records=1)))


def test_a_header_with_checksums_is_of_version_2() -> None:
    data = pack_header(SUMMED)
    assert data[8:12] == b"\x02\0\0\0"
    assert parse_header(data) == SUMMED


@pytest.mark.parametrize("version", [0, 3])
def test_another_version(version: int) -> None:
    content = bytearray(pack_header(HEADER)[:-32])
    content[8] = version
    with raises(FormatError, what="the version is not supported", found=version, expected="1 or 2"):
        parse_header(bytes(content) + blake2b(content, digest_size=32).digest())


def test_a_record_with_checksums() -> None:
    values = array("I", [1, 0xFFFFFFFF, 0x01020304])
    record = replace(CHECKPOINT, checksums=pack_checksums(values))
    data = pack_record(record, KEY)
    assert len(data) == record_bytes(3, 3)
    assert data[24:32] == (3).to_bytes(8, "little")
    assert data[48 + 3 * 16 : 48 + 3 * 16 + 12] == b"\1\0\0\0\xff\xff\xff\xff\4\3\2\1"
    assert parse_log(data, KEY, 17).records == (record,)
    assert unpack_checksums(record.checksums) == values
    assert record_bytes(0, 116) == record_bytes(0, 0) == 512 < record_bytes(0, 117)


def test_every_flipped_bit_of_a_header_is_a_fault() -> None:
    data = pack_header(HEADER)
    for position in range(0, HEADER_BYTES * 8, 7):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(FormatError, match="overlay"):
            parse_header(bytes(damaged))


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (replace(HEADER, base=replace(BASE, name="x" * 1025)), "the base's name is too long"),
        (replace(HEADER, log_clusters=1 << 32), "does not fit"),
    ],
)
def test_a_header_that_does_not_fit(header: OverlayHeader, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        pack_header(header)


@pytest.mark.parametrize(
    "header", [replace(HEADER, log_cluster=1), replace(HEADER, log_clusters=0), replace(HEADER, log_cluster=0xFFFFFFF0)]
)
def test_a_log_in_an_impossible_place(header: OverlayHeader) -> None:
    with pytest.raises(FormatError, match="the log is"):
        parse_header(pack_header(header))


def test_the_newer_of_two_headers_counts() -> None:
    newer = replace(HEADER, generation=10)
    assert choose_header(pack_header(HEADER), pack_header(newer)) == (newer, False)
    assert choose_header(pack_header(newer), bytes(HEADER_BYTES)) == (newer, False)
    assert choose_header(bytes(HEADER_BYTES), pack_header(HEADER)) == (HEADER, False)
    assert choose_header(pack_header(HEADER), pack_header(HEADER)) == (HEADER, True)
    with pytest.raises(FormatError, match="the file does not begin as an overlay"):
        choose_header(bytes(HEADER_BYTES), bytes(HEADER_BYTES))
    with pytest.raises(FormatError, match="two overlays"):
        choose_header(pack_header(HEADER), pack_header(replace(HEADER, uuid=UUID(int=2))))


def test_log() -> None:
    log = parse_log(log_of(CHECKPOINT, COMMIT, CLOSED), KEY, 17)
    assert log.records == (CHECKPOINT, COMMIT, CLOSED)
    assert list(iter_entries(log.records[0].entries)) == ENTRIES
    assert log.tail_bytes == record_bytes(3) + record_bytes(40) + record_bytes(0)
    assert log.closed
    assert not log.torn
    assert not parse_log(log_of(CHECKPOINT, COMMIT), KEY, 17).closed
    stable = LogRecord(RecordKind.STABLE, 19, b"")
    assert not parse_log(log_of(CHECKPOINT, COMMIT, stable), KEY, 17).closed


def test_a_torn_last_record_is_discarded() -> None:
    whole = log_of(CHECKPOINT, COMMIT)
    for position in range(record_bytes(3), record_bytes(3) + record_bytes(40), 37):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        log = parse_log(bytes(damaged), KEY, 17)
        assert log.records == (CHECKPOINT,)
        assert log.tail_bytes == record_bytes(3)
        assert log.torn
        assert parse_log(whole[:position], KEY, 17).records == (CHECKPOINT,)


def test_a_damaged_record_in_the_middle_is_a_fault() -> None:
    whole = log_of(CHECKPOINT, COMMIT, CLOSED)
    for position in range(record_bytes(3), record_bytes(3) + record_bytes(40), 37):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        with pytest.raises(FormatError, match="is damaged, one at"):
            parse_log(bytes(damaged), KEY, 17)


@pytest.mark.parametrize(
    ("data", "key", "sequence", "fault"),
    [
        (bytes(8192), KEY, 17, "does not begin with a valid checkpoint"),
        (log_of(CHECKPOINT), bytes(16), 17, "does not begin with a valid checkpoint"),
        (log_of(CHECKPOINT), KEY, 16, "the record at byte 0 of the log is out of sequence"),
        (log_of(CHECKPOINT, CLOSED), KEY, 17, "the record at byte 512 of the log is out of sequence"),
        (log_of(COMMIT), KEY, 18, "a commit, which is out of place"),
        (log_of(CHECKPOINT, replace(CHECKPOINT, sequence=18)), KEY, 17, "a checkpoint, which is out of place"),
    ],
)
def test_a_log_that_is_wrong(data: bytes, key: bytes, sequence: int, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        parse_log(data, key, sequence)


def test_a_record_of_another_logs_key_is_no_record() -> None:
    stale = pack_record(replace(COMMIT, sequence=18), bytes(16))
    log = parse_log(pack_record(CHECKPOINT, KEY) + stale, KEY, 17)
    assert log.records == (CHECKPOINT,)


def test_mutants_parse_or_are_faults() -> None:
    random = Random(4)
    header, log = pack_header(HEADER), log_of(CHECKPOINT, COMMIT, CLOSED)
    for _ in range(1500):
        with contextlib.suppress(FormatError):
            assert parse_header(mutate(header, random)) == HEADER
        with contextlib.suppress(FormatError):
            records = parse_log(mutate(log, random), KEY, 17).records
            assert records == (CHECKPOINT, COMMIT, CLOSED)[: len(records)]


def test_differences() -> None:
    assert BASE.differences(BASE) == ()
    other = replace(BASE, size_bytes=5, uuid=None, disk_guid=UUID(int=1), partition_guid=UUID(int=8), digest=b"e" * 32)
    assert [field for field, _, _ in BASE.differences(other)] == [
        "size_bytes",
        "partition_guid",
        "content of the first 1048576 bytes",
    ]
