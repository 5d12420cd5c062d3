"""A server of several processes on one set of exports, so that several clients have several processors.

The parent listens, accepts, and hands every client to the process with the fewest, in turn; it serves none itself. The
others (`forked`) are forked by the `forkserver`, so that the parent may have threads: the hydration runs in it, and the
status page, which shows the sum of what all report. What the exports' devices hold must be shared memory, or files, or
opened after the fork.

- A process that ends, however, costs its own clients only: its channel ends, the parent logs it and has another one
  forked, at most one a second for one that keeps dying.
- The parent's end is everybody's end, even by kill -9: a channel's end is what all of them watch.
- `Limits.connections` holds for the sum: the parent knows exactly how many it has handed to each and, from their
  reports, how many have gone.
- A stop is passed on; every process drains its clients, and the parent ends when all have, or the grace is over.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from bootpath.core.errors import DeviceError
from bootpath.serve.export import ExportSource
from bootpath.serve.limits import Limits
from bootpath.serve.server.forked import CLIENT, MESSAGE_BYTES, STOP, ForkedServer, Report
from bootpath.serve.server.forkserver import ForkServer
from bootpath.serve.server.loop import Loop, Wake
from bootpath.serve.server.server import Server
from bootpath.serve.server.tls import TlsSettings
from bootpath.serve.statistics import Statistics

_log = logging.getLogger(__name__)

_REST_SECONDS = 1.0  # between the birth of a process that dies and the next one
_MARGIN_SECONDS = 0.5  # for processes that end when their grace does


class _Process:
    """One of the processes, as the parent knows it."""

    def __init__(self, channel: socket.socket, born_seconds: float) -> None:
        channel.setblocking(False)
        self.channel = channel
        self.born_seconds = born_seconds
        self.handed = 0
        self.turn = 0
        self.report = Report(0, 0, Statistics.nothing())

    @property
    def clients(self) -> int:
        """How many it has now."""
        return self.handed - self.report.closed

    def hand(self, connected: socket.socket) -> bool:
        """Give it a client; False when it cannot take one."""
        try:
            socket.send_fds(self.channel, [CLIENT], [connected.fileno()])
        except OSError:
            return False
        self.handed += 1
        return True


class ForkingServer(Server):
    """As `Server`, with `processes` of them. Make it while the process has one thread: that is when it forks.

    `follow` is called in each process now and then, to see what the parent has done; what it returns is one of the
    parent's `notes` (see `LiveService.follow`).
    """

    def __init__(
        self,
        exports: ExportSource,
        *,
        processes: int,
        follow: Callable[[], str] = str,
        limits: Limits | None = None,
        tls: TlsSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = limits or Limits()
        super().__init__(exports, limits=replace(limits, spin_seconds=0.0), tls=tls, clock=clock)
        self._process_count = processes
        self._processes: list[_Process] = []
        self._gone = Statistics.nothing()
        self._turns = 0
        self._retry_seconds = 0.0
        self._cannot_fork = False  # the fork server has ended
        self._failed = False

        def run(channel: socket.socket) -> None:
            ForkedServer(exports, channel, follow=follow, limits=limits, tls=tls, clock=clock).run()

        self._forkserver = ForkServer(run)

    def run(self) -> None:
        """See `Server.run`. Raises DeviceError when all processes have ended and there can be no others."""
        try:
            super().run()
        finally:
            self._forkserver.close()
            for process in self._processes:
                process.channel.close()
        if self._failed:
            raise DeviceError("all server processes have ended", where="workers")

    def statistics(self) -> Statistics:
        """What all processes together have done, as they reported it."""
        processes = tuple(self._processes)
        total = sum((process.report.statistics for process in processes), self._gone)
        counters = self._counters
        return replace(
            total,
            connections=sum(process.clients for process in processes),
            connections_total=counters.connections_total,
            connections_refused=total.connections_refused + counters.connections_refused,
        )

    def notes(self) -> Sequence[str]:
        """The last note of each process."""
        return [process.report.note for process in tuple(self._processes) if process.report.note]

    def pids(self) -> list[int]:
        """The processes that have reported."""
        return [process.report.pid for process in tuple(self._processes) if process.report.pid]

    # The loop's side

    def _begin(self, loop: Loop) -> None:
        loop.add(self._forkserver.channel.fileno(), partial(self._forkserver_ended, loop))
        loop.on_sweep = partial(self._refill, loop)
        self._refill(loop)
        super()._begin(loop)

    def _refill(self, loop: Loop) -> bool:
        """Have as many processes as are wanted; True when that must be tried again."""
        while not self._cannot_fork and len(self._processes) < self._process_count:
            now = self._clock()
            if now < self._retry_seconds or self._grace_seconds is not None:
                return True
            try:
                process = _Process(self._forkserver.fork(), now)
            except OSError as error:
                _log.error("cannot start a server process: %s", error)
                self._retry_seconds = now + _REST_SECONDS
                return True
            self._processes.append(process)
            loop.add(process.channel.fileno(), partial(self._heard, loop, process))
        return False

    def _has_room(self, loop: Loop) -> bool:
        return self._is_full() or self._has_descriptors(bool(self._able()) or not self._processes)

    def _able(self) -> list[_Process]:
        """The processes that have descriptors for another client: each has as many as this one."""
        return [process for process in self._processes if process.clients < self._room]

    def _is_full(self) -> bool:
        return sum(process.clients for process in self._processes) >= self.limits.connections

    def _take(self, loop: Loop, connected: socket.socket) -> None:
        """Hand the client to the process with the fewest, unless there are too many of them altogether."""
        with connected:
            able = [] if self._is_full() else self._able()
            able.sort(key=lambda process: (process.clients, process.turn))
            process = next((one for one in able if one.hand(connected)), None)
            if process is None:
                self._counters.connections_refused += 1
                return
            self._counters.connections_total += 1
            self._turns += 1
            process.turn = self._turns

    def _heard(self, loop: Loop, process: _Process, events: int) -> None:
        try:
            message = process.channel.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:  # it left without reading everything
            message = b""
        if message:
            process.report = Report.unpack(message)
            loop.resume()
        else:
            self._ended(loop, process)

    def _ended(self, loop: Loop, process: _Process) -> None:
        loop.remove(process.channel.fileno())
        process.channel.close()
        clients, done = process.clients, process.report.statistics
        self._processes.remove(process)
        self._gone += replace(done, connections=0, queue_depth=0, waiting_workers=0)
        if self._grace_seconds is not None:
            return
        _log.error("server process %d has ended, and its %d connections are lost", process.report.pid, clients)
        now = self._clock()
        if now - process.born_seconds < _REST_SECONDS:
            self._retry_seconds = now + _REST_SECONDS
        loop.restless = self._refill(loop)
        self._give_up_if_all_ended()

    def _forkserver_ended(self, loop: Loop, events: int) -> None:
        loop.remove(self._forkserver.channel.fileno())
        self._forkserver.ended()
        self._cannot_fork = True
        _log.error("the fork server has ended: a server process that ends will not be replaced")
        self._give_up_if_all_ended()

    def _give_up_if_all_ended(self) -> None:
        if self._cannot_fork and not self._processes:
            self._failed = True
            self.stop(0)

    def _drain(self, loop: Loop, wake: Wake) -> None:
        self._stop_listening(loop)
        grace_seconds = self._grace_seconds or 0.0
        loop.deadline = deadline = self._clock() + grace_seconds + _MARGIN_SECONDS
        for process in self._processes:
            try:
                process.channel.send(STOP + str(grace_seconds).encode())
            except OSError as error:  # it ends with its channel, when that is closed
                _log.warning("server process %d cannot be asked to stop: %s", process.report.pid, error)
        loop.run(lambda: not self._processes or self._clock() >= deadline)
        if self._processes:
            _log.error("%d server processes did not stop within %g s", len(self._processes), grace_seconds)
