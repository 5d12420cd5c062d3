"""NBD on the wire: the transmission phase. Requests, replies, chunks and block status.

Source: the NBD protocol (NetworkBlockDevice/nbd doc/proto.md, "Transmission", "Values"), and its EXTENDED_HEADERS
extension. Everything is big-endian. The handshake is in `nbdoptions`, the URI in `nbduri`.

======================  ====================================================================  =====
compact request         magic u32, flags u16, command u16, cookie 8, offset u64, length u32      28
extended request        the same with length u64                                                32
simple reply            magic u32, error u32, cookie 8                                           16
structured chunk        magic u32, flags u16, type u16, cookie 8, length u32                     20
extended chunk          magic u32, flags u16, type u16, cookie 8, offset u64, length u64         32
======================  ====================================================================  =====

A cookie is opaque: eight bytes, never a number. The request structs join magic, flags and command into one u64 "head",
so that a server tells a plain read by one comparison; the reply structs join flags and type into a u32 "key".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Any

from bootpath.core.errors import FormatError

REQUEST_MAGIC = 0x25609513
EXTENDED_REQUEST_MAGIC = 0x21E41C71
SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF
EXTENDED_REPLY_MAGIC = 0x6E8A278C

# "a maximum payload size that is at least 2^25" (Size constraints)
MAX_PAYLOAD_BYTES = 1 << 25
MAX_STRING_BYTES = 4096
# "a server SHOULD NOT send more than 2^20 status descriptors in a single chunk" (NBD_CMD_BLOCK_STATUS)
MAX_DESCRIPTORS = 1 << 20
COOKIE_BYTES = 8

COMPACT_REQUEST = Struct(">Q8sQI")  # head, cookie, offset, length
EXTENDED_REQUEST = Struct(">Q8sQQ")  # the same
SIMPLE_REPLY = Struct(">II8s")  # magic, error, cookie
STRUCTURED_CHUNK = Struct(">II8sI")  # magic, key, cookie, length
EXTENDED_CHUNK = Struct(">II8sQQ")  # magic, key, cookie, offset, length
OFFSET = Struct(">Q")
_HOLE = Struct(">QI")
_ERROR = Struct(">IH")
_STATUS32 = Struct(">I")
_STATUS64 = Struct(">II")
_DESCRIPTOR32 = Struct(">II")
_DESCRIPTOR64 = Struct(">QQ")


class Command(IntEnum):
    """NBD_CMD_*."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class CommandFlag(IntFlag):
    """NBD_CMD_FLAG_*."""

    FUA = 1
    NO_HOLE = 2
    DF = 4
    REQ_ONE = 8
    FAST_ZERO = 16
    PAYLOAD_LEN = 32


class TransmissionFlag(IntFlag):
    """NBD_FLAG_*, what an export can do."""

    HAS_FLAGS = 1
    READ_ONLY = 2
    SEND_FLUSH = 4
    SEND_FUA = 8
    ROTATIONAL = 16
    SEND_TRIM = 32
    SEND_WRITE_ZEROES = 64
    SEND_DF = 128
    CAN_MULTI_CONN = 256
    SEND_RESIZE = 512
    SEND_CACHE = 1024
    SEND_FAST_ZERO = 2048
    BLOCK_STATUS_PAYLOAD = 4096


class ChunkType(IntEnum):
    """NBD_REPLY_TYPE_*; bit 15 marks an error."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    BLOCK_STATUS_EXT = 6
    ERROR = (1 << 15) + 1
    ERROR_OFFSET = (1 << 15) + 2


class ErrorCode(IntEnum):
    """The error values of a reply. "The allowed values for the error field have been restricted to set"."""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


FLAG_DONE = 1  # NBD_REPLY_FLAG_DONE: no more chunks for this request
STATE_HOLE = 1  # base:allocation
STATE_ZERO = 2

BASE_ALLOCATION = "base:allocation"
SOURCE = "bootpath:source"
# The flags of bootpath:source: where a block comes from. 0 is a place that has no number.
SOURCES: Mapping[str, int] = {"preload": 1, "overlay": 2, "disk": 3, "zero": 4, "file": 5, "memory": 6, "error": 7}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks. `command` and `flags` are numbers, since a client may send any."""

    command: int
    cookie: bytes
    offset: int = 0
    length: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class SimpleReply:
    """The header of a simple reply; the data of a read follows when `error` is 0."""

    cookie: bytes
    error: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """The header of a structured chunk, or of an extended one, which repeats the request's `offset`."""

    type: int
    cookie: bytes
    length: int
    flags: int = FLAG_DONE
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class ErrorPayload:
    """Payload of ERROR (`offset` None) and ERROR_OFFSET."""

    error: int
    message: str = ""
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class BlockStatus:
    """Payload of BLOCK_STATUS and BLOCK_STATUS_EXT: (length, flags) of consecutive extents in one context."""

    context: int
    descriptors: tuple[tuple[int, int], ...]


