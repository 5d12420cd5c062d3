"""Other people's NBD servers, started on a socket that listens already: nobody has to wait until they are ready."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# "LISTEN_PID … the process ID of the process" that is to listen, and the socket is descriptor 3 (sd_listen_fds(3))
_ACTIVATE = 'exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'


@contextmanager
def nbd_server(path: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server on the unix socket `path` until the end of the block."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(16)
        process = subprocess.Popen(["/bin/sh", "-c", _ACTIVATE, "sh", *command], stdin=listener.fileno())
    try:
        yield process
    finally:
        process.kill()
        process.wait()
