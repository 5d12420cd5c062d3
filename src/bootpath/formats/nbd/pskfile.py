"""A file of pre-shared keys, as nbdkit, libnbd, qemu (keys.psk) and psktool have it: lines of ``USER:KEY``.

The key is in hexadecimal, of 16 to 256 bytes: a shorter one could be guessed, and OpenSSL takes no longer one.
"""

from __future__ import annotations

from collections.abc import Mapping

from bootpath.core.errors import FormatError

MINIMUM_BYTES, MAXIMUM_BYTES = 16, 256
PSK_CIPHERS = "kECDHEPSK+CHACHA20:kECDHEPSK+AES:!SHA1:!eNULL"
"""Of TLS 1.2, for OpenSSL: those that draw a new secret for each connection, as all of TLS 1.3 do."""


def parse_psk_file(content: bytes) -> Mapping[str, bytes]:
    """The keys by user. Raises FormatError that names the line, and never shows a key."""
    keys: dict[str, bytes] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"psk: line {number}"
        user, colon, text = line.strip().rpartition(b":")
        if not colon or not user:
            raise FormatError("the line is not USER:KEY", where=where)
        try:
            name, key = user.decode(), bytes.fromhex(text.decode("ascii"))
        except ValueError:
            raise FormatError("the key is not in hexadecimal, or the user not in UTF-8", where=where) from None
        if not MINIMUM_BYTES <= len(key) <= MAXIMUM_BYTES:
            raise FormatError(
                "the key has the wrong length",
                where=where,
                found=f"{len(key)} bytes",
                expected=f"{MINIMUM_BYTES} to {MAXIMUM_BYTES} bytes",
            )
        if "\0" in name or name in keys:
            raise FormatError("the user is named twice, or has a NUL", where=where, found=repr(name))
        keys[name] = key
    if not keys:
        raise FormatError("no user has a key", where="psk", expected="lines of USER:KEY")
    return keys
