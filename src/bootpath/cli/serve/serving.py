"""The options of every command that serves a disk, as the settings of `serve.running`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from bootpath.cli.arguments import duration, judged_by, path, whole
from bootpath.cli.disks import add_verbose
from bootpath.cli.failures import UsageError

if TYPE_CHECKING:
    from bootpath.serve.live.service import LiveService
    from bootpath.serve.running.settings import Certificates, ServeSettings, SharedKeys, TcpAddress


@judged_by
def address(text: str) -> TcpAddress:
    """``HOST:PORT``; without HOST every address."""
    from bootpath.serve.running.settings import parse_tcp_address

    return parse_tcp_address(text)


def add_listening(parser: argparse.ArgumentParser) -> None:
    """The options of listening, logging and stopping."""
    group = parser.add_argument_group("who may connect")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--socket", metavar="P", type=path, help="listen on this Unix socket")
    where.add_argument(
        "--tcp",
        metavar="HOST:PORT",
        type=address,
        help="listen on this address, without HOST on every one; port 0 takes any",
    )
    keys = group.add_mutually_exclusive_group()
    keys.add_argument(
        "--tls-dir",
        metavar="D",
        type=path,
        help="require TLS and a certificate of each client: a directory with server-cert.pem, server-key.pem, "
        "ca-cert.pem (the CA of the clients' certificates) and, where some are revoked, ca-crl.pem",
    )
    keys.add_argument(
        "--tls-psk",
        metavar="F",
        type=path,
        help="require TLS with pre-shared keys, from a file with lines of USER:KEY, KEY in hexadecimal (Python 3.13+)",
    )
    group.add_argument(
        "--tls-no-client-auth",
        action="store_true",
        help="with --tls-dir: do not verify clients; connections are encrypted, and anybody may connect",
    )
    group.add_argument(
        "--allow-plaintext",
        action="store_true",
        help="allow TCP beyond this machine without TLS: anybody may read and write",
    )
    group.add_argument(
        "--max-clients",
        type=whole(1, 1 << 20),
        default=512,
        metavar="N",
        help="how many clients may be connected at once; more are refused (default: 512)",
    )
    group.add_argument(
        "--status",
        metavar="HOST:PORT",
        type=address,
        help="serve a status page, /status.json and /metrics by HTTP; without HOST for this machine only",
    )
    group.add_argument(
        "--status-token-file",
        metavar="F",
        type=path,
        help="file with the token that is needed to see the status, as a bearer token or as the password of "
        "any user; required when other machines can reach the page",
    )
    group = parser.add_argument_group("running")
    group.add_argument(
        "--workers",
        type=whole(1, 1024),
        default=1,
        metavar="N",
        help="serve with N processes on shared memory, so that several clients have several processors (default: 1)",
    )
    group.add_argument(
        "--run", dest="shell_command", metavar="CMD", help="run this shell command with $uri set, then stop"
    )
    group.add_argument(
        "--grace", type=duration, default=10.0, metavar="S", help="how long a stop may take (default: 10)"
    )
    add_verbose(group)


def serve_settings(options: argparse.Namespace, command: str) -> ServeSettings:
    """The options of `add_listening` as settings of the command. Raises UsageError."""
    from bootpath.serve.running.settings import Exposure, ServeSettings

    status: TcpAddress | None = options.status
    if status is not None and not status.host:
        status = replace(status, host="127.0.0.1")
    settings = ServeSettings(
        listen=options.socket if options.tcp is None else options.tcp,
        tls=_keys(options, command),
        max_clients=options.max_clients,
        processes=options.workers,
        status=status,
        status_token=_status_token(options, command),
        command=options.shell_command,
        grace_seconds=options.grace,
    )
    for exposure, address in settings.exposures():
        if exposure is Exposure.DISK and options.allow_plaintext:
            continue
        option, remedy = {
            Exposure.DISK: ("--tcp", "--tls-dir, or --allow-plaintext to allow that"),
            Exposure.STATUS: ("--status", "--status-token-file"),
        }[exposure]
        host = address.host or "every address"
        what = f"{option}: {host} is reachable from other machines, and {exposure.value}: give {remedy}"
        raise UsageError(what, where=command)
    return settings


def _keys(options: argparse.Namespace, command: str) -> Certificates | SharedKeys | None:
    from bootpath.serve.running.settings import Certificates, SharedKeys

    if options.tls_no_client_auth and options.tls_dir is None:
        raise UsageError("--tls-no-client-auth goes with --tls-dir only", where=command)
    if options.tls_dir is not None:
        return Certificates(options.tls_dir, verify_clients=not options.tls_no_client_auth)
    return None if options.tls_psk is None else SharedKeys(options.tls_psk)


def _status_token(options: argparse.Namespace, command: str) -> bytes | None:
    if options.status_token_file is None:
        return None
    if options.status is None:
        raise UsageError("--status-token-file goes with --status only", where=command)
    from bootpath.block.leaves.wholefile import read_parsed
    from bootpath.serve.monitor.token import parse_token

    return read_parsed(options.status_token_file, parse_token)


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
