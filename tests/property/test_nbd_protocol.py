"""The two state machines of the NBD server: cuts do not matter, and no bytes make them fail but in the one way."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError, RemoteProtocolError
from bootpath.formats.nbd import options as wire
from bootpath.formats.nbd.transmission import Command, CommandFlag, Request, pack_request
from bootpath.serve.export import Export
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.handshake import Close, HandshakeEvent, HandshakeState, StartTls, Tls
from bootpath.serve.nbd.negotiation import Negotiation
from bootpath.serve.nbd.requests import Payload, PayloadPiece, Requests, StreamState
from tests.fuzz.network import PARSERS

EXPORTS = {"disk": Export("disk", MemoryDevice(1 << 20)), "other": Export("other", MemoryDevice(512))}
LIMITS = Limits(options=20, option_bytes=256)

names = st.sampled_from(["disk", "other", "", "absent", "ü" * 60])
queries = st.lists(st.sampled_from(["base:", "base:allocation", "bootpath:source", "x:y", "nothing"]), max_size=4)
options = st.one_of(
    st.builds(wire.pack_option, st.sampled_from(list(wire.Option)), st.binary(max_size=300)),
    st.builds(wire.pack_option, st.integers(0, 2**32 - 1)),
    st.sampled_from([wire.Option.STRUCTURED_REPLY, wire.Option.EXTENDED_HEADERS, wire.Option.LIST]).map(
        wire.pack_option
    ),
    st.builds(
        lambda option, name, infos: wire.pack_option(option, wire.pack_info_request(wire.InfoRequest(name, infos))),
        st.sampled_from([wire.Option.INFO, wire.Option.GO]),
        names,
        st.lists(st.integers(0, 5), max_size=4).map(tuple),
    ),
    st.builds(
        lambda option, name, found: wire.pack_option(option, wire.pack_meta_query(wire.MetaQuery(name, tuple(found)))),
        st.sampled_from([wire.Option.LIST_META_CONTEXT, wire.Option.SET_META_CONTEXT]),
        names,
        queries,
    ),
)
handshakes = st.builds(
    lambda flags, parts, tail: flags + b"".join(parts) + tail,
    st.sampled_from([b"\0\0\0\x03", b"\0\0\0\x01", b"\0\0\0\0"]),
    st.lists(options, max_size=8),
    st.binary(max_size=40),
)
cuts = st.lists(st.integers(0, 4000), max_size=12)


def pieces_of(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(edges)]


def negotiate(parts: list[bytes], tls: Tls) -> tuple[list[HandshakeEvent], bytes]:
    negotiation = Negotiation(lambda: EXPORTS, limits=LIMITS, tls=tls)
    events: list[HandshakeEvent] = []
    for part in [b"", *parts]:
        negotiation.feed(part)
        events += iter(negotiation.next_event, None)
    return events, negotiation.rest if negotiation.state is HandshakeState.DONE else b""


@given(handshakes, cuts)
def test_a_handshake_does_not_depend_on_cuts(data: bytes, places: list[int]) -> None:
    assert negotiate(pieces_of(data, places), Tls.OFF) == negotiate([data], Tls.OFF)


@given(st.one_of(handshakes, st.binary(max_size=200)), cuts, st.sampled_from(list(Tls)))
def test_a_handshake_ends_or_wants_more(data: bytes, places: list[int], tls: Tls) -> None:
    events, _ = negotiate(pieces_of(data, places), tls)
    assert not any(isinstance(event, Close) for event in events[:-1])
    starts = [index for index, event in enumerate(events) if isinstance(event, StartTls)]
    assert all(isinstance(event, Close) for index in starts for event in events[index + 1 :])


@pytest.mark.parametrize("name", PARSERS)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=20).map(lambda tail: bytes(7) + b"\x04" + tail)))
def test_a_parser_gives_a_value_or_a_format_error(name: str, data: bytes) -> None:
    with suppress(FormatError):
        PARSERS[name](data)


@given(st.builds(wire.MetaQuery, names, queries.map(tuple)))
def test_meta_queries_come_back(query: wire.MetaQuery) -> None:
    assert wire.parse_meta_query(wire.pack_meta_query(query)) == query


@given(st.builds(wire.InfoRequest, names, st.lists(st.integers(0, 0xFFFF), max_size=9).map(tuple)))
def test_info_requests_come_back(request: wire.InfoRequest) -> None:
    assert wire.parse_info_request(wire.pack_info_request(request)) == request


lengths = st.one_of(st.integers(0, 5000), st.sampled_from([70_000, 300_000, 2**25, 2**25 + 1, 2**32 - 1]))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bool]:
    """A row of requests, perhaps with nonsense at the end, and whether it is extended."""
    extended = draw(st.booleans())
    parts: list[bytes] = []
    for _ in range(draw(st.integers(0, 6))):
        command = draw(st.one_of(st.integers(0, 9), st.just(0), st.just(1)))
        flags = draw(st.sampled_from([0, 0, 1, 4, 32, 33, 0xFFFF]))
        length = draw(lengths)
        parts.append(pack_request(Request(command, b"cookie!!", draw(lengths), length, flags), extended=extended))
        if command == Command.WRITE or (extended and flags & CommandFlag.PAYLOAD_LEN):
            parts.append(bytes([len(parts)]) * min(length, 400_000))
    parts.append(draw(st.binary(max_size=64)))
    return b"".join(parts), extended


def flat(what: object) -> object:
    if isinstance(what, memoryview):
        return bytes(what)
    if isinstance(what, Payload):
        return what.key, bytes(what.view)
    return what


def receive(parts: list[bytes], *, extended: bool, budget: int) -> tuple[list[tuple[object, ...]], str | None]:
    """What a caller would see: whole payloads, however they came."""
    requests = Requests(Limits(), extended=extended)
    found: list[tuple[object, ...]] = []
    payload = bytearray()

    def take(rows: object) -> None:
        for what, cookie, offset, length in rows:  # type: ignore[attr-defined]
            if isinstance(what, PayloadPiece):
                assert what.offset == offset + len(payload)
                payload.extend(what.view)
                if len(payload) == length:
                    key = what.transfer.key
                    whole = bytes(payload)
                    found.append((whole if key == Command.WRITE else (key, whole), cookie, offset, length))
                    payload.clear()
            else:
                found.append((flat(what), cookie, offset, length))

    for part in parts:
        rest = part
        while rest or requests.blocked:
            if requests.direct is not None:
                count = min(len(requests.direct), len(rest))
                requests.direct[:count] = rest[:count]
                take(requests.received(count))
            else:
                buffer = memoryview(bytearray(len(requests.held) + len(rest)))
                held = requests.load(buffer)
                buffer[held:] = rest
                count = len(rest)
                take(requests.parse(buffer, budget))
            rest = rest[count:]
    assert (requests.failure is not None) <= (requests.state is StreamState.CLOSED)
    if requests.failure is not None:
        assert isinstance(requests.failure, RemoteProtocolError)
    return found, None if requests.failure is None else str(requests.failure)


@settings(max_examples=150)
@given(streams(), st.lists(st.integers(0, 2**22), max_size=12), st.sampled_from([1, 5000, 1 << 24]))
def test_requests_do_not_depend_on_cuts(stream: tuple[bytes, bool], places: list[int], budget: int) -> None:
    data, extended = stream
    whole = receive([data], extended=extended, budget=1 << 40)
    assert receive(pieces_of(data, places), extended=extended, budget=budget) == whole


@given(st.binary(max_size=2000), st.booleans())
def test_garbage_ends_the_stream(data: bytes, extended: bool) -> None:
    found, failure = receive([data], extended=extended, budget=1 << 24)
    assert found == []
    assert failure is None or "magic" in failure
