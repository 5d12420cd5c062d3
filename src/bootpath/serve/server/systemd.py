"""Notify the service manager: sd_notify(3), without libsystemd.

One datagram of ``KEY=value`` lines to the socket that NOTIFY_SOCKET names; "@" at its start is the abstract namespace.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

from bootpath.core.printable import printable_lines

READY, STOPPING = "READY=1", "STOPPING=1"


def notify(environ: Mapping[str, str], *lines: str) -> bool:
    """Send `lines`; False without a NOTIFY_SOCKET, and when nobody listens there: a server runs on either way."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(printable_lines(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)
        return True
    return False
