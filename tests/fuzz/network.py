"""The entries of what peers send: NBD clients to the server, an NBD server to the client.

The server's two state machines and its executor are driven as `serve.server.connection` drives them, without a socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.leaves.nbdhandshake import negotiate
from bootpath.core.errors import FormatError, RemoteProtocolError
from bootpath.formats.nbd import options as wire
from bootpath.formats.nbd import transmission as nbd
from bootpath.formats.nbd.transmission import Command, CommandFlag, Request, pack_request
from bootpath.serve.export import Export
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.handshake import Close, Enter, StartTls, Style, Tls
from bootpath.serve.nbd.negotiation import Negotiation
from bootpath.serve.nbd.requests import Requests
from bootpath.serve.nbd.session import Reply, Session
from bootpath.serve.statistics import Counters
from tests.fuzz.entry import Entry

EXPORT_BYTES = 64 << 10
LIMITS = Limits(options=20, option_bytes=256, payload_bytes=EXPORT_BYTES)
MAX_OUT_BYTES = 8 << 20
MAX_WANTED_BYTES = 16 << 10
ERRORS = (FormatError, RemoteProtocolError)

PARSERS: dict[str, Callable[[bytes], object]] = {
    "request": nbd.parse_request,
    "extended request": lambda data: nbd.parse_request(data, extended=True),
    "reply": nbd.parse_reply,
    "error": lambda data: nbd.parse_error(data, with_offset=False),
    "error with offset": lambda data: nbd.parse_error(data, with_offset=True),
    "hole": nbd.parse_hole,
    "block status": nbd.parse_block_status,
    "extended block status": lambda data: nbd.parse_block_status(data, extended=True),
    "status filter": nbd.parse_status_filter,
    "greeting": wire.parse_greeting,
    "option": wire.parse_option,
    "option reply": wire.parse_option_reply,
    "export reply": wire.parse_export_reply,
    "name": wire.parse_name,
    "info request": wire.parse_info_request,
    "meta query": wire.parse_meta_query,
    "info": wire.parse_info,
    "server": wire.parse_server,
    "meta context": wire.parse_meta_context,
}


EXECUTOR_LOG = logging.getLogger("bootpath.serve.nbd.session")


class Faults(logging.Handler):
    """Errors that the executor survives, and logs, while the block runs: other tests cause some on purpose."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[BaseException | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.exc_info[1] if record.exc_info else None)

    def __enter__(self) -> Faults:
        EXECUTOR_LOG.addHandler(self)
        return self

    def __exit__(self, *exception: object) -> None:
        EXECUTOR_LOG.removeHandler(self)


def _message(data: bytes) -> None:
    """The first byte says as which message the others are parsed."""
    tuple(PARSERS.values())[data[0] % len(PARSERS) if data else 0](data[1:])


def _server(data: bytes) -> None:
    """The first byte says what the server thinks of TLS; the others are one client's, to the end."""
    exports = {"disk": Export("disk", MemoryDevice(EXPORT_BYTES)), "": Export("", MemoryDevice(512, read_only=True))}
    negotiation = Negotiation(lambda: exports, limits=LIMITS, tls=list(Tls)[data[0] % len(Tls) if data else 0])
    negotiation.feed(data[1:])
    for event in iter(negotiation.next_event, None):
        if isinstance(event, Close) and event.violation:
            raise RemoteProtocolError(event.reason)
        if isinstance(event, Close | StartTls):
            return
        if isinstance(event, Enter):
            _transmission(event, negotiation.rest)


def _transmission(entered: Enter, received: bytes) -> None:
    with Faults() as faults:
        failure = _execute(entered, received)
    if faults.found:
        raise AssertionError("the executor failed") from faults.found[0]
    if failure is not None:
        raise failure


