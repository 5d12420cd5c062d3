"""The values of a GRUB menu: its entries, and what their files depend on. `grub` reads them from a script."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from reprlib import repr as brief


class SearchKind(Enum):
    """By what search finds a device."""

    FILE = "file"
    LABEL = "label"
    UUID = "UUID"


@dataclass(frozen=True, slots=True)
class GrubSearch:
    """The files of an entry are on the first device that has this file, label or UUID."""

    kind: SearchKind
    value: str

    def __str__(self) -> str:
        return f"the {self.kind.value} {brief(self.value)}"


@dataclass(frozen=True, slots=True)
class GrubEntry:
    """An entry: `menus` are the titles of the submenus that it is in, `place` its number in the menu it is in.

    `undecided` says what only a run would decide, and `optional` that this is whether it is in the menu at all.
    `kernel` is "" for an entry that boots something else, which is `other`. `search` is on what its files depend.
    """

    title: str
    id: str = ""
    menus: tuple[str, ...] = ()
    place: int = 0
    kernel: str = ""
    options: str = ""
    initrds: tuple[str, ...] = ()
    undecided: str = ""
    optional: bool = False
    other: str = ""
    search: GrubSearch | None = None

    @property
    def name(self) -> str:
        """How it is told from the others: its titles, as `default` may have them."""
        return ">".join((*self.menus, self.title))


@dataclass(frozen=True, slots=True)
class GrubMenu:
    """The entries of a file in their order, and the one that it makes the default, None when it makes none."""

    entries: tuple[GrubEntry, ...] = ()
    default: GrubEntry | None = None
