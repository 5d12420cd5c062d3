"""What `bootpath serve` and `lived` share: where to listen, how to run and how to stop."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootpath.core.device import Device
    from bootpath.serve.live.service import LiveService
    from bootpath.serve.server.server import Server

STATUS_SECONDS = 1.0


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
    group.add_argument("--run", dest="command", metavar="CMD", help="run this shell command with $uri set, then stop")
    group.add_argument("--grace", type=float, default=10.0, metavar="S", help="how long a stop may take (default: 10)")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more on stderr; twice for everything")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens, as an NBD URI without the export's name."""

    scheme: str
    authority: str
    socket: Path | None

    @staticmethod
    def contradiction(options: argparse.Namespace) -> str | None:
        """What is wrong with the options, or None."""
        if options.workers < 1:
            return f"--workers: {options.workers} is not 1 or more"
        if options.tcp is not None:
            host, colon, port = options.tcp.rpartition(":")
            if not colon or not port.isdecimal() or int(port) > 0xFFFF:
                return f"--tcp: {options.tcp!r} is not HOST:PORT"
            if options.tls_dir is None and not options.allow_plaintext and not _is_loopback(host):
                return (
                    f"--tcp: {host or 'every address'} is reachable from other machines, and without TLS anybody there "
                    "may read and write: give --tls-dir, or --allow-plaintext if that is meant"
                )
        if options.status is not None:
            host, colon, port = options.status.rpartition(":")
            if not colon or not port.isdecimal() or int(port) > 0xFFFF:
                return f"--status: {options.status!r} is not HOST:PORT"
            if host and not options.allow_plaintext and not _is_loopback(host):
                return (
                    f"--status: {host} is reachable from other machines, and anybody there may look: "
                    "give --allow-plaintext if that is meant"
                )
        return None

    def uri(self, export: str) -> str:
        """The NBD URI of an export (NBD URI specification)."""
        from urllib.parse import quote

        path = quote(export, safe="")
        query = "" if self.socket is None else f"?socket={quote(str(self.socket), safe='/')}"
        return f"{self.scheme}://{self.authority}/{path}{query}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _listen(server: Server, options: argparse.Namespace, stack: ExitStack) -> Listening:
    """Listen where the options, or the service manager, say; a fresh private socket otherwise."""
    secure = "nbds" if options.tls_dir is not None else "nbd"
    if options.tcp is not None:
        host, _, port = options.tcp.rpartition(":")
        listener = server.listen_tcp(host.strip("[]"), int(port))
        return Listening(secure, f"{host or 'localhost'}:{listener.getsockname()[1]}", None)
    path = options.socket
    if path is None:
        if server.adopt_inherited(os.environ):
            return Listening(secure, "", None)
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bootpath-"))
        path = Path(directory) / "nbd.sock"
    server.listen_unix(path)
    return Listening(f"{secure}+unix", "", path.absolute())


def _show_status(server: Server, service: LiveService, uri: str, options: argparse.Namespace, stack: ExitStack) -> str:
    """Start the status page of --status; where it is."""
    from bootpath.serve.monitor.status import StatusSource
    from bootpath.serve.monitor.web import StatusServer

    host, _, port = options.status.rpartition(":")
    page = StatusServer(StatusSource(server, service, uri=uri), host.strip("[]") or "127.0.0.1", int(port))
    stack.callback(page.close)
    page.start()
    return page.url


def confine(options: argparse.Namespace, stack: ExitStack) -> None:
    """Before anything is opened: keep what is created private, and gain no privileges, until `stack` is closed.

    The command of --run is the user's own: it gets the umask and the privileges that the user had.
    """
    from bootpath.cli.serve.confinement import confined

    options.umask = os.umask(0)  # it can only be asked for by setting it
    os.umask(options.umask)
    stack.enter_context(confined(privileges=options.command is not None))


