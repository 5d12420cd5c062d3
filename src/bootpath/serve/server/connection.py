"""One client: its socket, where it is in the protocol, and what waits to be sent to it.

The loop calls `ready` when the socket can do something, `replied` when workers have finished some of its requests and
`expired` about once a second. A connection never blocks, and never takes more than `Limits` allow: it stops reading
while too many replies are queued or too many requests are running. It ends in one of two ways: `finish` (DISC, end of
stream, the server stops) answers what was asked, then closes; `close` drops everything at once.
"""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable, Sequence
from enum import Enum, auto

from bootpath.core.errors import os_reason
from bootpath.serve.export import Export, Exports
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.handshake import Close, Enter, Send, StartTls, Style
from bootpath.serve.nbd.negotiation import Negotiation
from bootpath.serve.nbd.replies import Sendable
from bootpath.serve.nbd.requests import RawRequest, Requests, StreamState
from bootpath.serve.nbd.session import Job, Reply, Session
from bootpath.serve.server.sending import drop_sent, send_buffers, send_mixed
from bootpath.serve.server.tls import TlsSettings
from bootpath.serve.server.transport import Plain, Secure, Transport
from bootpath.serve.statistics import Counters

_log = logging.getLogger(__name__)

_HANDSHAKE_BYTES = 4096
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_GONE = select.EPOLLHUP | select.EPOLLERR


class Phase(Enum):
    """What the bytes of a connection are."""

    NEGOTIATION = auto()
    TLS = auto()
    TRANSMISSION = auto()
    CLOSED = auto()


class Host:
    """What connections share, and ask of the loop they live in."""

    def __init__(
        self,
        *,
        limits: Limits,
        counters: Counters,
        tls: TlsSettings | None,
        clock: Callable[[], float],
        buffer: memoryview,
        submit: Callable[[ClientConnection, Export, Sequence[Job]], None],
        deliver: Callable[[ClientConnection, Reply], None],
        watch: Callable[[int, int], None],
        closed: Callable[[ClientConnection], None],
    ) -> None:
        self.limits = limits
        self.counters = counters
        self.tls = tls
        self.clock = clock
        self.buffer = buffer
        self.submit = submit
        self.deliver = deliver
        self.watch = watch
        self.closed = closed


