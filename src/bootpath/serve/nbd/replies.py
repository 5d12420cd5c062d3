"""Replies as bytes, in the three styles a client can negotiate: simple, structured, extended.

Source: the NBD protocol (doc/proto.md, "Simple reply message", "Structured reply chunk message") and its
EXTENDED_HEADERS extension. A structured server may answer everything but reads and errors with a simple reply, and
does: it is shorter.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from struct import Struct
from typing import TypeAlias

from bootpath.core.device import Buffer, FileRange
from bootpath.formats.nbd.transmission import (
    EXTENDED_REPLY_MAGIC,
    FLAG_DONE,
    SIMPLE_REPLY,
    SIMPLE_REPLY_MAGIC,
    STRUCTURED_REPLY_MAGIC,
    BlockStatus,
    Chunk,
    ChunkType,
    ErrorCode,
    ErrorPayload,
    SimpleReply,
    pack_block_status,
    pack_error,
    pack_hole,
    pack_reply,
)
from bootpath.serve.nbd.handshake import Style

Sendable: TypeAlias = Buffer | FileRange
"""What goes out over a socket: bytes, or a piece of a file that the kernel sends."""

_SIMPLE_OK = Struct(">II").pack(SIMPLE_REPLY_MAGIC, 0)
_LAST_DATA_KEY = FLAG_DONE << 16 | ChunkType.OFFSET_DATA
_STRUCTURED_DATA = Struct(">Q8sIQ")  # magic and key, cookie, length, offset
_STRUCTURED_DATA_HEAD = STRUCTURED_REPLY_MAGIC << 32 | _LAST_DATA_KEY
_EXTENDED_DATA = Struct(">Q8sQQQ")  # magic and key, cookie, request offset, length, offset
_EXTENDED_DATA_HEAD = EXTENDED_REPLY_MAGIC << 32 | _LAST_DATA_KEY
_EXTENDED_DONE = Struct(">Q8sQQ")
_EXTENDED_DONE_HEAD = EXTENDED_REPLY_MAGIC << 32 | FLAG_DONE << 16 | ChunkType.NONE

# "It also SHOULD map the EDQUOT and EFBIG errors to NBD_ENOSPC"; what has no value of its own is an I/O error.
_ERRORS = {
    errno.EPERM: ErrorCode.EPERM,
    errno.EACCES: ErrorCode.EPERM,
    errno.EROFS: ErrorCode.EPERM,
    errno.EIO: ErrorCode.EIO,
    errno.ENOMEM: ErrorCode.ENOMEM,
    errno.EINVAL: ErrorCode.EINVAL,
    errno.ENOSPC: ErrorCode.ENOSPC,
    errno.EDQUOT: ErrorCode.ENOSPC,
    errno.EFBIG: ErrorCode.ENOSPC,
    errno.EOVERFLOW: ErrorCode.EOVERFLOW,
    errno.EOPNOTSUPP: ErrorCode.ENOTSUP,
    errno.ESHUTDOWN: ErrorCode.ESHUTDOWN,
}


def error_code(number: int) -> ErrorCode:
    """The protocol's error for an errno."""
    return _ERRORS.get(number, ErrorCode.EIO)


class Replies:
    """Builds the replies of one connection.

    A read that is answered whole has the header ``pack_data(data_head, cookie, length + 8, offset)`` of `data_bytes`
    bytes, or ``simple_ok + cookie`` when `pack_data` is None; `done(cookie, offset)` of `done_bytes` answers anything
    else that succeeded. They are attributes, since they are what a busy connection does.
    """

    def __init__(self, style: Style) -> None:
        self.style = style
        self.chunked = style is not Style.SIMPLE
        self.simple_ok = _SIMPLE_OK
        self.done: Callable[[bytes, int], bytes] = _simple_done
        self.done_bytes = SIMPLE_REPLY.size
        self.pack_data: Callable[[int, bytes, int, int], bytes] | None = None
        self.data_bytes = SIMPLE_REPLY.size
        self.data_head = 0
        if style is Style.STRUCTURED:
            self.pack_data, self.data_bytes = _STRUCTURED_DATA.pack, _STRUCTURED_DATA.size
            self.data_head = _STRUCTURED_DATA_HEAD
        elif style is Style.EXTENDED:
            self.pack_data, self.data_bytes = _extended_data, _EXTENDED_DATA.size
            self.data_head = _EXTENDED_DATA_HEAD
            self.done, self.done_bytes = _extended_done, _EXTENDED_DONE.size

    def data(self, cookie: bytes, offset: int, length: int) -> bytes:
        """The header of a read that is answered whole."""
        if self.pack_data is None:
            return _SIMPLE_OK + cookie
        return self.pack_data(self.data_head, cookie, length + 8, offset)

    def error(self, cookie: bytes, offset: int, code: int, message: str, *, located: bool = False) -> bytes:
        """A failure; `located` says that `offset` is the first byte that failed (ERROR_OFFSET)."""
        if not self.chunked:
            return pack_reply(SimpleReply(cookie, code))
        kind = ChunkType.ERROR_OFFSET if located else ChunkType.ERROR
        return self._chunk(cookie, offset, kind, pack_error(ErrorPayload(code, message, offset if located else None)))

    def part(self, cookie: bytes, request_offset: int, offset: int, length: int) -> bytes:
        """The header of one data chunk of several; the last chunk is `finish`."""
        head = Chunk(ChunkType.OFFSET_DATA, cookie, length + 8, 0, self._offset(request_offset))
        return pack_reply(head) + offset.to_bytes(8, "big")

    def hole(self, cookie: bytes, request_offset: int, offset: int, length: int) -> bytes:
        """A chunk that says: zeros."""
        return self._chunk(cookie, request_offset, ChunkType.OFFSET_HOLE, pack_hole(offset, length), last=False)

    def finish(self, cookie: bytes, offset: int) -> bytes:
        """The end of a reply in several chunks."""
        return self._chunk(cookie, offset, ChunkType.NONE, b"")

    def status(self, cookie: bytes, offset: int, status: BlockStatus, *, last: bool) -> bytes:
        """One context's chunk of a block status reply."""
        extended = self.style is Style.EXTENDED
        kind = ChunkType.BLOCK_STATUS_EXT if extended else ChunkType.BLOCK_STATUS
        return self._chunk(cookie, offset, kind, pack_block_status(status, extended=extended), last=last)

    def _offset(self, offset: int) -> int | None:
        return offset if self.style is Style.EXTENDED else None

    def _chunk(self, cookie: bytes, offset: int, kind: ChunkType, payload: bytes, *, last: bool = True) -> bytes:
        flags = FLAG_DONE if last else 0
        return pack_reply(Chunk(kind, cookie, len(payload), flags, self._offset(offset))) + payload


def _simple_done(cookie: bytes, offset: int) -> bytes:
    return _SIMPLE_OK + cookie


def _extended_data(head: int, cookie: bytes, length: int, offset: int) -> bytes:
    return _EXTENDED_DATA.pack(head, cookie, offset, length, offset)


def _extended_done(cookie: bytes, offset: int) -> bytes:
    return _EXTENDED_DONE.pack(_EXTENDED_DONE_HEAD, cookie, offset, 0)
