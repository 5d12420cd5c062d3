"""The boot entries of a disk as text and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bootpath.boot.inspection.values import LinuxInspection, LiveInspection
from bootpath.core.printable import Printable, printable_lines
from bootpath.formats.entries.entry import BootEntry, EntryKind
from bootpath.image.entries.default import DefaultReason, default_entry
from bootpath.report.inspection.contents import verdict_lines
from bootpath.report.inspection.contentsjson import location_json, reason_json
from bootpath.report.inspection.decision import decision_json, describe_verdict
from bootpath.report.inspection.live import live_verdict
from bootpath.report.inspection.menurules import describe_rules, rules_json
from bootpath.report.text import columns
from bootpath.report.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bootpath.boot.inspection.values import Inspection
    from bootpath.boot.linux.listing import EntryListing, ListedEntry
    from bootpath.image.entries.files import FilePart
    from bootpath.image.entries.menu import EntryFiles, EntrySource, Excluded, FoundEntry

_LAYER_CHARACTERS = 23  # "verity " and what other reports show of a root hash


def entries_json(inspection: Inspection, listing: EntryListing | None) -> dict[str, Any]:
    """``bootpath entries --json`` (docs/schemas/entries.json)."""
    boot = inspection.boot if isinstance(inspection, LinuxInspection) else None
    entries = () if listing is None else listing.entries
    return {
        "disk": inspection.name,
        "boots": inspection.boots,
        "decision": None if boot is None else decision_json(boot),
        "entries": [
            {
                **_entry_json(each.found.entry),
                "chosen": each.chosen,
                "source": _source_json(each.found.source),
                **_parts_json(each.found.parts),
                "command_line": each.command_line,
                "warnings": list(_warnings(each)),
            }
            for each in entries
        ],
        "excluded": [
            {
                **reason_json(excluded.why),
                "source": _source_json(excluded.source),
                "entry": None if excluded.entry is None else _entry_json(excluded.entry),
                "files": None if excluded.parts is None else _parts_json(excluded.parts),
            }
            for excluded in (() if listing is None else listing.menu.excluded)
        ],
        "menu": None if listing is None else rules_json(listing.menu.rules),
        "warnings": list(_all_warnings(inspection, listing)),
    }


def render_entries(inspection: Inspection, listing: EntryListing | None) -> Printable:
    """``bootpath entries``."""
    entries = () if listing is None else listing.entries
    lines = [f"{inspection.name}: {len(entries)} boot {'entry' if len(entries) == 1 else 'entries'}"]
    titles = _titles([each.found for each in entries])
    for number, (each, title) in enumerate(zip(entries, titles, strict=True), start=1):
        lines.append(f"{number:2}  {title}{_marks(each)}")
        lines += columns(list(_rows(each)), indent="    ")
    if listing is not None and listing.menu.excluded:
        lines.append("Excluded")
        lines += [f"  {_where(each)}: {each.why}" for each in listing.menu.excluded]
    if listing is not None:
        lines += _menu(listing, titles)
    lines += [f"Warning: {warning}" for warning in _all_warnings(inspection, listing)]
    lines += _verdict(inspection, entries, titles)
    return printable_lines(lines)


def _menu(listing: EntryListing, titles: Sequence[str]) -> Iterator[str]:
    """How the menu is shown, and which entry it is that the loader is told to boot."""
    said = [describe_rules(listing.menu.rules)]
    default = default_entry(listing.menu)
    if default is not None and default.why.reason is not DefaultReason.FIRST:
        for each, title in zip(listing.entries, titles, strict=True):
            if each.found == default.found:
                said.append(f"default {title} ({default.why})")
    if any(said):
        yield f"Menu: {'; '.join(filter(None, said))}"


def _all_warnings(inspection: Inspection, listing: EntryListing | None) -> Iterator[str]:
    """Of the places, and of the choice among the entries."""
    if listing is not None:
        yield from listing.menu.warnings
    if isinstance(inspection, LinuxInspection) and inspection.boot.plan is not None:
        yield from inspection.boot.plan.warnings


def _verdict(inspection: Inspection, entries: Sequence[ListedEntry], titles: Sequence[str]) -> list[str]:
    """The decision; of a live disk, which has no entries, that of its loader."""
    if isinstance(inspection, LiveInspection):
        return [f"Verdict: {line}" for line in live_verdict(inspection)]
    chosen = next((title for each, title in zip(entries, titles, strict=True) if each.chosen), None)
    if inspection.problems or chosen is None:
        first, *others = verdict_lines(inspection)
        return [f"Verdict: {first}", *(f"  and: {line}" for line in others)]
    bad = any(each.chosen and each.found.entry.bad for each in entries)
    plan, why = inspection.boot.plan, ""
    if plan is not None and plan.why.reason not in (DefaultReason.FIRST, DefaultReason.NAMED):
        why = f": {plan.why}"
    elif bad:
        why = ", although its tries are used up: nothing better is there"
    return [f"Verdict: {chosen} would be booted{why}; {describe_verdict(inspection.boot)}"]


def _rows(each: ListedEntry) -> Iterator[tuple[str, str]]:
    entry, parts = each.found.entry, each.found.parts
    facts = [("version", entry.version), ("sort key", entry.sort_key), ("machine", entry.machine_id)]
    said = ", ".join(f"{name} {value}" for name, value in (*facts, ("for", entry.architecture)) if value)
    if said:
        yield "is", said
    yield "from", f"{_place(each.found.source)}: {each.found.source.path}"
    yield "kernel", _piece(parts.kernel)
    for piece in parts.initrds:
        yield "initrd", _piece(piece)
    if parts.devicetree is not None:
        yield "devicetree", _piece(parts.devicetree)
    for piece in (*parts.devicetree_overlays, *parts.extras):
        yield "also", _piece(piece)
    for path in parts.addons:
        yield "add-on", path
    if each.command_line:
        yield "options", each.command_line
    for warning in _warnings(each):
        yield "warning", warning


def describe_count(entry: BootEntry) -> str:
    """What is counted of an entry, "" when nothing is."""
    if entry.counter is None:
        return ""
    state = "bad" if entry.counter.bad else "on trial"
    return f"{state}: {entry.counter.tries_left} left, {entry.counter.tries_done} done"


def _titles(entries: Sequence[FoundEntry]) -> list[str]:
    """The titles; "if a boot loader discovers two entries with the same title it should show more than just the raw
    title": the version, the entry's name, the place, as far as is needed."""
    titles = [found.entry.title for found in entries]
    for words in (
        [found.entry.version for found in entries],
        [found.entry.id for found in entries],
        [f"{found.source.role.value} {found.source.location.path}" for found in entries],
    ):
        counts = Counter(titles)
        alike = {title for title in counts if counts[title] > 1 and len(_said(titles, words, title)) > 1}
        titles = [
            f"{title} ({word})" if title in alike and word else title for title, word in zip(titles, words, strict=True)
        ]
    return titles


