"""A boot entry, whichever file it came from: type 1, a UKI's profile, a label of extlinux.conf, the settings of a
Raspberry Pi; and their order.

Source: UAPI.1 Boot Loader Specification, "Type #1", "Type #2", "Sorting". What a loader needs of the three is the same,
so they become one value here: paths are from the root of their file system, and safe (`formats.entries.paths`).

Of a UKI, title, version and sort key come from its os-release as systemd takes them: PRETTY_NAME, else IMAGE_ID, NAME,
ID; IMAGE_VERSION, else VERSION, VERSION_ID, BUILD_ID, else the kernel's release; IMAGE_ID, else ID. "Absent these
fields, other metadata may be used": then it is called by its file.

Labels of extlinux.conf have an order of their own, which `rank` is: the default, then as they are written. They come
after the entries of the specification, and after them comes what the firmware of a Raspberry Pi loads, the newest board
first. Nothing of any kind comes after a bad one.

Invariant: `compare_entries` is a total preorder; only entries equal in kind, name, profile and sorting keys are equal.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.entries.bls import BlsEntry
from bootpath.formats.entries.extlinux import ExtlinuxMenu
from bootpath.formats.entries.grubmenu import GrubEntry, GrubMenu
from bootpath.formats.entries.paths import entry_path, menu_directory, menu_path
from bootpath.formats.entries.raspberrypi import PiBoot
from bootpath.formats.entries.tries import BOOT_SPEC, BootCounter, EntryName, parse_entry_name
from bootpath.formats.entries.uki import Uki
from bootpath.formats.entries.vercmp import compare_versions
from bootpath.formats.systemdboot.pattern import fold_id

_Ordered = TypeVar("_Ordered", bytes, int, bool, tuple[bool, int], tuple[bool, int, int])


class EntryKind(Enum):
    """Where an entry's values come from."""

    TYPE_1 = "type 1"
    UKI = "uki"
    EXTLINUX = "extlinux"
    RASPBERRY_PI = "raspberry pi"
    GRUB = "grub"


MENU_KINDS = (EntryKind.EXTLINUX, EntryKind.RASPBERRY_PI, EntryKind.GRUB)
"""The kinds whose entries have an order of their own, `rank`, that of their menu, and no file of their own."""


_SYSLINUX_PROGRAMS = (".c32", ".com", ".cbt", ".bss")
"""syslinux doc, "KERNEL": what these suffixes make of a file."""


@dataclass(frozen=True, slots=True)
class BootEntry:
    """What can be booted: one of `linux`, `efi` and `uki` is a path, the others are "".

    `id` is the file's name without counters, with "@N" for a further profile of a UKI, or the name of a label.
    `options` is the kernel's command line, None where the UKI's own is meant. `profile` is the UKI's. `loader_id` is
    what systemd-boot calls the entry, in its variables and in loader.conf: with the suffix, in lower case; "" where it
    does not know the kind.
    """

    kind: EntryKind
    id: str
    title: str = ""
    version: str = ""
    machine_id: str = ""
    sort_key: str = ""
    architecture: str = ""
    counter: BootCounter | None = None
    linux: str = ""
    efi: str = ""
    uki: str = ""
    profile: int | None = None
    initrds: tuple[str, ...] = ()
    options: str | None = None
    devicetree: str = ""
    devicetree_directory: str = ""
    devicetree_overlays: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    append_root: bool = False
    rank: int = 0
    loader_id: str = ""

    @property
    def bad(self) -> bool:
        """True when it has been tried as often as it may be."""
        return self.counter is not None and self.counter.bad

    @property
    def needs_efi(self) -> bool:
        """True when "the system is not an EFI system, this entry should be hidden"."""
        return bool(self.efi or self.uki)


