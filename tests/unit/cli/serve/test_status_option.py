from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.cli.failures import Parser, UsageError
from bootpath.cli.serve.serving import add_listening, serve_settings
from bootpath.core.errors import FormatError


def contradiction(*arguments: str) -> str | None:
    parser = Parser()
    add_listening(parser)
    try:
        serve_settings(parser.parse_args(arguments), "bootpath serve")
    except UsageError as found:
        return str(found)
    return None


@pytest.mark.parametrize("where", [":9100", ":0", "localhost:9100", "127.0.0.1:9100", "[::1]:9100"])
def test_this_machine_may_look(where: str) -> None:
    assert contradiction("--status", where) is None


@pytest.mark.parametrize("where", ["", "9100", "localhost", ":", ":x", ":70000", "host:-1"])
def test_what_is_no_address(where: str) -> None:
    assert "is not HOST:PORT" in str(contradiction("--status", where))


@pytest.mark.parametrize("where", ["0.0.0.0:9100", "[::]:9100", "192.0.2.1:9100", "disks.example:9100"])
def test_others_look_only_with_a_token(where: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    for more in ((), ("--allow-plaintext",), ("--tls-dir", "tls")):
        assert "--status-token-file" in str(contradiction("--status", where, *more))
    assert contradiction("--status", where, "--status-token-file", str(tmp_path / "token")) is None


@pytest.mark.parametrize(
    "content", ["", "\n", "short", "two lines 0123456789\nabcdef", "0123456789abcdef:", "\xe4" * 20]
)
def test_what_is_no_token(content: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(FormatError, match=f"{tmp_path / 'token'}: the token cannot be used") as fault:
        contradiction("--status", ":0", "--status-token-file", str(tmp_path / "token"))
    assert not content.strip() or content.strip() not in str(fault.value).partition("/token: ")[2]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--tls-no-client-auth",), "--tls-no-client-auth goes with --tls-dir only"),
        (("--tls-no-client-auth", "--tls-psk", "keys"), "--tls-no-client-auth goes with --tls-dir only"),
        (("--status-token-file", "token"), "--status-token-file goes with --status only"),
    ],
)
def test_what_goes_with_something_else(options: tuple[str, ...], what: str) -> None:
    assert contradiction(*options) == what
