"""NBD on the wire: the fixed newstyle handshake. Greeting, options, option replies and their payloads.

Source: the NBD protocol (NetworkBlockDevice/nbd doc/proto.md, "Handshake", "Option types", "Option reply types").

=============  ===================================================================
greeting       NBDMAGIC, IHAVEOPT, flags u16
client flags   u32
option         IHAVEOPT, option u32, length u32, data
option reply   0x3e889045565a9 u64, option u32, type u32, length u32, data
export reply   size u64, flags u16, 124 zeros unless NO_ZEROES (EXPORT_NAME only)
=============  ===================================================================

Strings are UTF-8 without NUL, at most 4096 bytes. A length inside an option's data never reaches outside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Any, TypeAlias

from bootpath.core.errors import FormatError
from bootpath.formats.nbd.transmission import MAX_STRING_BYTES

GREETING_MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9
EXPORT_PADDING_BYTES = 124

GREETING = Struct(">8s8sH")
CLIENT_FLAGS = Struct(">I")
OPTION = Struct(">8sII")
OPTION_REPLY = Struct(">QIII")
EXPORT_REPLY = Struct(">QH")
_U16 = Struct(">H")
_U32 = Struct(">I")
_INFO_EXPORT = Struct(">QH")
_INFO_BLOCK_SIZE = Struct(">III")


class HandshakeFlag(IntFlag):
    """NBD_FLAG_FIXED_NEWSTYLE and NBD_FLAG_NO_ZEROES; the client's flags have the same values."""

    FIXED_NEWSTYLE = 1
    NO_ZEROES = 2


class Option(IntEnum):
    """NBD_OPT_*."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10
    EXTENDED_HEADERS = 11


class Rep(IntEnum):
    """NBD_REP_*; bit 31 marks an error, whose data is a message."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = (1 << 31) + 1
    ERR_POLICY = (1 << 31) + 2
    ERR_INVALID = (1 << 31) + 3
    ERR_PLATFORM = (1 << 31) + 4
    ERR_TLS_REQD = (1 << 31) + 5
    ERR_UNKNOWN = (1 << 31) + 6
    ERR_SHUTDOWN = (1 << 31) + 7
    ERR_BLOCK_SIZE_REQD = (1 << 31) + 8
    ERR_TOO_BIG = (1 << 31) + 9
    ERR_EXT_HEADER_REQD = (1 << 31) + 10


class Info(IntEnum):
    """NBD_INFO_*."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


@dataclass(frozen=True, slots=True)
class OptionReply:
    """One reply to an option, with its data."""

    option: int
    type: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class InfoRequest:
    """The data of INFO and GO: an export's name and what the client wants to know beyond INFO_EXPORT."""

    name: str
    infos: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MetaQuery:
    """The data of LIST_META_CONTEXT and SET_META_CONTEXT."""

    export: str
    queries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InfoExport:
    """NBD_INFO_EXPORT."""

    size_bytes: int
    flags: int


@dataclass(frozen=True, slots=True)
class InfoName:
    """NBD_INFO_NAME: the canonical name."""

    name: str


@dataclass(frozen=True, slots=True)
class InfoDescription:
    """NBD_INFO_DESCRIPTION."""

    text: str


@dataclass(frozen=True, slots=True)
class InfoBlockSize:
    """NBD_INFO_BLOCK_SIZE, in bytes."""

    minimum: int
    preferred: int
    maximum: int


InfoReply: TypeAlias = InfoExport | InfoName | InfoDescription | InfoBlockSize


def pack_greeting(flags: int) -> bytes:
    """What a server says first."""
    return GREETING.pack(GREETING_MAGIC, OPTION_MAGIC, flags)


def parse_greeting(data: bytes) -> int:
    """The handshake flags. Raises FormatError, for an oldstyle server too."""
    magic, style, flags = _unpack(GREETING, data, "greeting")
    if magic != GREETING_MAGIC or style != OPTION_MAGIC:
        raise FormatError(
            "the server sent an unknown greeting",
            where="nbd",
            found=repr(data[:16]),
            expected="NBDMAGICIHAVEOPT (newstyle)",
        )
    return int(flags)


