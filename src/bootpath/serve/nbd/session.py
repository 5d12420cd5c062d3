"""What a connection does with its device: requests in, replies out.

Requests that cannot wait are answered inside `execute`; the others become jobs for the workers, whose replies come back
through `finish`, in any order ("the server MAY reply out of order"). A flush covers every write whose reply was queued
before it: those are done, and the device is asked to flush only when the flush's turn comes.

Replies are buffers in `out`, `out_bytes` long; views of the device's memory are not copied. `reserved_bytes` is what
running jobs hold or will return. `rules` says which requests are refused, `operations` what the others do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from bootpath.block.targets.anybytes import session_device
from bootpath.core.device import Buffer, resident_ranges, write_granularity
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
from bootpath.serve.nbd.fastpath import make_fastpath
from bootpath.serve.nbd.handshake import Style
from bootpath.serve.nbd.operations import Operations
from bootpath.serve.nbd.replies import Replies, Sendable, error_code
from bootpath.serve.nbd.requests import Payload, PayloadPiece, RawRequest
from bootpath.serve.nbd.rules import COMMAND_NAMES, Ranges, Refused, check_flags
from bootpath.serve.statistics import Counters

_log = logging.getLogger(__name__)

_AT_ONCE_BYTES = 1 << 20  # zero and discard above this go to a worker
_RANGE_READ_BYTES = 64 << 10  # reads from this size on are left to the kernel to send, where it can
_FUA = CommandFlag.FUA << 16

Job: TypeAlias = Callable[[], None]
"""A request that may have to wait, for a worker; it must not raise."""


def _ignore(offset: int) -> None:
    """Where a request went, when nobody wants to know."""


class Reply:
    """What a job gives back to the loop: buffers to send, and what it had reserved."""

    __slots__ = ("buffers", "failed", "piece", "reserved_bytes", "session")

    def __init__(self, session: Session, reserved_bytes: int) -> None:
        self.session = session
        self.reserved_bytes = reserved_bytes
        self.buffers: Sequence[Buffer] = ()
        self.failed = False
        self.piece: PayloadPiece | None = None


class Session:
    """One client in the transmission phase; `any_bytes` is for one that agreed to no block size.

    `deliver` takes a job's reply, on the job's thread, to the loop.
    """

    def __init__(
        self,
        export: Export,
        style: Style,
        contexts: tuple[int, ...],
        *,
        any_bytes: bool = False,
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
        read_only = export.refuses_writes
        # Ranges are checked here, so `Checked` need not check them again.
        lower = export.checked().lower
        self._device = session_device(lower, export.gate, any_bytes=any_bytes, read_only=read_only)
        block_bytes = self._device.block_bytes
        self._ranges = Ranges(self._device.size_bytes, block_bytes, read_only=read_only)
        granularity = None if read_only else write_granularity(self._device)
        # Offset and length of a write that cannot wait have none of these bits.
        self._write_mask = -1 if granularity is None else (granularity - 1) | (block_bytes - 1)
        self._contexts = contexts
        self._replies = Replies(style)
        self._operations = Operations(self._device, self._replies)
        self._limits = limits
        self._counters = counters
        self._count_access = export.count_access or _ignore
        self._deliver = deliver
        self._sends_files = sends_files
        self._read_resident = self._device.read_resident
        self._write_device = self._device.write
        extended = style is Style.EXTENDED
        layout = EXTENDED_REQUEST if extended else COMPACT_REQUEST
        self.fastpath = make_fastpath(
            self._device,
            self.out,
            self._replies,
            counters,
            unpack_from=layout.unpack_from,
            header_bytes=layout.size,
            read_head=request_head(Command.READ, extended=extended),
            write_head=request_head(Command.WRITE, CommandFlag.PAYLOAD_LEN if extended else 0, extended=extended),
            # Larger reads are answered with holes, or by the kernel.
            largest_read=_RANGE_READ_BYTES - 1,
            largest_write=limits.payload_bytes,
            write_mask=self._write_mask,
            count_access=export.count_access,
        )

    # The loop's side

    def execute(self, requests: Sequence[RawRequest]) -> None:
        """Answer what can be answered now; what may wait is in `jobs` afterwards, for the caller to submit."""
        for what, cookie, offset, length in requests:
            try:
                self._handle(what, cookie, offset, length)
            except DeviceError as error:
                self._put_error(what, cookie, offset, length, error_code(error.errno), error.what)
            except Refused as refusal:
                self._put_error(what, cookie, offset, length, refusal.code, refusal.message)
            except Exception:  # noqa: BLE001 - a fault in a device must not lose the request, nor end the connection
                _log.exception("export %r: a request failed", self.export.name)
                self._put_error(what, cookie, offset, length, ErrorCode.EIO, "internal error")

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

    def _put_error(self, what: object, cookie: bytes, offset: int, length: int, code: ErrorCode, message: str) -> None:
        self._counters.errors += 1
        # "which MUST lie within the original offset and length of the request"
        located = isinstance(what, int) and (what & 0xFFFF) == Command.READ and length > 0
        self._put(self._replies.error(cookie, offset, code, message, located=located))

    def _handle(self, what: int | memoryview | Payload | PayloadPiece, cookie: bytes, offset: int, length: int) -> None:
        """One request, whatever it is."""
        payload: memoryview | None = None
        if isinstance(what, int):
            key = what & 0xFFFFFFFF
        elif isinstance(what, memoryview):
            key, payload = int(Command.WRITE), what
        elif isinstance(what, Payload):
            key, payload = what.key, what.view
        else:
            self._handle_piece(what)
            return
        number, flags = key & 0xFFFF, key >> 16
        if number == Command.DISC:
            return
        check_flags(number, flags)
        if number == Command.WRITE:
            assert payload is not None
            self._handle_write(flags, cookie, offset, length, payload)
        elif number == Command.READ:
            self._handle_read(flags, cookie, offset, length)
        else:
            self._handle_other(number, flags, cookie, offset, length, payload)

    def _handle_write(self, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview) -> None:
        self._counters.writes += 1
        self._counters.write_bytes += length
        self._ranges.check_write(offset, length)
        self._count_access(offset)
        fua = bool(flags & CommandFlag.FUA)
        if (offset | length) & self._write_mask:
            self._submit(length, self._operations.write, cookie, offset, bytes(payload), fua)
        else:
            self._put(*self._operations.write(cookie, offset, payload, fua))

    def _handle_read(self, flags: int, cookie: bytes, offset: int, length: int) -> None:
        self._counters.reads += 1
        self._counters.read_bytes += length
        self._ranges.check_read(offset, length)
        self._count_access(offset)
        if length > self._limits.payload_bytes:
            # "the server is also permitted to reject large read requests up front with NBD_EOVERFLOW"
            code = ErrorCode.EOVERFLOW if self._replies.chunked else ErrorCode.EINVAL
            raise Refused(code, f"a read may have at most {self._limits.payload_bytes} bytes, not {length}")
        whole = bool(flags & CommandFlag.DF)
        if length >= _RANGE_READ_BYTES and self._sends_files:
            ranges = resident_ranges(self._device, offset, length)
            if ranges is not None and (whole or not self._operations.has_holes(offset, length)):
                self._put(self._replies.data(cookie, offset, length), *ranges)
                self.ranges += len(ranges)
                return
        views = self._read_resident(offset, length)
        if views is None:
            self._submit(length, self._operations.read, cookie, offset, length, whole)
        else:
            self._put(*self._operations.data(views, cookie, offset, length, whole))

    def _handle_other(
        self, number: int, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview | None
    ) -> None:
        name = COMMAND_NAMES[number]
        self._counters.other[name] += 1
        if name in self._counters.other_bytes:
            self._counters.other_bytes[name] += length
        fua = bool(flags & CommandFlag.FUA)
        if number == Command.FLUSH:
            if offset or length:
                raise Refused(ErrorCode.EINVAL, "a flush takes no offset and no length")
            self._run(self._write_mask < 0, self._operations.flush, cookie)
        elif number == Command.TRIM:
            self._ranges.check_write(offset, length, past_end=ErrorCode.EINVAL)
            self._run(self._may_wait(offset, length), self._operations.trim, cookie, offset, length, fua)
        elif number == Command.WRITE_ZEROES:
            self._ranges.check_write(offset, length)
            filled = bool(flags & CommandFlag.NO_HOLE)
            slow = filled or self._write_mask < 0 or bool((offset | length) & self._write_mask)
            if flags & CommandFlag.FAST_ZERO and slow:
                # "MUST fail quickly with NBD_ENOTSUP unless the request can be serviced in less time"
                raise Refused(ErrorCode.ENOTSUP, "zeroing is not faster than writing here")
            self._run(slow or length > _AT_ONCE_BYTES, self._operations.zero, cookie, offset, length, fua, filled)
        elif number == Command.CACHE:
            self._ranges.check_read(offset, length)
            self._submit(0, self._operations.cache, cookie, offset, min(length, self._limits.payload_bytes))
        else:
            self._handle_block_status(flags, cookie, offset, length, payload)

    def _handle_block_status(
        self, flags: int, cookie: bytes, offset: int, length: int, payload: memoryview | None
    ) -> None:
        contexts = self._contexts
        if flags & CommandFlag.PAYLOAD_LEN:
            try:
                length, wanted = parse_status_filter(bytes(payload or b""))
            except FormatError as error:
                raise Refused(ErrorCode.EINVAL, error.what) from error
            # "or detects duplicate or unknown metacontext ids in the client's payload": EINVAL
            if len(set(wanted)) != len(wanted) or not set(wanted) <= set(contexts):
                raise Refused(ErrorCode.EINVAL, "a metadata context id is repeated or unknown")
            contexts = wanted
        if not contexts:
            raise Refused(ErrorCode.EINVAL, "no metadata context is negotiated")
        self._ranges.check_read(offset, length)
        self._submit(0, self._operations.status, cookie, offset, length, contexts, bool(flags & CommandFlag.REQ_ONE))

    def _may_wait(self, offset: int, length: int) -> bool:
        return self._write_mask < 0 or bool((offset | length) & self._write_mask) or length > _AT_ONCE_BYTES

    def _handle_piece(self, piece: PayloadPiece) -> None:
        transfer, size = piece.transfer, len(piece.view)
        if transfer.todo_bytes == transfer.length:
            self._counters.writes += 1
            self._counters.write_bytes += transfer.length
            try:
                if (transfer.key & 0xFFFF) != Command.WRITE:
                    raise Refused(ErrorCode.EINVAL, "a payload this long belongs to a write only")
                check_flags(Command.WRITE, transfer.key >> 16)
                self._ranges.check_write(transfer.offset, transfer.length)
                self._count_access(transfer.offset)
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

    def _piece_done(self, piece: PayloadPiece) -> None:
        """Give the buffer back, and reply when this was the last piece of its transfer."""
        transfer = piece.transfer
        self.spare.append(piece.view)
        transfer.todo_bytes -= len(piece.view)
        if transfer.todo_bytes:
            return
        if transfer.error is None:
            self._put(self._replies.done(transfer.cookie, transfer.offset))
        else:
            self._put_error(piece, transfer.cookie, transfer.offset, transfer.length, *transfer.error)

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
            _log.exception("export %r: a request failed", self.export.name)
            reply.failed = True
            reply.buffers = self._error(work, arguments, ErrorCode.EIO, "internal error")
        self._deliver(reply)

    def _error(self, work: object, arguments: tuple[object, ...], code: ErrorCode, message: str) -> Sequence[Buffer]:
        cookie = arguments[0]
        assert isinstance(cookie, bytes)
        offset = arguments[1] if len(arguments) > 1 else 0
        assert isinstance(offset, int)
        return (self._replies.error(cookie, offset, code, message, located=work == self._operations.read),)

    def _piece_job(self, reply: Reply, piece: PayloadPiece) -> None:
        """Run on a worker."""
        reply.piece = piece
        try:
            self._write_piece(piece)
        except Exception:  # noqa: BLE001 - the border of the worker: a fault in a device must not end the server
            _log.exception("export %r: a request failed", self.export.name)
            piece.transfer.error = (ErrorCode.EIO, "internal error")
        self._deliver(reply)

    def _write_piece(self, piece: PayloadPiece) -> None:
        try:
            self._write_device(piece.offset, piece.view, fua=bool(piece.transfer.key & _FUA))
        except DeviceError as error:
            piece.transfer.error = (error_code(error.errno), error.what)
