"""The one I/O vocabulary: what was done to a device, in order.

The log target emits these records, the planner reads them, an update's plan is made of them and crash exploration
replays them. Offsets and lengths are bytes on the logged device. A `Mark` names what follows it (a step of the boot, a
file, a commit point).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bootpath.core.extents import Extent


@dataclass(frozen=True, slots=True)
class Read:
    """A read; `source` says where the bytes came from when the device knows, `errno` is 0 or why it failed."""

    offset: int
    length: int
    source: str = ""
    errno: int = 0

    @property
    def extent(self) -> Extent:
        """The range read."""
        return Extent(self.offset, self.length)


@dataclass(frozen=True, slots=True)
class Write:
    """A write; `data` is kept only when the log was asked to keep it."""

    offset: int
    length: int
    data: bytes | None = None
    fua: bool = False
    errno: int = 0


@dataclass(frozen=True, slots=True)
class Zero:
    """A range made to read as zeros."""

    offset: int
    length: int
    errno: int = 0


@dataclass(frozen=True, slots=True)
class Discard:
    """A range given up."""

    offset: int
    length: int
    errno: int = 0


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything completed before it is stable."""

    errno: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A name for what follows."""

    name: str


Record: TypeAlias = Read | Write | Zero | Discard | Flush | Mark
Sink: TypeAlias = Callable[[Record], None]