def _allow_descriptors() -> None:
    """Let this process have as many descriptors as it may: a client needs one, and an overlay of its own two more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # more than the kernel allows now
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(options: argparse.Namespace, open_service: Callable[[argparse.Namespace, ExitStack], LiveService]) -> int:
    """Serve what `open_service` opens, confined, until stopped; the exit code. What else it opens the stack closes."""
    with ExitStack() as stack:
        confine(options, stack)
        service = open_service(options, stack)
        stack.callback(service.close)
        return run_server(options, service)


def run_server(options: argparse.Namespace, service: LiveService) -> int:
    """Serve until a signal, or until --run's command ends; the exit code."""
    import logging
    import sys

    from bootpath.cli.console import note
    from bootpath.serve.limits import Limits
    from bootpath.serve.server.forking import ForkingServer
    from bootpath.serve.server.server import Server
    from bootpath.serve.server.systemd import notify
    from bootpath.serve.server.tls import load_tls

    _allow_descriptors()
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.basicConfig(
        level=levels[min(options.verbose, 2)],
        format="bootpath: %(levelname)s: %(name)s: %(message)s",
        stream=sys.stderr,
    )
    tls = None if options.tls_dir is None else load_tls(options.tls_dir)
    limits = Limits(connections=options.max_clients)
    server = (
        Server(service.exports, limits=limits, tls=tls)
        if options.workers == 1
        else ForkingServer(service.exports, processes=options.workers, follow=service.follow, limits=limits, tls=tls)
    )
    service.start()  # a thread: not before the fork
    with ExitStack() as stack:
        listening = _listen(server, options, stack)
        uri = listening.uri(service.shape.name)
        # Before anybody is told that it serves, and stops it.
        for number in (signal.SIGINT, signal.SIGTERM):
            previous = signal.signal(number, lambda *_: server.stop(options.grace))
            stack.callback(signal.signal, number, previous)
        note(f"serving {uri}")
        if options.status is not None:
            note(f"status {_show_status(server, service, uri, options, stack)}")
        command = None if options.command is None else _Command(options, uri, listening, server)
        ended = threading.Event()
        stack.callback(ended.set)
        threading.Thread(target=_report, args=(service, ended), name="status", daemon=True).start()
        notify(os.environ, "READY=1", f"STATUS=serving {uri}")
        server.run()
        notify(os.environ, "STOPPING=1")
        return 0 if command is None else command.code


def device_service(device: Device, *, name: str, device_name: str) -> LiveService:
    """One device as it is, exported as `name` and `device_name`: clients write to it. The service owns it."""
    from bootpath.block.live.disk import Live
    from bootpath.block.live.late import LateDisk
    from bootpath.serve.live.service import LiveService, Shape

    base = Live(b"", [], device.size_bytes, LateDisk.ready(device), block_bytes=device.block_bytes)
    return LiveService(base, Shape(name=name, device_name=device_name), make_overlay=lambda base: device)


class _Command:
    """--run: a shell command beside the server, which stops when the command ends."""

    def __init__(self, options: argparse.Namespace, uri: str, listening: Listening, server: Server) -> None:
        environment = {**os.environ, "uri": uri}
        if listening.socket is not None:
            environment["unixsocket"] = str(listening.socket)
        self._process = subprocess.Popen(  # noqa: S602 - the user's own command
            options.command,
            shell=True,
            env=environment,
            umask=options.umask,
        )
        self._server = server
        self._grace_seconds = options.grace
        self.code = 1
        threading.Thread(target=self._wait, name="run", daemon=True).start()

    def _wait(self) -> None:
        self.code = self._process.wait() & 0xFF
        self._server.stop(self._grace_seconds)


def _report(service: LiveService, ended: threading.Event) -> None:
    """Tell the service manager how far the preload is, until it is complete."""
    from bootpath.report.units import format_bytes
    from bootpath.serve.server.systemd import notify

    while service.hydration is not None and not ended.wait(STATUS_SECONDS):
        progress = service.hydration.progress
        done, total = format_bytes(progress.done_bytes), format_bytes(progress.total_bytes)
        notify(os.environ, f"STATUS=preload {done} of {total}" + (f": {progress.failure}" if progress.failure else ""))
        if progress.complete:
            return