def _execute(entered: Enter, received: bytes) -> RemoteProtocolError | None:
    """Serve the client to its end; what it did against the protocol, or None."""
    replies: list[Reply] = []
    requests = Requests(LIMITS, extended=entered.style is Style.EXTENDED)
    session = Session(
        entered.export,
        entered.style,
        entered.contexts,
        any_bytes=entered.any_bytes,
        limits=LIMITS,
        counters=Counters(),
        deliver=replies.append,
    )
    session.spare = requests.spare
    done, _ = session.fastpath(memoryview(received), LIMITS.queued_bytes)
    view = memoryview(received)[done:]
    while view or requests.blocked:
        session.execute(requests.parse(view, LIMITS.queued_bytes))
        for job in session.jobs:
            job()
        session.jobs = []
        while replies:
            session.finish(replies.pop())
        assert session.running == session.reserved_bytes == 0
        assert sum(map(len, session.out)) <= MAX_OUT_BYTES
        rest = memoryview(bytearray(len(requests.held)))
        requests.load(rest)
        view = rest if requests.blocked else rest[:0]
    return requests.failure


def _client(data: bytes) -> None:
    """What a server sends to a client that asks for an export, up to where the client would wait for more."""
    first = data[0] if data else 0
    steps = negotiate("disk", sources=bool(first & 1), tls=bool(first & 2))
    position = 1
    answer: bytes | None = None
    try:
        while True:
            step = next(steps) if answer is None else steps.send(answer)
            answer = None
            if isinstance(step, int):
                assert 0 < step <= MAX_WANTED_BYTES
                answer = data[position : position + step]
                position += step
                if len(answer) < step:
                    return
    except StopIteration as end:
        export = end.value
    assert export.minimum_block > 0


def _servers() -> Sequence[bytes]:
    """Three clients: one for each style of headers."""
    go = wire.pack_option(wire.Option.GO, wire.pack_info_request(wire.InfoRequest("disk", (wire.Info.BLOCK_SIZE,))))
    query = wire.pack_meta_query(wire.MetaQuery("disk", ("base:allocation", "bootpath:source")))
    meta = wire.pack_option(wire.Option.SET_META_CONTEXT, query)
    heads = {
        Style.SIMPLE: wire.pack_option(wire.Option.LIST) + wire.pack_option(wire.Option.EXPORT_NAME, b"disk"),
        Style.STRUCTURED: wire.pack_option(wire.Option.STRUCTURED_REPLY) + meta + go,
        Style.EXTENDED: wire.pack_option(wire.Option.EXTENDED_HEADERS) + meta + go,
    }
    found = []
    for style, head in heads.items():
        extended = style is Style.EXTENDED
        write_flags = CommandFlag.PAYLOAD_LEN if extended else 0
        rows = [
            pack_request(Request(Command.WRITE, b"cookie01", 512, 8, write_flags), extended=extended) + b"12345678",
            *(
                pack_request(Request(command, b"cookie02", 0, 4096, 0), extended=extended)
                for command in (Command.READ, Command.TRIM, Command.WRITE_ZEROES, Command.CACHE, Command.BLOCK_STATUS)
            ),
            pack_request(Request(Command.FLUSH, b"cookie03", 0, 0, 0), extended=extended),
            pack_request(Request(Command.DISC, b"cookie04", 0, 0, 0), extended=extended),
        ]
        found.append(b"\0" + b"\0\0\0\x03" + head + b"".join(rows))
    return found


def _clients() -> Sequence[bytes]:
    """What our own server answers to our own client."""
    negotiation = Negotiation(lambda: {"disk": Export("disk", MemoryDevice(EXPORT_BYTES))}, limits=LIMITS)
    sent = b"\1"
    steps = negotiate("disk", sources=True)
    pending = b""
    answer: bytes | None = None
    try:
        while True:
            step = next(steps) if answer is None else steps.send(answer)
            answer = None
            if isinstance(step, bytes):
                negotiation.feed(step)
            else:
                pending += b"".join(getattr(event, "data", b"") for event in iter(negotiation.next_event, None))
                answer, pending = pending[:step], pending[step:]
                sent += answer
    except StopIteration:
        return [sent]


def _messages() -> Sequence[bytes]:
    return [bytes([number]) + bytes(20) for number in range(len(PARSERS))]


NETWORK = (
    Entry("nbd_message", _message, made=_messages, max_bytes=256),
    Entry("nbd_server", _server, ERRORS, made=_servers, max_bytes=1024, rounds=2000),
    Entry("nbd_client", _client, ERRORS, made=_clients, max_bytes=512),
)
