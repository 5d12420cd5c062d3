"""delay and fault: targets that delay requests or let them fail. delay is Linux's, fault is ours.

Source: Linux Documentation/admin-guide/device-mapper/delay.rst::

    delay <device> <start_sector> <milliseconds>
          [<write device> <start_sector> <milliseconds> [<flush device> <start_sector> <milliseconds>]]
    fault <device> <rules> [<seed>]

`bootpath.block.targets.fault` has the grammar of the rules. `flakey` has a module of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.dm.target import DeviceOffset, Target
from bootpath.formats.dm.words import MAX_U32, expect_words, parse_decimal


@dataclass(frozen=True, slots=True)
class Delay:
    """A device and a sector, and how many milliseconds each request waits before it goes there."""

    start: DeviceOffset
    milliseconds: int

    @classmethod
    def parse(cls, words: Sequence[str]) -> Delay:
        """From three arguments. Raises FormatError."""
        device, start, delay = words
        return cls(DeviceOffset.parse(device, start), parse_decimal("the delay", delay, most=MAX_U32))

    def pack(self) -> tuple[str, ...]:
        """The three arguments."""
        return *self.start.pack(), str(self.milliseconds)

    def __str__(self) -> str:
        return f"{self.start}, {self.milliseconds} ms late"


@dataclass(frozen=True, slots=True)
class DelayTarget(Target):
    """Where reads, writes and flushes go, and how late. None: as the one before it."""

    reads: Delay
    writes: Delay | None = None
    flushes: Delay | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> DelayTarget:
        """See `Target.parse`."""
        words = expect_words(args, 3, 9, "<device> <start_sector> <milliseconds> [the same for writes [for flushes]]")
        if len(words) % 3:
            raise FormatError("the number of arguments is wrong", found=len(words), expected="3, 6 or 9")
        return cls(*(Delay.parse(words[first : first + 3]) for first in range(0, len(words), 3)))

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        given = (each for each in (self.reads, self.writes, self.flushes) if each is not None)
        return tuple(word for each in given for word in each.pack())

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        others = (("writes", self.writes), ("flushes", self.flushes))
        return "; ".join((str(self.reads), *(f"{what} to {delay}" for what, delay in others if delay is not None)))


@dataclass(frozen=True, slots=True)
class FaultTarget(Target):
    """Chosen operations fail."""

    device: str
    rules: str
    seed: int | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> FaultTarget:
        """See `Target.parse`; the rules are parsed when the target is opened."""
        device, rules, *rest = expect_words(args, 2, 3, "<device> <rules> [<seed>]")
        return cls(device, rules, parse_decimal("seed", rest[0]) if rest else None)

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return (self.device, self.rules, *(() if self.seed is None else (str(self.seed),)))

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        return f"{self.device}, with faults: {self.rules}" + ("" if self.seed is None else f" (seed {self.seed})")
