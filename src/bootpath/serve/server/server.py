"""The NBD server: listeners, connections and their end.

`Server.run` serves in the calling thread until `stop`, which any thread or signal handler may call. Stopping takes no
more connections and no more requests, answers what was asked, flushes every device that was written through, and drops
what has not ended when the grace is over.

Nothing is opened before `run` but the listeners, so a process may fork between the two. `forking` has a server of
several processes.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bootpath.core.errors import DeviceError
from bootpath.serve.export import Export, Exports, ExportSource
from bootpath.serve.limits import Limits
from bootpath.serve.server.connection import ClientConnection
from bootpath.serve.server.loop import Loop, Wake
from bootpath.serve.server.tls import TlsSettings
from bootpath.serve.server.workers import Lane, Workers
from bootpath.serve.statistics import Counters, Statistics

_log = logging.getLogger(__name__)

_BACKLOG = 128
_LISTEN_FDS_START = 3  # sd_listen_fds(3)


class Server:
    """Serves `exports`: a mapping that all clients share, or a callable that makes one for each connection.

    Devices of a shared mapping stay their owner's. Those that were made for a connection are closed with it, and their
    exports should not be `shared`.
    """

    def __init__(
        self,
        exports: ExportSource,
        *,
        limits: Limits | None = None,
        tls: TlsSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self._exports = exports
        self._tls = tls
        self._clock = clock
        self._counters = Counters()
        self._listeners: list[tuple[socket.socket, Path | None]] = []
        limits = self.limits
        self._workers = Workers(
            workers=limits.workers, waiting=limits.waiting_workers, per_lane=limits.export_workers, clock=clock
        )
        self._wake: Wake | None = None
        self._loop: Loop | None = None
        self._grace_seconds: float | None = None

    # Listeners

    def listen_unix(self, path: str | os.PathLike[str], mode: int = 0o600) -> socket.socket:
        """Listen on a new socket at `path`. Raises DeviceError (EADDRINUSE when something is there already)."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(path))
            os.chmod(path, mode)  # nobody can connect before `listen`
        except OSError as error:
            listener.close()
            raise _not_listening(str(path), error) from error
        return self._add(listener, Path(path))

    def listen_tcp(self, host: str, port: int) -> socket.socket:
        """Listen on an address; port 0 takes any, see `getsockname`. Raises DeviceError."""
        listener: socket.socket | None = None
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            if listener is not None:
                listener.close()
            raise _not_listening(f"{host}:{port}", error) from error
        return self._add(listener, None)

    def adopt(self, listener: socket.socket) -> socket.socket:
        """Serve a listening socket that somebody else made; it is closed when the server ends."""
        return self._add(listener, None)

    def adopt_inherited(self, environ: Mapping[str, str]) -> int:
        """Serve the sockets that LISTEN_FDS passes on (sd_listen_fds(3)); returns how many. Raises DeviceError."""
        if environ.get("LISTEN_PID") != str(os.getpid()):
            return 0
        text = environ.get("LISTEN_FDS", "")
        if not text.isdecimal() or not 0 < int(text) < 1024:
            return 0
        for fd in range(_LISTEN_FDS_START, _LISTEN_FDS_START + int(text)):
            try:
                self.adopt(socket.socket(fileno=fd))
            except OSError as error:
                raise _not_listening(f"fd {fd}", error) from error
        return int(text)

    def _add(self, listener: socket.socket, path: Path | None) -> socket.socket:
        listener.setblocking(False)
        try:
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise _not_listening(str(path or listener), error) from error
        self._listeners.append((listener, path))
        return listener

    # Life

    def run(self) -> None:
        """Serve until `stop`, then close everything that this server opened. Once in a server's life."""
        self._wake = wake = Wake()
        self._loop = loop = Loop(
            wake,
            limits=self.limits,
            counters=self._counters,
            tls=self._tls,
            clock=self._clock,
            workers=self._workers,
        )
        try:
            self._begin(loop)
            loop.run(lambda: self._grace_seconds is not None)
            self._drain(loop, wake)
        finally:
            self._stop_listening(loop)
            loop.close()
            self._workers.stop()
            self._loop = None

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Make `run` return, at the latest when the grace is over. For any thread or signal handler."""
        self._grace_seconds = grace_seconds
        wake = self._wake
        if wake is not None:
            wake.set()

    def statistics(self) -> Statistics:
        """What was done so far."""
        loop = self._loop
        return self._counters.snapshot(
            connections=0 if loop is None else len(loop.connections),
            queue_depth=self._workers.depth,
            waiting_workers=self._workers.waiting,
        )

    def notes(self) -> Sequence[str]:
        """The last notes of other processes that serve with this one; see `ForkingServer`."""
        return ()

    def _begin(self, loop: Loop) -> None:
        for listener, _ in self._listeners:
            loop.add(listener.fileno(), partial(self._accept, loop, listener))

    def _accept(self, loop: Loop, listener: socket.socket, events: int) -> None:
        try:
            connected, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # The client was faster (ECONNABORTED), or there are no descriptors left: it stays in the backlog.
            _log.warning("cannot accept a connection: %s", error)
            return
        self._take(loop, connected)

    def _take(self, loop: Loop, connected: socket.socket) -> None:
        """Serve a client, unless there are too many."""
        if len(loop.connections) >= self.limits.connections:
            self._counters.connections_refused += 1
            connected.close()
            return
        self._counters.connections_total += 1
        made: list[Export] = []
        try:
            connection = ClientConnection(connected, partial(self._exports_for, made), loop.host)
        except OSError as error:
            _log.debug("a client left before it was served: %s", error)
            connected.close()
            return
        loop.serve(connection, partial(self._release, loop, made))

    def _exports_for(self, made: list[Export]) -> Exports:
        if not callable(self._exports):
            return self._exports
        exports = self._exports()
        made += exports.values()
        return exports

    def _release(self, loop: Loop, made: list[Export]) -> None:
        for export in made:
            loop.forget_export(export)
            export.device.close()

    def _stop_listening(self, loop: Loop) -> None:
        for listener, path in self._listeners:
            loop.remove(listener.fileno())
            listener.close()
            if path is not None:
                path.unlink(missing_ok=True)
        self._listeners.clear()

    def _drain(self, loop: Loop, wake: Wake) -> None:
        """Answer what was asked, then flush, but not beyond the grace."""
        self._stop_listening(loop)
        loop.deadline = deadline = self._clock() + (self._grace_seconds or 0)
        for connection in tuple(loop.connections.values()):
            connection.finish()
        loop.run(lambda: not loop.connections or self._clock() >= deadline)
        if callable(self._exports):
            return
        flushes = [_Flush(export, wake) for export in self._exports.values() if not export.refuses_writes]
        for flush in flushes:
            self._workers.submit(Lane(), [flush.run])
        loop.run(lambda: all(flush.done for flush in flushes) or self._clock() >= deadline)
        for flush in flushes:
            if not flush.done:
                _log.error("export %r was not flushed within %g s", flush.export.name, self._grace_seconds or 0)


class _Flush:
    """One device's last flush."""

    def __init__(self, export: Export, wake: Wake) -> None:
        self.export = export
        self.done = False
        self._wake = wake

    def run(self) -> None:
        """Run on a worker."""
        try:
            self.export.device.flush()
        except DeviceError as error:
            _log.error("export %r cannot be flushed: %s", self.export.name, error)
        self.done = True
        self._wake.set()


def _not_listening(where: str, error: OSError) -> DeviceError:
    return DeviceError(
        f"the server cannot listen: {error.strerror or error}", errno=error.errno or errno.EIO, where=where
    )