class ClientConnection:
    """`exports` gives what this client may see; it is asked at most once."""

    def __init__(self, connected: socket.socket, exports: Callable[[], Exports], host: Host) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, host.limits.send_buffer_bytes)
        if connected.family != socket.AF_UNIX:
            # "both the client and server SHOULD disable Nagle's algorithm"
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = connected.fileno()
        self.phase = Phase.NEGOTIATION
        self.interest = _IN
        self._host = host
        self._transport: Transport = Plain(connected)
        self._secure: Secure | None = None
        self._socket = connected
        self._limits = host.limits
        self._deadline = host.clock() + host.limits.negotiation_seconds
        self._stuck_since: float | None = None
        mode = {} if host.tls is None else {"tls": host.tls.mode}
        self._negotiation: Negotiation | None = Negotiation(exports, limits=host.limits, **mode)
        self._requests = Requests(host.limits)
        self._session: Session | None = None
        self._out: list[Sendable] = []
        self._finishing = False
        self._negotiate()
        self._settle()

    # What the loop calls

    def ready(self, events: int) -> None:
        """The socket can do something."""
        try:
            if events & _OUT:
                self._send()
                self._go_on()
            if events & _IN:
                if self.phase is Phase.TRANSMISSION:
                    self._receive()
                else:
                    self._handshake()
            elif events & _GONE:
                self.close("the client is gone")
            session = self._session
            if (
                self._out
                or self._finishing
                or self.interest != _IN
                or session is None
                or session.running
                or self._secure is not None
                or self._requests.blocked
            ):
                self._settle()
        except BlockingIOError:
            self._settle()
        except OSError as error:
            if self.phase is Phase.TLS:
                _log.info("connection %d: the TLS handshake failed: %s", self.fd, os_reason(error))
            self.close(os_reason(error))

    def replied(self) -> None:
        """Replies were added to the session's by the workers."""
        if self.phase is Phase.CLOSED:
            return
        try:
            self._send()
            self._go_on()
            self._settle()
        except OSError as error:
            self.close(str(error))

    def expired(self, now: float) -> bool:
        """Close the connection if it has used up its time: True when it was."""
        if self.phase in (Phase.NEGOTIATION, Phase.TLS) and now >= self._deadline:
            self.close("the client did not finish the handshake in time", violation=True)
        elif self._stuck_since is not None and now >= self._stuck_since + self._limits.stuck_seconds:
            self.close("the client does not read its replies", violation=True)
        return self.phase is Phase.CLOSED

    def finish(self) -> None:
        """Take no more requests; answer those that were taken, then close."""
        if self.phase is not Phase.TRANSMISSION:
            self.close("the server is stopping")
            return
        self._finishing = True
        self.replied()

    def close(self, reason: str, *, violation: bool = False) -> None:
        """Drop everything. Requests that run on workers go on, for nobody."""
        if self.phase is Phase.CLOSED:
            return
        _log.debug("connection %d: %s", self.fd, reason)
        self._host.counters.protocol_errors += violation
        self.phase = Phase.CLOSED
        self._host.watch(self.fd, -1)
        self._transport.close()
        self._out.clear()
        self._host.closed(self)

    @property
    def idle(self) -> bool:
        """True when nothing runs on workers for this connection."""
        return self._session is None or self._session.running == 0

    # The handshake

    def _handshake(self) -> None:
        if self.phase is Phase.TLS:
            self._start_tls()
            return
        view = self._host.buffer[:_HANDSHAKE_BYTES]
        count = self._transport.receive(view)
        if count == 0:
            self.close("the client left during the handshake")
            return
        assert self._negotiation is not None
        self._negotiation.feed(view[:count])
        self._negotiate()

    def _negotiate(self) -> None:
        """Answer what was fed, no faster than the client takes the answers."""
        negotiation = self._negotiation
        while negotiation is not None and self.phase is Phase.NEGOTIATION:
            event = negotiation.next_event()
            if isinstance(event, Send):
                self._out.append(event.data)
                if self._queued() < self._limits.queued_bytes:
                    continue
            self._send()
            match event:
                case None:
                    return
                case Send():
                    if self._out:
                        return  # goes on when the client has read
                case StartTls():
                    if self._out:
                        self.close("the client does not read its replies", violation=True)
                        return
                    assert self._host.tls is not None
                    self._transport = self._secure = Secure(self._socket, self._host.tls.context)
                    self.phase = Phase.TLS
                case Enter():
                    self._enter(event, negotiation.rest)
                case Close(reason, violation):
                    self.close(reason, violation=violation)

    def _start_tls(self) -> None:
        assert self._secure is not None
        if not self._secure.start():
            return
        assert self._negotiation is not None
        self._negotiation.tls_started()
        self.phase = Phase.NEGOTIATION
        if self._secure.readable:
            self._handshake()

    def _enter(self, entered: Enter, rest: bytes) -> None:
        host = self._host
        self.phase = Phase.TRANSMISSION
        self._negotiation = None
        self._requests = Requests(self._limits, extended=entered.style is Style.EXTENDED)
        self._session = Session(
            entered.export,
            entered.style,
            entered.contexts,
            any_bytes=entered.any_bytes,
            limits=self._limits,
            counters=host.counters,
            deliver=lambda reply: host.deliver(self, reply),
            sends_files=self._transport.sends_files,
        )
        self._session.spare = self._requests.spare
        self._session.out[:0] = self._out
        self._session.out_bytes += sum(map(len, self._out))
        self._out = self._session.out
        self._send()
        if rest:
            host.buffer[: len(rest)] = rest
            self._take(host.buffer[: len(rest)], self._budget())
            self._go_on()

    # Transmission

    def _receive(self) -> None:
        requests, session = self._requests, self._session
        assert session is not None
        if requests.direct is not None:
            count = self._transport.receive(requests.direct)
            if count:
                self._execute(requests.received(count))
        else:
            buffer = self._host.buffer
            held = requests.load(buffer) if requests.held else 0
            count = self._transport.receive(buffer[held:] if held else buffer)
            if count:
                busy = session.running or self._out
                self._take(buffer[: held + count], self._budget() if busy else self._limits.queued_bytes)
                if requests.blocked:
                    self._go_on()
        if count == 0:
            if not requests.end():
                _log.debug("connection %d: the client left in the middle of a request", self.fd)
            self._finishing = True
        elif self._secure is not None and self._secure.readable and not self._finishing and not requests.blocked:
            self._receive()

    def _take(self, received: memoryview, budget: int) -> None:
        """Answer requests from the front of what was received; what must wait is held, or runs on workers."""
        requests, session = self._requests, self._session
        assert session is not None
        done = 0
        if requests.state is StreamState.HEADER:
            done, reply_bytes = session.fastpath(received, budget)
            session.out_bytes += reply_bytes
            budget -= reply_bytes
        if done < len(received):
            self._execute(requests.parse(received[done:], budget))
        else:
            requests.consumed()
            self._send()

    def _execute(self, found: Sequence[RawRequest]) -> None:
        session = self._session
        assert session is not None
        session.execute(found)
        if session.jobs:
            self._host.submit(self, session.export, session.jobs)
            session.jobs = []
        self._send()
        if self._requests.state is StreamState.CLOSED:
            if self._requests.failure is not None:
                self.close(str(self._requests.failure), violation=True)
            self._finishing = True

    def _go_on(self) -> None:
        """Go on with what was received but had to wait."""
        if self.phase is Phase.NEGOTIATION:
            self._negotiate()
        requests = self._requests
        while requests.blocked and self.phase is Phase.TRANSMISSION:
            budget = self._budget()
            if budget <= 0:
                return
            buffer = self._host.buffer
            self._take(buffer[: requests.load(buffer)], budget)

    def _budget(self) -> int:
        """Bytes that more requests may ask for, 0 or less when none may."""
        session = self._session
        if session is None:
            return 0
        if session.running >= self._limits.running_requests:
            return 0
        return self._limits.queued_bytes - session.out_bytes - session.reserved_bytes

    def _queued(self) -> int:
        return sum(map(len, self._out))

    def _send(self) -> None:
        """Send what is queued, as far as the socket takes it."""
        out, session = self._out, self._session
        while out:
            try:
                if session is not None and session.ranges:
                    count, file_sent = send_mixed(self._transport, out)
                    session.ranges -= file_sent
                else:
                    count = send_buffers(self._transport, out)
            except BlockingIOError:
                return
            self._stuck_since = None
            if session is not None:
                session.out_bytes -= count
                if session.out_bytes == 0:
                    out.clear()
                    return
            drop_sent(out, count)

    def _settle(self) -> None:
        """After anything happened: what to wait for now, or whether it is over."""
        if self.phase is Phase.CLOSED:
            return
        sent = not self._out and self._transport.flush()
        if self._finishing and sent and self.idle and not self._requests.blocked:
            self.close("all requests are answered")
            return
        if sent:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = self._host.clock()
        reading = not self._finishing
        if reading:
            if self.phase is Phase.TRANSMISSION:
                reading = not self._requests.blocked and self._budget() > 0
            else:
                reading = sent or self._queued() < self._limits.queued_bytes
        interest = (_IN if reading else 0) | (0 if sent else _OUT)
        if interest != self.interest:
            self.interest = interest
            self._host.watch(self.fd, interest)
