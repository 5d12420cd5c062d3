"""The transmission phase of a server, without I/O: bytes in, requests out.

Source: the NBD protocol (doc/proto.md, "Request message") and its EXTENDED_HEADERS extension.

Rules:

- The caller receives either into `direct`, when that is not None, and says so with `received`; or into a buffer of its
  own, behind what `load` put there, and hands all of it to `parse`. Both return requests.
- A request is a plain tuple (what, cookie, offset, length), for speed. `what` is the number `request_head` gives; for a
  plain write it is the payload itself, for everything else with a payload a `Payload` or a `PayloadPiece`. Views are
  valid until the next call. Only the framing is judged here: range, flags and command are judged by `rules`.
- A payload above `LARGE_BYTES` that is not complete comes in pieces, each with its own buffer; all pieces of a request
  share a `Transfer`. So no client can make the server hold more than one piece of a write.
- A caller may answer requests at the front of what it received itself, when `state` is HEADER and on the boundary of a
  request, and hands only the rest to `parse`; or says `consumed` when there is none.
- `parse` stops when the reads and writes it returned exceed `budget` bytes, or after `BATCH` requests; `blocked` is
  true then, and `parse` of what `load` gives continues.
- A wrong magic, or a payload above the limit, ends it: `failure` says why. DISC ends it without a failure.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TypeAlias

from bootpath.core.errors import RemoteProtocolError
from bootpath.formats.nbd.transmission import (
    COMPACT_REQUEST,
    EXTENDED_REQUEST,
    Command,
    CommandFlag,
    ErrorCode,
    request_head,
)
from bootpath.serve.limits import Limits

BATCH = 256
LARGE_BYTES = 64 << 10
PIECE_BYTES = 256 << 10

_WRITE = int(Command.WRITE)
_DISC = int(Command.DISC)
_PAYLOAD_LEN = CommandFlag.PAYLOAD_LEN << 16


class StreamState(Enum):
    """Where the connection is in its stream of requests."""

    HEADER = auto()
    PAYLOAD = auto()
    CLOSED = auto()


class Transfer:
    """A large payload on its way: `todo_bytes` are not yet executed; `error` is set by whoever executes it."""

    __slots__ = ("cookie", "error", "key", "length", "offset", "todo_bytes")

    def __init__(self, key: int, cookie: bytes, offset: int, length: int) -> None:
        self.key = key
        self.cookie = cookie
        self.offset = offset
        self.length = length
        self.todo_bytes = length
        self.error: tuple[ErrorCode, str] | None = None


class Payload:
    """The whole payload of a request that is not a plain write; `key` is ``flags << 16 | command``."""

    __slots__ = ("key", "view")

    def __init__(self, key: int, view: memoryview) -> None:
        self.key = key
        self.view = view


class PayloadPiece:
    """A part of a transfer: the bytes for `offset`. Whoever has executed it gives its view back to `Requests.spare`."""

    __slots__ = ("offset", "transfer", "view")

    def __init__(self, transfer: Transfer, offset: int, view: memoryview) -> None:
        self.transfer = transfer
        self.offset = offset
        self.view = view


RawRequest: TypeAlias = tuple[int | memoryview | Payload | PayloadPiece, bytes, int, int]


class Requests:
    """The requests in one client's stream; `extended` when it negotiated extended headers."""

    def __init__(self, limits: Limits, *, extended: bool = False) -> None:
        self.state = StreamState.HEADER
        self.failure: RemoteProtocolError | None = None
        self.blocked = False
        self.direct: memoryview | None = None
        self.spare: list[memoryview] = []
        self._ended = False
        self._limits = limits
        self._extended = extended
        layout = EXTENDED_REQUEST if extended else COMPACT_REQUEST
        self._header_bytes = layout.size
        self._unpack_from = layout.unpack_from
        self.read_head = request_head(Command.READ, extended=extended)
        self._magic = self.read_head >> 32
        self._write_head = request_head(Command.WRITE, CommandFlag.PAYLOAD_LEN if extended else 0, extended=extended)
        self.held = b""
        self._transfer: Transfer | None = None
        self._buffer: memoryview = memoryview(b"")
        self._filled = 0
        self._received = 0

    def load(self, buffer: memoryview) -> int:
        """Put what is held at the start of `buffer`; returns how many bytes that is."""
        held = self.held
        if not held:
            return 0
        buffer[: len(held)] = held
        return len(held)

    def parse(self, view: memoryview, budget: int) -> list[RawRequest]:
        """The requests in `view`, which starts with what `load` put there. See the rules for `budget`."""
        requests: list[RawRequest] = []
        append = requests.append
        position = 0
        end = len(view)
        if self.state is StreamState.CLOSED:
            return requests
        if self.state is StreamState.PAYLOAD:
            position = self._fill(view, 0, requests)
        unpack_from, header_bytes = self._unpack_from, self._header_bytes
        read_head, write_head = self.read_head, self._write_head
        last = end - header_bytes
        room = BATCH
        while position <= last and budget > 0 and room > 0:
            request = unpack_from(view, position)
            head, cookie, offset, length = request
            start = position + header_bytes
            if head == read_head:
                position = start
                budget -= length
                room -= 1
                append(request)
                continue
            if head == write_head and start + length <= end and length <= LARGE_BYTES:
                position = start + length
                budget -= length
                room -= 1
                append((view[start:position], cookie, offset, length))
                continue
            if head >> 32 != self._magic:
                self._fail(f"request magic is {head >> 32:#010x}, expected {self._magic:#010x}")
                break
            key = head & 0xFFFFFFFF
            # "NBD_CMD_FLAG_PAYLOAD_LEN MUST be set for NBD_CMD_WRITE"; qemu 10.0 does not set it, and sends a payload.
            if (key & 0xFFFF) == _WRITE or (self._extended and key & _PAYLOAD_LEN):
                if length > self._limits.payload_bytes:
                    self._fail(f"payload of {length} bytes, expected at most {self._limits.payload_bytes}")
                    break
                if self._extended and (key & 0xFFFF) == _WRITE:
                    key &= ~_PAYLOAD_LEN
                stop = start + length
                if stop > end:
                    if length > LARGE_BYTES:
                        self._begin(key, cookie, offset, length)
                        position = self._fill(view, start, requests)
                    break  # the rest of the payload is still to come
                position = stop
                budget -= length
                room -= 1
                payload = view[start:stop]
                append((payload if key == _WRITE else Payload(key, payload), cookie, offset, length))
                continue
            position = start
            room -= 1
            append(request)
            if (key & 0xFFFF) == _DISC:
                self._close()
                break
        if self._ended:
            return requests
        self.blocked = position <= last and self.state is StreamState.HEADER and (budget <= 0 or room <= 0)
        self.held = bytes(view[position:]) if position < end else b""
        return requests

    def consumed(self) -> None:
        """Everything that would have gone to `parse` was answered without it, and ended between two requests."""
        self.held = b""
        self.blocked = False

    def received(self, count: int) -> list[RawRequest]:
        """`count` bytes were received into `direct`."""
        requests: list[RawRequest] = []
        self._filled += count
        if self._filled == len(self._buffer):
            self._emit(requests)
        elif self.direct is not None:
            self.direct = self.direct[count:]
        return requests

    def end(self) -> bool:
        """The client will send no more; True when that was between two requests."""
        clean = self.state is StreamState.CLOSED or (self.state is StreamState.HEADER and not self.held)
        self._close()
        return clean

    def _begin(self, key: int, cookie: bytes, offset: int, length: int) -> None:
        self._transfer = Transfer(key, cookie, offset, length)
        self._received = 0
        self.state = StreamState.PAYLOAD
        self._next_buffer()

    def _next_buffer(self) -> None:
        assert self._transfer is not None
        size = min(PIECE_BYTES, self._transfer.length - self._received)
        whole = self.spare.pop() if self.spare else memoryview(bytearray(PIECE_BYTES))
        self._buffer = whole if len(whole) == size else whole[:size]
        self._filled = 0
        self.direct = self._buffer

    def _fill(self, view: memoryview, position: int, requests: list[RawRequest]) -> int:
        """Take what the view has of the payload; returns where the view goes on."""
        while self.state is StreamState.PAYLOAD and position < len(view):
            count = min(len(self._buffer) - self._filled, len(view) - position)
            self._buffer[self._filled : self._filled + count] = view[position : position + count]
            position += count
            self._filled += count
            if self._filled == len(self._buffer):
                self._emit(requests)
            else:
                self.direct = self._buffer[self._filled :]
        return position

    def _emit(self, requests: list[RawRequest]) -> None:
        transfer = self._transfer
        assert transfer is not None
        piece = PayloadPiece(transfer, transfer.offset + self._received, self._buffer)
        requests.append((piece, transfer.cookie, transfer.offset, transfer.length))
        self._received += len(self._buffer)
        if self._received < transfer.length:
            self._next_buffer()
            return
        self._transfer = None
        self._buffer = memoryview(b"")
        self.direct = None
        self.state = StreamState.HEADER

    def _fail(self, reason: str) -> None:
        self.failure = RemoteProtocolError(reason, where="nbd")
        self._close()

    def _close(self) -> None:
        self.state = StreamState.CLOSED
        self._ended = True
        self.blocked = False
        self.direct = None
        self.held = b""
