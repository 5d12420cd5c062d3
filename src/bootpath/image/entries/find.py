"""Every boot entry of a disk, in the order of a menu, and the reason for each that is not in it.

Source: UAPI.1 Boot Loader Specification. `find_boot_volumes` says where to look, `read_volume` what is there; here
entries are excluded that do not fit the machine or come twice, and what remains is sorted.

Two files of one name on XBOOTLDR and the ESP are one entry: that of XBOOTLDR counts. In the roots of slots A and B they
are two, which differ by their volume. Bad entries stay: "The boot loader should allow booting "bad" entries".
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from bootpath.core.device import Device
from bootpath.core.errors import Error, LimitError
from bootpath.core.limits import spending
from bootpath.core.reasons import Explanation
from bootpath.formats.entries.entry import MENU_KINDS, compare_entries
from bootpath.formats.entries.pe import read_pe
from bootpath.formats.entries.uki import EfiArchitecture
from bootpath.formats.kernels.image import HEAD_BYTES, parse_kernel
from bootpath.formats.partitions.dps import Architecture
from bootpath.formats.partitions.gpt import GptVerdict
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.formats.systemdboot.loaderconf import LoaderConf
from bootpath.formats.systemdboot.loadervariables import LoaderVariables
from bootpath.image.contents.nodes import Contents
from bootpath.image.contents.read import read_contents
from bootpath.image.entries.appendedroot import ChosenRoot
from bootpath.image.entries.bootvolumes import BootVolume, find_boot_volumes
from bootpath.image.entries.costs import EntryCosts
from bootpath.image.entries.files import read_part, reader_of
from bootpath.image.entries.menu import BootMenu, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.passedover import PassedOver
from bootpath.image.entries.read import read_volume
from bootpath.image.entries.reasons import EntryReason, VolumeReason
from bootpath.image.entries.rootaddress import name_root
from bootpath.image.entries.rules import MenuRules, loader_conf_warnings
from bootpath.image.roots.candidates import Terms
from bootpath.image.roots.choice import choose_root

BOOT_PARTITIONS = (VolumeRole.MEDIUM, VolumeRole.XBOOTLDR, VolumeRole.ESP)
"""The volumes of the specification, and an optical medium, which is one by itself.

