"""An I/O log as a file: what a boot, a mount or an update did to a device, in order.

JSON Lines in UTF-8 (see `bootpath.formats.strictjson` for what is refused), every line ended by a line
feed. The first line is the header, each further line one record of `bootpath.core.iolog`::

    {"format": "bootpath.trace", "version": 1, "uuid": "…", "generation": 7, "size_bytes": 1073741824}
    {"op": "mark", "name": "mount"}
    {"op": "read", "offset": 0, "length": 4096, "source": "preload"}
    {"op": "write", "offset": 4096, "length": 4, "data": "AAECAw==", "fua": true}
    {"op": "zero", "offset": 8192, "length": 4096}
    {"op": "discard", "offset": 8192, "length": 4096, "errno": 5}
    {"op": "flush"}

Members with their default value are left out: source "", errno 0 (it worked), fua false, data (base64) when the log
did not keep it. Offsets are bytes on the logged device. A record may lie past size_bytes, which is the file system's
size and not the device's; its end stays below 2^64. Kept data is exactly as long as its record says.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.core.iolog import Discard, Flush, Mark, Read, Record, Write, Zero
from bootpath.core.limits import check_limit, limits
from bootpath.formats.strictjson import U64_MAX, Members, parse_json, quoted

TRACE_FORMAT = "bootpath.trace"
TRACE_VERSION = 1
MAX_ERRNO = 4095  # include/linux/err.h


@dataclass(frozen=True, slots=True)
class Trace:
    """A log and the file system it was taken from. Raises FormatError for a number that cannot be."""

    uuid: UUID
    generation: int
    size_bytes: int
    records: tuple[Record, ...]

    def __post_init__(self) -> None:
        for name, value in (("generation", self.generation), ("size_bytes", self.size_bytes)):
            if not 0 <= value <= U64_MAX:
                raise _fault(f"{name} is out of range", value, "an unsigned 64-bit number")


def parse_trace(data: bytes) -> Trace:
    """The trace in a file's bytes. Raises FormatError that names the line."""
    check_limit("trace_bytes", len(data), "the trace is too long", where="trace")
    lines = data.split(b"\n")
    if lines.pop():
        raise FormatError("the last line has no line feed", where="trace", hint="the file was cut short")
    if not lines:
        raise FormatError("the file is empty", where="trace", hint="it begins with a header line")
    header = _members(lines[0], 1)
    header.constant("format", TRACE_FORMAT)
    header.constant("version", TRACE_VERSION)
    trace = Trace(
        uuid=header.uuid("uuid"),
        generation=header.number("generation"),
        size_bytes=header.number("size_bytes"),
        records=tuple(_parse_record(line, number) for number, line in enumerate(lines[1:], start=2)),
    )
    header.done()
    return trace


def pack_trace(trace: Trace) -> bytes:
    """The trace as a file's bytes. Raises FormatError for a record that could not be parsed back."""
    header = (
        f'{{"format": "{TRACE_FORMAT}", "version": {TRACE_VERSION}, "uuid": "{trace.uuid}", '
        f'"generation": {trace.generation}, "size_bytes": {trace.size_bytes}}}\n'
    )
    data = (header + "".join(_pack_records(trace.records))).encode()
    check_limit("trace_bytes", len(data), "the trace is too long", where="trace")
    return data


def _fault(what: str, found: object, expected: object, where: str = "trace") -> FormatError:
    return FormatError(what, where=where, found=found, expected=expected)


def _members(line: bytes, number: int) -> Members:
    where = f"trace: line {number}"
    return Members(parse_json(line, where=where, max_bytes=limits().trace_bytes), where=where)


def _parse_record(line: bytes, number: int) -> Record:
    members = _members(line, number)
    operation = members.text("op")
    record: Record
    match operation:
        case "read":
            offset, length = members.number("offset"), members.number("length")
            record = Read(offset, length, source=members.text("source", ""), errno=members.number("errno", 0))
        case "write":
            offset, length = members.number("offset"), members.number("length")
            data = _data(members.text("data"), number) if members.has("data") else None
            record = Write(offset, length, data, fua=members.flag("fua", False), errno=members.number("errno", 0))
        case "zero":
            record = Zero(members.number("offset"), members.number("length"), errno=members.number("errno", 0))
        case "discard":
            record = Discard(members.number("offset"), members.number("length"), errno=members.number("errno", 0))
        case "flush":
            record = Flush(errno=members.number("errno", 0))
        case "mark":
            record = Mark(members.text("name"))
        case _:
            raise _fault(
                "the record has an unknown op", repr(operation[:40]), "a record of the I/O log", f"trace: line {number}"
            )
    members.done()
    _check_record(record, number)
    return record


def _data(text: str, number: int) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = None
    # The decoder ignores the bits behind the last byte, and would read two texts as one.
    if data is None or b64encode(data).decode() != text:
        raise FormatError("the data is not base64", where=f"trace: line {number}")
    return data


def _check_record(record: Record, number: int) -> None:
    where = f"trace: line {number}"
    if isinstance(record, Mark):
        return
    if not 0 <= record.errno <= MAX_ERRNO:
        raise _fault("the record has an unknown errno", record.errno, f"0 to {MAX_ERRNO}", where)
    if isinstance(record, Flush):
        return
    if record.offset < 0 or record.length < 0 or record.offset + record.length > U64_MAX:
        raise _fault("offset + length is out of range", record.offset + record.length, "an end below 2^64", where)
    if isinstance(record, Write) and record.data is not None and len(record.data) != record.length:
        raise _fault("the data has the wrong length", f"{len(record.data)} bytes", record.length, where)


def _pack_records(records: Iterable[Record]) -> Iterable[str]:
    for number, record in enumerate(records, start=2):
        _check_record(record, number)
        yield f"{{{', '.join(_pack_record(record))}}}\n"


def _pack_record(record: Record) -> Iterable[str]:
    yield f'"op": "{_NAMES[type(record)]}"'
    if isinstance(record, Mark):
        yield f'"name": {quoted(record.name)}'
        return
    if not isinstance(record, Flush):
        yield f'"offset": {record.offset}'
        yield f'"length": {record.length}'
    if isinstance(record, Read) and record.source:
        yield f'"source": {quoted(record.source)}'
    if isinstance(record, Write):
        if record.data is not None:
            yield f'"data": "{b64encode(record.data).decode()}"'
        if record.fua:
            yield '"fua": true'
    if record.errno:
        yield f'"errno": {record.errno}'


_NAMES: dict[type[Record], str] = {
    Read: "read",
    Write: "write",
    Zero: "zero",
    Discard: "discard",
    Flush: "flush",
    Mark: "mark",
}
