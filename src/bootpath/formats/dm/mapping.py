"""linear and striped: runs of other devices.

Sources: Linux Documentation/admin-guide/device-mapper/{linear,striped}.rst; drivers/md/dm-stripe.c (6.12) for what a
stripe must divide::

    linear <device> <start_sector>
    striped <#stripes> <chunk_sectors> <device> <start_sector> [<device> <start_sector>…]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.core.units import format_bytes, plural
from bootpath.formats.dm.target import SECTOR_BYTES, DeviceOffset, Target
from bootpath.formats.dm.words import MAX_U32, expect_words, parse_decimal


@dataclass(frozen=True, slots=True)
class LinearTarget(Target):
    """A run of a device."""

    start: DeviceOffset

    @classmethod
    def parse(cls, args: Sequence[str]) -> LinearTarget:
        """See `Target.parse`."""
        device, start = expect_words(args, 2, 2, "<device> <start_sector>")
        return cls(DeviceOffset.parse(device, start))

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return self.start.pack()

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        return f"{format_bytes(size_bytes)} of {self.start}"


@dataclass(frozen=True, slots=True)
class StripedTarget(Target):
    """Chunks of the stripes in turn. Raises FormatError without a stripe or with chunks of no sectors."""

    chunk_sectors: int
    stripes: tuple[DeviceOffset, ...]

    def __post_init__(self) -> None:
        if not self.stripes:
            raise FormatError("there are no stripes")
        if not 0 < self.chunk_sectors <= MAX_U32:
            raise FormatError("chunk_sectors is out of range", found=self.chunk_sectors, expected=f"1 to {MAX_U32}")

    @classmethod
    def parse(cls, args: Sequence[str]) -> StripedTarget:
        """See `Target.parse`."""
        grammar = "<#stripes> <chunk_sectors> <device> <start_sector> [<device> <start_sector>…]"
        count, chunk, *rest = expect_words(args, 4, max(len(args), 4), grammar)
        number = parse_decimal("#stripes", count, least=1, most=MAX_U32)
        if len(rest) != 2 * number:
            raise FormatError(
                "the number of stripes is not that of the devices and sectors that follow it",
                found=f"{len(rest)} words",
                expected=f"{2 * number} words for {plural(number, 'stripe')}",
            )
        stripes = tuple(DeviceOffset.parse(device, start) for device, start in zip(rest[::2], rest[1::2], strict=True))
        return cls(parse_decimal("chunk_sectors", chunk), stripes)

    def check_length(self, num_sectors: int) -> None:
        """See `Target.check_length`: the kernel demands a whole number of rounds of chunks."""
        if num_sectors % (self.chunk_sectors * len(self.stripes)):
            expected = f"a multiple of {len(self.stripes)} chunks of {self.chunk_sectors}"
            raise FormatError("num_sectors does not end on a round of chunks", found=num_sectors, expected=expected)

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        words = (str(len(self.stripes)), str(self.chunk_sectors))
        return words + tuple(word for stripe in self.stripes for word in stripe.pack())

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        chunk = format_bytes(self.chunk_sectors * SECTOR_BYTES)
        stripes = ", ".join(map(str, self.stripes))
        return f"chunks of {chunk} in turn from {plural(len(self.stripes), 'stripe')}: {stripes}"
