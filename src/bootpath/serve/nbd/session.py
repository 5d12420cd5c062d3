"""What a connection does with its device: requests in, replies out.

Requests that cannot wait are answered inside `execute`; the others become jobs for the workers, whose replies come back
through `finish`, in any order ("the server MAY reply out of order"). A flush covers every write whose reply was queued
before it: those are done, and the device is asked to flush only when the flush's turn comes.

Replies are buffers in `out`, `out_bytes` long; views of the device's memory are not copied. `reserved_bytes` is what
running jobs hold or will return. Ranges are judged here, once, by the device's own rules (`core.device`) in the
protocol's errors: "SHOULD return NBD_ENOSPC if it receives a write request including one or more sectors beyond the
size", EINVAL for reading, EPERM for writing to a read-only export, EINVAL for flags that do not belong to a command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from bootpath.core.device import Buffer, resident_ranges
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.nbd.transmission import (
    COMPACT_REQUEST,
    EXTENDED_REQUEST,
    Command,
    CommandFlag,
    ErrorCode,
    parse_status_filter,
    request_head,
)
from bootpath.serve.export import Export
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.blockstatus import block_status
from bootpath.serve.nbd.fastpath import make_express
from bootpath.serve.nbd.negotiation import Style
from bootpath.serve.nbd.replies import Replies, Sendable, error_code
from bootpath.serve.nbd.requests import Payload, Piece, Request
from bootpath.serve.statistics import Counters

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_ZEROS = memoryview(bytes(_CHUNK_BYTES))
_RANGE_BYTES = 32 << 20  # zero and discard in pieces, so that no device needs a large scratch buffer
_AT_ONCE_BYTES = 1 << 20  # zero and discard above this go to a worker
_HOLE_BYTES = 128 << 10  # reads from this size on are answered with holes where there are some

_RANGE_READ_BYTES = 64 << 10  # reads from this size on are left to the kernel to send, where it can

_FUA = CommandFlag.FUA << 16
# Which flags a command may have, as plain numbers: the complement of an IntFlag has only the flags that are known.
# "existing clients are known to set this bit on other commands": FUA is allowed everywhere.
_ALLOWED: Mapping[int, int] = {
    Command.READ: int(CommandFlag.FUA | CommandFlag.DF),
    Command.WRITE: int(CommandFlag.FUA),
    Command.FLUSH: int(CommandFlag.FUA),
    Command.TRIM: int(CommandFlag.FUA),
    Command.CACHE: int(CommandFlag.FUA),
    Command.WRITE_ZEROES: int(CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO),
    Command.BLOCK_STATUS: int(CommandFlag.FUA | CommandFlag.REQ_ONE | CommandFlag.PAYLOAD_LEN),
}
_NAMES: Mapping[int, str] = {
    Command.READ: "read",
    Command.WRITE: "write",
    Command.FLUSH: "flush",
    Command.TRIM: "trim",
    Command.CACHE: "cache",
    Command.WRITE_ZEROES: "zero",
    Command.BLOCK_STATUS: "status",
}


Job: TypeAlias = Callable[[], None]
"""A request that may have to wait, for a worker; it must not raise."""


def _ignore(offset: int) -> None:
    """Where a request went, when nobody wants to know."""


class Refused(Exception):  # noqa: N818 - not an error of ours: the reply to a request that cannot be
    """A request that is answered with an error."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Reply:
    """What a job gives back to the loop: buffers to send, and what it had reserved."""

    __slots__ = ("buffers", "failed", "piece", "reserved_bytes", "session")

    def __init__(self, session: Session, reserved_bytes: int) -> None:
        self.session = session
        self.reserved_bytes = reserved_bytes
        self.buffers: Sequence[Buffer] = ()
        self.failed = False
        self.piece: Piece | None = None


