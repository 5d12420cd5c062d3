"""A shell command beside a server: it finds the server by $uri, and when it ends, the server stops."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping

from bootpath.formats.nbd.uri import NbdUri, pack_nbd_uri


class ShellCommand:
    """Runs `command` with the environment, $uri and $unixsocket, and calls `ended` when it has ended."""

    def __init__(
        self, command: str, uri: NbdUri, environ: Mapping[str, str], *, umask: int, ended: Callable[[], None]
    ) -> None:
        environment = {**environ, "uri": pack_nbd_uri(uri)}
        if uri.socket is not None:
            environment["unixsocket"] = uri.socket
        self._process = subprocess.Popen(  # noqa: S602 - the user's own command
            command, shell=True, env=environment, umask=umask
        )
        self._ended = ended
        self.exit_code = 1
        """Its exit code once it has ended."""
        threading.Thread(target=self._wait, name="run", daemon=True).start()

    def _wait(self) -> None:
        self.exit_code = self._process.wait() & 0xFF
        self._ended()
