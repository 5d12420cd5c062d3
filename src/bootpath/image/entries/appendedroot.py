"""Which root ``linux-appendroot`` means, for menus and for loaders alike: docs/reference/appendroot.md.

1. An entry in a root means the file system that it is in: kernel and root are one image, whichever slot it is in.
2. An entry on a boot partition means the root that the loader has chosen: a boot partition is not one.
3. Where there is nothing to choose from, and the boot partition has a file system that can be a root, it means that: so
   a root is marked whose entries a loader should find (the type XBOOTLDR on the root itself).

What the options say themselves is not asked here, but by `formats.cmdline.appendroot.check_options`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.core.errors import BootError
from bootpath.formats.cmdline.address import RootAddress
from bootpath.image.roots.candidates import ROOT_KINDS


@dataclass(frozen=True, slots=True)
class ChosenRoot:
    """The root that a loader has chosen: `address` names it, None where there is none or nothing names it to a kernel.

    `problem` says why then; `nothing_else` is True when nothing on the disk could be a root.
    """

    address: RootAddress | None = None
    problem: str = ""
    nothing_else: bool = False


NO_CHOICE = ChosenRoot(problem="nothing was asked to choose one")


def appended_root(own: RootAddress | None, chosen: ChosenRoot, *, in_root: bool, file_system: str) -> RootAddress:
    """The root that is appended to the options of an entry, whose own file system is `own`, a `file_system`.

    Raises BootError when there is none.
    """
    if in_root or (chosen.address is None and chosen.nothing_else and file_system in ROOT_KINDS):
        if own is None:
            raise BootError("no kernel parameter can name the root of this entry")
        return own
    if chosen.address is None:
        raise BootError(f"the entry asks for a root (linux-appendroot), and none is chosen: {chosen.problem}")
    return chosen.address
