"""The token of the status page: who shows it may look.

Sources: RFC 6750 §2.1 (``Authorization: Bearer TOKEN``, as Prometheus sends it) and RFC 7617 (``Basic``, whose user and
password browsers ask for: the token is the password, of any user).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re

from bootpath.core.errors import FormatError

CHALLENGE = 'Basic realm="bootpath status", charset="UTF-8"'
MINIMUM_CHARACTERS = 16
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]{%d,}=*" % MINIMUM_CHARACTERS)


def parse_token(content: bytes) -> bytes:
    """The token in the content of a file. Raises FormatError, which does not show it."""
    token = content.strip()
    if _TOKEN.fullmatch(token) is None:
        raise FormatError(
            "the token cannot be used",
            expected=f"one line of {MINIMUM_CHARACTERS} or more letters, digits and ._~+/- (RFC 6750 §2.1)",
            hint="make one with openssl rand -hex 16",
        )
    return token


def admits(token: bytes, authorization: str) -> bool:
    """True when an Authorization header shows the token; how long that takes says nothing about it."""
    scheme, _, given = authorization.strip().partition(" ")
    shown = given.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown, token)
