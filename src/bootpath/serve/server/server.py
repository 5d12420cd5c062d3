"""The NBD server: listeners, connections and their end.

`Server.run` serves in the calling thread until `stop`, which any thread or signal handler may call. Stopping takes no
more connections and no more requests, answers what was asked, flushes every device that was written through, and drops
what has not ended when the grace is over.

Nothing is opened before `run` but the listeners, so a process may fork between the two. `forking` has a server of
several processes.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bootpath.core.errors import DeviceError
from bootpath.serve.export import Export, Exports, ExportSource
from bootpath.serve.limits import Limits
from bootpath.serve.server.connection import ClientConnection
from bootpath.serve.server.descriptors import EXHAUSTED, clients_with_descriptors
from bootpath.serve.server.loop import Loop, Wake
from bootpath.serve.server.socketfile import SocketFile, not_listening
from bootpath.serve.server.tls import TlsSettings
from bootpath.serve.server.workers import Lane, Workers
from bootpath.serve.statistics import Counters, Statistics

_log = logging.getLogger(__name__)

_BACKLOG = 4096  # clients that connect at once; the kernel allows net.core.somaxconn of them
_DEVICE_DESCRIPTORS = 2  # of a device made for one connection: an overlay in RAM has them once it is written to
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
        self._listeners: list[tuple[socket.socket, SocketFile | None]] = []
        limits = self.limits
        self._workers = Workers(
            workers=limits.workers, waiting=limits.waiting_workers, per_lane=limits.export_workers, clock=clock
        )
        self._wake: Wake | None = None
        self._loop: Loop | None = None
        self._grace_seconds: float | None = None
        self._room = 0  # for so many clients there are descriptors
        self._had_descriptors = True

    # Listeners

    def listen_unix(self, path: str | os.PathLike[str], mode: int = 0o600) -> socket.socket:
        """Listen on a socket at `path`, in place of one on which nobody listens any more.

        Raises DeviceError (EADDRINUSE when somebody does, or something else is there).
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        try:
            file = SocketFile.listen(listener, os.fspath(path), mode=mode, backlog=_BACKLOG)
        except BaseException:
            listener.close()
            raise
        self._listeners.append((listener, file))
        return listener

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
            raise not_listening(f"{host}:{port}", error) from error
        return self._add(listener)

    def adopt(self, listener: socket.socket) -> socket.socket:
        """Serve a listening socket that somebody else made; it is closed when the server ends."""
        return self._add(listener)

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
                raise not_listening(f"fd {fd}", error) from error
        return int(text)

    def _add(self, listener: socket.socket) -> socket.socket:
        listener.setblocking(False)
        try:
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise not_listening(str(listener), error) from error
        self._listeners.append((listener, None))
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
        """Make `run` return, at the latest when the grace is over. For any thread or signal handler.

        Clients have half of it to take their replies; the disks have the rest to be flushed.
        """
        self._grace_seconds = grace_seconds
        wake = self._wake
        if wake is not None:
            wake.set()

    def close(self) -> None:
        """Close the listeners, and remove their files: for who does not come to `run`, which does the same."""
        for listener, file in self._listeners:
            if file is not None:
                file.remove()
            listener.close()
        self._listeners.clear()

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
        self._room = clients_with_descriptors(1 + (_DEVICE_DESCRIPTORS if callable(self._exports) else 0))
        for listener, _ in self._listeners:
            loop.add(listener.fileno(), partial(self._accept, loop, listener))

    def _accept(self, loop: Loop, listener: socket.socket, events: int) -> None:
        """Take a client, or leave it in the backlog while there is nothing to serve it with."""
        if not self._has_room(loop):
            loop.rest(listener.fileno())
            return
        try:
            connected, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # The client was faster (ECONNABORTED), or others have taken what was left.
            if error.errno in EXHAUSTED:
                loop.rest(listener.fileno())
            _log.warning("cannot accept a connection: %s", error)
            return
        self._take(loop, connected)

    def _has_room(self, loop: Loop) -> bool:
        """True when another client can be served, or is refused because there are too many."""
        return self._has_descriptors(len(loop.connections) < self._room)

    def _has_descriptors(self, there_are: bool) -> bool:
        """Say so when there are none any more."""
        if self._had_descriptors and not there_are:
            _log.warning("new clients wait until others leave: the descriptors are in use (ulimit -n)")
        self._had_descriptors = there_are
        return there_are

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
        try:
            exports = self._exports()
        except OSError as error:
            _log.warning("a client is lost: no disk can be made for it: %s", error)
            raise
        made += exports.values()
        return exports

    def _release(self, loop: Loop, made: list[Export]) -> None:
        for export in made:
            loop.forget_export(export)
            export.device.close()
        loop.resume()

    def _stop_listening(self, loop: Loop) -> None:
        for listener, _ in self._listeners:
            loop.remove(listener.fileno())
        self.close()

    def _drain(self, loop: Loop, wake: Wake) -> None:
        """Answer what was asked, within half of the grace; then flush, within what is left of it."""
        self._stop_listening(loop)
        grace_seconds, begun = self._grace_seconds or 0.0, self._clock()
        for connection in tuple(loop.connections.values()):
            connection.finish()
        self._wait(loop, lambda: not loop.connections, begun + grace_seconds / 2)
        left = tuple(loop.connections.values())
        unread = sum(connection.idle for connection in left)
        if unread:
            _log.warning("clients that did not take their replies within %g s: %d, given up", grace_seconds / 2, unread)
        if len(left) > unread:
            running = len(left) - unread
            _log.warning("clients whose requests did not end within %g s: %d, given up", grace_seconds / 2, running)
        for connection in left:
            connection.close("the server is stopping")
        if callable(self._exports):
            return
        flushes = [_Flush(export, wake) for export in self._exports.values() if not export.refuses_writes]
        for flush in flushes:
            self._workers.submit(Lane(), [flush.run])
        allowed_seconds = begun + grace_seconds - self._clock()
        self._wait(loop, lambda: all(flush.done for flush in flushes), begun + grace_seconds)
        for flush in flushes:
            if not flush.done:
                _log.error("export %r was not flushed within %.1f s", flush.export.name, allowed_seconds)

    def _wait(self, loop: Loop, until: Callable[[], bool], deadline: float) -> None:
        loop.deadline = deadline
        loop.run(lambda: until() or self._clock() >= deadline)


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
