"""TLS with keys that both ends share, for a server: no certificates, no authority.

The file is `formats.nbd.pskfile`. A client says its user, and is let in when it has the key. Only key exchanges that
draw a new secret for each connection are taken (ECDHE): who learns a key later cannot read what was recorded. TLS 1.3
and 1.2, as the client has it. Python has the callback from 3.13 on.
"""

from __future__ import annotations

import errno
import secrets
from pathlib import Path

from bootpath.block.leaves.wholefile import read_parsed
from bootpath.core.errors import DeviceError
from bootpath.formats.nbd.pskfile import PSK_CIPHERS, parse_psk_file
from bootpath.serve.server.tls import TlsSettings, server_context, warn_of_readers

_DECOY_BYTES = 32


def load_psk(file: Path, *, required: bool = True) -> TlsSettings:
    """TLS for the users of `file`. Raises DeviceError (ENOTSUP before Python 3.13), FormatError, OSError."""
    context = server_context()
    install = getattr(context, "set_psk_server_callback", None)
    if install is None:
        raise DeviceError(
            "TLS with pre-shared keys needs Python 3.13 or newer",
            errno=errno.ENOTSUP,
            where=str(file),
            hint="use certificates",
        )
    warn_of_readers(file)
    keys = read_parsed(file, parse_psk_file)
    context.set_ciphers(PSK_CIPHERS)
    # A user that is unknown fails as one with a wrong key does, so that users cannot be guessed (RFC 4279 §2).
    install(lambda user: keys.get(user or "") or secrets.token_bytes(_DECOY_BYTES))
    return TlsSettings(context, required)