class Session:
    """One client in the transmission phase. `deliver` takes a job's reply, on the job's thread, to the loop."""

    def __init__(
        self,
        export: Export,
        style: Style,
        contexts: tuple[int, ...],
        *,
        limits: Limits,
        counters: Counters,
        deliver: Callable[[Reply], None],
        sends_files: bool = False,
    ) -> None:
        self.export = export
        self.out: list[Sendable] = []
        self.ranges = 0  # how many parts of files are in `out`
        self.out_bytes = 0
        self.running = 0
        self.reserved_bytes = 0
        self.jobs: list[Job] = []
        self.spare: list[memoryview] = []
        self._device = export.checked()
        self._size = self._device.size_bytes
        self._mask = self._device.block_bytes - 1
        self._read_only = export.refuses_writes
        granularity = None if self._read_only else self._device.write_granularity()
        # Offset and length of a write that cannot wait have none of these bits.
        self._write_mask = -1 if granularity is None else (granularity - 1) | self._mask
        self._contexts = contexts
        self._replies = Replies(style)
        self._extended = style is Style.EXTENDED
        self._limits = limits
        self._counters = counters
        self._touch = export.touch or _ignore
        self._deliver = deliver
        self._sends_files = sends_files
        # Ranges are checked here, so `Checked` need not check them again.
        self._read_resident = self._device.lower.read_resident
        self._write_device = self._device.lower.write
        layout = EXTENDED_REQUEST if self._extended else COMPACT_REQUEST
        self.express = make_express(
            self._device.lower,
            self.out,
            self._replies,
            counters,
            unpack_from=layout.unpack_from,
            header_bytes=layout.size,
            read_head=request_head(Command.READ, extended=self._extended),
            write_head=request_head(
                Command.WRITE, CommandFlag.PAYLOAD_LEN if self._extended else 0, extended=self._extended
            ),
            # Larger reads are answered with holes, or by the kernel.
            largest_read=_RANGE_READ_BYTES - 1,
            largest_write=limits.payload_bytes,
            write_mask=self._write_mask,
            touch=export.touch,
        )

    # The loop's side

    def execute(self, requests: Sequence[Request]) -> None:
        """Answer what can be answered now; what may wait is in `jobs` afterwards, for the caller to submit."""
        for what, cookie, offset, length in requests:
            try:
                self._request(what, cookie, offset, length)
            except DeviceError as error:
                self._failed(what, cookie, offset, length, error_code(error.errno), error.what)
            except Refused as refusal:
                self._failed(what, cookie, offset, length, refusal.code, refusal.message)
            except Exception:  # noqa: BLE001 - a fault in a device must not lose the request, nor end the connection
                _log.exception("%s failed", self.export.name)
                self._failed(what, cookie, offset, length, ErrorCode.EIO, "internal error")

    def finish(self, reply: Reply) -> None:
        """A job has ended: its reply is ready to be sent."""
        self.running -= 1
        self.reserved_bytes -= reply.reserved_bytes
        self._counters.errors += reply.failed
        if reply.piece is None:
            self._put(*reply.buffers)
        else:
            self._piece_done(reply.piece)

    def _put(self, *buffers: Sendable) -> None:
        self.out += buffers
        self.out_bytes += sum(map(len, buffers))

    def _failed(self, what: object, cookie: bytes, offset: int, length: int, code: ErrorCode, message: str) -> None:
        self._counters.errors += 1
        # "which MUST lie within the original offset and length of the request"
        located = isinstance(what, int) and (what & 0xFFFF) == Command.READ and length > 0
        self._put(self._replies.error(cookie, offset, code, message, located=located))

    def _request(self, what: int | memoryview | Payload | Piece, cookie: bytes, offset: int, length: int) -> None:
        """One request, whatever it is."""
        payload: memoryview | None = None
        if isinstance(what, int):
            key = what & 0xFFFFFFFF
        elif isinstance(what, memoryview):
            key, payload = int(Command.WRITE), what
        elif isinstance(what, Payload):
            key, payload = what.key, what.view
        else:
            self._piece(what)
            return
        number, flags = key & 0xFFFF, key >> 16
        allowed = _ALLOWED.get(number)
        if allowed is None:
            if number != Command.DISC:
                raise Refused(ErrorCode.EINVAL, f"command {number} is not known")
        elif flags & ~allowed:
            raise Refused(ErrorCode.EINVAL, f"flags {flags:#x} do not belong to {_NAMES[number]}")
        elif number == Command.WRITE:
            assert payload is not None
            self._written(flags, cookie, offset, length, payload)
        elif number == Command.READ:
            self._wanted(flags, cookie, offset, length)
        else:
            self._slow(number, flags, cookie, offset, length, payload)

    def _written(self, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview) -> None:
        self._counters.writes += 1
        self._counters.write_bytes += length
        self._check_write(offset, length)
        self._touch(offset)
        fua = bool(flags & CommandFlag.FUA)
        if (offset | length) & self._write_mask:
            self._submit(length, self._write, cookie, offset, bytes(payload), fua)
        else:
            self._put(*self._write(cookie, offset, payload, fua))

    def _wanted(self, flags: int, cookie: bytes, offset: int, length: int) -> None:
        self._counters.reads += 1
        self._counters.read_bytes += length
        self._check_read(offset, length)
        self._touch(offset)
        if length > self._limits.payload_bytes:
            # "the server is also permitted to reject large read requests up front with NBD_EOVERFLOW"
            code = ErrorCode.EOVERFLOW if self._replies.chunked else ErrorCode.EINVAL
            raise Refused(code, f"read of {length} bytes, at most {self._limits.payload_bytes}")
        whole = bool(flags & CommandFlag.DF)
        if length >= _RANGE_READ_BYTES and self._sends_files:
            ranges = resident_ranges(self._device.lower, offset, length)
            if ranges is not None and (whole or not self._has_holes(offset, length)):
                self._put(self._replies.data(cookie, offset, length), *ranges)
                self.ranges += len(ranges)
                return
        views = self._read_resident(offset, length)
        if views is None:
            self._submit(length, self._read, cookie, offset, length, whole)
        else:
            self._put(*self._answer(views, cookie, offset, length, whole))

    def _has_holes(self, offset: int, length: int) -> bool:
        """True when a reply in chunks would say so."""
        if not self._replies.chunked or length < _HOLE_BYTES:
            return False
        return any(segment.zero for segment in self._device.lower.extents(offset, length))

    def _slow(
        self, number: int, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview | None
    ) -> None:
        name = _NAMES[number]
        self._counters.other[name] += 1
        if name in self._counters.other_bytes:
            self._counters.other_bytes[name] += length
        fua = bool(flags & CommandFlag.FUA)
        if number == Command.FLUSH:
            if offset or length:
                raise Refused(ErrorCode.EINVAL, "a flush has no offset and no length")
            self._run(self._write_mask < 0, self._flush, cookie)
        elif number == Command.TRIM:
            self._check_write(offset, length, code=ErrorCode.EINVAL)
            self._run(self._may_wait(offset, length), self._trim, cookie, offset, length, fua)
        elif number == Command.WRITE_ZEROES:
            self._check_write(offset, length)
            filled = bool(flags & CommandFlag.NO_HOLE)
            slow = filled or self._write_mask < 0 or bool((offset | length) & self._write_mask)
            if flags & CommandFlag.FAST_ZERO and slow:
                # "MUST fail quickly with NBD_ENOTSUP unless the request can be serviced in less time"
                raise Refused(ErrorCode.ENOTSUP, "zeroing would be no faster than writing")
            self._run(slow or length > _AT_ONCE_BYTES, self._zero, cookie, offset, length, fua, filled)
        elif number == Command.CACHE:
            self._check_read(offset, length)
            self._submit(0, self._cache, cookie, offset, min(length, self._limits.payload_bytes))
        else:
            self._block_status(flags, cookie, offset, length, payload)

    def _block_status(self, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview | None) -> None:
        contexts = self._contexts
        if flags & CommandFlag.PAYLOAD_LEN:
            try:
                length, wanted = parse_status_filter(bytes(payload or b""))
            except FormatError as error:
                raise Refused(ErrorCode.EINVAL, error.what) from error
            # "or detects duplicate or unknown metacontext ids in the client's payload": EINVAL
            if len(set(wanted)) != len(wanted) or not set(wanted) <= set(contexts):
                raise Refused(ErrorCode.EINVAL, "metadata context ids are repeated or unknown")
            contexts = wanted
        if not contexts:
            raise Refused(ErrorCode.EINVAL, "no metadata context was negotiated")
        self._check_read(offset, length)
        self._submit(0, self._status, cookie, offset, length, contexts, bool(flags & CommandFlag.REQ_ONE))

    def _check_read(self, offset: int, length: int) -> None:
        if not length or (offset | length) & self._mask or offset + length > self._size:
            raise Refused(ErrorCode.EINVAL, self._range_text(offset, length))

    def _check_write(self, offset: int, length: int, *, code: ErrorCode = ErrorCode.ENOSPC) -> None:
        """`code` is for a range past the end: ENOSPC to write, but EINVAL to trim."""
        if self._read_only:
            raise Refused(ErrorCode.EPERM, "the export is read-only")
        if not length or (offset | length) & self._mask:
            raise Refused(ErrorCode.EINVAL, self._range_text(offset, length))
        if offset + length > self._size:
            raise Refused(code, self._range_text(offset, length))

    def _range_text(self, offset: int, length: int) -> str:
        return f"{length} bytes at {offset}: expected multiples of {self._mask + 1} and at most {self._size}"

    def _may_wait(self, offset: int, length: int) -> bool:
        return self._write_mask < 0 or bool((offset | length) & self._write_mask) or length > _AT_ONCE_BYTES

    def _piece(self, piece: Piece) -> None:
        transfer, size = piece.transfer, len(piece.view)
        if transfer.todo_bytes == transfer.length:
            self._counters.writes += 1
            self._counters.write_bytes += transfer.length
            try:
                if (transfer.key & 0xFFFF) != Command.WRITE or (transfer.key >> 16) & ~_ALLOWED[Command.WRITE]:
                    raise Refused(ErrorCode.EINVAL, f"flags {transfer.key >> 16:#x} or payload do not belong here")
                self._check_write(transfer.offset, transfer.length)
                self._touch(transfer.offset)
            except Refused as refusal:
                transfer.error = (refusal.code, refusal.message)
        if transfer.error is None and (piece.offset | size) & self._write_mask:
            self.running += 1
            self.reserved_bytes += size
            self.jobs.append(partial(self._piece_job, Reply(self, size), piece))
            return
        if transfer.error is None:
            self._write_piece(piece)
        self._piece_done(piece)

    def _piece_done(self, piece: Piece) -> None:
        """Give the buffer back, and reply when this was the last piece of its transfer."""
        transfer = piece.transfer
        self.spare.append(piece.view)
        transfer.todo_bytes -= len(piece.view)
        if transfer.todo_bytes:
            return
        if transfer.error is None:
            self._put(self._replies.done(transfer.cookie, transfer.offset))
        else:
            self._failed(piece, transfer.cookie, transfer.offset, transfer.length, *transfer.error)

    def _answer(
        self, views: Sequence[Buffer], cookie: bytes, offset: int, length: int, whole: bool
    ) -> Sequence[Buffer]:
        """The reply to a read; unless `whole`, a large one with holes where the device has some."""
        replies = self._replies
        if whole or length < _HOLE_BYTES or not replies.chunked:
            return (replies.data(cookie, offset, length), *views)
        segments = [(s.offset, s.length, s.zero) for s in self._device.lower.extents(offset, length)]
        if not any(zero for _, _, zero in segments):
            return (replies.data(cookie, offset, length), *views)
        content = memoryview(views[0] if len(views) == 1 else b"".join(views))
        buffers: list[Buffer] = []
        for start, size, zero in segments:
            if zero:
                buffers.append(replies.hole(cookie, offset, start, size))
            else:
                buffers.append(replies.part(cookie, offset, start, size))
                buffers.append(content[start - offset : start - offset + size])
        buffers.append(replies.finish(cookie, offset))
        return buffers

    # Jobs: what runs on a worker, or at once when it cannot wait

    def _run(self, may_wait: bool, work: Callable[..., Sequence[Buffer]], *arguments: object) -> None:
        if may_wait:
            self._submit(0, work, *arguments)
        else:
            self._put(*work(*arguments))

    def _submit(self, reserved_bytes: int, work: Callable[..., Sequence[Buffer]], *arguments: object) -> None:
        self.running += 1
        self.reserved_bytes += reserved_bytes
        self.jobs.append(partial(self._job, Reply(self, reserved_bytes), work, arguments))

    def _job(self, reply: Reply, work: Callable[..., Sequence[Buffer]], arguments: tuple[object, ...]) -> None:
        """Run on a worker. `arguments` begin with the cookie and the offset, or are a piece."""
        try:
            reply.buffers = work(*arguments)
        except DeviceError as error:
            reply.failed = True
            reply.buffers = self._error(work, arguments, error_code(error.errno), error.what)
        except Exception:  # noqa: BLE001 - the border of the worker: a fault in a device must not end the server
            _log.exception("%s failed", self.export.name)
            reply.failed = True
            reply.buffers = self._error(work, arguments, ErrorCode.EIO, "internal error")
        self._deliver(reply)

    def _error(self, work: object, arguments: tuple[object, ...], code: ErrorCode, message: str) -> Sequence[Buffer]:
        cookie = arguments[0]
        assert isinstance(cookie, bytes)
        offset = arguments[1] if len(arguments) > 1 else 0
        assert isinstance(offset, int)
        return (self._replies.error(cookie, offset, code, message, located=work == self._read),)

    def _read(self, cookie: bytes, offset: int, length: int, whole: bool) -> Sequence[Buffer]:
        return self._answer(self._device.lower.read(offset, length), cookie, offset, length, whole)

    def _write(self, cookie: bytes, offset: int, data: Buffer, fua: bool) -> Sequence[Buffer]:
        self._write_device(offset, data, fua=fua)
        return (self._replies.done(cookie, offset),)

    def _piece_job(self, reply: Reply, piece: Piece) -> None:
        """Run on a worker."""
        reply.piece = piece
        try:
            self._write_piece(piece)
        except Exception:  # noqa: BLE001 - the border of the worker: a fault in a device must not end the server
            _log.exception("%s failed", self.export.name)
            piece.transfer.error = (ErrorCode.EIO, "internal error")
        self._deliver(reply)

    def _write_piece(self, piece: Piece) -> None:
        try:
            self._write_device(piece.offset, piece.view, fua=bool(piece.transfer.key & _FUA))
        except DeviceError as error:
            piece.transfer.error = (error_code(error.errno), error.what)

    def _flush(self, cookie: bytes) -> Sequence[Buffer]:
        self._device.flush()
        return (self._replies.done(cookie, 0),)

    def _trim(self, cookie: bytes, offset: int, length: int, fua: bool) -> Sequence[Buffer]:
        for start in range(offset, offset + length, _RANGE_BYTES):
            self._device.lower.discard(start, min(_RANGE_BYTES, offset + length - start))
        return self._changed(cookie, offset, fua)

    def _zero(self, cookie: bytes, offset: int, length: int, fua: bool, filled: bool) -> Sequence[Buffer]:
        """`filled`: "the area MUST be fully provisioned", so the zeros are written."""
        step = _CHUNK_BYTES if filled else _RANGE_BYTES
        for start in range(offset, offset + length, step):
            size = min(step, offset + length - start)
            if filled:
                self._device.lower.write(start, _ZEROS[:size])
            else:
                self._device.lower.zero(start, size)
        return self._changed(cookie, offset, fua)

    def _changed(self, cookie: bytes, offset: int, fua: bool) -> Sequence[Buffer]:
        if fua:
            self._device.flush()
        return (self._replies.done(cookie, offset),)

    def _cache(self, cookie: bytes, offset: int, length: int) -> Sequence[Buffer]:
        for start in range(offset, offset + length, _CHUNK_BYTES):
            size = min(_CHUNK_BYTES, offset + length - start)
            if self._read_resident(start, size) is None:
                self._device.lower.read(start, size)
        return (self._replies.done(cookie, offset),)

    def _status(
        self, cookie: bytes, offset: int, length: int, contexts: tuple[int, ...], one: bool
    ) -> Sequence[Buffer]:
        statuses = block_status(self._device.lower, offset, length, contexts, one=one, extended=self._extended)
        last = len(statuses) - 1
        return [
            self._replies.status(cookie, offset, status, last=index == last) for index, status in enumerate(statuses)
        ]
