"""An HTTP server on the loopback for tests of range reads, which can be told to misbehave."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENDLESS_BYTES = 256 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d+)?")


@dataclass
class Object:
    """What is served, and how. `script` holds one entry for each coming GET: a status to fail with, or a manner."""

    content: bytes
    etag: str | None = '"one"'
    script: list[str | int] = field(default_factory=list)
    modified: str | None = None
    ranges: bool = True
    ignore_if_match: bool = False


class RangeServer:
    """Serves `objects` by path. Manners: "truncate" half of the body, "ignore-range", "stall" until `release`, "drop"
    the connection, "wrong-range" in the answer, "endless": far more than was asked for, counted in `sent_bytes`;
    "redirect:<path>" sends elsewhere."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, Object] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.release = threading.Event()
        self.stalled = threading.Semaphore(0)
        self.sent_bytes = 0
        self.on_get: Callable[[int], None] | None = None
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
                pass

            def do_HEAD(self) -> None:
                outer._answer(self, "HEAD")

            def do_GET(self) -> None:
                outer._answer(self, "GET")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}{path}"

    def gets(self) -> list[str | None]:
        """The ranges of the GETs so far."""
        with self._lock:
            return [header for method, _, header in self.requests if method == "GET"]

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        header = handler.headers.get("Range")
        with self._lock:
            self.requests.append((method, handler.path, header))
            number = len([row for row in self.requests if row[0] == "GET"])
            found = self.objects.get(handler.path)
            manner = found.script.pop(0) if found is not None and found.script and method == "GET" else ""
        if method == "GET" and self.on_get is not None:
            self.on_get(number)
        if found is None:
            return send(handler, 404, b"", {})
        if isinstance(manner, int):
            return send(handler, manner, b"the server's reason", {})
        if manner.startswith("redirect:"):
            return send(handler, 302, b"", {"Location": manner.removeprefix("redirect:")})
        if manner == "drop":
            handler.close_connection = True
            return None
        if manner == "stall":
            self.stalled.release()
            self.release.wait(60)
        wanted = handler.headers.get("If-Match")
        if wanted is not None and wanted != found.etag and not found.ignore_if_match:
            return send(handler, 412, b"", {})
        headers = {} if found.etag is None else {"ETag": found.etag}
        if found.modified is not None:
            headers["Last-Modified"] = found.modified
        match = _RANGE.fullmatch(header) if header and found.ranges and manner != "ignore-range" else None
        if match is None:
            return send(handler, 200, found.content, headers, head=method == "HEAD", cut=manner == "truncate")
        low = int(match[1])
        high = min(int(match[2]) + 1 if match[2] else len(found.content), len(found.content))
        if low >= len(found.content):
            return send(handler, 416, b"", {"Content-Range": f"bytes */{len(found.content)}"})
        shown = low + 512 if manner == "wrong-range" else low
        headers["Content-Range"] = f"bytes {shown}-{shown + high - low - 1}/{len(found.content)}"
        if manner == "endless":
            return self._send_endlessly(handler, headers)
        return send(handler, 206, found.content[low:high], headers, head=method == "HEAD", cut=manner == "truncate")

    def _send_endlessly(self, handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
        handler.close_connection = True
        handler.send_response(206)
        for name, value in {**headers, "Content-Length": str(ENDLESS_BYTES)}.items():
            handler.send_header(name, value)
        handler.end_headers()
        part = bytes(1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(ENDLESS_BYTES // len(part)):
                handler.wfile.write(part)
                with self._lock:
                    self.sent_bytes += len(part)


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str],
    *,
    head: bool = False,
    cut: bool = False,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if cut:
        body = body[: len(body) // 2]
        handler.close_connection = True
    if not head and handler.command != "HEAD":
        try:
            handler.wfile.write(body)
        except OSError:
            handler.close_connection = True
