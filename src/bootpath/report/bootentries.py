"""The boot entries of a disk as text and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bootpath.core.errors import BootError
from bootpath.core.printable import Printable, printable_lines
from bootpath.formats.entries.entry import BootEntry, EntryKind
from bootpath.report.inspection.contentsjson import reason_json
from bootpath.report.text import columns
from bootpath.report.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bootpath.formats.cmdline.address import RootStyle
    from bootpath.image.entries.files import FilePart
    from bootpath.image.entries.menu import BootMenu, EntryFiles, EntrySource, Excluded, FoundEntry

_LAYER_CHARACTERS = 23  # "verity " and what other reports show of a root hash


def entries_json(menu: BootMenu, style: RootStyle) -> dict[str, Any]:
    """``bootpath entries --json`` (docs/schemas/entries.json)."""
    return {
        "disk": menu.name,
        "boots": menu.boots,
        "entries": [
            {
                **_entry_json(found.entry),
                "source": _source_json(found.source),
                **_parts_json(found.parts),
                "command_line": _command_line(found, style)[0],
                "warnings": list(_warnings(found, style)),
            }
            for found in menu.entries
        ],
        "excluded": [
            {
                **reason_json(excluded.why),
                "source": _source_json(excluded.source),
                "entry": None if excluded.entry is None else _entry_json(excluded.entry),
                "files": None if excluded.parts is None else _parts_json(excluded.parts),
            }
            for excluded in menu.excluded
        ],
        "warnings": list(menu.warnings),
    }


def render_entries(menu: BootMenu, style: RootStyle) -> Printable:
    """``bootpath entries``."""
    count = len(menu.entries)
    lines = [f"{menu.name}: {count} boot {'entry' if count == 1 else 'entries'}"]
    titles = _titles(menu.entries)
    for number, (found, title) in enumerate(zip(menu.entries, titles, strict=True), start=1):
        lines.append(f"{number:2}  {title}{_marks(found.entry)}")
        lines += columns(list(_rows(found, style)), indent="    ")
    if menu.excluded:
        lines.append("Excluded")
        lines += [f"  {_where(each)}: {each.why}" for each in menu.excluded]
    lines += [f"Warning: {warning}" for warning in menu.warnings]
    if menu.boots:
        first = menu.entries[0]
        why = ", although its tries are used up: nothing better is there" if first.entry.bad else ""
        lines.append(f"Verdict: {titles[0]} would be booted{why}")
    else:
        lines.append("Verdict: nothing to boot")
    return printable_lines(lines)


def _rows(found: FoundEntry, style: RootStyle) -> Iterator[tuple[str, str]]:
    entry, parts = found.entry, found.parts
    facts = [("version", entry.version), ("sort key", entry.sort_key), ("machine", entry.machine_id)]
    said = ", ".join(f"{name} {value}" for name, value in (*facts, ("for", entry.architecture)) if value)
    if said:
        yield "is", said
    yield "from", f"{_place(found.source)}: {found.source.path}"
    yield "kernel", _piece(parts.kernel)
    for piece in parts.initrds:
        yield "initrd", _piece(piece)
    if parts.devicetree is not None:
        yield "devicetree", _piece(parts.devicetree)
    for piece in (*parts.devicetree_overlays, *parts.extras):
        yield "also", _piece(piece)
    for path in parts.addons:
        yield "add-on", path
    line = _command_line(found, style)[0]
    if line:
        yield "options", line
    for warning in _warnings(found, style):
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


def _marks(entry: BootEntry) -> str:
    return f"  ({', '.join(filter(None, (entry.kind.value, describe_count(entry))))})"


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
    return f"{excluded.source.role.value} {excluded.source.location.path or 'disk'}{path}"


def _piece(piece: FilePart) -> str:
    size = str(piece.fault) if piece.size_bytes is None else format_bytes(piece.size_bytes)
    return f"{piece}  {size}"


def _command_line(found: FoundEntry, style: RootStyle) -> tuple[str | None, str | None]:
    """The command line, or why the root cannot be named in it."""
    try:
        return found.command_line(style), None
    except BootError as error:
        return None, str(error)


def _warnings(found: FoundEntry, style: RootStyle) -> Iterator[str]:
    yield from found.warnings
    problem = _command_line(found, style)[1]
    if problem is not None:
        yield problem


def _entry_json(entry: BootEntry) -> dict[str, Any]:
    counter = entry.counter
    return {
        "kind": entry.kind.value,
        "id": entry.id,
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
        "disk_guid": None if location.disk_guid is None else str(location.disk_guid),
        "number": location.number,
        "first_lba": location.first_lba,
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
