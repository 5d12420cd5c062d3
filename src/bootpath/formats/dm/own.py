"""Rows of the targets that are ours; quantities are bytes, as everywhere above the table.

::

    overlay <device> [<max_bytes>]
    overlayfile <device> <path> [<max_bytes>]
    live <preload device> <disk>|- <deadline_seconds> <offset>+<length>[,<offset>+<length>…]
    fault <device> <rules> [<seed>]
    erased

What each does stands in `bootpath.block.table.stack`; the grammar of `rules` in `bootpath.block.targets.fault`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.core.extents import Extent
from bootpath.formats.dm.words import expect_words, parse_decimal


@dataclass(frozen=True, slots=True)
class OverlayRow:
    """Changes in RAM, at most `max_bytes`."""

    device: str
    max_bytes: int | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> OverlayRow:
        """From a row's arguments. Raises FormatError."""
        device, *rest = expect_words(args, 1, 2, "<device> [<max_bytes>]")
        return cls(device, _max_bytes(rest))

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        return (self.device, *_packed(self.max_bytes))


@dataclass(frozen=True, slots=True)
class OverlayFileRow:
    """Changes in the file at `path`, at most `max_bytes`."""

    device: str
    path: str
    max_bytes: int | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> OverlayFileRow:
        """From a row's arguments. Raises FormatError."""
        device, path, *rest = expect_words(args, 2, 3, "<device> <path> [<max_bytes>]")
        return cls(device, path, _max_bytes(rest))

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        return (self.device, self.path, *_packed(self.max_bytes))


@dataclass(frozen=True, slots=True)
class LiveRow:
    """The packed `extents` of `preload` first, everything else from `disk`; None: there is none."""

    preload: str
    disk: str | None
    deadline_seconds: int
    extents: tuple[Extent, ...]

    @classmethod
    def parse(cls, args: Sequence[str]) -> LiveRow:
        """From a row's arguments. Raises FormatError."""
        grammar = "<preload device> <disk>|- <deadline_seconds> <offset>+<length>[,…]"
        preload, disk, seconds, text = expect_words(args, 4, 4, grammar)
        deadline = parse_decimal("deadline_seconds", seconds)
        extents = tuple(_extent(part) for part in text.split(","))
        return cls(preload, None if disk == "-" else disk, deadline, extents)

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        extents = ",".join(f"{extent.offset}+{extent.length}" for extent in self.extents)
        return self.preload, self.disk or "-", str(self.deadline_seconds), extents


@dataclass(frozen=True, slots=True)
class FaultRow:
    """Chosen operations fail."""

    device: str
    rules: str
    seed: int | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> FaultRow:
        """From a row's arguments; the rules are not looked at. Raises FormatError."""
        device, rules, *rest = expect_words(args, 2, 3, "<device> <rules> [<seed>]")
        return cls(device, rules, parse_decimal("seed", rest[0]) if rest else None)

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        return (self.device, self.rules, *_packed(self.seed))


@dataclass(frozen=True, slots=True)
class ErasedRow:
    """0xFF, as erased flash: the unmapped eraseblocks of a UBI volume."""

    @classmethod
    def parse(cls, args: Sequence[str]) -> ErasedRow:
        """From a row's arguments, of which there are none. Raises FormatError."""
        expect_words(args, 0, 0, "")
        return cls()

    def pack(self) -> tuple[str, ...]:
        """The row's arguments."""
        return ()


def _max_bytes(words: Sequence[str]) -> int | None:
    return parse_decimal("max_bytes", words[0]) if words else None


def _packed(number: int | None) -> tuple[str, ...]:
    return () if number is None else (str(number),)


def _extent(text: str) -> Extent:
    offset, _, length = text.partition("+")
    return Extent(parse_decimal("extent offset", offset), parse_decimal("extent length", length))
