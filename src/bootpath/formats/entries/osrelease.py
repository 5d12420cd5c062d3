"""os-release: which operating system this is, as assignments that a shell could read.

Source: os-release(5): "environment-like shell-compatible variable assignments ... no variable expansion is performed";
quotes and backslashes as in a shell. The sections .osrel and .profile of a UKI are written in it too (UAPI.5).

Lines that are no assignment are passed over, as systemd does; the last assignment of a name counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bootpath.core.errors import FormatError

OS_RELEASE_MAX_BYTES = 64 << 10

_PART = re.compile(r"""'([^']*)'|"((?:[^"\\]+|\\.)*+)"|\\(.)|([^'"\\]+)""")
_ESCAPED = re.compile(r"""\\([$"\\`])""")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def parse_os_release(data: bytes, where: str = "os-release") -> Mapping[str, str]:
    """The assignments. Trailing NULs are padding. Raises FormatError."""
    data = data.rstrip(b"\0")
    if len(data) > OS_RELEASE_MAX_BYTES:
        raise FormatError(
            "the file is too long", where=where, found=f"{len(data)} bytes", expected=f"at most {OS_RELEASE_MAX_BYTES}"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"byte {error.start} is no UTF-8", where=where) from None
    if "\0" in text:
        raise FormatError("there is a NUL in the text", where=where)
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = _ASSIGNMENT.fullmatch(line.strip())
        if match is not None:
            found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(text: str) -> str:
    """The value of an assignment; as it stands where the quotes do not match."""
    value, position = "", 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            return text
        single, double, escaped, plain = match.groups()
        # In double quotes a backslash is one, unless it stands before what means something there.
        value += (single or "") + _ESCAPED.sub(r"\1", double or "") + (escaped or "") + (plain or "")
        position = match.end()
    return value
