"""The entries of a menu that this loader can boot, and the one it takes.

An entry that it cannot boot is excluded with its reason, so that the next one counts: "Boot loaders should ignore all
entries that don't match the local platform and what the boot loader can support" (UAPI.1). There is no EFI that could
run a program, and device tree overlays are not applied; a unified kernel image is taken apart.
"""

from __future__ import annotations

from dataclasses import replace
from reprlib import repr as brief

from bootpath.core.errors import BootError
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.entries.entry import BootEntry, EntryKind
from bootpath.formats.systemdboot.pattern import fold_id
from bootpath.image.entries.default import DefaultEntry, DefaultReason, default_entry
from bootpath.image.entries.menu import BootMenu, Excluded, FoundEntry


class LoaderReason(Reason):
    """Why this loader does not boot an entry that others could."""

    EFI_PROGRAM = "{} is an EFI program, which needs its firmware"
    DEVICETREE_OVERLAYS = "it has device tree overlays, which this loader does not apply"
    UNPROTECTED = "nothing protects it, and only what is verified may run"


def bootable(menu: BootMenu, *, strict: bool = False) -> BootMenu:
    """The menu without what cannot be booted; `strict` for a boot partition of which only what is signed may run."""
    kept, excluded = [], list(menu.excluded)
    for each in menu.entries:
        why = _unsupported(each) or (_unsigned(each) if strict else None)
        if why is None:
            kept.append(each)
        else:
            excluded.append(Excluded(each.source, why, each.entry, each.parts))
    return replace(menu, entries=tuple(kept), excluded=tuple(excluded))


def concatenate(first: BootMenu, second: BootMenu) -> BootMenu:
    """One menu of two, all of the first before the second."""
    return BootMenu(first.name, first.entries + second.entries, first.excluded + second.excluded, rules=second.rules)


def choose_entry(menu: BootMenu, wanted: str | None) -> DefaultEntry:
    """The entry that is named, or the one that is booted when none is (`image.entries.default`). Raises BootError."""
    if wanted is None:
        default = default_entry(menu)
        if default is None:
            reasons = [f"{each.source.path or each.source.location}: {each.why}" for each in menu.excluded]
            raise BootError("there is no boot entry" + "".join(f"; {reason}" for reason in reasons), where=menu.name)
        return default
    named = [each for each in menu.entries if is_called(each.entry, wanted)]
    if not named:
        excluded = [each.why for each in menu.excluded if each.entry is not None and is_called(each.entry, wanted)]
        known = ", ".join(each.entry.id for each in menu.entries)
        what = f"there is no entry {brief(wanted)}"
        if excluded:
            what = f"the entry {brief(wanted)} is excluded: {excluded[0]}"
        raise BootError(what, where=menu.name, hint=f"the entries are {known}" if known else "there is no other entry")
    return DefaultEntry(named[0], DefaultReason.NAMED())


def is_called(entry: BootEntry, name: str) -> bool:
    """True for the entry's own name, and for what systemd-boot calls it."""
    return name == entry.id or (bool(name) and fold_id(name) == entry.loader_id)


def _unsupported(found: FoundEntry) -> Explanation[LoaderReason] | None:
    if found.entry.efi:
        return LoaderReason.EFI_PROGRAM(found.entry.efi)
    return LoaderReason.DEVICETREE_OVERLAYS() if found.parts.devicetree_overlays else None


def _unsigned(found: FoundEntry) -> Explanation[LoaderReason] | None:
    """Only a unified kernel image may be signed."""
    return None if found.entry.kind is EntryKind.UKI else LoaderReason.UNPROTECTED()