def request_head(command: int, flags: int = 0, *, extended: bool = False) -> int:
    """Magic, flags and command as the one number that the request structs read."""
    return (EXTENDED_REQUEST_MAGIC if extended else REQUEST_MAGIC) << 32 | flags << 16 | command


def parse_request(data: bytes, *, extended: bool = False) -> Request:
    """A request header. Raises FormatError."""
    layout, expected = (EXTENDED_REQUEST, EXTENDED_REQUEST_MAGIC) if extended else (COMPACT_REQUEST, REQUEST_MAGIC)
    head, cookie, offset, length = _unpack(layout, data, "request")
    if head >> 32 != expected:
        raise FormatError(
            "the request has the wrong magic", where="nbd", found=f"{head >> 32:#010x}", expected=f"{expected:#010x}"
        )
    return Request(head & 0xFFFF, cookie, offset, length, head >> 16 & 0xFFFF)


def pack_request(request: Request, *, extended: bool = False) -> bytes:
    """The header's bytes."""
    layout = EXTENDED_REQUEST if extended else COMPACT_REQUEST
    head = request_head(request.command, request.flags, extended=extended)
    return layout.pack(head, request.cookie, request.offset, request.length)


def parse_reply(data: bytes) -> SimpleReply | Chunk:
    """A reply header, told apart by its magic. Raises FormatError."""
    magic = int.from_bytes(data[:4], "big")
    if magic == SIMPLE_REPLY_MAGIC:
        _, error, cookie = _unpack(SIMPLE_REPLY, data, "simple reply")
        return SimpleReply(cookie, error)
    if magic == STRUCTURED_REPLY_MAGIC:
        _, key, cookie, length = _unpack(STRUCTURED_CHUNK, data, "structured reply")
        return Chunk(key & 0xFFFF, cookie, length, key >> 16)
    if magic == EXTENDED_REPLY_MAGIC:
        _, key, cookie, offset, length = _unpack(EXTENDED_CHUNK, data, "extended reply")
        return Chunk(key & 0xFFFF, cookie, length, key >> 16, offset)
    raise FormatError(
        "the reply has the wrong magic", where="nbd", found=data[:4].hex(), expected="the magic of a reply"
    )


def pack_reply(reply: SimpleReply | Chunk) -> bytes:
    """The header's bytes."""
    if isinstance(reply, SimpleReply):
        return SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, reply.error, reply.cookie)
    key = reply.flags << 16 | reply.type
    if reply.offset is None:
        return STRUCTURED_CHUNK.pack(STRUCTURED_REPLY_MAGIC, key, reply.cookie, reply.length)
    return EXTENDED_CHUNK.pack(EXTENDED_REPLY_MAGIC, key, reply.cookie, reply.offset, reply.length)


def parse_error(data: bytes, *, with_offset: bool) -> ErrorPayload:
    """The payload of an error chunk. Raises FormatError when the lengths do not agree."""
    fixed = _ERROR.size + (OFFSET.size if with_offset else 0)
    if len(data) < fixed:
        raise FormatError(
            "the error chunk has the wrong length",
            where="nbd",
            found=f"{len(data)} bytes",
            expected=f"at least {fixed}",
        )
    error, size = _ERROR.unpack_from(data)
    # "message length MUST NOT exceed the 4096 bytes string length limit"
    if size > min(len(data) - fixed, MAX_STRING_BYTES):
        raise FormatError(
            "the error message is longer than its chunk",
            where="nbd",
            found=size,
            expected=f"at most {len(data) - fixed}",
        )
    message = _text("error message", data[_ERROR.size : _ERROR.size + size])
    return ErrorPayload(error, message, OFFSET.unpack_from(data, _ERROR.size + size)[0] if with_offset else None)


