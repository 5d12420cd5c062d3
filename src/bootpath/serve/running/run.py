"""Run a server until a signal, or the end of a command, stops it.

The order matters:

1. what is created from now on is private, and no privileges can be gained (`confinement`), before anything is opened;
2. the keys are loaded; the service is opened, and processes are forked, while this process has one thread;
3. the sockets are claimed, and SIGINT and SIGTERM stop the server, before anybody is told that it serves;
4. the status page, the command and the service manager come last.
"""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace

from bootpath.formats.nbd.uri import pack_nbd_uri
from bootpath.serve.limits import Limits
from bootpath.serve.live.service import LiveService
from bootpath.serve.running.confinement import confined, current_umask
from bootpath.serve.running.listeners import listen
from bootpath.serve.running.settings import Certificates, ServeSettings, SharedKeys
from bootpath.serve.running.shellcommand import ShellCommand
from bootpath.serve.server.forking import ForkingServer
from bootpath.serve.server.psk import load_psk
from bootpath.serve.server.server import Server
from bootpath.serve.server.systemd import READY, STOPPING, notify
from bootpath.serve.server.tls import TlsSettings, load_tls

PROGRESS_SECONDS = 1.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve_until_stopped(
    open_service: Callable[[ExitStack], LiveService],
    settings: ServeSettings,
    *,
    environ: Mapping[str, str],
    announce: Callable[[str], None],
) -> int:
    """Serve what `open_service` opens; the exit code, which is that of the command if there is one.

    `open_service` puts what it opens on the stack; the service is closed here. `announce` gets a line for a person:
    the URI, and that of the status page. For the main thread of a program. Raises Error.
    """
    with ExitStack() as stack:
        umask = current_umask()
        # The command is the user's own: it gets the umask and the privileges that the user had.
        stack.enter_context(confined(privileges=settings.command is not None))
        tls = _load_tls(settings)
        service = open_service(stack)
        stack.callback(service.close)
        _allow_descriptors()
        server = _make_server(service, settings, tls)
        stack.callback(server.close)
        service.start()  # a thread: not before the fork
        uri = replace(listen(server, settings, environ, stack), export=service.shape.name)
        _stop_on_signals(server, settings.grace_seconds, stack)
        address = pack_nbd_uri(uri)
        announce(f"serving {address}")
        if settings.status is not None:
            announce(f"status {_show_status(server, service, address, settings, stack)}")
        command = None
        if settings.command is not None:
            command = ShellCommand(
                settings.command, uri, environ, umask=umask, ended=lambda: server.stop(settings.grace_seconds)
            )
        _report_progress(service, environ, stack)
        notify(environ, READY, f"STATUS=serving {address}")
        server.run()
        notify(environ, STOPPING)
        return 0 if command is None else command.exit_code


def _load_tls(settings: ServeSettings) -> TlsSettings | None:
    match settings.tls:
        case Certificates(directory, verify_clients):
            return load_tls(directory, verify_clients=verify_clients)
        case SharedKeys(file):
            return load_psk(file)
        case None:
            return None


def _make_server(service: LiveService, settings: ServeSettings, tls: TlsSettings | None) -> Server:
    limits = Limits(connections=settings.max_clients)
    if settings.processes == 1:
        return Server(service.exports, limits=limits, tls=tls)
    return ForkingServer(service.exports, processes=settings.processes, follow=service.follow, limits=limits, tls=tls)


def _stop_on_signals(server: Server, grace_seconds: float, stack: ExitStack) -> None:
    """Until `stack` is closed, `STOP_SIGNALS` stop the server, even those that the caller ignores."""
    for number in STOP_SIGNALS:
        previous = signal.signal(number, lambda *_: server.stop(grace_seconds))
        stack.callback(signal.signal, number, previous)


def _allow_descriptors() -> None:
    """Let this process have as many descriptors as it may: a client needs one, and an overlay of its own two more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # more than the kernel allows now
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _show_status(server: Server, service: LiveService, uri: str, settings: ServeSettings, stack: ExitStack) -> str:
    """Start the status page; its URL."""
    # Python's HTTP server is slow to import.
    from bootpath.serve.monitor.status import StatusSource
    from bootpath.serve.monitor.web import StatusServer

    assert settings.status is not None
    where, token = settings.status, settings.status_token
    page = StatusServer(StatusSource(server, service, uri=uri), where.host, where.port, token=token)
    stack.callback(page.close)
    page.start()
    return page.url


def _report_progress(service: LiveService, environ: Mapping[str, str], stack: ExitStack) -> None:
    """Tell the service manager how far the preload is, until it is complete or `stack` is closed."""
    ended = threading.Event()
    stack.callback(ended.set)

    def report() -> None:
        while service.hydration is not None and not ended.wait(PROGRESS_SECONDS):
            progress = service.hydration.progress
            done, total = progress.done_bytes >> 20, progress.total_bytes >> 20
            failure = f": {progress.failure}" if progress.failure else ""
            notify(environ, f"STATUS=preloaded {done} of {total} MiB{failure}")
            if progress.complete:
                return

    threading.Thread(target=report, name="progress", daemon=True).start()
