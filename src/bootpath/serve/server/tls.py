"""TLS for a server, from a directory of PEM files named as qemu and nbdkit name them.

===================  ==============================================================
server-cert.pem      the server's certificate (and its chain)
server-key.pem       its key
ca-cert.pem          the CA that signs the certificates of clients; not read when clients are not verified
ca-crl.pem           which certificates of clients are revoked, if there is one
===================  ==============================================================

A client is let in by a certificate that an authority of ca-cert.pem signed, for clients where it says for what, that is
valid now and not revoked, nor is an authority between them. A list of revoked certificates that has itself expired, or
is missing for one of those authorities, lets nobody in. No session is taken up again, so every connection shows its
certificate.

"NBD implementations supporting TLS MUST support TLS version 1.2 … Older versions SHOULD NOT be used".
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.block.leaves.wholefile import read_whole
from bootpath.core.errors import DeviceError, os_reason
from bootpath.serve.nbd.handshake import Tls

if TYPE_CHECKING:
    import ssl  # imported when certificates are loaded: a guest has no OpenSSL

_OTHERS_READ = 0o004
_NO_AUTHORITY = "put the certificate of the CA of your clients there, or use --tls-no-client-auth"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A context for connections, and whether clients must use it."""

    context: ssl.SSLContext
    required: bool = True

    @property
    def mode(self) -> Tls:
        """What the handshake offers."""
        return Tls.FORCED if self.required else Tls.OFFERED


def load_tls(directory: Path, *, verify_clients: bool = True, required: bool = True) -> TlsSettings:
    """TLS with the certificates in `directory`. Raises DeviceError (ENOENT, EINVAL) that names the file, OSError."""
    import ssl

    context = server_context()
    names = ("server-cert.pem", "server-key.pem", *(("ca-cert.pem",) if verify_clients else ()))
    certificate, key, *authority = (directory / name for name in names)
    for path in (certificate, key, *authority):
        try:
            read_whole(path)  # ssl would read a device without end
        except FileNotFoundError as error:
            raise DeviceError(
                f"{path.name} is missing",
                errno=errno.ENOENT,
                where=str(directory),
                expected=", ".join(names),
                hint=_NO_AUTHORITY if [path] == authority else None,
            ) from error
    warn_of_readers(key)
    try:
        context.load_cert_chain(certificate, key, password="")  # or it would ask on the terminal
    except OSError as error:
        raise _unusable(f"{certificate.name} and {key.name}", directory, error) from error
    for path in authority:
        context.verify_mode = ssl.CERT_REQUIRED
        _load(context, path, "x509")
        revoked = directory / "ca-crl.pem"
        if revoked.exists():
            _load(context, revoked, "crl")
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return TlsSettings(context, required)


def server_context() -> ssl.SSLContext:
    """What every server has: no old version, and no session that goes on without being verified again."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def warn_of_readers(secret: Path) -> None:
    """Log a warning when a file that should be secret can be read by everybody. Raises OSError."""
    if secret.stat().st_mode & _OTHERS_READ:
        _log.warning("%s: everybody on this machine can read it", secret)


def _load(context: ssl.SSLContext, path: Path, kind: str) -> None:
    """Take what is in the file, all of that kind: nobody is trusted by a list of who is not."""
    before = context.cert_store_stats()
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise _unusable(path.name, path.parent, error) from error
    after = context.cert_store_stats()
    added = {name for name in ("x509", "crl") if after[name] > before[name]}
    if added != {kind}:
        content = {"x509": "certificates", "crl": "lists of revoked certificates"}
        raise DeviceError(
            f"{path.name} has something other than {content[kind]}", errno=errno.EINVAL, where=str(path.parent)
        )


def _unusable(names: str, directory: Path, error: OSError) -> DeviceError:
    return DeviceError(f"{names} cannot be used: {os_reason(error)}", errno=errno.EINVAL, where=str(directory))