def pack_option(option: int, data: bytes = b"") -> bytes:
    """An option with its data."""
    return OPTION.pack(OPTION_MAGIC, option, len(data)) + data


def parse_option(data: bytes) -> tuple[int, int]:
    """(option, length of its data) of an option's header. Raises FormatError."""
    magic, option, length = _unpack(OPTION, data, "option")
    if magic != OPTION_MAGIC:
        raise FormatError("the option has the wrong magic", where="nbd", found=repr(magic), expected=repr(OPTION_MAGIC))
    return int(option), int(length)


def pack_option_reply(reply: OptionReply) -> bytes:
    """One reply to an option."""
    return OPTION_REPLY.pack(OPTION_REPLY_MAGIC, reply.option, reply.type, len(reply.data)) + reply.data


def parse_option_reply(data: bytes) -> OptionReply:
    """One whole reply. Raises FormatError."""
    magic, option, kind, length = _unpack(OPTION_REPLY, data[: OPTION_REPLY.size], "option reply")
    if magic != OPTION_REPLY_MAGIC:
        raise FormatError(
            "the option reply has the wrong magic",
            where="nbd",
            found=f"{magic:#x}",
            expected=f"{OPTION_REPLY_MAGIC:#x}",
        )
    if length != len(data) - OPTION_REPLY.size:
        raise FormatError(
            "the option reply has the wrong length", where="nbd", found=len(data) - OPTION_REPLY.size, expected=length
        )
    return OptionReply(int(option), int(kind), data[OPTION_REPLY.size :])


def pack_export_reply(size_bytes: int, flags: int, *, padded: bool) -> bytes:
    """The answer to EXPORT_NAME; `padded` with 124 zeros unless the client set NO_ZEROES."""
    return EXPORT_REPLY.pack(size_bytes, flags) + bytes(EXPORT_PADDING_BYTES if padded else 0)


def parse_export_reply(data: bytes) -> InfoExport:
    """The answer to EXPORT_NAME, padded or not. Raises FormatError."""
    if len(data) not in (EXPORT_REPLY.size, EXPORT_REPLY.size + EXPORT_PADDING_BYTES):
        raise FormatError(
            "the export reply has the wrong length", where="nbd", found=f"{len(data)} bytes", expected="10 or 134"
        )
    return InfoExport(*EXPORT_REPLY.unpack_from(data))


