"""URLs, taken apart. One that cannot be is an error of whoever gave it (RFC 3986 §3.2.2: addresses in brackets)."""

from __future__ import annotations

import errno
import re
from urllib.parse import SplitResult, urlsplit

from bootpath.core.errors import DeviceError

_SECRETS = re.compile(r"//[^/]*@|[?#].*", re.DOTALL)


def split_url(url: str) -> SplitResult:
    """Its parts. Raises DeviceError (EINVAL), which shows neither user nor query."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is parsed when it is asked for
    except ValueError as fault:
        reason = "" if "@" in str(fault) else f": {fault}"
        raise DeviceError(
            f"the URL is malformed{reason}",
            errno=errno.EINVAL,
            where=_SECRETS.sub(lambda secret: "//" if secret[0].startswith("//") else "", url),
        ) from None
    return parts
