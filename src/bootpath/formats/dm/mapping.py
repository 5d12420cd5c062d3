"""Rows of the targets that only say where bytes are: linear, striped, zero, error, delay.

Sources: Linux Documentation/admin-guide/device-mapper/{linear,striped,zero,delay}.rst; drivers/md/dm-stripe.c for what
a stripe must divide, dm-target.c for the arguments of error (6.12)::

    linear <device> <start_sector>
    striped <#stripes> <chunk_sectors> <device> <start_sector> [<device> <start_sector>…]
    zero
    error [<device> <start_sector>]                               its limits are taken from there, nothing else
    delay <device> <start_sector> <milliseconds>
          [<write device> <start_sector> <milliseconds> [<flush device> <start_sector> <milliseconds>]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.dm.words import expect_words, parse_decimal

MAX_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class DeviceOffset:
    """A device's name, and the sector of it where something begins."""

    device: str
    start_sector: int

    @classmethod
    def parse(cls, device: str, start: str) -> DeviceOffset:
        """From two words. Raises FormatError."""
        return cls(device, parse_decimal("start_sector", start))

    def pack(self) -> tuple[str, str]:
        """The two words."""
        return self.device, str(self.start_sector)


@dataclass(frozen=True, slots=True)
class LinearRow:
    """A run of a device."""

    place: DeviceOffset

    @classmethod
    def parse(cls, args: Sequence[str]) -> LinearRow:
        """From a row's arguments. Raises FormatError."""
        device, start = expect_words(args, 2, 2, "<device> <start_sector>")
        return cls(DeviceOffset.parse(device, start))

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        return self.place.pack()


@dataclass(frozen=True, slots=True)
class StripedRow:
    """Chunks that go round the stripes in turn. Raises FormatError without a stripe or with chunks of no sectors."""

    chunk_sectors: int
    stripes: tuple[DeviceOffset, ...]

    def __post_init__(self) -> None:
        if not self.stripes:
            raise FormatError("there are no stripes")
        if not 0 < self.chunk_sectors <= MAX_U32:
            raise FormatError("chunk_sectors is", found=self.chunk_sectors, expected=f"1 to {MAX_U32}")

    @classmethod
    def parse(cls, args: Sequence[str]) -> StripedRow:
        """From a row's arguments. Raises FormatError."""
        grammar = "<#stripes> <chunk_sectors> <device> <start_sector> [<device> <start_sector>…]"
        count, chunk, *rest = expect_words(args, 4, max(len(args), 4), grammar)
        stripes = parse_decimal("#stripes", count, least=1, most=MAX_U32)
        if len(rest) != 2 * stripes:
            raise FormatError(f"{stripes} stripes have", found=f"{len(rest)} words", expected=str(2 * stripes))
        places = tuple(DeviceOffset.parse(device, start) for device, start in zip(rest[::2], rest[1::2], strict=True))
        return cls(parse_decimal("chunk_sectors", chunk), places)

    def check_length(self, num_sectors: int) -> None:
        """FormatError when a row of that length has no whole number of rounds of chunks, as the kernel demands."""
        round_sectors = self.chunk_sectors * len(self.stripes)
        if num_sectors % round_sectors:
            expected = f"a multiple of {len(self.stripes)} chunks of {self.chunk_sectors}"
            raise FormatError("num_sectors is", found=num_sectors, expected=expected)

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        words = (str(len(self.stripes)), str(self.chunk_sectors))
        return words + tuple(word for place in self.stripes for word in place.pack())


@dataclass(frozen=True, slots=True)
class ZeroRow:
    """Zeros; what is written is forgotten."""

    @classmethod
    def parse(cls, args: Sequence[str]) -> ZeroRow:
        """From a row's arguments, of which there are none. Raises FormatError."""
        expect_words(args, 0, 0, "")
        return cls()

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        return ()


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Errors. The kernel takes the limits of a device from `place`; nothing is ever read there."""

    place: DeviceOffset | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> ErrorRow:
        """From a row's arguments. Raises FormatError."""
        if not args:
            return cls()
        device, start = expect_words(args, 2, 2, "[<device> <start_sector>]")
        return cls(DeviceOffset.parse(device, start))

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        return () if self.place is None else self.place.pack()


@dataclass(frozen=True, slots=True)
class Delay:
    """A place, and for how many milliseconds whatever goes there waits first."""

    place: DeviceOffset
    milliseconds: int

    @classmethod
    def parse(cls, words: Sequence[str]) -> Delay:
        """From three words. Raises FormatError."""
        device, start, delay = words
        return cls(DeviceOffset.parse(device, start), parse_decimal("the delay", delay, most=MAX_U32))

    def pack(self) -> tuple[str, ...]:
        """The three words."""
        return *self.place.pack(), str(self.milliseconds)


@dataclass(frozen=True, slots=True)
class DelayRow:
    """Where reads, writes and flushes go, and how late; None: as the one before it."""

    reads: Delay
    writes: Delay | None = None
    flushes: Delay | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> DelayRow:
        """From a row's arguments. Raises FormatError."""
        words = expect_words(args, 3, 9, "<device> <start_sector> <milliseconds> [the same for writes [for flushes]]")
        if len(words) % 3:
            raise FormatError("arguments are", found=len(words), expected="3, 6 or 9")
        return cls(*(Delay.parse(words[first : first + 3]) for first in range(0, len(words), 3)))

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        given = (each for each in (self.reads, self.writes, self.flushes) if each is not None)
        return tuple(word for each in given for word in each.pack())
