"""Strategies for every value of the formats floor, valid by construction."""

from __future__ import annotations

import stat
import string
from dataclasses import replace
from itertools import accumulate
from uuid import UUID

from hypothesis import strategies as st

from bootpath.core.extents import Extent
from bootpath.core.iolog import Discard, Flush, Mark, Read, Record, Write, Zero
from bootpath.formats.cpio import CpioEntry
from bootpath.formats.dm.create import MappedDevice
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.handoff import Handoff
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt
from bootpath.formats.plan import Plan, PlanExtent
from bootpath.formats.trace import Trace
from tests.support.gptdisk import DISK_BYTES

U64 = 2**64 - 1
BLOCK = 4096

numbers = st.one_of(st.integers(0, U64), st.sampled_from([0, 1, 4096, U64]))
uuids = st.builds(lambda number: UUID(int=number), st.integers(0, 2**128 - 1))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def disjoint_extents(draw: st.DrawFn, limit_blocks: int, max_size: int = 6) -> list[Extent]:
    """Not empty, multiples of 4096, disjoint, below `limit_blocks` blocks, in any order."""
    points = sorted(draw(st.sets(st.integers(0, limit_blocks), max_size=2 * max_size)))
    pairs = zip(points[::2], points[1::2], strict=False)
    return draw(st.permutations([Extent(start * BLOCK, (end - start) * BLOCK) for start, end in pairs]))


@st.composite
def partitions(draw: st.DrawFn, block_bytes: int) -> list[Partition]:
    first, last = (34, 222) if block_bytes == 512 else (6, 58)
    points = sorted(draw(st.sets(st.integers(first, last + 1), max_size=10)))
    ranges = list(zip(points[::2], points[1::2], strict=False))
    places = draw(st.permutations(range(1, 129)))[: len(ranges)]
    guids = draw(st.lists(uuids, min_size=len(ranges), max_size=len(ranges), unique=True))
    # At most 36 UTF-16 code units: 18 characters of any plane.
    names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=18)
    return sorted(
        (
            Partition(
                number=place,
                type_guid=draw(uuids.filter(lambda guid: guid.int != 0)),
                guid=guid,
                first_lba=start,
                last_lba=end - 1,
                flags=draw(numbers),
                name=draw(names),
                block_bytes=block_bytes,
            )
            for place, guid, (start, end) in zip(places, guids, ranges, strict=True)
        ),
        key=lambda partition: partition.number,
    )


@st.composite
def gpts(draw: st.DrawFn) -> Gpt:
    block_bytes = draw(st.sampled_from([512, 4096]))
    return new_gpt(DISK_BYTES[block_bytes], draw(uuids), draw(partitions(block_bytes)), block_bytes)


@st.composite
def regions(draw: st.DrawFn) -> tuple[int | None, int | None]:
    if draw(st.booleans()):
        return None, None
    addr = draw(numbers)
    return addr, draw(st.integers(0, min(U64, U64 + 1 - addr)))


@st.composite
def handoffs(draw: st.DrawFn) -> Handoff:
    rsdp, dtb, password = draw(regions()), draw(regions()), draw(regions())
    keys = st.text(string.ascii_uppercase, min_size=1, max_size=3)
    values = texts.filter(lambda text: "\0" not in text and "\n" not in text)
    handoff = Handoff(
        rsdp_addr=rsdp[0],
        rsdp_size_bytes=rsdp[1],
        dtb_addr=dtb[0],
        dtb_size_bytes=dtb[1],
        password_addr=password[0],
        password_size_bytes=password[1],
        disk_guid=draw(st.none() | uuids),
        partition_guid=draw(st.none() | uuids),
        redoxfs_uuid=draw(st.none() | uuids),
        redoxfs_block=draw(st.none() | st.integers(0, 2**50)),
        phys_block=draw(st.none() | st.integers(0, 2**50)),
        extra=tuple(draw(st.dictionaries(keys, values, max_size=3)).items()),
    )
    full_blocks = draw(st.integers(1, 2**40))
    full_size_bytes = draw(st.sampled_from([None, full_blocks * BLOCK]))
    extents = tuple(draw(disjoint_extents(full_blocks)))
    match draw(st.sampled_from(["none", "whole", "prefix", "packed"])):
        case "whole":
            live = replace(handoff, live_addr=BLOCK, live_size_bytes=full_blocks * BLOCK)
        case "prefix":
            size = draw(st.integers(0, full_blocks * BLOCK - 1))
            live = replace(handoff, live_addr=BLOCK, live_size_bytes=size, live_partial=True)
        case "packed" if extents:
            size = sum(extent.length for extent in extents)
            live = replace(handoff, live_addr=0, live_size_bytes=size, live_partial=True, live_extents=extents)
        case _:
            live = handoff
    return replace(live, full_size_bytes=full_size_bytes)


