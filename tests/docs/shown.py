"""Whether a command said what its page shows.

``…`` stands for any text of a line, a line of ``...`` or ``…`` for any lines. In a block whose numbers vary, numbers,
their units, hexadecimal digits and the width of columns may be others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_VARYING = re.compile(
    r"(?P<uuid>\b[0-9a-f]{4,8}-(?:[0-9a-f]{4}-)*(?:[0-9a-f]{4,12}\b)?)"
    r"|(?P<hex>\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b)"
    r"|(?P<number>\d+(?:\.\d+)?(?: (?:bytes|[KMGT]iB|ms|s)\b)?)"
    r"|(?P<blank> +)",
    re.IGNORECASE,
)
_NUMBER = r"\d+(?:\.\d+)?(?: (?:bytes|[KMGT]iB|ms|s))?"
_REPLACEMENTS = {"uuid": r"[0-9A-Fa-f-]+", "hex": r"[0-9A-Fa-f]+", "number": _NUMBER, "blank": " +"}


def matches(shown: Sequence[str], said: str, *, numbers_vary: bool = False) -> bool:
    """Compare all lines."""
    pattern = "".join(_line(line, numbers_vary) for line in shown)
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in said.splitlines())) is not None


def _line(line: str, numbers_vary: bool) -> str:
    if line.strip(" │├└─") in ("...", "…"):
        return r"(?:.*\n)*?"
    return r".*".join(_text(part, numbers_vary) for part in line.rstrip().split("…")) + r"\n"


def _text(text: str, numbers_vary: bool) -> str:
    if not numbers_vary:
        return re.escape(text)
    parts, end = [], 0
    for found in _VARYING.finditer(text):
        assert found.lastgroup is not None
        parts += [re.escape(text[end : found.start()]), _REPLACEMENTS[found.lastgroup]]
        end = found.end()
    return "".join([*parts, re.escape(text[end:])])
