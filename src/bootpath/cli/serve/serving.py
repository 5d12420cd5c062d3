"""The options of every command that serves a disk, as the settings of `serve.running`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.cli.disks import add_verbose
from bootpath.cli.failures import UsageError

if TYPE_CHECKING:
    from bootpath.serve.live.service import LiveService
    from bootpath.serve.running.settings import ServeSettings, TcpAddress


def add_listening(parser: argparse.ArgumentParser) -> None:
    """The options of listening, logging and stopping."""
    group = parser.add_argument_group("who may connect")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--socket", metavar="P", type=Path, help="listen on this Unix socket")
    where.add_argument("--tcp", metavar="HOST:PORT", help="listen on this address; port 0 takes any")
    group.add_argument(
        "--tls-dir", metavar="D", type=Path, help="require TLS: ca-cert.pem, server-cert.pem, server-key.pem"
    )
    group.add_argument(
        "--allow-plaintext",
        action="store_true",
        help="allow TCP beyond this machine without TLS: anybody may read and write",
    )
    group.add_argument(
        "--max-clients", type=int, default=512, metavar="N", help="refuse more connections (default: 512)"
    )
    group.add_argument(
        "--status",
        metavar="HOST:PORT",
        help="serve a status page, /status.json and /metrics by HTTP; without HOST for this machine only",
    )
    group = parser.add_argument_group("running")
    group.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="serve with N processes on shared memory, so that several clients have several processors (default: 1)",
    )
    group.add_argument(
        "--run", dest="shell_command", metavar="CMD", help="run this shell command with $uri set, then stop"
    )
    group.add_argument("--grace", type=float, default=10.0, metavar="S", help="how long a stop may take (default: 10)")
    add_verbose(group)


def serve_settings(options: argparse.Namespace, command: str) -> ServeSettings:
    """The options of `add_listening` as settings of the command. Raises UsageError."""
    from bootpath.serve.running.settings import Exposure, ServeSettings

    if options.workers < 1:
        raise UsageError(f"--workers: {options.workers} is not 1 or more", where=command)
    settings = ServeSettings(
        listen=options.socket if options.tcp is None else _address("--tcp", options.tcp, command),
        tls_directory=options.tls_dir,
        max_clients=options.max_clients,
        processes=options.workers,
        status=None
        if options.status is None
        else _address("--status", options.status, command, default_host="127.0.0.1"),
        command=options.shell_command,
        grace_seconds=options.grace,
    )
    for exposure, address in () if options.allow_plaintext else settings.exposures():
        option, remedy = {
            Exposure.DISK: ("--tcp", "--tls-dir, or --allow-plaintext to allow that"),
            Exposure.STATUS: ("--status", "--allow-plaintext to allow that"),
        }[exposure]
        host = address.host or "every address"
        what = f"{option}: {host} is reachable from other machines, and {exposure.value}: give {remedy}"
        raise UsageError(what, where=command)
    return settings


def _address(option: str, text: str, command: str, default_host: str = "") -> TcpAddress:
    from dataclasses import replace

    from bootpath.core.errors import FormatError
    from bootpath.serve.running.settings import parse_tcp_address

    try:
        address = parse_tcp_address(text)
    except FormatError:
        raise UsageError(f"{option}: {text!r} is not HOST:PORT", where=command) from None
    return address if address.host else replace(address, host=default_host)


def serve(
    options: argparse.Namespace, settings: ServeSettings, open_service: Callable[[ExitStack], LiveService]
) -> int:
    """Serve until stopped, with a log on stderr; the exit code."""
    import os

    from bootpath.cli.console import note
    from bootpath.cli.serve.logs import log_to_stderr
    from bootpath.serve.running.run import serve_until_stopped

    log_to_stderr(options.verbose)
    return serve_until_stopped(open_service, settings, environ=os.environ, announce=note)
