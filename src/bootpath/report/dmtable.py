"""Tables in words: what each row does, the stack of devices as a tree, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bootpath.block.targets.sectorcipher import SECTOR_CIPHERS
from bootpath.formats.dm.crypt import CryptRow
from bootpath.formats.dm.flakey import PROBABILITY_BASE, FlakeyRow
from bootpath.formats.dm.listing import ListedTable, pack_listing
from bootpath.formats.dm.mapping import Delay, DelayRow, DeviceOffset, ErrorRow, LinearRow, StripedRow, ZeroRow
from bootpath.formats.dm.own import ErasedRow, FaultRow, LiveRow, OverlayFileRow, OverlayRow
from bootpath.formats.dm.snapshot import SnapshotOriginRow, SnapshotRow
from bootpath.formats.dm.table import SECTOR_BYTES, Row, Table
from bootpath.formats.dm.targets import (
    KERNEL_TARGETS,
    TARGET_FORMATS,
    TargetRow,
    device_names,
    hide_key,
    pack_target,
    parse_target,
)
from bootpath.formats.dm.verity import VerityRow
from bootpath.report.units import format_bytes, plural

_MAPPER = "/dev/mapper/"


def normalised(listed: Sequence[ListedTable], *, show_keys: bool = False) -> tuple[ListedTable, ...]:
    """The listing with every row as its value packs it. Raises FormatError that names the device and the row."""
    return tuple(
        replace(each, table=Table(tuple(_normal_row(row, show_keys=show_keys) for row in each.table.rows)))
        for each in listed
    )


def _normal_row(row: Row, *, show_keys: bool) -> Row:
    packed = pack_target(row, parse_target(row)) if row.target in TARGET_FORMATS else row
    return packed if show_keys else hide_key(packed)


def explain_row(row: Row) -> str:
    """What a row does, in a sentence without its end. Raises FormatError for words that its target cannot have."""
    if row.target not in TARGET_FORMATS:
        whose = "a target of Linux" if row.target in KERNEL_TARGETS else "unknown"
        return f"{row.target}: {whose}, which cannot be opened here"
    return _explain(parse_target(row), row.num_sectors * SECTOR_BYTES)


def _explain(value: TargetRow, size_bytes: int) -> str:
    match value:
        case LinearRow(place):
            return f"{format_bytes(size_bytes)} of {_at(place)}"
        case StripedRow(chunk, stripes):
            places = ", ".join(_at(stripe) for stripe in stripes)
            size = format_bytes(chunk * SECTOR_BYTES)
            return f"chunks of {size} in turn from {plural(len(stripes), 'stripe')}: {places}"
        case ZeroRow():
            return "zeros; what is written is forgotten"
        case ErrorRow():
            return "every request fails with EIO"
        case DelayRow(reads, writes, flushes):
            return _explain_delay(reads, writes, flushes)
        case FlakeyRow():
            return _explain_flakey(value)
        case VerityRow():
            return _explain_verity(value)
        case CryptRow():
            return _explain_crypt(value)
        case SnapshotRow():
            where = f"kept on {value.cow}" if value.persistent else f"kept in memory, at most the size of {value.cow}"
            size = format_bytes(value.chunk_sectors * SECTOR_BYTES) if value.chunk_sectors else "the store's size"
            return f"a writable view of {value.origin}; changed chunks of {size} are {where}"
        case SnapshotOriginRow(origin):
            return f"{origin}, of which there are snapshots; read-only here"
        case OverlayRow(device, max_bytes):
            return f"{device}, with changes in RAM{_capped(max_bytes)}"
        case OverlayFileRow(device, path, max_bytes):
            return f"{device}, with changes in the file {path}{_capped(max_bytes)}"
        case LiveRow():
            held = format_bytes(sum(extent.length for extent in value.extents))
            rest = "nothing behind it" if value.disk is None else f"the rest from {value.disk}, which may come later"
            return f"{held} from RAM, preloaded from {value.preload}; {rest}"
        case ErasedRow():
            return "bytes of 0xFF, as erased flash; read-only"
        case FaultRow(device, rules, seed):
            return f"{device}, with faults: {rules}" + ("" if seed is None else f" (seed {seed})")


def _at(place: DeviceOffset) -> str:
    return f"{place.device} from sector {place.start_sector}"


def _capped(max_bytes: int | None) -> str:
    return "" if max_bytes is None else f", at most {format_bytes(max_bytes)}"


def _explain_delay(reads: Delay, writes: Delay | None, flushes: Delay | None) -> str:
    parts = [f"{_at(reads.place)}, {reads.milliseconds} ms late"]
    for what, delay in (("writes", writes), ("flushes", flushes)):
        if delay is not None:
            parts.append(f"{what} to {_at(delay.place)}, {delay.milliseconds} ms late")
    return "; ".join(parts)


def _explain_flakey(value: FlakeyRow) -> str:
    faults: list[str] = []
    if value.everything_fails:
        faults.append("everything fails")
    if value.error_reads:
        faults.append("reads fail")
    if value.error_writes:
        faults.append("writes fail")
    if value.drop_writes:
        faults.append("writes are forgotten")
    if value.corrupt is not None:
        kind = "written" if value.corrupt.writes else "read"
        faults.append(f"byte {value.corrupt.nth} of what is {kind} becomes {value.corrupt.value}")
    for kind, probability in (("read", value.random_read_corrupt), ("written", value.random_write_corrupt)):
        if probability:
            faults.append(f"a byte of what is {kind} changes in {100 * probability / PROBABILITY_BASE:g} % of cases")
    return (
        f"{_at(value.place)}; after {plural(value.up, 'good operation')} {value.down} bad, in turn: {', '.join(faults)}"
    )


def _explain_verity(value: VerityRow) -> str:
    of = value.parameters
    salt = f"salt of {plural(len(of.salt), 'byte')}" if of.salt else "no salt"
    options = f"; {' '.join(value.options)}" if value.options else ""
    return (
        f"{plural(of.data_blocks, 'block')} of {of.data_block_size} bytes of {value.data}, each checked with the "
        f"{of.algorithm} tree on {value.hashes} from block {value.start_block} ({salt}), root hash "
        f"{value.root_hash.hex()}{options}"
    )


def _explain_crypt(value: CryptRow) -> str:
    if value.keyring is not None:
        key = "a key of the kernel's keyring"
    else:
        key = "a key that is not shown" if value.hidden else f"a key of {len(value.key) * 8} bits"
    unit = "" if value.sector_bytes == SECTOR_BYTES else f", in units of {value.sector_bytes} bytes"
    ivs = " that also count the IVs" if value.iv_large_sectors else ""
    offset = f", IVs from {value.iv_offset}" if value.iv_offset else ""
    closed = "" if _openable_crypt(value) else ", which cannot be opened here"
    return f"{_at(value.place)}, decrypted with {value.cipher} and {key}{unit}{ivs}{offset}{closed}"


def _openable_crypt(value: CryptRow) -> bool:
    return value.cipher in SECTOR_CIPHERS and value.keyring is None and value.option("integrity") is None


def _openable(row: Row) -> bool:
    if row.target not in TARGET_FORMATS:
        return False
    value = parse_target(row)
    return not isinstance(value, CryptRow) or _openable_crypt(value)


def render_listing(listed: Sequence[ListedTable]) -> str:
    """The devices, their rows in words, and below each row what it stands on. Raises FormatError."""
    tables = {each.name: each.table for each in listed if each.name}
    below = {name.removeprefix(_MAPPER) for each in listed for row in each.table.rows for name in _names(row)}
    lines: list[str] = []
    for each in listed:
        if each.name in below and len(listed) > 1:
            continue  # it is shown below what stands on it
        name = each.name or "device"
        lines.append(f"{name}: {format_bytes(each.table.size_bytes)}, {plural(len(each.table.rows), 'row')}")
        lines += _tree(each.table, tables, (each.name,), "")
    if not lines:  # they stand on each other
        lines = [f"{each.name}: stands on itself" for each in listed]
    return "\n".join(lines)


def _names(row: Row) -> tuple[str, ...]:
    return device_names(row) if row.target in TARGET_FORMATS else ()


def _tree(table: Table, tables: dict[str, Table], above: tuple[str, ...], indent: str) -> Iterator[str]:
    for number, row in enumerate(table.rows, start=1):
        last = number == len(table.rows)
        size = format_bytes(row.num_sectors * SECTOR_BYTES)
        yield f"{indent}{'└' if last else '├'}─ {row.start_sector} +{size}  {row.target}: {explain_row(row)}"
        deeper = indent + ("   " if last else "│  ")
        for name in dict.fromkeys(name.removeprefix(_MAPPER) for name in _names(row)):
            if name in above:
                yield f"{deeper}{name}: stands on itself"
            elif name in tables:
                yield f"{deeper}{name}: {format_bytes(tables[name].size_bytes)}"
                yield from _tree(tables[name], tables, (*above, name), deeper)


def listing_json(listed: Sequence[ListedTable], *, show_keys: bool = False) -> dict[str, Any]:
    """``bootpath dm table --json`` (docs/schemas/dm.json). Raises FormatError."""
    shown = normalised(listed, show_keys=show_keys)
    return {
        "devices": [
            {
                "name": each.name or None,
                "size_bytes": each.table.size_bytes,
                "rows": [
                    {
                        "start_sector": row.start_sector,
                        "num_sectors": row.num_sectors,
                        "target": row.target,
                        "args": list(normal.args),
                        "devices": list(_names(row)),
                        "openable": _openable(row),
                        "in_linux": row.target in KERNEL_TARGETS,
                        "words": explain_row(row),
                    }
                    for row, normal in zip(each.table.rows, shown_each.table.rows, strict=True)
                ],
            }
            for each, shown_each in zip(listed, shown, strict=True)
        ],
        "table": pack_listing(shown),
    }
