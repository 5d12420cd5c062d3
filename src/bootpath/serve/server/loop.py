"""One thread, one epoll: sockets, workers' replies and deadlines.

Nothing in it waits but the poll. All connections receive into one buffer, so that the bytes are still in the cache when
they are parsed. Workers hand replies over through a queue and an eventfd. A fault while serving one connection closes
that connection.
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque
from collections.abc import Callable, Sequence

from bootpath.serve.export import Export
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.session import Job, Reply
from bootpath.serve.server.connection import ClientConnection, Host
from bootpath.serve.server.tls import TlsSettings
from bootpath.serve.server.workers import Lane, Workers
from bootpath.serve.statistics import Counters

_log = logging.getLogger(__name__)

_RECEIVE_BYTES = 256 << 10
_SWEEP_SECONDS = 0.25
_PRESSED_SECONDS = 0.001
_EVENTS = 64


class Wake:
    """An eventfd: `set` from any thread or signal handler makes the loop look around.

    It is closed with its last user: a worker that comes back from a dead disk may still hold it when the loop is gone.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._set = False

    def set(self) -> None:
        """Wake the loop, unless it is being woken already."""
        if not self._set:
            self._set = True
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Before looking around: whatever is set from now on wakes the loop again."""
        os.eventfd_read(self.fd)
        self._set = False

    def __del__(self) -> None:
        os.close(self.fd)


class Loop:
    """Serves connections until told to return. Make it, and everything it opens, in the process that runs it."""

    def __init__(
        self,
        wake: Wake,
        *,
        limits: Limits,
        counters: Counters,
        tls: TlsSettings | None,
        clock: Callable[[], float],
        workers: Workers,
    ) -> None:
        self.connections: dict[int, ClientConnection] = {}
        self.deadline: float | None = None  # when to look around at the latest
        # Called now and then while there are connections, and after that for as long as it returns True.
        self.on_sweep: Callable[[], bool] = lambda: False
        self.restless = False  # call it soon, whether there are connections or not
        self._wake = wake
        self._clock = clock
        self._workers = workers
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._resting: set[int] = set()
        self._replies: deque[tuple[ClientConnection, Reply]] = deque()
        self._lanes: dict[Export, Lane] = {}
        self._on_closed: dict[ClientConnection, Callable[[], None]] = {}
        self._next_sweep = 0.0
        # Room for what is held back of one batch behind a full receive is part of the buffer.
        self.host = Host(
            limits=limits,
            counters=counters,
            tls=tls,
            clock=clock,
            buffer=memoryview(bytearray(2 * _RECEIVE_BYTES)),
            submit=self._submit,
            deliver=self._deliver,
            watch=self._watch,
            closed=self._closed,
        )
        self.add(wake.fd, lambda events: None)

    def add(self, fd: int, handler: Callable[[int], None]) -> None:
        """Call `handler` when the descriptor is readable."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """The opposite of `add`; harmless when it was not added."""
        if self._handlers.pop(fd, None) is not None:
            self._resting.discard(fd)
            self._epoll.unregister(fd)

    def rest(self, fd: int) -> None:
        """Do not look at it, since nothing can be done about it now, until `resume` or the next sweep."""
        self._resting.add(fd)
        self._epoll.modify(fd, 0)

    def resume(self) -> None:
        """Look again at all that rest."""
        while self._resting:
            self._epoll.modify(self._resting.pop(), select.EPOLLIN)

    def serve(self, connection: ClientConnection, on_closed: Callable[[], None]) -> None:
        """Take a connection; `on_closed` is called when it is closed and nothing runs for it any more."""
        self._on_closed[connection] = on_closed
        self.connections[connection.fd] = connection
        self._handlers[connection.fd] = connection.ready
        self._epoll.register(connection.fd, connection.interest)

    def run(self, until: Callable[[], bool]) -> None:
        """Serve until the function, asked after everything that happens, says so."""
        poll, handlers, workers, replies, clock = (
            self._epoll.poll,
            self._handlers,
            self._workers,
            self._replies,
            self._clock,
        )
        connections, wake_fd = self.connections, self._wake.fd
        spin_seconds, spin_until = self.host.limits.spin_seconds, 0.0
        while not until():
            calm = connections and not workers.queued and self.deadline is None
            happened = poll(0 if spin_until else _SWEEP_SECONDS if calm else self._timeout(), _EVENTS)
            for fd, events in happened:
                if fd == wake_fd:
                    self._wake.clear()
                    continue
                handler = handlers.get(fd)
                if handler is None:
                    continue  # closed by an event before this one
                try:
                    handler(events)
                except Exception:  # noqa: BLE001 - a fault with one client must not end the others
                    _log.exception("descriptor %d: a connection failed", fd)
                    self._fail(fd)
            if replies:
                self._take_replies()
            if workers.queued and workers.pressed:
                workers.tick()
            now = clock()
            if spin_seconds:
                spin_until = now + spin_seconds if happened else spin_until if now < spin_until else 0.0
            if now >= self._next_sweep:
                self._next_sweep = now + _SWEEP_SECONDS
                for connection in tuple(self.connections.values()):
                    connection.expired(now)
                self.restless = self.on_sweep()
                self.resume()

    def close(self) -> None:
        """Drop all connections and let go of the descriptors."""
        for connection in tuple(self.connections.values()):
            connection.close("the server is stopping")
        self._epoll.close()

    def _timeout(self) -> float | None:
        if self._workers.queued and self._workers.pressed:
            return _PRESSED_SECONDS
        if self.deadline is not None:
            return min(_SWEEP_SECONDS, max(0.0, self.deadline - self._clock()))
        return _SWEEP_SECONDS if self.connections or self.restless or self._resting else None

    def _fail(self, fd: int) -> None:
        connection = self.connections.get(fd)
        if connection is not None:
            connection.close("internal error")

    def _watch(self, fd: int, interest: int) -> None:
        """What a connection waits for; -1 to forget it."""
        if fd not in self.connections:
            return
        if interest < 0:
            self._epoll.unregister(fd)
            del self._handlers[fd]
        else:
            self._epoll.modify(fd, interest)

    def _closed(self, connection: ClientConnection) -> None:
        if self.connections.get(connection.fd) is connection:
            del self.connections[connection.fd]
        self._forget(connection)

    def _forget(self, connection: ClientConnection) -> None:
        """Once a connection is closed and its last job has ended, what belongs to it can go."""
        if connection.idle:
            on_closed = self._on_closed.pop(connection, None)
            if on_closed is not None:
                on_closed()

    # Workers

    def forget_export(self, export: Export) -> None:
        """An export that was made for one connection is gone."""
        self._lanes.pop(export, None)

    def _submit(self, connection: ClientConnection, export: Export, jobs: Sequence[Job]) -> None:
        lane = self._lanes.get(export)
        if lane is None:
            lane = self._lanes[export] = Lane()
        self._workers.submit(lane, jobs)

    def _deliver(self, connection: ClientConnection, reply: Reply) -> None:
        """Called by workers."""
        self._replies.append((connection, reply))
        self._wake.set()

    def _take_replies(self) -> None:
        touched: dict[ClientConnection, None] = {}
        replies = self._replies
        while replies:
            connection, reply = replies.popleft()
            reply.session.finish(reply)
            touched[connection] = None
        for connection in touched:
            if connection.fd in self.connections and self.connections[connection.fd] is connection:
                connection.replied()
            else:
                self._forget(connection)