def pack_error(payload: ErrorPayload) -> bytes:
    """The payload of an error chunk; the message is cut to what the protocol allows."""
    message = payload.message.encode()[:MAX_STRING_BYTES].decode(errors="ignore").encode()
    tail = b"" if payload.offset is None else OFFSET.pack(payload.offset)
    return _ERROR.pack(payload.error, len(message)) + message + tail


def parse_hole(data: bytes) -> tuple[int, int]:
    """(offset, length) of an OFFSET_HOLE chunk. Raises FormatError; "hole size MUST be nonzero"."""
    if len(data) != _HOLE.size:
        raise FormatError(
            "the hole chunk has the wrong length", where="nbd", found=f"{len(data)} bytes", expected=f"{_HOLE.size}"
        )
    offset, length = _HOLE.unpack(data)
    if length == 0:
        raise FormatError("the hole is empty", where="nbd")
    return offset, length


def pack_hole(offset: int, length: int) -> bytes:
    """The payload of an OFFSET_HOLE chunk."""
    return _HOLE.pack(offset, length)


def parse_block_status(data: bytes, *, extended: bool = False) -> BlockStatus:
    """The payload of a status chunk. Raises FormatError."""
    head, row = (_STATUS64, _DESCRIPTOR64) if extended else (_STATUS32, _DESCRIPTOR32)
    rows, rest = divmod(len(data) - head.size, row.size)
    if rows < 1 or rest:
        raise FormatError(
            "the block status has the wrong length",
            where="nbd",
            found=f"{len(data)} bytes",
            expected=f"{head.size} and a positive multiple of {row.size}",
        )
    context, *count = head.unpack_from(data)
    if count and count[0] != rows:
        raise FormatError(
            "the block status has the wrong number of descriptors", where="nbd", found=count[0], expected=str(rows)
        )
    descriptors = tuple((length, flags) for length, flags in row.iter_unpack(data[head.size :]))
    if not all(length for length, _ in descriptors):
        raise FormatError("a block status descriptor is empty", where="nbd")
    return BlockStatus(context, descriptors)


def pack_block_status(status: BlockStatus, *, extended: bool = False) -> bytes:
    """The payload of a status chunk."""
    count = len(status.descriptors)
    if extended:
        flat = [number for descriptor in status.descriptors for number in descriptor]
        return _STATUS64.pack(status.context, count) + Struct(f">{2 * count}Q").pack(*flat)
    flat = [number for descriptor in status.descriptors for number in descriptor]
    return _STATUS32.pack(status.context) + Struct(f">{2 * count}I").pack(*flat)


def parse_status_filter(data: bytes) -> tuple[int, tuple[int, ...]]:
    """(effect length, context ids) of an extended BLOCK_STATUS request with a payload. Raises FormatError."""
    if len(data) < 8 or len(data) % 4:
        raise FormatError(
            "the status filter has the wrong length",
            where="nbd",
            found=f"{len(data)} bytes",
            expected="8 and 4 for each id",
        )
    ids: Sequence[int] = Struct(f">{len(data) // 4 - 2}I").unpack_from(data, 8)
    return OFFSET.unpack_from(data)[0], tuple(ids)


def pack_status_filter(length: int, contexts: Sequence[int]) -> bytes:
    """The payload of an extended BLOCK_STATUS request."""
    return OFFSET.pack(length) + Struct(f">{len(contexts)}I").pack(*contexts)


def _unpack(layout: Struct, data: bytes, what: str) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise FormatError(
            f"the {what} has the wrong length", where="nbd", found=f"{len(data)} bytes", expected=f"{layout.size}"
        )
    return layout.unpack(data)


def _text(what: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"the {what} is not UTF-8", where="nbd") from error
