"""Boot counting: the tries that are left, in the name of a boot entry's file.

Source: UAPI.1 Boot Loader Specification, "Boot counting"::

    <id>[+<tries left>[-<tries done>]].conf          fedora-6.9+3-00.conf      fedora-6.9+03.efi

The counters are changed by renaming the file, which is the commit; so their digits keep their number, and a name does
not grow. `+0` is bad: nothing is left to try. Without counters an entry is good, or nobody counts. A number above
`MAX_COUNTER` is no counter, as for systemd: it belongs to the id.

Invariants: `pack_entry_name(parse_entry_name(name)) == name`; `counted_name` never makes `tries_left` less than 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from reprlib import repr as brief

from bootpath.core.errors import FormatError

BOOT_SPEC = "UAPI.1"
MAX_NAME_CHARACTERS = 255  # "at least one and at most 255 characters (including the file name suffix)"
MAX_COUNTER = 2**31 - 1
ENTRY_SUFFIXES = (".conf", ".efi")

# "ASCII upper and lower case characters, digits, "+", "-", "_" and "."."
_NAME = re.compile(r"[A-Za-z0-9+\-_.]+")
_COUNTERS = re.compile(r"(?P<id>.+)\+(?P<left>[0-9]+)(?:-(?P<done>[0-9]+))?")


class Assessment(Enum):
    """What the counters say of an entry."""

    GOOD = "good"
    INDETERMINATE = "indeterminate"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class BootCounter:
    """How often an entry may still be tried, and has been. The digits are how wide each number is written.

    `done_digits` 0 means that the second number is not there.
    """

    tries_left: int
    tries_done: int = 0
    left_digits: int = 1
    done_digits: int = 0

    def __str__(self) -> str:
        done = f"-{self.tries_done:0{self.done_digits}}" if self.done_digits else ""
        return f"+{self.tries_left:0{self.left_digits}}{done}"

    @property
    def bad(self) -> bool:
        """True when nothing is left to try."""
        return self.tries_left == 0

    def counted(self) -> BootCounter:
        """The counters after one more attempt has begun; the same when nothing is left."""
        if self.bad:
            return self
        # "If the counter would overflow its allocated width, it shall be capped at the maximum representable value"
        most = 10**self.done_digits - 1 if self.done_digits else self.tries_done + 1
        done = min(self.tries_done + 1, most, MAX_COUNTER)
        # "If the second counter is missing, then it is assumed to be equivalent to zero."
        return replace(
            self, tries_left=self.tries_left - 1, tries_done=done, done_digits=self.done_digits or len(str(done))
        )


@dataclass(frozen=True, slots=True)
class EntryName:
    """A boot entry's file name in its parts: `id` and `suffix` (with its dot) stay, the counter changes."""

    id: str
    suffix: str
    counter: BootCounter | None = None

    def __str__(self) -> str:
        return f"{self.id}{self.counter or ''}{self.suffix}"

    @property
    def assessment(self) -> Assessment:
        """Whether the entry is good, bad, or on trial."""
        if self.counter is None:
            return Assessment.GOOD
        return Assessment.BAD if self.counter.bad else Assessment.INDETERMINATE


def parse_entry_name(name: str) -> EntryName:
    """The parts of a file name. Raises FormatError when no boot entry may be called so."""
    suffix = next((suffix for suffix in ENTRY_SUFFIXES if name.lower().endswith(suffix)), None)
    if suffix is None or len(name) == len(suffix):
        raise _fault(name, f"a name that ends in {' or '.join(ENTRY_SUFFIXES)}")
    if len(name) > MAX_NAME_CHARACTERS:
        raise _fault(name, f"at most {MAX_NAME_CHARACTERS} characters")
    if _NAME.fullmatch(name) is None:
        raise _fault(name, 'only letters and digits of ASCII, "+", "-", "_" and "."')
    stem, suffix = name[: -len(suffix)], name[-len(suffix) :]
    match = _COUNTERS.fullmatch(stem)
    if match is None:
        return EntryName(stem, suffix)
    left, done = match["left"], match["done"] or ""
    if max(int(left), int(done or 0)) > MAX_COUNTER:
        return EntryName(stem, suffix)
    return EntryName(match["id"], suffix, BootCounter(int(left), int(done or 0), len(left), len(done)))


def pack_entry_name(name: EntryName) -> str:
    """The file name of these parts. Raises FormatError when it would be read as others."""
    text = str(name)
    if parse_entry_name(text) != name:
        raise _fault(text, "a name that gives the same counters when it is read")
    return text


def counted_name(name: str) -> str:
    """What the file has to be renamed to before the entry is tried; the same when nothing is counted or left.

    Raises FormatError.
    """
    parts = parse_entry_name(name)
    return str(parts if parts.counter is None else replace(parts, counter=parts.counter.counted()))


def blessed_name(name: str) -> str:
    """What the file has to be renamed to when the boot was good: the name without counters. Raises FormatError."""
    return str(replace(parse_entry_name(name), counter=None))


def _fault(name: str, expected: str) -> FormatError:
    return FormatError(
        "the file name is not allowed", where="boot entry", found=brief(name), expected=expected, spec=BOOT_SPEC
    )