@st.composite
def tables(draw: st.DrawFn, targets: st.SearchStrategy[str], args: st.SearchStrategy[tuple[str, ...]]) -> Table:
    lengths = draw(st.lists(st.integers(1, 2**50), min_size=1, max_size=5))
    starts = list(accumulate(lengths, initial=0))[:-1]
    pairs = zip(starts, lengths, strict=True)
    return Table(tuple(TableLine(start, length, draw(targets), draw(args)) for start, length in pairs))


any_args = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="#\n\0"), min_size=1, max_size=8), max_size=4
).map(tuple)
any_tables = tables(st.sampled_from(["linear", "zero", "live", "overlay", "a.b_c+1"]), any_args)

_safe = string.ascii_letters + string.digits + "/:=._-+@"
kernel_tables = tables(
    st.sampled_from(["crypt", "delay", "linear", "snapshot-origin", "striped", "verity"]),
    st.lists(st.text(_safe, min_size=1, max_size=8), min_size=1, max_size=4).map(tuple),
)
mapped_devices = st.builds(
    MappedDevice,
    name=st.text(_safe.replace("/", "") + " ", min_size=1, max_size=8).map(str.strip).filter(bool),
    uuid=st.text(_safe, max_size=8),
    minor=st.none() | st.integers(0, 2**20 - 1),
    read_only=st.booleans(),
    table=kernel_tables,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    blocks = draw(st.integers(0, 2**40))
    return Plan(
        uuid=draw(uuids),
        generation=draw(numbers),
        size_bytes=blocks * BLOCK,
        offset_bytes=draw(st.integers(0, 2**50)),
        extents=tuple(
            PlanExtent(extent.offset, extent.length, draw(texts), draw(texts))
            for extent in draw(disjoint_extents(blocks))
        ),
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    offset = draw(st.integers(0, 2**63))
    length = draw(st.integers(0, 2**62))
    errno = draw(st.sampled_from([0, 5, 28, 4095]))
    data = draw(st.none() | st.binary(max_size=16))
    kinds: list[Record] = [
        Read(offset, length, draw(texts), errno),
        Write(offset, length if data is None else len(data), data, draw(st.booleans()), errno),
        Zero(offset, length, errno),
        Discard(offset, length, errno),
        Flush(errno),
        Mark(draw(texts)),
    ]
    return draw(st.sampled_from(kinds))


traces = st.builds(Trace, uuids, numbers, numbers, st.lists(records(), max_size=6).map(tuple))


_part = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=3)
_paths = st.lists(_part.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3).map("/".join)


@st.composite
def _cpio_entries(draw: st.DrawFn) -> CpioEntry:
    u32 = st.integers(0, 2**32 - 1)
    kind = draw(st.sampled_from([stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO]))
    data = b""
    if kind == stat.S_IFREG:
        data = draw(st.binary(max_size=16))
    elif kind == stat.S_IFLNK:
        data = draw(st.binary(min_size=1, max_size=16).filter(lambda target: b"\0" not in target))
    is_device = kind in (stat.S_IFCHR, stat.S_IFBLK)
    return CpioEntry(
        path=draw(_paths),
        mode=kind | draw(st.integers(0, 0o7777)),
        data=data,
        mtime_seconds=draw(u32),
        uid=draw(u32),
        gid=draw(u32),
        major=draw(u32) if is_device else 0,
        minor=draw(u32) if is_device else 0,
    )


cpio_entries = _cpio_entries()
