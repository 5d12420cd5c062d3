"""The values of repart.d's keys: booleans, sizes, paths, words, specifiers.

Source: systemd.syntax(7) for booleans, repart.d(5) for sizes, paths and specifiers. `where` is file, line and key, and
goes into the FormatError that every function raises for what it does not take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bootpath.core.errors import FormatError

GRAIN_BYTES = 4096
"""What sizes are multiples of."""

_TRUE, _FALSE = ("1", "yes", "y", "true", "t", "on"), ("0", "no", "n", "false", "f", "off")
_SIZE = re.compile(r"(\d{1,20})(?:\.(\d{1,9}))?\s*([BKMGTPE]?)", re.ASCII)
_FACTORS: Mapping[str, int] = {letter: 1 << 10 * power for power, letter in enumerate("BKMGTPE")} | {"": 1}
_MAX_BYTES = 1 << 60
_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}|0b[01]{1,64}|\d{1,20}", re.ASCII)
_SPECIFIER = re.compile(r"%(.?)", re.DOTALL)
_WORD = re.compile(r'\s*(?:"((?:[^"\\]+|\\.)*+)"|\'([^\']*)\'|([^\s"\'\\]+))(?=\s|$)', re.DOTALL)
_PLAIN = "repart.d(5)"


def boolean(text: str, *, where: str) -> bool:
    """ "1, yes, true and on are equivalent", and their opposites."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise _fault(where, text, "yes or no")


def rounded_size(text: str, *, where: str, up: bool) -> int:
    """Bytes, with "the usual K, M, G, T, ... suffixes (to the base of 1024)", in whole grains."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise _fault(where, text, "bytes, or a number with K, M, G or T")
    whole, fraction, suffix = match.groups()
    factor = _FACTORS[suffix]
    size = int(whole) * factor + (0 if fraction is None else int(fraction) * factor // 10 ** len(fraction))
    if size > _MAX_BYTES:
        raise _fault(where, text, "at most 1E")
    return -(-size // GRAIN_BYTES) * GRAIN_BYTES if up else size // GRAIN_BYTES * GRAIN_BYTES


def power_of_two(text: str, *, where: str) -> int:
    """The size of a verity block: systemd takes 512 to 4096."""
    size = rounded_size(text, where=where, up=True) if not text.isdecimal() else int(text) if len(text) < 9 else 0
    if not 512 <= size <= 4096 or size & (size - 1):
        raise _fault(where, text, "512, 1024, 2048 or 4096")
    return size


def flag_bits(text: str, *, where: str) -> int:
    """A number of 64 bits: decimal, 0x… or 0b…."""
    value = int(text, 0 if text.startswith(("0x", "0b")) else 10) if _NUMBER.fullmatch(text) else 1 << 64
    if value >> 64:
        raise _fault(where, text, "a number of 64 bits")
    return value


def absolute_path(text: str, *, where: str) -> str:
    """An absolute path without "." and without repeated slashes. ".." would lead who knows where."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not text.startswith("/") or ".." in parts or "\n" in text:
        raise _fault(where, text, 'an absolute path without ".."')
    return "/" + "/".join(parts)


def words(text: str, *, where: str) -> tuple[str, ...]:
    """Words between blanks; quotes keep blanks together, a backslash takes the next character as it is."""
    found: list[str] = []
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            raise _fault(where, text, "words, with their quotes closed")
        double, single, plain = match.groups()
        found.append(re.sub(r"\\(.)", r"\1", double, flags=re.DOTALL) if double is not None else single or plain or "")
        position = match.end()
    return tuple(found)


def expand_specifiers(text: str, specifiers: Mapping[str, str], *, where: str) -> str:
    """The text with "%x" replaced by what `specifiers` has for "x", and "%%" by a percent sign."""

    def replacement(match: re.Match[str]) -> str:
        letter = match[1]
        if letter == "%":
            return "%"
        if letter not in specifiers:
            known = ", ".join(f"%{each}" for each in sorted(specifiers)) or "none"
            raise FormatError(
                "the specifier is unknown",
                where=where,
                found=f"%{letter}",
                expected=f"one of those known: {known}",
                spec=_PLAIN,
            )
        return specifiers[letter]

    return _SPECIFIER.sub(replacement, text)


def _fault(where: str, found: str, expected: str) -> FormatError:
    return FormatError("the value is not valid", where=where, found=repr(found[:80]), expected=expected, spec=_PLAIN)
