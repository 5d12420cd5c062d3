"""Requests in, answers out, one of each for a connection, and nobody waits for anybody.

One thread waits for all sockets. It collects the head of a request, hands it to one of `WORKERS` threads, which may
have to wait for what is shown, and sends what they make of it as fast as the client takes it. So a client that says
nothing, or reads nothing, costs a descriptor and no thread, and not for long:

- a head must be there `CLIENT_SECONDS` after the connection, and has `REQUEST_BYTES` at most; so long may its answer be
  made, and so long taken;
- of more than `MAX_CLIENTS` the one goes whose time is over first: it has done nothing for the longest.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from bootpath.serve.server.loop import Wake

MAX_CLIENTS = 64
CLIENT_SECONDS = 5.0
REQUEST_BYTES = 16 << 10
WORKERS = 4
_RETRY_SECONDS = 0.1

_log = logging.getLogger(__name__)


class _Client:
    """One connection."""

    def __init__(self, connected: socket.socket, peer: str) -> None:
        connected.setblocking(False)
        self.socket = connected
        self.peer = peer
        self.local: str = connected.getsockname()[0]
        self.head = bytearray()
        self.rest = memoryview(b"")
        self.deadline = 0.0


class Exchange:
    """Serves a listening socket, which it owns: `answer` makes bytes of a head, and the addresses of both ends."""

    def __init__(self, listener: socket.socket, answer: Callable[[bytes, str, str], bytes]) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._answer = answer
        self._wake = Wake()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake.fd, selectors.EVENT_READ, self._wake.clear)
        self._clients: dict[_Client, None] = {}  # in the order of their deadlines
        self._heads: queue.SimpleQueue[_Client | None] = queue.SimpleQueue()
        self._answers: deque[tuple[_Client, bytes]] = deque()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve in daemon threads until `close`."""
        self._thread = threading.Thread(target=self._run, name="status-page", daemon=True)
        self._thread.start()
        for _ in range(WORKERS):
            threading.Thread(target=self._work, name="status-answer", daemon=True).start()

    def close(self) -> None:
        """Drop all clients. A worker that waits for something ends with the process, or when it comes back."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            for _ in range(WORKERS):
                self._heads.put(None)
        for client in tuple(self._clients):
            self._drop(client)
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            soonest = next(iter(self._clients), None)
            timeout = None if soonest is None else max(0.0, soonest.deadline - time.monotonic())
            for key, _ in self._selector.select(timeout):
                key.data()
            while self._answers:
                client, answer = self._answers.popleft()
                if client in self._clients:
                    self._begin(client, answer)
            now = time.monotonic()
            for client in tuple(self._clients):
                if client.deadline > now:
                    break
                self._drop(client)

    def _accept(self) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            self._drop_oldest()
        try:
            connected, address = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("status page: cannot accept a connection: %s", error)
            if not self._drop_oldest():  # no descriptors left: it stays in the backlog
                self._closing.wait(_RETRY_SECONDS)
            return
        client = _Client(connected, str(address[0]))
        self._renew(client)
        self._selector.register(connected, selectors.EVENT_READ, partial(self._receive, client))

    def _receive(self, client: _Client) -> None:
        if client not in self._clients:
            return  # dropped by an event before this one
        try:
            part = client.socket.recv(REQUEST_BYTES - len(client.head))
        except BlockingIOError:
            return
        except OSError:
            part = b""
        client.head += part
        if b"\r\n\r\n" in client.head or b"\n\n" in client.head:
            self._selector.unregister(client.socket)
            self._renew(client)
            self._heads.put(client)
        elif not part or len(client.head) >= REQUEST_BYTES:
            self._drop(client)

    def _begin(self, client: _Client, answer: bytes) -> None:
        self._renew(client)
        client.rest = memoryview(answer)
        self._selector.register(client.socket, selectors.EVENT_WRITE, partial(self._send, client))

    def _send(self, client: _Client) -> None:
        if client not in self._clients:
            return
        try:
            client.rest = client.rest[client.socket.send(client.rest) :]
        except BlockingIOError:
            return
        except OSError as error:
            _log.debug("%s: %s", client.peer, error)
            client.rest = memoryview(b"")
        if not client.rest:
            self._drop(client)

    def _renew(self, client: _Client) -> None:
        """It has done something: its time begins anew."""
        client.deadline = time.monotonic() + CLIENT_SECONDS
        self._clients.pop(client, None)
        self._clients[client] = None

    def _drop_oldest(self) -> bool:
        for client in self._clients:
            self._drop(client)
            return True
        return False

    def _drop(self, client: _Client) -> None:
        del self._clients[client]
        with contextlib.suppress(KeyError):  # not while its answer is made
            self._selector.unregister(client.socket)
        with contextlib.suppress(OSError):
            client.socket.shutdown(socket.SHUT_WR)
        client.socket.close()

    # Workers

    def _work(self) -> None:
        while (client := self._heads.get()) is not None:
            try:
                answer = self._answer(bytes(client.head), client.local, client.peer)
            except Exception:  # noqa: BLE001 - a worker's border
                _log.exception("status page: a request failed")
                answer = b""
            self._answers.append((client, answer))
            self._wake.set()
