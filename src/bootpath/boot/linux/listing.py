"""Every boot entry of a disk beside the decision: what each would get as its command line, and which one is booted.

The entries of the root that was chosen come first, since they are the first that count, then all others in the order of
a menu (`image.entries.find`). An entry in a root is listed with that root; one of a boot partition, with the root that
was chosen, or that would be tried first: a loader has only one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bootpath.boot.linux.candidate import CandidateLoader, Depth, no_parameters
from bootpath.boot.linux.cmdline import PlacedParameter, command_line_of
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from bootpath.core.device import Device
from bootpath.core.errors import Error
from bootpath.formats.entries.uki import EfiArchitecture
from bootpath.image.contents.nodes import Contents
from bootpath.image.entries.appendedroot import ChosenRoot
from bootpath.image.entries.find import find_entries
from bootpath.image.entries.menu import BootMenu, FoundEntry, VolumeRole
from bootpath.image.roots.candidates import Candidate, is_hidden
from bootpath.image.roots.choice import without_no_auto


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """An entry with its kernel's parameters, or `fault`: why there is no command line. `chosen`: it would be booted."""

    found: FoundEntry
    parameters: tuple[PlacedParameter, ...] = ()
    fault: Error | None = None
    chosen: bool = False

    @property
    def command_line(self) -> str | None:
        """What the kernel gets, None when it cannot be made."""
        return None if self.fault is not None else command_line_of(self.parameters)


@dataclass(frozen=True, slots=True)
class EntryListing:
    """The entries, in their order; `menu` has what is excluded, too."""

    menu: BootMenu
    entries: tuple[ListedEntry, ...]


def list_entries(disk: Device, boot: LinuxBoot, *, shown_roles: Iterable[VolumeRole] = ()) -> EntryListing:
    """All entries of the places that the decision was made for; those of `shown_roles` are excluded, and shown.

    The disk stays the caller's, and open while files of entries are read. Raises DeviceError when the partition tables
    cannot be read.
    """
    request = boot.request
    asked = request.architecture
    menu = find_entries(
        disk,
        _as_seen(boot),
        roles=request.places,
        shown_roles=tuple(shown_roles),
        architecture=None if asked is None else EfiArchitecture.named(asked.value),
        efi=request.efi,
        terms=request.requirements,
        variables=request.variables,
    )
    loader = CandidateLoader(
        disk, boot.contents, request, boot.order, Depth.DECIDE, no_parameters, Timeline(lambda: 0.0), None
    )
    tried = boot.order.candidates if boot.order.refusal is None else ()
    first = boot.chosen or next(iter(tried), None)
    chosen = None if boot.plan is None else _place(boot.plan.entry)
    roots = {each.data.path: each for each in (*boot.order.choice.candidates, *boot.order.candidates)}
    listed = []
    for found in menu.entries:
        if boot.order.refusal is not None:  # nothing is tried, so nothing is chosen
            found = replace(found, chosen=ChosenRoot(problem=str(boot.order.refusal)))
        own = roots.get(found.source.location.path) if found.source.role is VolumeRole.ROOT else first
        listed.append(_listed(loader, found, own, chosen=_place(found) == chosen))
    ahead = "" if first is None else first.data.path
    listed.sort(key=lambda each: not (each.found.source.role is VolumeRole.ROOT and _at(each.found) == ahead))
    return EntryListing(menu, tuple(listed))


def _listed(loader: CandidateLoader, found: FoundEntry, root: Candidate | None, *, chosen: bool) -> ListedEntry:
    alone = not found.parts.initrds and loader.request.initrd is None
    try:
        parameters = loader.parameters(root, found, alone=alone)
    except Error as fault:
        return ListedEntry(found, fault=fault.as_value(), chosen=chosen)
    return ListedEntry(found, parameters, chosen=chosen)


def _as_seen(boot: LinuxBoot) -> Contents:
    """The contents, without the flag no-auto where it did not count."""
    contents, request = boot.contents, boot.request
    node = None if boot.chosen is None else contents.node(boot.chosen.data.path)
    named = request.slot is not None or request.root_hash is not None
    if named or (node is not None and is_hidden(node)):
        return replace(contents, root=without_no_auto(contents.root))
    return contents


def _at(found: FoundEntry) -> str:
    return found.source.location.path


def _place(found: FoundEntry) -> tuple[object, ...]:
    """What tells an entry from all others of the disk."""
    return (_at(found), found.source.path, found.entry.id, found.entry.profile)