That roots may have entries too is the caller's decision.
"""

ANY_POLICY = "*"


def find_entries(
    disk: Device,
    contents: Contents | None = None,
    *,
    roles: Collection[VolumeRole] = BOOT_PARTITIONS,
    shown_roles: Collection[VolumeRole] = (),
    architecture: EfiArchitecture | None = None,
    efi: bool = True,
    terms: Terms | None = None,
    variables: LoaderVariables | None = None,
) -> BootMenu:
    """The boot menu of a disk, which stays the caller's and open while the entries' files are read.

    `roles` are the volumes that may have entries; those of `shown_roles` are read too, and all in them excluded.
    `architecture` and `efi` say for which machine; by default for any, with EFI. `terms` are what a root must fulfil
    (`image.roots.candidates`); by default none. A root that is for another machine, or does not fulfil them, is not
    opened. `variables` are those of the machine, which may say what is booted. Raises DeviceError when the partition
    tables cannot be read.
    """
    contents = read_contents(disk) if contents is None else contents
    terms = Terms(parse_image_policy(ANY_POLICY)) if terms is None else terms
    if architecture is not None and terms.architecture is None:
        terms = replace(terms, architecture=_architecture_of(architecture))
    volumes = find_boot_volumes(disk, contents, {*roles, *shown_roles}, terms)
    menu = menu_of(contents.name, volumes, roles=roles, architecture=architecture, efi=efi, variables=variables)
    menu = _with_chosen_root(disk, contents, menu, terms)
    return replace(menu, warnings=(*_of_the_table(contents), *contents.warnings, *menu.warnings))


def _with_chosen_root(disk: Device, contents: Contents, menu: BootMenu, terms: Terms) -> BootMenu:
    """The menu with the root of the disk, in those entries that ask for one and are in none."""

    def asks(each: FoundEntry) -> bool:
        return each.entry.append_root and each.source.role is not VolumeRole.ROOT

    if not any(map(asks, menu.entries)):
        return menu
    chosen = _chosen_root(disk, contents, terms)
    return replace(menu, entries=tuple(replace(each, chosen=chosen) if asks(each) else each for each in menu.entries))


def _chosen_root(disk: Device, contents: Contents, terms: Terms) -> ChosenRoot:
    """The root that a loader would choose by these terms."""
    choice = choose_root(
        contents,
        terms.policy,
        terms.certificates,
        architecture=terms.architecture,
        root_hash=terms.root_hash,
        now=terms.now,
    )
    if choice.root is None or not choice.boots:
        problem = str(choice.ambiguity or next(iter(choice.problems), "there is no root"))
        return ChosenRoot(problem=problem, nothing_else=not choice.candidates)
    try:
        address = name_root(disk, contents, choice.root)
    except Error as error:
        return ChosenRoot(problem=str(error))
    return ChosenRoot(address, f"no kernel parameter can name {choice.root.data.title}")


def menu_of(
    name: str,
    volumes: Iterable[BootVolume | Excluded],
    *,
    roles: Collection[VolumeRole],
    architecture: EfiArchitecture | None = None,
    efi: bool = True,
    variables: LoaderVariables | None = None,
) -> BootMenu:
    """The menu of these volumes, as `find_entries` makes it of those that it finds. Raises no Error."""
    found: list[tuple[int, FoundEntry]] = []
    excluded: list[Excluded] = []
    names: set[tuple[str, ...]] = set()
    warnings: list[str] = []
    conf: LoaderConf | None = None
    costs, passed_over = EntryCosts(), PassedOver()
    with spending():
        for index, volume in enumerate(volumes):
            if isinstance(volume, Excluded):
                excluded.append(volume)
                continue
            try:
                costs.volume()
            except LimitError as error:
                excluded.append(Excluded(volume.source, VolumeReason.UNREADABLE(error)))
                break
            where = volume.source.location.path or "disk"
            warnings += [f"{where}: {warning}" for warning in volume.files.warnings]
            if volume.source.role in BOOT_PARTITIONS and volume.source.role in roles:
                is_esp = volume.source.role is VolumeRole.ESP
                said, faults = loader_conf_warnings(volume.files, costs, is_esp=is_esp)
                conf = conf or said
                warnings += [f"{where}: {fault}" for fault in faults]
            for each in read_volume(volume, costs, passed_over):
                each = _judged(each, names, roles, architecture, efi)
                if isinstance(each, Excluded):
                    excluded.append(each)
                else:
                    found.append((index, each))
    warnings += passed_over.warnings()
    if variables is not None:
        warnings += [f"EFI variables: passed over: {each}" for each in variables.ignored]
    rules = MenuRules(conf, variables)
    return BootMenu(name, tuple(_with_namesakes(_sorted(found))), tuple(excluded), tuple(warnings), rules)


def _judged(
    each: FoundEntry | Excluded,
    names: set[tuple[str, ...]],
    roles: Collection[VolumeRole],
    architecture: EfiArchitecture | None,
    efi: bool,
) -> FoundEntry | Excluded:
    """The entry, or the reason why it is not for this machine."""
    if isinstance(each, Excluded):
        return each
    entry = each.entry
    if each.source.role not in roles:
        return _exclude(each, EntryReason.NOT_ASKED_FOR(each.source.role.value))
    if entry.needs_efi and not efi:
        return _exclude(each, EntryReason.NEEDS_EFI())
    other = _other_architecture(each, architecture)
    if other is not None:
        return _exclude(each, EntryReason.OTHER_ARCHITECTURE(other))
    # An entry of a boot partition is known by its file's name; one of a root by its volume too.
    scope = "" if each.source.role in BOOT_PARTITIONS else each.source.location.path
    file_name = each.source.path.rpartition("/")[2].lower()
    name = (scope, file_name, entry.id if entry.kind in MENU_KINDS else str(entry.profile or 0))
    if name in names:
        return _exclude(each, EntryReason.DUPLICATE(file_name))
    names.add(name)
    return each


def _other_architecture(each: FoundEntry, architecture: EfiArchitecture | None) -> str | None:
    """The architecture an entry is for, when it is not the one that is asked for."""
    if architecture is None:
        return None
    said = each.entry.architecture
    if said and said != architecture.value:
        return said
    kernel = each.parts.kernel
    wanted = _architecture_of(architecture)
    with suppress(Error):  # what is no kernel is judged where it is loaded
        size = kernel.size_bytes or 0
        image = parse_kernel(read_part(each.files, replace(kernel, size_bytes=min(size, HEAD_BYTES))), size)
        if image.architecture is not None and wanted is not None:
            named = EfiArchitecture.named(image.architecture.value)
            name = image.architecture.value if named is None else named.value
            return None if image.runs_on(wanted) else name
    try:
        program = read_pe(reader_of(each.files, kernel.path), each.files.lookup(kernel.path).size_bytes)
    except Error:
        return None  # not a PE file: nothing says what it is for
    machine = EfiArchitecture.of_machine(program.machine)
    if machine is architecture:
        return None
    return f"machine {program.machine:#06x}" if machine is None else machine.value


def _of_the_table(contents: Contents) -> tuple[str, ...]:
    """What is wrong with the partition table, of which one copy was read."""
    gpt = contents.root.gpt
    if gpt is None or gpt.verdict is GptVerdict.SOUND:
        return ()
    faults = [fault for fault in (gpt.primary_fault, gpt.backup_fault) if fault is not None]
    return tuple(f"the partition table: {fault}" for fault in faults or [gpt.verdict.value])


def _architecture_of(architecture: EfiArchitecture) -> Architecture | None:
    """What partition types call it."""
    return next((each for each in Architecture if EfiArchitecture.named(each.value) is architecture), None)


def _sorted(found: Iterable[tuple[int, FoundEntry]]) -> list[FoundEntry]:
    """In the order of a menu; where that does not decide, as they were found: menus in the order of `MENU_FILES`."""

    def compare(first: tuple[int, int, FoundEntry], second: tuple[int, int, FoundEntry]) -> int:
        (place, volume, one), (other_place, other_volume, other) = first, second
        order = (place > other_place) - (place < other_place)
        same_menu = (volume, one.source.path) == (other_volume, other.source.path)
        # The ranks of two menus say nothing of each other.
        if one.entry.kind in MENU_KINDS and other.entry.kind in MENU_KINDS and not same_menu:
            return order
        return compare_entries(one.entry, other.entry) or order

    placed = [(place, volume, each) for place, (volume, each) in enumerate(found)]
    return [each for *_, each in sorted(placed, key=functools.cmp_to_key(compare))]


def _with_namesakes(found: Iterable[FoundEntry]) -> Iterator[FoundEntry]:
    """The entries; one whose name only counters tell from that of an entry before it says so."""
    first: dict[tuple[str, ...], FoundEntry] = {}
    for each in found:
        scope = "" if each.source.role in BOOT_PARTITIONS else each.source.location.path
        name = (scope, each.entry.loader_id)
        other = first.setdefault(name, each) if each.entry.loader_id else each
        if other is not each:
            warning = (
                f"{other.source.path} has the same name, {each.entry.loader_id}: it comes first, and is meant by it"
            )
            each = replace(each, warnings=(*each.warnings, warning))
        yield each


def _exclude(each: FoundEntry, why: Explanation[EntryReason]) -> Excluded:
    return Excluded(each.source, why, each.entry, each.parts)
