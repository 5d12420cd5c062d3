from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from bootpath.serve.monitor import exchange
from bootpath.serve.monitor.exchange import MAX_CLIENTS, REQUEST_BYTES, WORKERS, Exchange

TIMEOUT_SECONDS = 60.0
LARGE = bytes(8 << 20)
"""More than the buffers of two sockets take."""


@contextmanager
def running(answer: Callable[[bytes, str, str], bytes]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    served = Exchange(listener, answer)
    served.start()
    try:
        yield listener.getsockname()[1]
    finally:
        served.close()


def echo(head: bytes, local: str, peer: str) -> bytes:
    return LARGE if head.startswith(b"LARGE") else head


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)


def exchanged(port: int, head: bytes = b"GET\r\n\r\n") -> bytes:
    with connect(port) as client:
        client.sendall(head)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def port() -> Iterator[int]:
    with running(echo) as port:
        yield port


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_addresses_are_told() -> None:
    with running(lambda head, local, peer: f"{local} {peer}".encode()) as port:
        assert exchanged(port) == b"127.0.0.1 127.0.0.1"


def test_a_head_in_parts(port: int) -> None:
    with connect(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\n\r\n":
            client.send(bytes([byte]))
        assert client.recv(100).startswith(b"GET /")


def test_idle_clients_keep_nobody_out(port: int, stack: ExitStack) -> None:
    idle = [stack.enter_context(connect(port)) for _ in range(500)]
    assert exchanged(port) == b"GET\r\n\r\n"
    # Only so many are kept, and those that came first go first.
    assert idle[0].recv(1) == b""


def test_clients_that_send_one_byte_a_time_keep_nobody_out(port: int, stack: ExitStack) -> None:
    slow = [stack.enter_context(connect(port)) for _ in range(500)]
    for letter in b"GET":
        for client in slow:
            with contextlib.suppress(OSError):
                client.send(bytes([letter]))
        assert exchanged(port) == b"GET\r\n\r\n"


def test_clients_that_read_nothing_keep_nobody_out(port: int, stack: ExitStack) -> None:
    for _ in range(500):
        client = stack.enter_context(connect(port))
        with contextlib.suppress(OSError):
            client.sendall(b"LARGE\n\n")
    assert exchanged(port) == b"GET\r\n\r\n"


def test_a_large_answer_to_who_reads_it(port: int) -> None:
    assert exchanged(port, b"LARGE\n\n") == LARGE


def test_an_answer_that_waits_is_waited_for_by_one() -> None:
    entered, release = threading.Event(), threading.Event()

    def answer(head: bytes, local: str, peer: str) -> bytes:
        if head.startswith(b"WAIT"):
            entered.set()
            release.wait(TIMEOUT_SECONDS)
        return head

    with running(answer) as port, connect(port) as waiting:
        waiting.sendall(b"WAIT\n\n")
        assert entered.wait(TIMEOUT_SECONDS)
        for _ in range(2 * WORKERS):
            assert exchanged(port) == b"GET\r\n\r\n"
        release.set()
        assert waiting.recv(100) == b"WAIT\n\n"


@pytest.mark.parametrize("head", [b"", b"GET", b"x" * REQUEST_BYTES, b"x" * (REQUEST_BYTES + 1)])
def test_what_is_no_head_has_no_answer(port: int, head: bytes) -> None:
    with connect(port) as client:
        with contextlib.suppress(OSError):  # dropped already
            client.sendall(head)
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert exchanged(port) == b"GET\r\n\r\n"


def test_an_answer_that_fails_ends_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    def answer(head: bytes, local: str, peer: str) -> bytes:
        if head.startswith(b"FAIL"):
            raise RuntimeError("broken")
        return head

    with running(answer) as port:
        for _ in range(2 * WORKERS):
            assert exchanged(port, b"FAIL\n\n") == b""
        assert exchanged(port) == b"GET\r\n\r\n"
    assert "broken" in caplog.text


@pytest.mark.parametrize("head", [b"", b"GET / HTT", b"LARGE\n\n"])
def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """Nothing was said, not all of it, or nothing is read: the connection ends, and not all is sent."""
    monkeypatch.setattr(exchange, "CLIENT_SECONDS", 0.05)
    ended = threading.Event()

    drop = Exchange._drop

    def noting(self: Exchange, client: exchange._Client) -> None:
        drop(self, client)
        ended.set()

    monkeypatch.setattr(Exchange, "_drop", noting)
    with running(echo) as port, connect(port) as client:
        client.sendall(head)
        assert ended.wait(TIMEOUT_SECONDS)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(65536):
                received += len(part)
        assert received < len(LARGE)


def test_descriptors_that_are_used_up_come_back(port: int, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    """A connection that cannot be accepted takes the place of the oldest."""
    idle = stack.enter_context(connect(port))
    idle.sendall(b"G")
    monkeypatch.setattr(exchange, "_RETRY_SECONDS", 0.001)
    accept, failures = socket.socket.accept, iter([24, 24, 24])

    def failing(self: socket.socket) -> tuple[socket.socket, object]:
        for code in failures:
            raise OSError(code, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    assert exchanged(port) == b"GET\r\n\r\n"
    assert idle.recv(1) == b""


def test_closing_drops_everybody() -> None:
    with ExitStack() as stack:
        with running(echo) as port:
            clients = [stack.enter_context(connect(port)) for _ in range(MAX_CLIENTS)]
            assert exchanged(port) == b"GET\r\n\r\n"
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""


def test_closing_before_starting() -> None:
    Exchange(socket.create_server(("127.0.0.1", 0)), echo).close()