def parse_name(data: bytes) -> str:
    """A string of the protocol. Raises FormatError."""
    if len(data) > MAX_STRING_BYTES:
        raise FormatError(
            "the string is too long", where="nbd", found=f"{len(data)} bytes", expected=f"at most {MAX_STRING_BYTES}"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FormatError("the string is not UTF-8", where="nbd") from error
    if "\0" in text:
        raise FormatError("the string contains a NUL", where="nbd")
    return text


def pack_info_request(request: InfoRequest) -> bytes:
    """The data of INFO and GO."""
    return _pack_string(request.name) + Struct(f">{1 + len(request.infos)}H").pack(len(request.infos), *request.infos)


def parse_info_request(data: bytes) -> InfoRequest:
    """The data of INFO and GO. Raises FormatError."""
    name, position = _parse_string(data, 0)
    (count,) = _field(_U16, data, position)
    position += _U16.size
    # "32 bits, length of name; MUST be no larger than the option data length - 6", and 16 bits for each request
    if len(data) - position != 2 * count:
        raise FormatError(
            "the list of info requests has the wrong length",
            where="nbd",
            found=f"{len(data) - position} bytes",
            expected=2 * count,
        )
    return InfoRequest(name, Struct(f">{count}H").unpack_from(data, position))


def pack_meta_query(query: MetaQuery) -> bytes:
    """The data of LIST_META_CONTEXT and SET_META_CONTEXT."""
    parts = [_pack_string(query.export), _U32.pack(len(query.queries)), *map(_pack_string, query.queries)]
    return b"".join(parts)


def parse_meta_query(data: bytes) -> MetaQuery:
    """The data of LIST_META_CONTEXT and SET_META_CONTEXT. Raises FormatError."""
    export, position = _parse_string(data, 0)
    (count,) = _field(_U32, data, position)
    position += _U32.size
    if count > (len(data) - position) // _U32.size:
        raise FormatError(
            "the option announces too many queries",
            where="nbd",
            found=count,
            expected="no more than fit into the option",
        )
    queries: list[str] = []
    for _ in range(count):
        query, position = _parse_string(data, position)
        queries.append(query)
    if position != len(data):
        raise FormatError(f"{len(data) - position} bytes follow the last query", where="nbd")
    return MetaQuery(export, tuple(queries))


def pack_info(info: InfoReply) -> bytes:
    """The data of a REP_INFO."""
    match info:
        case InfoExport(size_bytes, flags):
            return _U16.pack(Info.EXPORT) + _INFO_EXPORT.pack(size_bytes, flags)
        case InfoName(name):
            return _U16.pack(Info.NAME) + name.encode()
        case InfoDescription(text):
            return _U16.pack(Info.DESCRIPTION) + text.encode()
        case InfoBlockSize(minimum, preferred, maximum):
            return _U16.pack(Info.BLOCK_SIZE) + _INFO_BLOCK_SIZE.pack(minimum, preferred, maximum)


def parse_info(data: bytes) -> InfoReply | None:
    """The data of a REP_INFO; None for a type we do not know. Raises FormatError."""
    (kind,) = _field(_U16, data, 0)
    rest = data[_U16.size :]
    if kind == Info.EXPORT:
        return InfoExport(*_unpack(_INFO_EXPORT, rest, "export info"))
    if kind == Info.NAME:
        return InfoName(parse_name(rest))
    if kind == Info.DESCRIPTION:
        return InfoDescription(parse_name(rest))
    if kind == Info.BLOCK_SIZE:
        return InfoBlockSize(*_unpack(_INFO_BLOCK_SIZE, rest, "block size info"))
    return None


def pack_server(name: str, description: str = "") -> bytes:
    """The data of a REP_SERVER: one export of a list."""
    return _pack_string(name) + description.encode()


def parse_server(data: bytes) -> tuple[str, str]:
    """(name, description) of a REP_SERVER. Raises FormatError."""
    name, position = _parse_string(data, 0)
    return name, parse_name(data[position:])


def pack_meta_context(context: int, name: str) -> bytes:
    """The data of a REP_META_CONTEXT."""
    return _U32.pack(context) + name.encode()


def parse_meta_context(data: bytes) -> tuple[int, str]:
    """(id, name) of a REP_META_CONTEXT. Raises FormatError."""
    (context,) = _field(_U32, data, 0)
    return context, parse_name(data[_U32.size :])


def _pack_string(text: str) -> bytes:
    data = text.encode()
    return _U32.pack(len(data)) + data


def _parse_string(data: bytes, position: int) -> tuple[str, int]:
    (length,) = _field(_U32, data, position)
    position += _U32.size
    if length > len(data) - position:
        raise FormatError(
            "the string is longer than the option",
            where="nbd",
            found=f"{length} bytes",
            expected=f"at most {len(data) - position} bytes",
        )
    return parse_name(data[position : position + length]), position + length


def _field(layout: Struct, data: bytes, position: int) -> tuple[int, ...]:
    if len(data) - position < layout.size:
        raise FormatError(
            "the option data ends too early",
            where="nbd",
            found=f"{len(data) - position} bytes",
            expected=f"{layout.size} bytes",
        )
    return layout.unpack_from(data, position)


def _unpack(layout: Struct, data: bytes, what: str) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise FormatError(
            f"the {what} has the wrong length", where="nbd", found=f"{len(data)} bytes", expected=f"{layout.size}"
        )
    return layout.unpack(data)
