"""flakey: a device that fails now and then.

Source: Linux Documentation/admin-guide/device-mapper/dm-flakey.rst; drivers/md/dm-flakey.c (6.12) for what excludes
what::

    flakey <device> <start_sector> <up interval> <down interval> [<#feature words> <feature>…]

    feature ::= error_reads | drop_writes | error_writes
              | corrupt_bio_byte <Nth byte, from 1> r|w <value> <bio flags>
              | random_read_corrupt <probability> | random_write_corrupt <probability>      in 10^-9

Without a feature everything fails while the device is down. Linux counts the intervals in seconds,
`block.targets.flakey` in operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bootpath.core.errors import FormatError
from bootpath.core.units import plural
from bootpath.formats.dm.target import DeviceOffset, Target
from bootpath.formats.dm.words import MAX_U32, counted_words, expect_words, pack_counted, parse_decimal

PROBABILITY_BASE = 10**9


@dataclass(frozen=True, slots=True)
class CorruptByte:
    """Byte `nth`, counted from 1, of what is read (or written) becomes `value`; `flags` of a bio, 0 for any."""

    nth: int
    writes: bool
    value: int
    flags: int = 0


@dataclass(frozen=True, slots=True)
class FlakeyTarget(Target):
    """What a flakey device does while it is down; `up` and `down` are its intervals. Raises FormatError."""

    start: DeviceOffset
    up: int
    down: int
    error_reads: bool = False
    drop_writes: bool = False
    error_writes: bool = False
    corrupt: CorruptByte | None = None
    random_read_corrupt: int = 0
    random_write_corrupt: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.up + self.down <= MAX_U32:
            raise FormatError(
                "the sum of the intervals is out of range", found=self.up + self.down, expected=f"1 to {MAX_U32}"
            )
        if self.drop_writes and self.error_writes:
            raise FormatError("drop_writes and error_writes exclude each other")
        changes_writes = self.random_write_corrupt or (self.corrupt is not None and self.corrupt.writes)
        if changes_writes and (self.drop_writes or self.error_writes):
            raise FormatError("writes that are dropped or fail cannot be corrupted", expected="one of the features")

    @property
    def everything_fails(self) -> bool:
        """Whether no feature was given."""
        named = self.error_reads or self.drop_writes or self.error_writes or self.corrupt is not None
        return not (named or self.random_read_corrupt or self.random_write_corrupt)

    @classmethod
    def parse(cls, args: Sequence[str]) -> FlakeyTarget:
        """See `Target.parse`."""
        grammar = "<device> <start_sector> <up interval> <down interval> [<#feature words> <feature>…]"
        device, start, up, down, *rest = expect_words(args, 4, 16, grammar)
        return cls(
            DeviceOffset.parse(device, start),
            parse_decimal("the up interval", up, most=MAX_U32),
            parse_decimal("the down interval", down, most=MAX_U32),
            **_features(iter(counted_words("feature words", rest))),
        )

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        words: list[str] = [name for name in _FLAGS if getattr(self, name)]
        if self.corrupt is not None:
            byte = self.corrupt
            words += ("corrupt_bio_byte", str(byte.nth), "w" if byte.writes else "r", str(byte.value), str(byte.flags))
        for name in _PROBABILITIES:
            if getattr(self, name):
                words += (name, str(getattr(self, name)))
        return (*self.start.pack(), str(self.up), str(self.down), *pack_counted(words))

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        faults = [text for name, text in _DESCRIPTIONS.items() if getattr(self, name)]
        if self.corrupt is not None:
            kind = "written" if self.corrupt.writes else "read"
            faults.append(f"byte {self.corrupt.nth} of what is {kind} becomes {self.corrupt.value}")
        for kind, probability in (("read", self.random_read_corrupt), ("written", self.random_write_corrupt)):
            if probability:
                percent = 100 * probability / PROBABILITY_BASE
                faults.append(f"a byte of what is {kind} changes in {percent:g} % of cases")
        good = plural(self.up, "good operation")
        return f"{self.start}; {good}, then {self.down} bad, in turn: {', '.join(faults)}"


_DESCRIPTIONS = {
    "everything_fails": "everything fails",
    "error_reads": "reads fail",
    "error_writes": "writes fail",
    "drop_writes": "writes are dropped",
}
_FLAGS = ("error_reads", "drop_writes", "error_writes")
_PROBABILITIES = ("random_read_corrupt", "random_write_corrupt")
_FEATURES = " ".join((*_FLAGS, "corrupt_bio_byte", *_PROBABILITIES))


def _features(words: Iterator[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name = word.lower()  # strcasecmp, as the kernel does
        key = "corrupt" if name == "corrupt_bio_byte" else name
        if key in found:
            raise FormatError(f"{name} is given twice")
        if name in _FLAGS:
            found[key] = True
        elif name in _PROBABILITIES:
            found[key] = parse_decimal(name, _next(name, words), most=PROBABILITY_BASE)
        elif name == "corrupt_bio_byte":
            found[key] = _corrupt_byte(name, words)
        else:
            raise FormatError("there is no such feature", found=repr(word[:80]), expected="one of " + _FEATURES)
    return found


def _corrupt_byte(name: str, words: Iterator[str]) -> CorruptByte:
    nth = parse_decimal("the byte to corrupt", _next(name, words), least=1, most=MAX_U32)
    direction = _next(name, words).lower()
    if direction not in ("r", "w"):
        raise FormatError("the direction is wrong", found=repr(direction[:80]), expected="r or w")
    value = parse_decimal("the value", _next(name, words), most=255)
    return CorruptByte(nth, direction == "w", value, parse_decimal("the bio flags", _next(name, words), most=MAX_U32))


def _next(name: str, words: Iterator[str]) -> str:
    word = next(words, None)
    if word is None:
        raise FormatError(f"{name} has too few arguments")
    return word
