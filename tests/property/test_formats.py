"""The laws of the formats floor: pack∘parse is the identity, and a flipped bit under a checksum never passes."""

from __future__ import annotations

from array import array
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from bootpath.core.errors import FormatError
from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio, parse_cpio
from bootpath.formats.dm.create import MappedDevice, pack_dm_create, parse_dm_create
from bootpath.formats.dm.table import Table, pack_table, parse_table
from bootpath.formats.handoff import Handoff, pack_handoff, parse_handoff
from bootpath.formats.overlayfile import (
    FIRST_CLUSTER,
    BaseIdentity,
    LogRecord,
    OverlayFileState,
    OverlayHeader,
    RecordKind,
    pack_checksums,
    pack_entries,
    pack_header,
    pack_record,
    parse_header,
    parse_log,
)
from bootpath.formats.partitions.gpt import Gpt, GptVerdict, read_gpt
from bootpath.formats.partitions.gptwrite import repair_gpt
from bootpath.formats.plan import Plan, pack_plan, parse_plan
from bootpath.formats.trace import Trace, pack_trace, parse_trace
from tests.property import format_values as values
from tests.support.gptdisk import apply, as_device, gpt_image, sample_gpt


@settings(max_examples=50)
@given(values.gpts())
def test_gpt(gpt: Gpt) -> None:
    assert read_gpt(as_device(gpt_image(gpt), gpt.block_bytes)) == gpt


@given(values.handoffs())
def test_handoff(handoff: Handoff) -> None:
    data = pack_handoff(handoff)
    assert parse_handoff(data) == handoff
    assert pack_handoff(parse_handoff(data)) == data


@given(values.any_tables)
def test_table(table: Table) -> None:
    assert parse_table(pack_table(table)) == table


@given(st.lists(values.mapped_devices, min_size=1, max_size=3).map(tuple))
def test_dm_create(devices: tuple[MappedDevice, ...]) -> None:
    assert parse_dm_create(pack_dm_create(devices)) == devices


@given(values.plans())
def test_plan(plan: Plan) -> None:
    assert parse_plan(pack_plan(plan)) == plan
    assert plan.extent_set().total_bytes == plan.total_bytes


@given(values.traces)
def test_trace(trace: Trace) -> None:
    assert parse_trace(pack_trace(trace)) == trace


@given(st.lists(values.cpio_entries, max_size=6))
def test_cpio(entries: list[CpioEntry]) -> None:
    assert parse_cpio(pack_cpio(entries)) == tuple(entries)


@given(st.lists(values.cpio_entries, max_size=6, unique_by=lambda entry: entry.path), st.randoms())
def test_arranged_cpio_has_parents_first_in_any_order(entries: list[CpioEntry], random: Random) -> None:
    try:
        arranged = arrange_cpio(entries)
    except FormatError:  # one of them is a file, and another lies in it
        reject()
    paths = [entry.path for entry in arranged]
    for path in paths:
        parent = path.rpartition("/")[0]
        assert not parent or paths.index(parent) < paths.index(path)
    random.shuffle(entries)
    assert pack_cpio(arrange_cpio(entries)) == pack_cpio(arranged)


IMAGE = bytes(gpt_image(sample_gpt()))
# What the checksums of one copy cover: 92 bytes of header, 16384 of entries. The backup array is at LBA 223.
PRIMARY_BITS = st.integers(0, 92 * 8 - 1).map(lambda bit: 512 * 8 + bit) | st.integers(0, 16384 * 8 - 1).map(
    lambda bit: 1024 * 8 + bit
)
BACKUP_BITS = st.integers(0, 92 * 8 - 1).map(lambda bit: 255 * 512 * 8 + bit) | st.integers(0, 16384 * 8 - 1).map(
    lambda bit: 223 * 512 * 8 + bit
)


def flipped(*bits: int) -> bytearray:
    image = bytearray(IMAGE)
    for bit in bits:
        image[bit // 8] ^= 1 << bit % 8
    return image


@given(PRIMARY_BITS)
def test_flipped_bit_in_the_primary_is_seen_and_mended(bit: int) -> None:
    image = flipped(bit)
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.PRIMARY_DAMAGED
    assert gpt.partitions == sample_gpt().partitions
    apply(image, repair_gpt(as_device(image)))
    assert image == IMAGE


@given(BACKUP_BITS)
def test_flipped_bit_in_the_backup_is_seen_and_mended(bit: int) -> None:
    image = flipped(bit)
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.BACKUP_DAMAGED
    assert gpt.partitions == sample_gpt().partitions
    apply(image, repair_gpt(as_device(image)))
    assert image == IMAGE


@given(PRIMARY_BITS, BACKUP_BITS)
def test_flipped_bits_in_both_copies_leave_no_table(first: int, second: int) -> None:
    with pytest.raises(FormatError, match=r"neither copy is usable|there is no GPT"):
        read_gpt(as_device(flipped(first, second)))


_U32, _U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
_GUIDS = st.none() | st.uuids().filter(lambda guid: guid.int != 0)
overlay_headers = st.builds(
    OverlayHeader,
    generation=_U64,
    uuid=st.uuids(),
    state=st.sampled_from(OverlayFileState),
    log_cluster=st.integers(FIRST_CLUSTER, 2**31),
    log_clusters=st.integers(1, 2**31 - 1),
    log_sequence=_U64,
    log_key=st.binary(min_size=16, max_size=16),
    base=st.builds(
        BaseIdentity,
        name=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        size_bytes=st.integers(2**32, 2**64 - 1),
        probe_bytes=_U32,
        digest=st.binary(min_size=32, max_size=32),
        uuid=_GUIDS,
        disk_guid=_GUIDS,
        partition_guid=_GUIDS,
    ),
    checksums=st.just(True),
    log_records=_U32,
)
overlay_headers |= overlay_headers.map(lambda header: replace(header, checksums=False, log_records=0))
overlay_checksums = st.lists(_U32, max_size=300).map(lambda values: pack_checksums(array("I", values)))
overlay_entries = st.lists(st.tuples(_U64, _U32, _U32), max_size=70).map(pack_entries)


@given(overlay_headers, st.integers(0, 4096 * 8 - 1))
def test_overlay_header(header: OverlayHeader, bit: int) -> None:
    data = pack_header(header)
    assert parse_header(data) == header
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError):
        parse_header(bytes(damaged))


@given(
    st.lists(st.tuples(overlay_entries, overlay_checksums), min_size=1, max_size=4),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**60),
    st.randoms(),
)
def test_overlay_log(contents: list[tuple[bytes, bytes]], key: bytes, first: int, random: Random) -> None:
    records = tuple(
        LogRecord(RecordKind.COMMIT if index else RecordKind.CHECKPOINT, first + index, *content)
        for index, content in enumerate(contents)
    )
    packed = [pack_record(record, key) for record in records]
    data = b"".join(packed)
    log = parse_log(data, key, first)
    assert (log.records, log.tail_bytes, log.torn) == (records, len(data), False)
    # A bit that flips in the last record makes it one that was never finished; in an earlier one it is damage.
    at = random.randrange(len(data))
    damaged = bytearray(data)
    damaged[at] ^= 1 << random.randrange(8)
    if at < len(data) - len(packed[-1]) or len(packed) == 1:
        with pytest.raises(FormatError):
            parse_log(bytes(damaged), key, first)
    else:
        assert parse_log(bytes(damaged), key, first).records == records[:-1]
