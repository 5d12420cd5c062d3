"""The status page: a small read-only HTTP server beside the NBD one.

============= ==========================================================
/             the page, `status.html`, which asks for the next every second
/status.json  the status (docs/schemas/status.json)
/metrics      the same for Prometheus
/healthz      "ok"
============= ==========================================================

It must not be a way in, nor a way to slow down the disk:

- GET and HEAD only, every path from a literal table, nothing is read from the request but its path and its Host.
- "DNS rebinding": a page from elsewhere can make its own name resolve to this machine, and then read what the browser
  takes for its own origin. It cannot forge the Host header, which must name a loopback, or the address that was
  connected to or listened on.
- A strict Content-Security-Policy (the page's own script and style by their hashes), no caching, no CORS.
- At most `MAX_CLIENTS` at a time, the others are dropped; a request is `REQUEST_BYTES` at most and must be there, and
  its answer taken, within `CLIENT_SECONDS`; one request a connection.
- It runs in daemon threads, and whatever fails here is logged and ends one connection.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from bootpath.core.errors import DeviceError
from bootpath.serve.monitor import prometheus
from bootpath.serve.monitor.status import ServiceStatus, StatusSource, as_json

MAX_CLIENTS = 16
CLIENT_SECONDS = 5.0
REQUEST_BYTES = 16 << 10
_RETRY_SECONDS = 0.1
_METHODS = ("GET", "HEAD")
_TEXT = "text/plain; charset=utf-8"

_log = logging.getLogger(__name__)


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: StatusServer
    server_version = "bootpath"
    sys_version = ""

    def setup(self) -> None:
        """Read the request here: a socket's timeout is for one read, and a client could send one byte at a time."""
        super().setup()
        self.connection.settimeout(CLIENT_SECONDS)
        self.rfile.close()
        self.rfile = BytesIO(_receive(self.connection))

    def handle(self) -> None:
        self.raw_requestline = self.rfile.readline(REQUEST_BYTES)
        if self.raw_requestline and self.parse_request():
            self._answer(*self._response())

    def _response(self) -> tuple[HTTPStatus, str, bytes]:
        if self.command not in _METHODS:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.is_ours(hosts[0], self.connection.getsockname()[0]):
            return _plain(HTTPStatus.MISDIRECTED_REQUEST)
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            return _plain(HTTPStatus.NOT_FOUND)
        content_type, make = page
        try:
            return HTTPStatus.OK, content_type, make().encode()
        except Exception:  # noqa: BLE001 - a worker's border: the page fails, the server does not
            _log.exception("status page: %s failed", self.path)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ", ".join(_METHODS))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by `parse_request` for a request that it cannot parse."""
        self.command = self.command or "GET"
        self._answer(*_plain(HTTPStatus(code)))

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class names it
        _log.debug("%s: %r", self.address_string(), format % arguments)


class StatusServer(ThreadingHTTPServer):
    """Shows the status that `source` gives, on an address; port 0 takes any, see `url`. Raises DeviceError."""

    allow_reuse_port = False
    daemon_threads = True
    request_queue_size = MAX_CLIENTS

    def __init__(self, source: StatusSource, host: str, port: int) -> None:
        page = resources.files("bootpath.serve").joinpath("status.html").read_text("utf-8")
        self.policy = _policy(page)
        self.pages: dict[str, tuple[str, Callable[[], str]]] = {
            "/": ("text/html; charset=utf-8", lambda: page),
            "/status.json": ("application/json", lambda: self._json(source.current())),
            "/metrics": (prometheus.CONTENT_TYPE, lambda: prometheus.render(source.current(look=False))),
            "/healthz": (_TEXT, lambda: "ok\n"),
        }
        self._host = host
        self._packed: tuple[ServiceStatus, str] | None = None
        self._slots = threading.BoundedSemaphore(MAX_CLIENTS)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = found[0]
            super().__init__(found[4][:2], _Handler)  # type: ignore[arg-type]  # host and port of either family
        except OSError as error:
            raise DeviceError(
                f"the status page cannot listen: {error.strerror or error}",
                errno=error.errno or errno.EIO,
                where=f"{host}:{port}",
            ) from error

    def _json(self, status: ServiceStatus) -> str:
        """The status as JSON; many watchers get the same one."""
        packed = self._packed
        if packed is None or packed[0] is not status:
            self._packed = packed = (status, json.dumps(as_json(status)))
        return packed[1]

    def server_bind(self) -> None:
        """Bind, without asking a name server who we are as HTTPServer does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self._host, self.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"

    def is_ours(self, host: str, local: str) -> bool:
        """True when a Host header names this machine's loopback, where we listen, or the address connected to."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        name = name.rstrip(".")
        if name == "localhost" or name.endswith(".localhost") or name == self._host.lower():
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or address == _address(local))

    # Life

    def start(self) -> None:
        """Serve in a daemon thread until `close`."""
        self._thread = threading.Thread(target=self.serve_forever, name="status-page", daemon=True)
        self._thread.start()

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Accept until `close`. Waits in accept, so that nothing wakes up while nobody asks."""
        while not self._closing.is_set():
            try:
                request, address = self.get_request()
            except OSError as error:
                if not self._closing.wait(_RETRY_SECONDS):  # no descriptors left: it stays in the backlog
                    _log.warning("status page: cannot accept a connection: %s", error)
                continue
            self.process_request(request, address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or drop the client when there are too many."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError as error:
            _log.warning("status page: cannot start a thread: %s", error)
            self._slots.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Run in the client's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client left, or was too slow."""
        _log.debug("%s", client_address, exc_info=True)

    def close(self) -> None:
        """Take no more clients. Answers that are under way are dropped with the process."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # ends accept
        if self._thread is not None:
            self._thread.join()
        self.server_close()


def _receive(connection: socket.socket) -> bytes:
    """A request's head; nothing when it does not end, or not soon enough. TimeoutError when it is not there in time."""
    deadline = time.monotonic() + CLIENT_SECONDS
    received = b""
    while b"\r\n\r\n" not in received and b"\n\n" not in received and len(received) < REQUEST_BYTES:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(REQUEST_BYTES - len(received))
        if not part:
            return b""
        received += part
    connection.settimeout(CLIENT_SECONDS)
    return received if b"\r\n\r\n" in received or b"\n\n" in received else b""


def _plain(status: HTTPStatus) -> tuple[HTTPStatus, str, bytes]:
    return status, _TEXT, f"{status.value} {status.phrase}\n".encode()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _policy(page: str) -> str:
    """Nothing but what the page itself contains, and its own server."""
    hashes = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("style", "script")
    }
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
