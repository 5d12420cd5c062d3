"""What the value of every target has, and the pair of arguments that most of them begin with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bootpath.formats.dm.words import parse_decimal

SECTOR_BYTES = 512


class Target(ABC):
    """What the arguments of a table's line say. A subclass is a frozen dataclass that raises FormatError."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def parse(cls, args: Sequence[str]) -> Self:
        """From a line's arguments. Raises FormatError, which does not say where."""

    @abstractmethod
    def pack(self) -> tuple[str, ...]:
        """The line's arguments, which `parse` reads as the same value."""

    @abstractmethod
    def describe(self, size_bytes: int) -> str:
        """What a line of that size does, in a sentence without its end."""

    @property
    def openable(self) -> bool:
        """Whether this package can open it, as far as the arguments tell."""
        return True

    def check_length(self, num_sectors: int) -> None:  # noqa: B027 - not abstract: most targets take any length
        """Raise FormatError when a line of that length cannot be."""


@dataclass(frozen=True, slots=True)
class DeviceOffset:
    """A device's name, and the sector of it where something begins."""

    device: str
    start_sector: int

    @classmethod
    def parse(cls, device: str, start: str) -> DeviceOffset:
        """From two arguments. Raises FormatError."""
        return cls(device, parse_decimal("start_sector", start))

    def pack(self) -> tuple[str, str]:
        """The two arguments."""
        return self.device, str(self.start_sector)

    def __str__(self) -> str:
        return f"{self.device} from sector {self.start_sector}"
