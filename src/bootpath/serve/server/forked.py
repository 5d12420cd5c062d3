"""One of several processes that serve the same exports: it has no listeners, and is handed its clients.

Messages on its channel:

======== ================================================================
from     message
======== ================================================================
parent   ``c`` and a descriptor: a client
parent   ``s`` and a number: stop, within so many seconds
child    a `Report` in JSON: at the start, then about four times a second
         while there are clients, and whenever one has gone
======== ================================================================

The channel's end is the parent's end, and so this one's.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from bootpath.serve.export import Export, ExportSource
from bootpath.serve.limits import Limits
from bootpath.serve.server.loop import Loop, Wake
from bootpath.serve.server.server import Server
from bootpath.serve.server.tls import TlsSettings
from bootpath.serve.statistics import Statistics

_log = logging.getLogger(__name__)

CLIENT, STOP = b"c", b"s"
MESSAGE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Report:
    """What a process reports to its parent: its id, how many of its clients are gone, what it has done, and a note."""

    pid: int
    closed: int
    statistics: Statistics
    note: str = ""

    def pack(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Report:
        """The opposite of `pack`."""
        fields = json.loads(data)
        return cls(**{**fields, "statistics": Statistics(**fields["statistics"])})


class ForkedServer(Server):
    """Serves the clients that come over `channel`.

    `follow` is called now and then to see what others have done; what it returns is the note in the next report.
    """

    def __init__(
        self,
        exports: ExportSource,
        channel: socket.socket,
        *,
        follow: Callable[[], str] = str,
        limits: Limits | None = None,
        tls: TlsSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(exports, limits=limits, tls=tls, clock=clock)
        self._channel = channel
        self._follow = follow
        self._taken = 0
        self._orphaned = False
        self._note = ""
        self._reported: Report | None = None
        channel.setblocking(False)

    def _begin(self, loop: Loop) -> None:
        super()._begin(loop)
        loop.add(self._channel.fileno(), partial(self._heard, loop))
        loop.on_sweep = partial(self._sweep, loop)
        self._sweep(loop)

    def _sweep(self, loop: Loop) -> bool:
        self._note = self._follow()
        return not self._report(loop)

    def _report(self, loop: Loop) -> bool:
        """Send a report, if anything has changed; False when the parent cannot take it now."""
        report = Report(os.getpid(), self._taken - len(loop.connections), self.statistics(), self._note)
        if report != self._reported:
            try:
                self._channel.send(report.pack())
            except BlockingIOError:
                return False
            except OSError:
                return True  # its end: see `_heard`
            self._reported = report
        return True

    def _heard(self, loop: Loop, events: int) -> None:
        try:
            message, fds, _, _ = socket.recv_fds(self._channel, MESSAGE_BYTES, 1)
        except BlockingIOError:
            return
        except ConnectionError:
            message, fds = b"", []
        if message == CLIENT:
            self._taken += 1
            if not fds:
                _log.error("a client is lost: there was no descriptor left for it")
            for fd in fds:
                self._take(loop, socket.socket(fileno=fd))
            self._report(loop)
        elif message[:1] == STOP:
            self.stop(float(message[1:]))
        elif not message:
            loop.remove(self._channel.fileno())
            self._orphaned = True
            self.stop(0)

    def _release(self, loop: Loop, made: list[Export]) -> None:
        super()._release(loop, made)
        loop.restless = not self._report(loop)

    def _drain(self, loop: Loop, wake: Wake) -> None:
        if not self._orphaned:
            super()._drain(loop, wake)
            self._report(loop)