def _said(titles: Sequence[str], words: Sequence[str], title: str) -> set[str]:
    """The different words of what has this title."""
    return {word for each, word in zip(titles, words, strict=True) if each == title}


def _marks(each: ListedEntry) -> str:
    entry = each.found.entry
    words = (entry.kind.value, describe_count(entry), "chosen" if each.chosen else "")
    return f"  ({', '.join(filter(None, words))})"


def _place(source: EntrySource) -> str:
    layers = "".join(f", {_brief(layer)}" for layer in source.layers)
    return f"{source.role.value} {source.location}{layers}, {source.format}"


def _brief(layer: str) -> str:
    """A layer's name; a root hash is long, and --json has all of it."""
    return layer if len(layer) <= _LAYER_CHARACTERS else f"{layer[:_LAYER_CHARACTERS]}…"


def _where(excluded: Excluded) -> str:
    path = f": {excluded.source.path}" if excluded.source.path else ""
    if excluded.entry is not None and excluded.entry.kind is EntryKind.EXTLINUX:
        path += f": label {excluded.entry.id}"
    elif excluded.entry is not None and excluded.entry.kind is EntryKind.GRUB:
        path += f": entry {excluded.entry.id}"
    return f"{excluded.source.role.value} {excluded.source.location.path or 'disk'}{path}"


def _piece(piece: FilePart) -> str:
    size = str(piece.fault) if piece.size_bytes is None else format_bytes(piece.size_bytes)
    return f"{piece}  {size}"


def _warnings(each: ListedEntry) -> Iterator[str]:
    yield from each.found.warnings
    if each.fault is not None:
        yield str(each.fault)


def _entry_json(entry: BootEntry) -> dict[str, Any]:
    counter = entry.counter
    return {
        "kind": entry.kind.value,
        "id": entry.id,
        "loader_id": entry.loader_id or None,
        "title": entry.title,
        "version": entry.version or None,
        "sort_key": entry.sort_key or None,
        "machine_id": entry.machine_id or None,
        "architecture": entry.architecture or None,
        "profile": entry.profile,
        "bad": entry.bad,
        "tries_left": None if counter is None else counter.tries_left,
        "tries_done": None if counter is None else counter.tries_done,
        "append_root": entry.append_root,
    }


def _source_json(source: EntrySource) -> dict[str, Any]:
    location = source.location
    return {
        "role": source.role.value,
        "place": location.path,
        **location_json(location),
        "layers": list(source.layers),
        "file_system": source.format or None,
        "path": source.path or None,
    }


def _parts_json(parts: EntryFiles) -> dict[str, Any]:
    return {
        "kernel": _piece_json(parts.kernel),
        "initrds": _pieces_json(parts.initrds),
        "devicetree": None if parts.devicetree is None else _piece_json(parts.devicetree),
        "devicetree_overlays": _pieces_json(parts.devicetree_overlays),
        "extras": _pieces_json(parts.extras),
        "addons": list(parts.addons),
    }


def _pieces_json(pieces: Iterable[FilePart]) -> list[dict[str, Any]]:
    return [_piece_json(piece) for piece in pieces]


def _piece_json(piece: FilePart) -> dict[str, Any]:
    return {
        "path": piece.path,
        "section": piece.section or None,
        "exists": piece.size_bytes is not None,
        "size_bytes": piece.size_bytes,
        "fault": None if piece.fault is None else reason_json(piece.fault),
    }
