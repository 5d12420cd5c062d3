"""The status page: a small read-only HTTP server beside the NBD one.

============= ==========================================================
/             the page, `status.html`, which asks for the next every second
/status.json  the status (docs/schemas/status.json)
/metrics      the same for Prometheus
/healthz      "ok", for everybody
============= ==========================================================

It must not be a way in, nor a way to slow down the disk:

- GET and HEAD only, every path from a literal table, nothing is read from the request but its path, Host and
  Authorization.
- With a token (`token`) it shows nothing to who does not know it but that it is there.
- "DNS rebinding": a page from elsewhere can make its own name resolve to this machine, and then read what the browser
  takes for its own origin. It cannot forge the Host header, which must name a loopback, or the address that was
  connected to or listened on. A browser gives a token only to the name that it was typed for: who shows it may use any.
- A strict Content-Security-Policy (the page's own script and style by their hashes), no caching, no CORS.
- One daemon thread (`exchange`), in which nobody waits for anybody: whatever fails here is logged and ends one
  connection.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import logging
import re
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from bootpath.core.errors import DeviceError
from bootpath.serve.monitor import prometheus
from bootpath.serve.monitor.exchange import REQUEST_BYTES, Exchange
from bootpath.serve.monitor.status import ServiceStatus, StatusSource, as_json
from bootpath.serve.monitor.token import CHALLENGE, admits

_BACKLOG = 128
_METHODS = ("GET", "HEAD")
_OPEN = "/healthz"
_TEXT = "text/plain; charset=utf-8"

_log = logging.getLogger(__name__)


class _Request(BaseHTTPRequestHandler):
    """One request, whose head is there, and its answer: no socket is touched."""

    server_version = "bootpath"
    sys_version = ""

    def __init__(self, page: StatusServer, head: bytes, local: str, peer: str) -> None:
        self.page = page
        self.local = local
        self.client_address = (peer, 0)
        self.rfile = BytesIO(head)
        self.wfile = self.answer = BytesIO()
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(REQUEST_BYTES)
        if self.raw_requestline and self.parse_request():
            self._answer(*self._response())

    def _response(self) -> tuple[HTTPStatus, str, bytes]:
        if self.command not in _METHODS:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        path = self.path.partition("?")[0]
        if self.page.token is None:
            hosts = self.headers.get_all("Host", [])
            if len(hosts) != 1 or not self.page.is_ours(hosts[0], self.local):
                return _plain(HTTPStatus.MISDIRECTED_REQUEST)
        elif path != _OPEN and not admits(self.page.token, self.headers.get("Authorization", "")):
            return _plain(HTTPStatus.UNAUTHORIZED)
        found = self.page.pages.get(path)
        if found is None:
            return _plain(HTTPStatus.NOT_FOUND)
        content_type, make = found
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
        self.send_header("Content-Security-Policy", self.page.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ", ".join(_METHODS))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", CHALLENGE)
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


class StatusServer:
    """Shows the status that `source` gives, on an address; port 0 takes any, see `url`. Raises DeviceError."""

    def __init__(self, source: StatusSource, host: str, port: int, *, token: bytes | None = None) -> None:
        page = resources.files("bootpath.serve").joinpath("status.html").read_text("utf-8")
        self.token = token
        self.policy = _policy(page)
        self.pages: dict[str, tuple[str, Callable[[], str]]] = {
            "/": ("text/html; charset=utf-8", lambda: page),
            "/status.json": ("application/json", lambda: self._json(source.current())),
            "/metrics": (prometheus.CONTENT_TYPE, lambda: prometheus.render(source.current(look=False))),
            _OPEN: (_TEXT, lambda: "ok\n"),
        }
        self._host = host
        self._packed: tuple[ServiceStatus, str] | None = None
        listener = _listen(host, port)
        self.host, self.port = listener.getsockname()[:2]
        self._exchange = Exchange(listener, self.answer)

    def _json(self, status: ServiceStatus) -> str:
        """The status as JSON; many watchers get the same one."""
        packed = self._packed
        if packed is None or packed[0] is not status:
            self._packed = packed = (status, json.dumps(as_json(status)))
        return packed[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

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

    def answer(self, head: bytes, local: str, peer: str) -> bytes:
        """The answer to a request's head, which came to the address `local`; empty for what deserves none."""
        return _Request(self, head, local, peer).answer.getvalue()

    def start(self) -> None:
        """Serve in a daemon thread until `close`."""
        self._exchange.start()

    def close(self) -> None:
        """Take no more clients. Answers that are under way are dropped."""
        self._exchange.close()


def _listen(host: str, port: int) -> socket.socket:
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise DeviceError(
            f"the status page cannot listen: {error.strerror or error}",
            errno=error.errno or errno.EIO,
            where=f"{host}:{port}",
        ) from error
    return listener


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
