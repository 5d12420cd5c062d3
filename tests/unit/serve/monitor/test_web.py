from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bootpath.core.errors import DeviceError
from bootpath.serve.monitor.exchange import REQUEST_BYTES
from bootpath.serve.monitor.status import StatusSource
from bootpath.serve.monitor.web import StatusServer
from tests.support.status import make_server, make_service
from tests.support.tree import schema

TIMEOUT_SECONDS = 60.0


@contextmanager
def showing(host: str = "127.0.0.1", token: bytes | None = None) -> Iterator[StatusServer]:
    service = make_service(steps=2)
    source = StatusSource(make_server(service), service, uri="nbd://localhost/")
    page = StatusServer(source, host, 0, token=token)
    page.start()
    try:
        yield page
    finally:
        page.close()


@pytest.fixture
def page() -> Iterator[StatusServer]:
    with showing() as page:
        yield page


def ask(page: StatusServer, path: str = "/", method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(page.host, page.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def raw(page: StatusServer, request: bytes) -> bytes:
    """What is answered to any bytes, until the connection is closed."""
    with socket.create_connection(("127.0.0.1", page.port), TIMEOUT_SECONDS) as client:
        answer = b""
        try:
            client.sendall(request)
            with contextlib.suppress(OSError):  # ENOTCONN: dropped already
                client.shutdown(socket.SHUT_WR)
            while part := client.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_the_page_needs_nothing_from_elsewhere(page: StatusServer) -> None:
    response, body = ask(page)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    text = body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script [^>]|<link [^>]*stylesheet", text)


def test_status_json(page: StatusServer) -> None:
    response, body = ask(page, "/status.json?anything")
    assert response.headers["Content-Type"] == "application/json"
    status = json.loads(body)
    jsonschema.validate(status, schema("status"))
    assert status["uri"] == "nbd://localhost/"
    assert status["map"]["complete"]


def test_metrics(page: StatusServer) -> None:
    response, body = ask(page, "/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert list(text_string_to_metric_families(body.decode()))


def test_healthz(page: StatusServer) -> None:
    response, body = ask(page, "/healthz")
    assert (response.status, body) == (200, b"ok\n")


@pytest.mark.parametrize("path", ["/x", "/status", "/../etc/passwd", "/%2e%2e/", "/index.html", "//evil/", "*"])
def test_there_is_nothing_else(page: StatusServer, path: str) -> None:
    response, _ = ask(page, path)
    assert response.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_reading_is_all_there_is(page: StatusServer, method: str) -> None:
    response, _ = ask(page, "/healthz", method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/status.json", "/metrics", "/nothing"])
def test_head_is_get_without_the_body(page: StatusServer, path: str) -> None:
    got, body = ask(page, path)
    head, nothing = ask(page, path, "HEAD")
    assert (head.status, nothing) == (got.status, b"")
    if path == "/":
        assert int(head.headers["Content-Length"]) == len(body)


@pytest.mark.parametrize("path", ["/", "/status.json", "/nothing"])
def test_headers_are_strict(page: StatusServer, path: str) -> None:
    headers = ask(page, path)[0].headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Server"].strip() == "bootpath"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "LOCALHOST.", "a.localhost", "127.0.0.1:9", "127.9.9.9", "[::1]:80"]
)
def test_names_of_this_machine(page: StatusServer, host: str) -> None:
    assert ask(page, "/healthz", Host=host)[0].status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "192.0.2.1", "0.0.0.0", "[", "", "a@evil"]
)
def test_names_of_others_are_dns_rebinding(page: StatusServer, host: str) -> None:
    response, body = ask(page, "/status.json", Host=host)
    assert response.status == 421
    assert b"title" not in body


def test_the_listening_name_is_ours(page: StatusServer) -> None:
    assert page.is_ours("192.0.2.1:80", "192.0.2.1")
    assert page.is_ours("192.0.2.1", "::ffff:192.0.2.1")
    page._host = "disks.example"
    assert page.is_ours("Disks.Example:80", "192.0.2.1")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
        b"GET /healthz\r\n\r\n",
    ],
)
def test_one_host_must_be_named(page: StatusServer, request_bytes: bytes) -> None:
    assert b"421" in raw(page, request_bytes)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\0\xff\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9.9\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % index for index in range(200)) + b"\r\n", b"431"),
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b"GET / HTTP/1.1\r\nHost: loc", b""),
        (b"GET /" + b"a" * (REQUEST_BYTES + 1), b""),
    ],
)
def test_what_is_no_request_harms_nothing(page: StatusServer, request_bytes: bytes, status: bytes) -> None:
    answer = raw(page, request_bytes)
    assert status in answer
    assert bool(answer) == bool(status)
    assert ask(page, "/healthz")[0].status == 200


def test_a_page_that_fails_is_an_answer(page: StatusServer, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise RuntimeError("broken")

    page.pages["/healthz"] = ("text/plain", fail)
    assert ask(page, "/healthz")[0].status == 500
    assert ask(page)[0].status == 200
    assert "broken" in caplog.text


TOKEN = b"0123456789abcdef/+=="


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer 0123456789abcdef/+=",
        "Bearer 0123456789abcdef/+== x",
        "Basic",
        f"Basic {TOKEN.decode()}",
        "Basic !",
        "Basic " + base64.b64encode(TOKEN).decode(),
        "Basic " + base64.b64encode(b"me:wrong").decode(),
        f"Digest {TOKEN.decode()}",
    ],
)
def test_without_the_token_nothing_is_shown(authorization: str) -> None:
    with showing(token=TOKEN) as page:
        for path in ("/", "/status.json", "/metrics", "/nothing"):
            response, body = ask(page, path, Authorization=authorization)
            assert (response.status, body) == (401, b"401 Unauthorized\n")
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
        assert ask(page, "/healthz", Host="probe.example")[0].status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {TOKEN.decode()}",
        f"bearer  {TOKEN.decode()}",
        "Basic " + base64.b64encode(b"me:" + TOKEN).decode(),
        "basic " + base64.b64encode(b":" + TOKEN).decode(),
    ],
)
def test_with_the_token_by_any_name(authorization: str) -> None:
    with showing(token=TOKEN) as page:
        for path in ("/", "/status.json", "/metrics"):
            assert ask(page, path, Authorization=authorization, Host="disks.example")[0].status == 200


def test_an_ipv6_address() -> None:
    try:
        with showing("::1") as page:
            assert page.url.startswith("http://[::1]:")
            assert ask(page, "/healthz")[0].status == 200
    except DeviceError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_an_address_that_is_taken(page: StatusServer) -> None:
    service = make_service()
    with pytest.raises(DeviceError, match="cannot listen"):
        StatusServer(StatusSource(make_server(service), service), "127.0.0.1", page.port)


def test_closing_before_starting() -> None:
    service = make_service()
    StatusServer(StatusSource(make_server(service), service), "127.0.0.1", 0).close()
