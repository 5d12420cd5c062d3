"""What a connection reads and writes through: its socket as it is, or TLS over it.

Both never block, and raise BlockingIOError where a socket would: `receive` when there is nothing yet (0 is the end),
`send` when no more is taken now. A broken connection raises another OSError.

TLS runs over two `ssl.MemoryBIO`, so that the socket stays in the loop's hands: `start` moves the handshake on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from bootpath.core.device import Buffer, FileRange

if TYPE_CHECKING:
    import ssl  # imported where a connection has TLS: a guest has no OpenSSL

_RAW_BYTES = 256 << 10
_RECORD_BYTES = 16 << 10


class Transport(Protocol):
    """One connection's bytes."""

    @property
    def receive(self) -> Callable[[memoryview], int]:
        """Receives into the buffer and returns how many bytes, 0 at the end."""
        ...

    @property
    def send(self) -> Callable[[Sequence[Buffer]], int]:
        """Takes bytes from the front of at most IOV_MAX buffers and returns how many."""
        ...

    @property
    def sends_files(self) -> bool:
        """True when `send_file` may be called."""
        ...

    def send_file(self, part: FileRange) -> int:
        """Takes bytes from the front of a part of a file and returns how many."""
        ...

    def flush(self) -> bool:
        """Send what is kept back; False when some of it must wait."""
        ...

    def close(self) -> None:
        """Close the socket."""
        ...


class Plain:
    """The socket itself, so that nothing of ours stands between the loop and the system calls."""

    __slots__ = ("receive", "send", "socket")

    sends_files = True

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.receive: Callable[[memoryview], int] = connected.recv_into
        self.send: Callable[[Sequence[Buffer]], int] = connected.sendmsg

    def send_file(self, part: FileRange) -> int:
        """See `Transport.send_file`: sendfile(2), by copying where the file system cannot.

        What was promised to the client cannot be taken back, so a file that has become shorter ends the connection.
        """
        fd = part.file.fileno()
        try:
            count = os.sendfile(self.socket.fileno(), fd, part.offset, part.length)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            data = os.pread(fd, min(part.length, _RAW_BYTES), part.offset)
            count = self.socket.send(data) if data else 0
        if count == 0:
            raise ConnectionAbortedError(f"the disk was truncated: there is nothing at offset {part.offset}")
        return count

    def flush(self) -> bool:
        """See `Transport.flush`: nothing is kept back."""
        return True

    def close(self) -> None:
        """See `Transport.close`."""
        self.socket.close()


class Secure:
    """TLS over the socket. Nothing may be received or sent until `start` has returned True."""

    sends_files = False

    def __init__(self, connected: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = connected
        import ssl

        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._raw = bytearray(_RAW_BYTES)
        self._pending = memoryview(b"")

    def start(self) -> bool:
        """Move the handshake on; True when it is done. Raises OSError (ssl.SSLError is one) when it failed."""
        import ssl

        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                try:
                    self._fill()
                except BlockingIOError:
                    return False
            except ssl.SSLError:
                self.flush()  # the alert that says why
                raise
            else:
                self.flush()
                return True

    def _fill(self) -> None:
        count = self.socket.recv_into(self._raw)
        if count:
            self._incoming.write(memoryview(self._raw)[:count])
        else:
            self._incoming.write_eof()

    def receive(self, buffer: memoryview) -> int:
        """See `Transport.receive`. Fills the buffer as far as it can, since the loop sees only the socket."""
        import ssl

        done = 0
        while done < len(buffer):
            try:
                # With a buffer, read returns how many bytes it put there.
                count = cast(int, self._tls.read(len(buffer) - done, buffer[done:]))
            except ssl.SSLWantReadError:
                if done:
                    break
                self._fill()
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break
            if count == 0:
                break
            done += count
        return done

    @property
    def readable(self) -> bool:
        """True when decrypted or raw bytes are here already, of which the socket knows nothing any more."""
        return bool(self._tls.pending() or self._incoming.pending)

    def send(self, buffers: Sequence[Buffer]) -> int:
        """See `Transport.send`: about one socket buffer of records is kept back."""
        if not self.flush():
            raise BlockingIOError
        done = 0
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), _RECORD_BYTES):
                done += self._tls.write(view[start : start + _RECORD_BYTES])
                if self._outgoing.pending >= _RAW_BYTES and not self.flush():
                    return done
        self.flush()
        return done

    def send_file(self, part: FileRange) -> int:
        """See `Transport.send_file`: not here, what is sent must be encrypted first."""
        raise NotImplementedError

    def flush(self) -> bool:
        """See `Transport.flush`."""
        while True:
            if not self._pending:
                self._pending = memoryview(self._outgoing.read())
                if not self._pending:
                    return True
            try:
                self._pending = self._pending[self.socket.send(self._pending) :]
            except BlockingIOError:
                return False

    def close(self) -> None:
        """See `Transport.close`: says goodbye first, without waiting for an answer."""
        with contextlib.suppress(OSError, ValueError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            self.flush()
        self.socket.close()
