"""snapshot and snapshot-origin: a writable view of a device, and the device that there are views of.

Source: Linux Documentation/admin-guide/device-mapper/snapshot.rst::

    snapshot <origin> <COW device> P|PO|N <chunk_sectors> [<#features> <feature>…]
    snapshot-origin <origin>

The features: discard_zeroes_cow, and with it discard_passdown_origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.core.units import format_bytes
from bootpath.formats.dm.target import SECTOR_BYTES, Target
from bootpath.formats.dm.words import counted_words, expect_words, pack_counted, parse_decimal

FEATURES = ("discard_zeroes_cow", "discard_passdown_origin")
MAX_CHUNK_SECTORS = 1 << 20  # the kernel says 2^31 - 1; half a GiB of metadata at a time is enough


class SnapshotStore(Enum):
    """How the COW device is used: for good, or until the device is removed."""

    PERSISTENT = "P"
    PERSISTENT_OVERFLOW = "PO"
    TRANSIENT = "N"


@dataclass(frozen=True, slots=True)
class SnapshotTarget(Target):
    """A writable view of `origin` whose changed chunks are on `cow`. Raises FormatError.

    A chunk is a power of two of sectors ("Chunk size is not a power of 2", dm-exception-store.c); 0 takes the store's.
    """

    origin: str
    cow: str
    store: SnapshotStore
    chunk_sectors: int
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.chunk_sectors & (self.chunk_sectors - 1) or not 0 <= self.chunk_sectors <= MAX_CHUNK_SECTORS:
            expected = f"a power of two up to {MAX_CHUNK_SECTORS}, or 0"
            raise FormatError("chunk_sectors is not a size of chunks", found=self.chunk_sectors, expected=expected)
        if self.features not in ((), FEATURES[:1], FEATURES, FEATURES[::-1]):
            found = brief(" ".join(self.features))
            raise FormatError("the features do not go together", found=found, expected=f"{FEATURES[0]} [{FEATURES[1]}]")

    @property
    def persistent(self) -> bool:
        """Whether the changes outlive the device."""
        return self.store is not SnapshotStore.TRANSIENT

    @classmethod
    def parse(cls, args: Sequence[str]) -> SnapshotTarget:
        """See `Target.parse`."""
        grammar = "<origin> <COW device> P|PO|N <chunk_sectors> [<#features> <feature>…]"
        origin, cow, store, chunk, *rest = expect_words(args, 4, 7, grammar)
        if store not in (each.value for each in SnapshotStore):
            raise FormatError("there is no such store", found=repr(store), expected="P, PO or N")
        chunk_sectors = parse_decimal("chunk_sectors", chunk)
        return cls(origin, cow, SnapshotStore(store), chunk_sectors, counted_words("features", rest))

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return (self.origin, self.cow, self.store.value, str(self.chunk_sectors), *pack_counted(self.features))

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        where = f"kept on {self.cow}" if self.persistent else f"kept in memory, at most the size of {self.cow}"
        size = format_bytes(self.chunk_sectors * SECTOR_BYTES) if self.chunk_sectors else "the store's size"
        return f"a writable view of {self.origin}; changed chunks of {size} are {where}"


@dataclass(frozen=True, slots=True)
class SnapshotOriginTarget(Target):
    """A device of which there may be snapshots."""

    origin: str

    @classmethod
    def parse(cls, args: Sequence[str]) -> SnapshotOriginTarget:
        """See `Target.parse`."""
        return cls(*expect_words(args, 1, 1, "<origin>"))

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return (self.origin,)

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        return f"{self.origin}, which has snapshots; read-only here"
