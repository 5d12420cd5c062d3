from __future__ import annotations

import argparse

import pytest

from bootpath.cli.failures import UsageError
from bootpath.cli.serve.serving import add_listening, serve_settings


def contradiction(*arguments: str) -> str | None:
    parser = argparse.ArgumentParser()
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
def test_others_may_look_only_if_that_is_meant(where: str) -> None:
    assert "--allow-plaintext" in str(contradiction("--status", where))
    assert "--allow-plaintext" in str(contradiction("--status", where, "--tls-dir", "tls"))
    assert contradiction("--status", where, "--allow-plaintext") is None
