"""What a loader can choose from: entries with their files, and what is excluded and why.

A `FoundEntry` knows where it is (partition, and the layers above it) and can read what it needs; how the entry was
written, as a file of /loader/entries, a UKI or a label of extlinux.conf, no longer matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from bootpath.core.errors import BootError, FormatError
from bootpath.core.limits import check_limit
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.cmdline.address import PARTUUIDS, RootAddress, RootStyle
from bootpath.formats.cmdline.appendroot import check_options, root_parameters
from bootpath.formats.cmdline.parameters import insert_parameters, split_parameters
from bootpath.formats.cmdline.root import pack_root_parameters
from bootpath.formats.entries.entry import BootEntry
from bootpath.fs.readers.files import Files
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.appendedroot import NO_CHOICE, ChosenRoot, appended_root
from bootpath.image.entries.files import FilePart, read_part
from bootpath.image.entries.rules import NO_RULES, MenuRules


class VolumeRole(Enum):
    """What a volume with boot entries is to the disk; the values are the words of a policy, the order is the menu's."""

    MEDIUM = "iso"
    XBOOTLDR = "xbootldr"
    ESP = "esp"
    ROOT = "root"


@dataclass(frozen=True, slots=True)
class EntrySource:
    """Where an entry comes from: `path` is its file, "" for the whole volume.

    `layers` are what stands between the partition and the file system: "lvm vg0/root", "verity 3f…".
    """

    role: VolumeRole
    location: Location
    layers: tuple[str, ...] = ()
    format: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class EntryFiles:
    """What an entry needs. `initrds` are in the order in which the kernel gets them; `addons` are paths of add-ons."""

    kernel: FilePart
    initrds: tuple[FilePart, ...] = ()
    devicetree: FilePart | None = None
    devicetree_overlays: tuple[FilePart, ...] = ()
    extras: tuple[FilePart, ...] = ()
    addons: tuple[str, ...] = ()
    command_line: str = ""

    def pieces(self) -> Iterator[FilePart]:
        """All of them."""
        yield self.kernel
        yield from self.initrds
        if self.devicetree is not None:
            yield self.devicetree
        yield from self.devicetree_overlays
        yield from self.extras


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry that can be booted. `address` names its file system to a kernel, None when nothing can.

    `chosen` is the root that the loader has chosen, for an entry that is in none.
    """

    entry: BootEntry
    source: EntrySource
    parts: EntryFiles
    address: RootAddress | None
    files: Files = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()
    chosen: ChosenRoot = NO_CHOICE

    @property
    def kernel_bytes(self) -> int:
        """The kernel's size."""
        return self.parts.kernel.size_bytes or 0

    @property
    def initrd_bytes(self) -> int:
        """All initrds together."""
        return sum(piece.size_bytes or 0 for piece in self.parts.initrds)

    def read_kernel(self) -> bytes:
        """The kernel. Raises BootError when it is an EFI program, LimitError, else as `read_part` does."""
        self.check_kernel()
        return read_part(self.files, self.parts.kernel)

    def check_kernel(self) -> None:
        """Raise BootError when the entry is an EFI program, LimitError when the kernel is too large."""
        if self.entry.efi:
            raise BootError("the entry is an EFI program, not a kernel", where=self.entry.id, found=self.entry.efi)
        check_limit("kernel_bytes", self.kernel_bytes, "the kernel is too large", where=str(self.parts.kernel))

    def read_initrds(self) -> tuple[bytes, ...]:
        """The initrds, in their order. Raises LimitError, and as `read_part` does."""
        self.check_initrds()
        return tuple(read_part(self.files, piece) for piece in self.parts.initrds)

    def check_initrds(self, more_bytes: int = 0) -> None:
        """Raise LimitError when the initrds, and so many bytes beside them, are more than may be loaded."""
        total = self.initrd_bytes + more_bytes
        check_limit("initrd_bytes", total, "the initrds are too large together", where=self.entry.id)

    def read_devicetree(self) -> bytes | None:
        """The device tree, None without one. Raises LimitError, and as `read_part` does."""
        self.check_devicetree()
        tree = self.parts.devicetree
        return None if tree is None else read_part(self.files, tree)

    def check_devicetree(self) -> None:
        """Raise LimitError when the device tree is larger than may be loaded."""
        tree = self.parts.devicetree
        size = 0 if tree is None else tree.size_bytes or 0
        check_limit("devicetree_bytes", size, "the device tree is too large", where=str(tree))

    def command_line(self, style: RootStyle = PARTUUIDS, *, appendroot: bool | None = None) -> str:
        """What the kernel gets: the options, those of add-ons, and the root where the entry asks for it.

        `appendroot` overrules the entry. Raises BootError when the root has to be named and nothing names it.
        """
        line = self.parts.command_line
        if not (self.entry.append_root if appendroot is None else appendroot):
            return line
        where = str(self.source.location)
        try:
            root = self.appended_root()
            added = pack_root_parameters(root_parameters(root, style))
            check_options(split_parameters(line), added)
            return insert_parameters(line, added)
        except BootError as fault:
            raise BootError(fault.what, where=where, hint=fault.hint) from fault
        except FormatError as fault:
            raise BootError(f"the root cannot be appended: {fault}", where=where) from fault

    def appended_root(self) -> RootAddress:
        """The root that ``linux-appendroot`` means. Raises BootError when there is none."""
        in_root = self.source.role is VolumeRole.ROOT
        return appended_root(self.address, self.chosen, in_root=in_root, file_system=self.source.format)


@dataclass(frozen=True, slots=True)
class Excluded:
    """An entry, or a whole volume, that is not in the menu, and why. `entry` is there when it could be read.

    The reason is an `EntryReason` or a `VolumeReason`, or why a root is no candidate (`image.roots.reasons`).
    """

    source: EntrySource
    why: Explanation[Reason]
    entry: BootEntry | None = None
    parts: EntryFiles | None = None


@dataclass(frozen=True, slots=True)
class BootMenu:
    """The entries of a disk, the best one first, and what was left out, in the order of the volumes.

    `rules` are what a loader is told of the menu; which entry it boots is said by `image.entries.default`.
    """

    name: str
    entries: tuple[FoundEntry, ...]
    excluded: tuple[Excluded, ...] = ()
    warnings: tuple[str, ...] = ()
    rules: MenuRules = NO_RULES