def bls_entry(file_name: str, bls: BlsEntry) -> BootEntry:
    """The entry of a file in /loader/entries. Raises FormatError when it cannot be one."""
    name = _name(file_name, ".conf")
    # "this entry shall be hidden" by a loader that has no network.
    if bls.uki_url:
        raise FormatError("the UKI of the entry is on the network", where=file_name, found=bls.uki_url, spec=BOOT_SPEC)
    programs = [key for key in ("linux", "efi", "uki") if getattr(bls, key)]
    if len(programs) != 1:
        found = " and ".join(programs) or "none of them"
        if bls.marked_key in ("linux", "efi", "uki"):
            found += f": {bls.marked_key} stands behind a byte order mark"
        raise FormatError(
            "the entry does not have exactly one program",
            where=file_name,
            found=found,
            expected="one of linux, efi and uki",
            spec=BOOT_SPEC,
        )
    return BootEntry(
        EntryKind.TYPE_1,
        name.id,
        bls.title or name.id,
        _version(bls.version, file_name),
        bls.machine_id,
        bls.sort_key,
        bls.architecture.lower(),
        name.counter,
        linux=_path(bls.linux),
        efi=_path(bls.efi),
        uki=_path(bls.uki),
        profile=bls.profile if bls.uki else None,
        initrds=tuple(entry_path(path) for path in bls.initrds),
        options=bls.command_line if bls.options or not bls.uki else None,
        devicetree=_path(bls.devicetree),
        devicetree_overlays=tuple(entry_path(path) for path in bls.devicetree_overlays),
        extras=tuple(entry_path(path) for path in bls.extras),
        append_root=bool(bls.append_root),
        loader_id=fold_id(f"{name.id}{name.suffix}"),
    )


def uki_entries(file_name: str, path: str, uki: Uki) -> tuple[BootEntry, ...]:
    """The entries of an image in /EFI/Linux, one for each profile. Raises FormatError."""
    name = _name(file_name, ".efi")
    entries = []
    for profile in uki.profiles:
        said = profile.os_release or {}
        title = _first(said, "PRETTY_NAME", "IMAGE_ID", "NAME", "ID") or name.id
        if profile.number or profile.title:
            title += f" ({profile.title or profile.id or f'@{profile.number}'})"
        entries.append(
            BootEntry(
                EntryKind.UKI,
                f"{name.id}@{profile.number}" if profile.number else name.id,
                title,
                _version(
                    _first(said, "IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID") or profile.uname, file_name
                ),
                sort_key=_first(said, "IMAGE_ID", "ID"),
                architecture="" if uki.architecture is None else uki.architecture.value,
                counter=name.counter,
                uki=entry_path(path),
                profile=profile.number if uki.multi_profile else None,
                # systemd-boot(7): the first profile has the name of the file, a further one its ID or number behind it.
                loader_id=fold_id(f"{name.id}{name.suffix}")
                + (f"@{profile.id or profile.number}" if profile.number else ""),
            )
        )
    return tuple(entries)


def extlinux_entry(menu: ExtlinuxMenu, place: int, directory: str) -> BootEntry:
    """The entry of the label at a place in an extlinux.conf in `directory`. Raises FormatError when it is none."""
    label = menu.labels[place]
    if label.local and not label.kernel:
        raise FormatError("the label boots from the next disk")
    if not label.kernel:
        raise FormatError("the label has no kernel")
    if label.kernel.lower().endswith(_SYSLINUX_PROGRAMS):
        raise FormatError(f"the label runs {label.kernel}, a program of syslinux and no kernel")
    if label.configuration:
        raise FormatError(f"the kernel of the label is #{label.configuration} of a FIT image")
    return BootEntry(
        EntryKind.EXTLINUX,
        label.name,
        label.title or label.name,
        linux=menu_path(label.kernel, directory),
        initrds=tuple(menu_path(path, directory) for path in menu.initrds(label)),
        options=menu.command_line(label),
        devicetree=menu_path(label.devicetree, directory) if label.devicetree else "",
        devicetree_directory=menu_directory(label.devicetree_directory, directory)
        if label.devicetree_directory
        else "",
        devicetree_overlays=tuple(menu_path(path, directory) for path in label.devicetree_overlays),
        rank=0 if label.name == menu.default else place + 1,
    )


def raspberry_pi_entry(boot: PiBoot, options: str, rank: int) -> BootEntry:
    """What the firmware of a Raspberry Pi loads, with the content of its command line. Raises FormatError."""
    return BootEntry(
        EntryKind.RASPBERRY_PI,
        boot.kernel,
        boot.title,
        architecture=boot.architecture,
        linux=entry_path(boot.kernel),
        initrds=tuple(entry_path(path) for path in boot.initrds),
        options=options,
        devicetree=_path(boot.devicetree),
        devicetree_overlays=tuple(entry_path(path) for path in boot.overlays),
        rank=rank,
    )


