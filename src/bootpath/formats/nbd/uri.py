"""NBD URIs: where a server is, which export, and whether TLS is a must.

Source: the NBD URI format (NetworkBlockDevice/nbd doc/uri.md) and RFC 3986. Forms::

    nbd://host[:port]/export              nbds://…: TLS or failure
    nbd+unix:///export?socket=path        nbds+unix://…

Query parameters: socket, tls-type, tls-hostname, tls-verify-peer, and libnbd's tls-certificates and tls-psk-file;
``x-`` ones are kept for nobody. "Any other query parameters which the client does not understand SHOULD be diagnosed".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from bootpath.core.errors import FormatError
from bootpath.formats.nbd.transmission import MAX_STRING_BYTES

NBD_PORT = 10809  # "it MUST default to the NBD port number assigned by IANA"

_PARAMETERS = frozenset({"tls-type", "tls-hostname", "tls-verify-peer", "tls-certificates", "tls-psk-file"})
_FILES = frozenset({"socket", "tls-certificates", "tls-psk-file"})
_ANY_BYTES = "surrogateescape"  # the name of a file may be no UTF-8
_SCHEMES = {"nbd": (False, False), "nbds": (True, False), "nbd+unix": (False, True), "nbds+unix": (True, True)}
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URI = re.compile(r"[!-~]+")
# urlsplit looks for brackets anywhere: not only around an address of IPv6, which it judges.
_AUTHORITY = re.compile(r"(?:[^@\[\]]*@)?(?:\[[^@\[\]]+\]|[^@:\[\]]*)(?::[0-9]*)?")


@dataclass(frozen=True, slots=True)
class NbdUri:
    """One export of one server: by `socket` (a path, or a name that starts with NUL) or by `host` and `port`."""

    export: str = ""
    host: str | None = None
    port: int = NBD_PORT
    socket: str | None = None
    tls: bool = False
    username: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_nbd_uri(text: str) -> NbdUri:
    """Raises FormatError that says which part is wrong."""
    if _URI.fullmatch(text) is None or _BAD_ESCAPE.search(text):
        raise _fault(
            "the URI has characters that are not allowed",
            text,
            "printable ASCII, everything else percent-encoded (RFC 3986)",
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise FormatError(str(error), where="nbd uri") from error
    if parts.scheme not in _SCHEMES:
        raise _fault("the URI has an unknown scheme", parts.scheme, " or ".join(_SCHEMES))
    if _AUTHORITY.fullmatch(parts.netloc) is None:
        raise _fault("the URI has no valid host", parts.netloc, "[user@]host[:port] (RFC 3986 §3.2)")
    tls, local = _SCHEMES[parts.scheme]
    if parts.fragment or "//" not in text[: len(parts.scheme) + 3]:
        raise _fault("the URI has the wrong form", text, f"{parts.scheme}://…, without a fragment")
    export = _decode(parts.path[1:])
    if len(export.encode()) > MAX_STRING_BYTES or "\0" in export:
        raise _fault(
            "the name of the export is not valid", export[:40], f"at most {MAX_STRING_BYTES} bytes without NUL"
        )
    query = _query(parts.query)
    socket = query.pop("socket", None)
    if local != (socket is not None):
        raise FormatError("socket= is missing" if local else "socket= belongs to nbd+unix only", where="nbd uri")
    if local and (parts.netloc.rpartition("@")[2] or not socket):
        raise FormatError("nbd+unix takes a socket and no host", where="nbd uri")
    if not local and not host:
        raise FormatError("the host is missing", where="nbd uri")
    if port == 0:
        raise _fault("nobody listens on this port", "0", "1 to 65535")
    username = None if parts.username is None else _decode(parts.username)
    return NbdUri(export, None if local else host, NBD_PORT if port is None else port, socket, tls, username, query)


def pack_nbd_uri(uri: NbdUri) -> str:
    """The URI that `parse_nbd_uri` reads as this value."""
    scheme = ("nbds" if uri.tls else "nbd") + ("+unix" if uri.socket is not None else "")
    query = dict(uri.parameters)
    netloc = ""
    if uri.socket is not None:
        query = {"socket": uri.socket, **query}
    else:
        host = uri.host or ""
        netloc = f"[{host}]" if ":" in host else host
        if uri.port != NBD_PORT:
            netloc += f":{uri.port}"
    if uri.username is not None:
        netloc = f"{quote(uri.username, safe='')}@{netloc}"
    tail = f"?{urlencode(query, safe='/', quote_via=quote, errors=_ANY_BYTES)}" if query else ""
    return f"{scheme}://{netloc}/{quote(uri.export)}{tail}"


def _query(text: str) -> dict[str, str]:
    query: dict[str, str] = {}
    try:
        pairs = parse_qsl(
            text.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(text), errors=_ANY_BYTES
        )
    except ValueError as error:
        raise FormatError(str(error), where="nbd uri") from error
    for name, value in pairs:
        if name in query:
            raise _fault("a parameter is repeated", name, "each once")
        if name != "socket" and name not in _PARAMETERS and not name.startswith("x-"):
            raise _fault("the URI has an unknown parameter", name, "socket " + " ".join(sorted(_PARAMETERS)))
        if name == "tls-verify-peer" and value not in ("0", "1"):
            raise _fault("tls-verify-peer has the wrong value", value, "0 or 1")
        query[name] = value if name in _FILES else _utf8(value)
    return query


def _decode(text: str) -> str:
    return _utf8(unquote(text, errors=_ANY_BYTES))


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FormatError("a percent-encoded part is not UTF-8", where="nbd uri") from error
    return text


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="nbd uri", found=repr(found), expected=expected)
