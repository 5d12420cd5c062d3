"""overlay, overlayfile and live: our targets that keep changes, or a preload, above a disk. Quantities are bytes.

::

    overlay <device> [<max_bytes>]
    overlayfile <device> <path> [<max_bytes>] [no_checksums]
    live <preload device> <disk>|- <deadline_seconds> <offset>+<length>[,<offset>+<length>…]

`overlayfile` keeps what is written in the file at that path, which is made when there is none, then with checksums of
the data unless the last word is `no_checksums`. `live` reads the packed
extents of its preload device into RAM, unless they are there already, and compares their first MiB with the disk
before it believes the disk; the disk may appear later, and ``-`` says that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.core.extents import Extent
from bootpath.core.units import format_bytes
from bootpath.formats.dm.target import Target
from bootpath.formats.dm.words import expect_words, parse_decimal


@dataclass(frozen=True, slots=True)
class OverlayTarget(Target):
    """Changes in RAM, at most `max_bytes`."""

    device: str
    max_bytes: int | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> OverlayTarget:
        """See `Target.parse`."""
        device, *rest = expect_words(args, 1, 2, "<device> [<max_bytes>]")
        return cls(device, _parse_cap(rest))

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return (self.device, *_pack_cap(self.max_bytes))

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        return f"{self.device}, with changes in RAM{_describe_cap(self.max_bytes)}"


@dataclass(frozen=True, slots=True)
class OverlayFileTarget(Target):
    """Changes in the file at `path`, at most `max_bytes`; `checksums` are for a file that is made."""

    device: str
    path: str
    max_bytes: int | None = None
    checksums: bool = True

    @classmethod
    def parse(cls, args: Sequence[str]) -> OverlayFileTarget:
        """See `Target.parse`."""
        checksums = "no_checksums" not in args[2:][-1:]
        words = args if checksums else args[:-1]
        device, path, *rest = expect_words(words, 2, 3, "<device> <path> [<max_bytes>] [no_checksums]")
        return cls(device, path, _parse_cap(rest), checksums)

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return (self.device, self.path, *_pack_cap(self.max_bytes), *(() if self.checksums else ("no_checksums",)))

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        unchecked = "" if self.checksums else ", without checksums if it is made"
        return f"{self.device}, with changes in the file {self.path}{_describe_cap(self.max_bytes)}{unchecked}"


@dataclass(frozen=True, slots=True)
class LiveTarget(Target):
    """The packed `extents` of `preload` first, everything else from `disk`; None: there is none."""

    preload: str
    disk: str | None
    deadline_seconds: int
    extents: tuple[Extent, ...]

    @classmethod
    def parse(cls, args: Sequence[str]) -> LiveTarget:
        """See `Target.parse`."""
        grammar = "<preload device> <disk>|- <deadline_seconds> <offset>+<length>[,…]"
        preload, disk, seconds, text = expect_words(args, 4, 4, grammar)
        deadline = parse_decimal("deadline_seconds", seconds)
        extents = tuple(_parse_extent(part) for part in text.split(","))
        return cls(preload, None if disk == "-" else disk, deadline, extents)

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        extents = ",".join(f"{extent.offset}+{extent.length}" for extent in self.extents)
        return self.preload, self.disk or "-", str(self.deadline_seconds), extents

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        held = format_bytes(sum(extent.length for extent in self.extents))
        rest = "there is nothing behind it" if self.disk is None else f"the rest from {self.disk}, which may come later"
        return f"{held} from RAM, preloaded from {self.preload}; {rest}"


def _parse_cap(words: Sequence[str]) -> int | None:
    return parse_decimal("max_bytes", words[0]) if words else None


def _pack_cap(max_bytes: int | None) -> tuple[str, ...]:
    return () if max_bytes is None else (str(max_bytes),)


def _describe_cap(max_bytes: int | None) -> str:
    return "" if max_bytes is None else f", at most {format_bytes(max_bytes)}"


def _parse_extent(text: str) -> Extent:
    offset, _, length = text.partition("+")
    return Extent(parse_decimal("the offset of an extent", offset), parse_decimal("the length of an extent", length))