def grub_entry(menu: GrubMenu, number: int) -> BootEntry:
    """The entry with a number, from 0, among all of a grub.cfg. Raises FormatError when it has no kernel."""
    entry = menu.entries[number]
    if not entry.kernel:
        raise FormatError(f"the entry has no kernel{f': {entry.other}' if entry.other else ''}")
    return replace(
        grub_name(entry),
        linux=entry_path(entry.kernel),
        initrds=tuple(entry_path(path) for path in entry.initrds),
        options=entry.options,
        rank=0 if entry is menu.default else number + 1,
    )


def grub_name(entry: GrubEntry) -> BootEntry:
    """What is known of an entry of which only a run would decide what it boots."""
    return BootEntry(EntryKind.GRUB, entry.id or entry.name, entry.title or entry.name)


def compare_entries(first: BootEntry, second: BootEntry) -> int:
    """-1, 0 or 1 as `first` is shown before `second`, with it, or after it."""
    # "1. Entries which are subject to boot counting and are marked as "bad", should be sorted later than all others"
    order = _order(first.bad, second.bad)
    kinds = _order(_kind_order(first), _kind_order(second))
    if order or kinds:
        return order or kinds
    if first.kind in MENU_KINDS:
        return _order(first.rank, second.rank) or _order(first.id.encode(), second.id.encode())
    # "3. If sort-key is set on one entry, it sorts earlier."
    order = _order(not first.sort_key, not second.sort_key)
    # "2. If sort-key is set on both entries, use in order of priority, the sort-key (A-Z, increasing alphanumerical
    # order), machine-id (...), and version keys (decreasing version order)."
    if not order and first.sort_key:
        order = (
            _order(first.sort_key.encode(), second.sort_key.encode())
            or _order(first.machine_id.encode(), second.machine_id.encode())
            or compare_versions(second.version, first.version)
        )
    # "4. At the end, ... using the file name of the entry (decreasing version sort), with the suffix removed."
    return (
        order
        or compare_versions(_stem(second), _stem(first))
        or _order(first.profile or 0, second.profile or 0)
        # "entries that differ only by the boot counting data, we would sort ... by n": fewest failures first.
        or _order(_trials(first), _trials(second))
        # Names may differ in what versions do not compare.
        or _order(first.id.encode(), second.id.encode())
        or _order(first.kind is EntryKind.UKI, second.kind is EntryKind.UKI)
    )


entry_order: Any = functools.cmp_to_key(compare_entries)
"""The key by which `sorted` puts entries into their order."""


def sort_entries(entries: Iterable[BootEntry]) -> list[BootEntry]:
    """The entries as a menu shows them, the best one first."""
    return sorted(entries, key=entry_order)


def _name(file_name: str, suffix: str) -> EntryName:
    name = parse_entry_name(file_name)
    if name.suffix.lower() != suffix:
        raise FormatError(
            "the file name has another suffix", where=file_name, found=name.suffix, expected=suffix, spec=BOOT_SPEC
        )
    return name


def _version(text: str, where: str) -> str:
    """A version that is short enough to be compared with a thousand others. Raises LimitError."""
    check_limit("version_characters", len(text), "the version is too long", where=where)
    return text


def _path(text: str) -> str:
    return entry_path(text) if text else ""


def _first(said: dict[str, str] | Any, *names: str) -> str:
    return next((said[name] for name in names if said.get(name)), "")


def _stem(entry: BootEntry) -> str:
    """The name that is compared: without what tells profiles apart."""
    return entry.id.rpartition("@")[0] if entry.profile else entry.id


def _trials(entry: BootEntry) -> tuple[bool, int, int]:
    """Good ones first, then those with the most tries left, then those with the fewest failures."""
    if entry.counter is None:
        return False, 0, 0
    return True, -entry.counter.tries_left, entry.counter.tries_done


def _kind_order(entry: BootEntry) -> int:
    """Those of the specification first."""
    return MENU_KINDS.index(entry.kind) + 1 if entry.kind in MENU_KINDS else 0


def _order(first: _Ordered, second: _Ordered) -> int:
    return (first > second) - (first < second)
