"""TLS for a server, from a directory of PEM files named as qemu and nbdkit name them.

===================  =================================================
server-cert.pem      the server's certificate (and its chain)
server-key.pem       its key
ca-cert.pem          who signs clients; needed to verify them
===================  =================================================

"NBD implementations supporting TLS MUST support TLS version 1.2 … Older versions SHOULD NOT be used".
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.core.errors import DeviceError
from bootpath.serve.nbd.handshake import Tls

if TYPE_CHECKING:
    import ssl  # imported when certificates are loaded: a guest has no OpenSSL


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A context for connections, and whether clients must use it."""

    context: ssl.SSLContext
    required: bool = True

    @property
    def mode(self) -> Tls:
        """What the handshake offers."""
        return Tls.FORCED if self.required else Tls.OFFERED


def load_tls(directory: Path, *, verify_clients: bool = False, required: bool = True) -> TlsSettings:
    """TLS with the certificates in `directory`. Raises DeviceError (ENOENT, EINVAL) that names the file."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority = directory / "ca-cert.pem"
    try:
        context.load_cert_chain(directory / "server-cert.pem", directory / "server-key.pem")
        if verify_clients:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except FileNotFoundError as error:
        raise DeviceError(
            "a certificate file is missing",
            errno=errno.ENOENT,
            where=str(directory),
            expected="server-cert.pem and server-key.pem" + (" and ca-cert.pem" if verify_clients else ""),
        ) from error
    except OSError as error:
        raise DeviceError(
            f"the certificates cannot be used: {error}", errno=errno.EINVAL, where=str(directory)
        ) from error
    return TlsSettings(context, required)
