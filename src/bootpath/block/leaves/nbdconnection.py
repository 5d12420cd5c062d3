"""One NBD connection in transmission: many threads ask, one thread reads the answers and hands them out.

Source: the NBD protocol, "Transmission", "Structured reply chunk". Every request has a cookie; answers come in any
order and in parts. What is read goes from the socket straight into the request's buffer.

A connection that is lost, that breaks the protocol, or on which an answer is overdue, is over: every request that waits
fails with EIO, and so does every later one.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bootpath.block.leaves.nbdhandshake import RemoteExport, Steps, negotiate
from bootpath.core.device import Buffer
from bootpath.core.errors import DeviceError, Error, RemoteProtocolError, os_reason
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.nbd.transmission import (
    FLAG_DONE,
    OFFSET,
    SIMPLE_REPLY,
    SIMPLE_REPLY_MAGIC,
    STRUCTURED_CHUNK,
    Chunk,
    ChunkType,
    Command,
    Request,
    SimpleReply,
    pack_request,
    parse_block_status,
    parse_error,
    parse_hole,
    parse_reply,
)

if TYPE_CHECKING:
    from bootpath.block.leaves.nbdtls import TlsSocket  # a guest has no OpenSSL

_MAX_DESCRIPTORS = 1 << 20  # in all chunks of an answer: of 1 KiB each when a GiB was asked for
_MAX_CHUNK_BYTES = 8 * _MAX_DESCRIPTORS + 4  # of anything but data

# "The allowed values for the error field"; what the Device contract has no name for is a failed lower device.
_ERRNOS = {1: errno.EPERM, 22: errno.EINVAL, 28: errno.ENOSPC}


class Call:
    """A request that is under way. Its thread waits for `done`, then looks at `fault` and what came."""

    __slots__ = ("buffer", "covered", "descriptors", "done", "fault", "request", "sources", "view")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.done = threading.Event()
        self.fault: DeviceError | None = None
        self.descriptors: list[tuple[int, int]] = []  # of base:allocation
        self.sources: list[tuple[int, int]] = []  # of bootpath:source
        self.buffer = bytearray(request.length if request.command == Command.READ else 0)
        self.view = memoryview(self.buffer)
        self.covered = ExtentSet()

    def place(self, offset: int, length: int) -> memoryview:
        """Where the bytes of a chunk belong. RemoteProtocolError when they were not asked for, or came already."""
        extent = Extent(offset, length)
        asked = Extent(self.request.offset, self.request.length)
        if self.request.command != Command.READ or not asked.covers(extent) or self.covered.intersect(extent):
            raise RemoteProtocolError("the server sends data that was not asked for", found=extent, expected=str(asked))
        self.covered.add(extent)
        start = offset - self.request.offset
        return self.view[start : start + length]


class NbdConnection:
    """A connected socket, which it owns. Negotiates the export of that name; `name` is for messages, `tls` makes the
    socket secure (`nbdtls`).

    `timeout_seconds` bounds the handshake, and the wait for each answer (None: for ever). `sources` asks for
    bootpath:source as well. Raises DeviceError (EIO).
    """

    def __init__(
        self,
        sock: socket.socket,
        export: str,
        *,
        name: str,
        timeout_seconds: float | None,
        sources: bool = False,
        tls: Callable[[socket.socket], TlsSocket] | None = None,
    ) -> None:
        self.name = name
        self._sock: socket.socket | TlsSocket = sock
        self._make_secure = tls
        self._timeout = timeout_seconds
        self._send_lock = threading.Lock()
        self._lock = threading.Lock()
        self._calls: dict[bytes, Call] = {}
        self._cookie = 0
        self._lost: str | None = None
        try:
            sock.settimeout(timeout_seconds)
            with self._hurried(sock):
                self.export: RemoteExport = self._negotiate(negotiate(export, sources=sources, tls=tls is not None))
            sock.settimeout(None)
            if timeout_seconds is not None:  # a server that does not read must not hold its clients for ever
                whole, part = divmod(int(timeout_seconds * 1_000_000), 1_000_000)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", whole, part))
        except (OSError, Error) as error:
            sock.close()
            untrusted = getattr(error, "verify_code", 0) in _UNKNOWN_AUTHORITY  # of an ssl.SSLCertVerificationError
            hint = "tls-certificates=DIR in the URI has the server verified by DIR/ca-cert.pem" if untrusted else None
            reason = self._lost or _reason(error)
            raise DeviceError(f"the handshake failed: {reason}", where=name, hint=hint) from error
        except BaseException:
            sock.close()
            raise
        self._reader = threading.Thread(target=self._read_replies, name=f"nbd {name}", daemon=True)
        self._reader.start()

    @contextlib.contextmanager
    def _hurried(self, sock: socket.socket) -> Iterator[None]:
        """End the connection when the block takes too long: a server may send a byte now and then, and never finish."""
        if self._timeout is None:
            yield
            return
        timer = threading.Timer(self._timeout, self._end, [f"it took more than {self._timeout:g} s"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _negotiate(self, steps: Steps) -> RemoteExport:
        answer = b""
        try:
            step = next(steps)
            while True:
                if isinstance(step, int):
                    answer = self._receive(step)
                    step = steps.send(answer)
                elif step is None:
                    assert self._make_secure is not None
                    assert isinstance(self._sock, socket.socket)
                    self._sock = self._make_secure(self._sock)
                    step = next(steps)
                else:
                    self._sock.sendall(step)
                    step = next(steps)
        except StopIteration as stop:
            export: RemoteExport = stop.value
            return export

    # Asking

    def ask(self, command: Command, offset: int = 0, length: int = 0, *, flags: int = 0, data: Buffer = b"") -> Call:
        """Send a request and return at once. DeviceError (EIO) when the connection is over."""
        with self._lock:
            if self._lost is not None:
                raise self._over(self._lost)
            self._cookie += 1
            request = Request(command, self._cookie.to_bytes(8, "big"), offset, length, flags)
            call = Call(request)
            self._calls[request.cookie] = call
        try:
            with self._send_lock:
                head = pack_request(request)
                if len(data):
                    sent = self._sock.sendmsg((head, data))
                    if sent < len(head):
                        self._sock.sendall(head[sent:])
                        sent = len(head)
                    self._sock.sendall(memoryview(data)[sent - len(head) :])
                else:
                    self._sock.sendall(head)
        except OSError as error:
            self._end(_reason(error))
        return call

    def wait(self, call: Call) -> Call:
        """The same call when its answer is complete. Raises the DeviceError that the server or the loss of it gave."""
        if not call.done.wait(self._timeout):
            self._end(f"no answer in {self._timeout:g} s")
            call.done.wait()
        if call.fault is not None:
            raise call.fault
        return call

    def _over(self, reason: str) -> DeviceError:
        return DeviceError(f"the connection is lost: {reason}", where=self.name)

    def _end(self, reason: str) -> None:
        """The connection is over; whoever waits fails. Only the first reason counts."""
        with self._lock:
            if self._lost is None:
                self._lost = reason
            calls, self._calls = self._calls, {}
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        for call in calls.values():
            call.fault = self._over(self._lost)
            call.done.set()

    # Answers

    def _receive(self, length: int) -> bytes:
        data = bytearray(length)
        self._receive_into(memoryview(data))
        return bytes(data)

    def _receive_into(self, view: memoryview) -> None:
        while len(view):
            count = self._sock.recv_into(view)
            if not count:
                raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
            view = view[count:]

    def _read_replies(self) -> None:
        try:
            while True:
                self._read_reply()
        except (OSError, Error) as error:
            self._end(_reason(error))
        except Exception as error:  # noqa: BLE001  # a thread's border: nobody else would wake who waits
            self._end(repr(error))

    def _read_reply(self) -> None:
        head = self._receive(SIMPLE_REPLY.size)
        simple = int.from_bytes(head[:4], "big") == SIMPLE_REPLY_MAGIC
        reply = parse_reply(head if simple else head + self._receive(STRUCTURED_CHUNK.size - SIMPLE_REPLY.size))
        with self._lock:
            call = self._calls.get(reply.cookie)
        if call is None:
            raise RemoteProtocolError(
                "an answer has an unknown cookie", found=reply.cookie.hex(), expected="one of an open request"
            )
        if isinstance(reply, SimpleReply):
            self._simple(call, reply)
        else:
            self._chunk(call, reply)

    def _simple(self, call: Call, reply: SimpleReply) -> None:
        if call.request.command == Command.READ and not reply.error:
            if self.export.structured:
                raise RemoteProtocolError("a read was answered by a simple reply after structured ones were agreed on")
            self._receive_into(call.place(call.request.offset, call.request.length))
        elif reply.error:
            self._fail(call, reply.error, "")
        self._finish(call)

    def _chunk(self, call: Call, chunk: Chunk) -> None:
        if not self.export.structured:
            raise RemoteProtocolError("the server sends a structured reply that was not agreed on")
        if chunk.type == ChunkType.OFFSET_DATA:
            if chunk.length <= OFFSET.size:
                raise RemoteProtocolError("a data chunk is empty")
            (offset,) = OFFSET.unpack(self._receive(OFFSET.size))
            self._receive_into(call.place(offset, chunk.length - OFFSET.size))
        else:
            if chunk.length > _MAX_CHUNK_BYTES:
                raise RemoteProtocolError(
                    "a chunk is too large", found=f"{chunk.length} bytes", expected=f"at most {_MAX_CHUNK_BYTES}"
                )
            self._payload(call, chunk, self._receive(chunk.length))
        if chunk.flags & FLAG_DONE:
            self._finish(call)

    def _payload(self, call: Call, chunk: Chunk, data: bytes) -> None:
        if chunk.type >> 15:
            # "ERROR_OFFSET" or an unknown error type, which "MUST" begin like ERROR
            payload = parse_error(data, with_offset=chunk.type == ChunkType.ERROR_OFFSET)
            self._fail(call, payload.error, payload.message)
        elif chunk.type == ChunkType.OFFSET_HOLE:
            call.place(*parse_hole(data))  # the buffer is zeros already
        elif chunk.type == ChunkType.BLOCK_STATUS:
            status = parse_block_status(data)
            if status.context == self.export.allocation:
                call.descriptors += status.descriptors
            elif status.context == self.export.source:
                call.sources += status.descriptors
            if max(len(call.descriptors), len(call.sources)) > _MAX_DESCRIPTORS:
                raise RemoteProtocolError("the block status is too long", expected=f"at most {_MAX_DESCRIPTORS} rows")
        elif chunk.type != ChunkType.NONE or data:
            raise RemoteProtocolError(
                "there is no such type of chunk", found=chunk.type, expected="one of the protocol"
            )

    def _fail(self, call: Call, error: int, message: str) -> None:
        command = Command(call.request.command).name.lower()
        reason = f": {message!r}" if message else ""
        name = f" ({errno.errorcode[error]})" if error in errno.errorcode else ""
        asked = f"{command} of {call.request.length} bytes at {call.request.offset}"
        call.fault = call.fault or DeviceError(
            f"{asked} failed: the server answers error {error}{name}{reason}",
            errno=_ERRNOS.get(error, errno.EIO),
            where=self.name,
        )

    def _finish(self, call: Call) -> None:
        if (
            call.fault is None
            and call.request.command == Command.READ
            and call.covered.total_bytes < call.request.length
        ):
            raise RemoteProtocolError(
                "a read was answered in part",
                found=f"{call.covered.total_bytes} bytes",
                expected=f"{call.request.length}",
            )
        with self._lock:
            self._calls.pop(call.request.cookie, None)
        call.done.set()

    def close(self) -> None:
        """Say goodbye and end. Whoever waits fails."""
        with self._lock:
            over = self._lost is not None
            self._lost = self._lost or "closed"  # set before the server hears of it and closes too
        if not over:
            with contextlib.suppress(OSError), self._send_lock:
                self._sock.sendall(pack_request(Request(Command.DISC, bytes(8))))
        self._end("closed")
        if threading.current_thread() is not self._reader:
            self._reader.join()
        self._sock.close()


_UNKNOWN_AUTHORITY = (18, 19, 20, 21)  # X509_V_ERR_*: self-signed, or nobody who is known signed it


def _reason(error: BaseException) -> str:
    return os_reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
