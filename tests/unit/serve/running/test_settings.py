from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootpath.core.errors import FormatError
from bootpath.serve.running.settings import (
    Certificates,
    Exposure,
    ServeSettings,
    SharedKeys,
    TcpAddress,
    parse_tcp_address,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:10809", TcpAddress("localhost", 10809)),
        ("[::1]:0", TcpAddress("::1", 0)),
        (":65535", TcpAddress("", 65535)),
    ],
)
def test_addresses(text: str, expected: TcpAddress) -> None:
    assert parse_tcp_address(text) == expected


@pytest.mark.parametrize("text", ["", "10809", "localhost", ":", "host:-1", "host:65536", "host:x"])
def test_texts_that_are_no_address(text: str) -> None:
    with pytest.raises(FormatError):
        parse_tcp_address(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("", False),
        ("0.0.0.0", False),
        ("disks.example", False),
    ],
)
def test_loopback_addresses(host: str, loopback: bool) -> None:
    assert TcpAddress(host, 1).is_loopback is loopback


def test_exposures() -> None:
    everywhere, here = TcpAddress("", 1), TcpAddress("localhost", 2)
    assert list(ServeSettings(listen=here, status=here).exposures()) == []
    assert list(ServeSettings(listen=Path("socket")).exposures()) == []
    assert list(ServeSettings(listen=everywhere).exposures()) == [(Exposure.DISK, everywhere)]
    assert list(ServeSettings(listen=everywhere, tls=SharedKeys(Path("keys.psk"))).exposures()) == []
    # TLS is for the disk; the status page has its token.
    settings = ServeSettings(listen=everywhere, tls=Certificates(Path("tls")), status=everywhere)
    assert list(settings.exposures()) == [(Exposure.STATUS, everywhere)]
    assert list(replace(settings, status_token=b"0123456789abcdef").exposures()) == []
