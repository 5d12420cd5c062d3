"""Where a server listens, claimed: the Unix socket or TCP address of the settings, or what the service manager has."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bootpath.formats.nbd.uri import NbdUri
from bootpath.serve.running.settings import ServeSettings, TcpAddress
from bootpath.serve.server.server import Server

SOCKET_NAME = "nbd.sock"


def listen(server: Server, settings: ServeSettings, environ: Mapping[str, str], stack: ExitStack) -> NbdUri:
    """Listen; the URI of the default export. A private directory is removed by `stack`. Raises DeviceError."""
    secure = settings.tls is not None
    where = settings.listen
    if isinstance(where, TcpAddress):
        listener = server.listen_tcp(where.host, where.port)
        return NbdUri(host=where.host or "localhost", port=listener.getsockname()[1], tls=secure)
    if where is None:
        if server.adopt_inherited(environ):
            return NbdUri(tls=secure)
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bootpath-"))) / SOCKET_NAME
    server.listen_unix(where)
    return NbdUri(socket=str(where.absolute()), tls=secure)
