"""How a server is run, as values: where it listens, who may connect, what ends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from pathlib import Path

from bootpath.core.errors import FormatError

_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 0xFFFF


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port. No host is every address of this machine; port 0 is any that is free."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True when other machines cannot reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_tcp_address(text: str) -> TcpAddress:
    """``HOST:PORT``, ``[ADDRESS]:PORT`` or ``:PORT``. Raises FormatError."""
    host, colon, port = text.rpartition(":")
    if not colon or _PORT.fullmatch(port) is None or int(port) > _MAX_PORT:
        raise FormatError("the address is not HOST:PORT or :PORT", found=repr(text))
    return TcpAddress(host.removeprefix("[").removesuffix("]"), int(port))


class Exposure(Enum):
    """What other machines could reach without a word of their own."""

    DISK = "anybody there may read and write"
    STATUS = "anybody there may see the status page"


@dataclass(frozen=True, slots=True)
class Certificates:
    """TLS with the certificates of a directory (`server.tls`)."""

    directory: Path
    verify_clients: bool = True


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """TLS with keys that clients have too (`server.psk`)."""

    file: Path


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to run a server.

    It listens on `listen`, a Unix socket or a TCP address; None is the sockets that the service manager passes on, or
    else a Unix socket in a private directory. `tls` is where keys are. `status` is where the status page listens, and
    `status_token` what who looks at it has to show. With `processes`, so many serve together. `command` is a shell
    command that is run with $uri set; the server stops when it ends. A stop takes at most `grace_seconds`.
    """

    listen: Path | TcpAddress | None = None
    tls: Certificates | SharedKeys | None = None
    max_clients: int = 512
    processes: int = 1
    status: TcpAddress | None = None
    status_token: bytes | None = None
    command: str | None = None
    grace_seconds: float = 10.0

    def exposures(self) -> Iterator[tuple[Exposure, TcpAddress]]:
        """What other machines could reach without TLS or without the token, and where."""
        if isinstance(self.listen, TcpAddress) and self.tls is None and not self.listen.is_loopback:
            yield Exposure.DISK, self.listen
        if self.status is not None and self.status_token is None and not self.status.is_loopback:
            yield Exposure.STATUS, self.status
