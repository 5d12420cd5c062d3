from __future__ import annotations

from collections.abc import Sequence

import pytest

from bootpath.formats.nbd.transmission import Command, CommandFlag, Request, pack_request, request_head
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.requests import (
    BATCH,
    LARGE_BYTES,
    PIECE_BYTES,
    Payload,
    PayloadPiece,
    RawRequest,
    Requests,
    StreamState,
)

COOKIE = b"12345678"


def pack(command: int, offset: int = 0, length: int = 0, flags: int = 0, *, extended: bool = False) -> bytes:
    return pack_request(Request(command, COOKIE, offset, length, flags), extended=extended)


def parse(requests: Requests, data: bytes, budget: int = 1 << 30) -> Sequence[RawRequest]:
    buffer = memoryview(bytearray(len(requests.held) + len(data)))
    held = requests.load(buffer)
    buffer[held:] = data
    return requests.parse(buffer, budget)


def plain(found: Sequence[RawRequest]) -> list[tuple[object, ...]]:
    """Requests as values: payloads as bytes."""
    result: list[tuple[object, ...]] = []
    for what, cookie, offset, length in found:
        assert cookie == COOKIE
        if isinstance(what, memoryview):
            result.append((bytes(what), offset, length))
        elif isinstance(what, Payload):
            result.append((what.key, bytes(what.view), offset, length))
        elif isinstance(what, PayloadPiece):
            result.append((what.offset, bytes(what.view), offset, length))
        else:
            result.append((what, offset, length))
    return result


@pytest.mark.parametrize("extended", [False, True])
def test_requests(extended: bool) -> None:
    requests = Requests(Limits(), extended=extended)
    flags = CommandFlag.PAYLOAD_LEN if extended else 0
    stream = b"".join(
        (
            pack(Command.READ, 0, 512, extended=extended),
            pack(Command.WRITE, 512, 4, flags, extended=extended) + b"data",
            pack(Command.WRITE, 512, 3, flags | CommandFlag.FUA, extended=extended) + b"fua",
            pack(Command.TRIM, 1024, 0xFFFFFFFF, extended=extended),
            pack(99, extended=extended),
        )
    )
    assert plain(parse(requests, stream)) == [
        (request_head(Command.READ, extended=extended), 0, 512),
        (b"data", 512, 4),
        (CommandFlag.FUA << 16 | Command.WRITE, b"fua", 512, 3),
        (request_head(Command.TRIM, extended=extended), 1024, 0xFFFFFFFF),
        (request_head(99, extended=extended), 0, 0),
    ]


@pytest.mark.parametrize("count", [1, 2, 16, BATCH])
def test_a_batch_of_reads(count: int) -> None:
    requests = Requests(Limits())
    stream = b"".join(pack(Command.READ, index * 512, 512) for index in range(count))
    assert [row[2] for row in parse(requests, stream)] == [index * 512 for index in range(count)]
    assert not requests.blocked
    assert requests.held == b""


def test_qemu_writes_without_payload_len() -> None:
    """qemu's client negotiates extended headers and does not set the flag that a write must have."""
    requests = Requests(Limits(), extended=True)
    assert plain(parse(requests, pack(Command.WRITE, 0, 4, extended=True) + b"data")) == [(b"data", 0, 4)]


def test_a_payload_of_another_command() -> None:
    requests = Requests(Limits(), extended=True)
    key = CommandFlag.PAYLOAD_LEN << 16 | Command.BLOCK_STATUS
    stream = pack(Command.BLOCK_STATUS, 0, 12, CommandFlag.PAYLOAD_LEN, extended=True) + b"twelve bytes"
    assert plain(parse(requests, stream)) == [(key, b"twelve bytes", 0, 12)]


def test_a_small_payload_is_waited_for() -> None:
    requests = Requests(Limits())
    assert parse(requests, pack(Command.WRITE, 0, 4096) + b"x" * 4095) == []
    assert not requests.blocked
    assert plain(parse(requests, b"y")) == [(b"x" * 4095 + b"y", 0, 4096)]


def test_a_large_payload_comes_in_pieces() -> None:
    requests = Requests(Limits())
    length = 2 * PIECE_BYTES + 512
    assert parse(requests, pack(Command.WRITE, 4096, length) + b"a" * 100) == []
    assert requests.held == b""
    pieces: list[PayloadPiece] = []
    sent = 100
    while sent < length:
        assert requests.direct is not None
        count = min(100_000, len(requests.direct), length - sent)
        requests.direct[:count] = b"a" * count
        sent += count
        for what, _, _, _ in requests.received(count):
            assert isinstance(what, PayloadPiece)
            pieces.append(what)
    assert [(piece.offset, len(piece.view)) for piece in pieces] == [
        (4096, PIECE_BYTES),
        (4096 + PIECE_BYTES, PIECE_BYTES),
        (4096 + 2 * PIECE_BYTES, 512),
    ]
    assert len({id(piece.transfer) for piece in pieces}) == 1
    assert all(set(bytes(piece.view)) == {ord("a")} for piece in pieces)
    assert requests.direct is None
    assert plain(parse(requests, pack(Command.FLUSH))) == [(request_head(Command.FLUSH), 0, 0)]


def test_a_large_payload_that_is_complete_is_one() -> None:
    data = b"z" * (LARGE_BYTES + 512)
    found = plain(parse(Requests(Limits()), pack(Command.WRITE, 0, len(data)) + data))
    assert found == [(data, 0, len(data))]


def test_budget_stops_and_goes_on() -> None:
    requests = Requests(Limits())
    stream = b"".join(pack(Command.READ, index, 4096) for index in range(10))
    assert len(parse(requests, stream, budget=4096 * 3)) == 3
    assert requests.blocked
    assert len(parse(requests, b"", budget=1)) == 1
    assert len(parse(requests, b"")) == 6
    assert not requests.blocked


def test_batches_are_bounded() -> None:
    requests = Requests(Limits())
    assert len(parse(requests, pack(Command.READ, 0, 1) * (BATCH + 1))) == BATCH
    assert requests.blocked
    assert len(parse(requests, b"")) == 1


def test_disconnect() -> None:
    requests = Requests(Limits())
    found = parse(requests, pack(Command.READ) + pack(Command.DISC) + pack(Command.READ))
    assert len(found) == 2
    assert requests.state is StreamState.CLOSED
    assert requests.failure is None
    assert parse(requests, pack(Command.READ)) == []
    assert requests.end()


@pytest.mark.parametrize("extended", [False, True])
def test_wrong_magic(extended: bool) -> None:
    requests = Requests(Limits(), extended=extended)
    found = parse(
        requests, pack(Command.READ, extended=extended) + pack(Command.READ, extended=not extended) + bytes(8)
    )
    assert len(found) == 1
    assert requests.state is StreamState.CLOSED
    assert "magic" in str(requests.failure)


def test_a_payload_above_the_limit() -> None:
    requests = Requests(Limits(payload_bytes=1 << 20))
    assert parse(requests, pack(Command.WRITE, 0, (1 << 20) + 1)) == []
    assert "payload" in str(requests.failure)


def test_the_end_in_the_middle() -> None:
    requests = Requests(Limits())
    parse(requests, pack(Command.READ)[:5])
    assert not requests.end()
    requests = Requests(Limits())
    parse(requests, pack(Command.WRITE, 0, 1 << 20))
    assert not requests.end()
    assert Requests(Limits()).end()
