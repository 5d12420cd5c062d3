"""A live disk as text and as JSON: its partitions, each RedoxFS that was found, and what a loader needs from it."""

from __future__ import annotations

from typing import Any

from bootpath.boot.inspection.values import LiveInspection
from bootpath.core.printable import Printable, printable_lines
from bootpath.formats.partitions.gpt import Gpt
from bootpath.fs.redox.values import RedoxHeader
from bootpath.image.redox.describe import FileSystemInfo
from bootpath.image.redox.discovery import FoundRedoxFS
from bootpath.report.text import columns, container_lines, gpt_heading
from bootpath.report.units import format_bytes, format_offset, plural

Json = dict[str, Any]


def render_live(inspection: LiveInspection) -> Printable:
    """``bootpath inspect`` of a disk with a RedoxFS."""
    lines = [f"{inspection.name}: {format_bytes(inspection.size_bytes)}", *container_lines(inspection.contents)]
    gpt, info = inspection.contents.root.gpt, inspection.file_system
    if gpt is not None:
        lines += _gpt_lines(gpt)
    for found in inspection.found:
        lines += _found_lines(found, info if found is inspection.chosen else None)
    if inspection.locked:
        lines.append("  locked: give the password with --password-file to see more")
    if info is not None:
        lines += _file_system_lines(info)
    lines += [f"Warning: {warning}" for warning in inspection.warnings]
    lines += [f"Verdict: {line}" for line in live_verdict(inspection)]
    return printable_lines(lines)


def live_verdict(inspection: LiveInspection) -> list[str]:
    """What would boot, or every reason why nothing does."""
    if inspection.problems:
        return [f"does not boot: {problem}" for problem in inspection.problems]
    assert inspection.chosen is not None
    what = "is locked; a loader would ask for the password" if inspection.locked else "would boot"
    return [f"{inspection.chosen.found_by} {what}"]


def live_json(inspection: LiveInspection) -> Json:
    """What only a live disk has."""
    info = inspection.file_system
    return {
        "places": [_found_json(found) for found in inspection.found],
        "root": None if inspection.chosen is None else _found_json(inspection.chosen),
        "locked": inspection.locked,
        "file_system": None
        if info is None
        else {
            "used_bytes": info.used_bytes,
            "free_bytes": info.free_bytes,
            "high_water_bytes": info.used.end,
            "system": "linux" if info.linux else "redox",
            "metadata": [
                {"what": piece.what, "offset": piece.extent.offset, "length": piece.extent.length}
                for piece in info.metadata
            ],
            "boot_files": [
                {"path": file.path, "size_bytes": file.size_bytes, "magic": file.magic.hex(), "sound": file.sound}
                for file in info.boot_files
            ],
        },
    }


def gpt_json(gpt: Gpt) -> Json:
    """A partition table."""
    return {
        "disk_guid": str(gpt.disk_guid),
        "block_bytes": gpt.block_bytes,
        "verdict": gpt.verdict.value,
        "advice": gpt.verdict.advice,
        "primary_fault": None if gpt.primary_fault is None else str(gpt.primary_fault),
        "backup_fault": None if gpt.backup_fault is None else str(gpt.backup_fault),
        "partitions": [
            {
                "number": partition.number,
                "name": partition.name,
                "type_guid": str(partition.type_guid),
                "guid": str(partition.guid),
                "first_lba": partition.first_lba,
                "last_lba": partition.last_lba,
                "offset_bytes": partition.offset_bytes,
                "size_bytes": partition.size_bytes,
                "flags": partition.flags,
            }
            for partition in gpt.partitions
        ],
    }


def _gpt_lines(gpt: Gpt) -> list[str]:
    rows = [
        (
            str(partition.number),
            partition.name,
            format_offset(partition.offset_bytes),
            format_bytes(partition.size_bytes),
            partition.type_name,
            str(partition.guid),
        )
        for partition in gpt.partitions
    ]
    return gpt_heading(gpt) + columns(rows, right=frozenset({2, 3}))


def _found_lines(found: FoundRedoxFS, info: FileSystemInfo | None) -> list[str]:
    ring, newest = found.ring, found.ring.newest
    heading = f"RedoxFS  {found.found_by}, at {format_offset(found.offset_bytes)}"
    if newest is None:
        return [heading]
    rows = [
        ("uuid", str(newest.uuid)),
        ("size", format_bytes(newest.size_bytes)),
        ("generation", f"{newest.generation} in ring slot {newest.slot}"),
        ("ring", f"{len(ring.valid)} valid headers, {ring.zero_slots} empty, {ring.invalid_slots} damaged"),
        ("encrypted", f"yes, {plural(len(newest.key_slots), 'key slot')} in use" if newest.encrypted else "no"),
    ]
    if info is not None:
        rows.append(("used", f"{format_bytes(info.used_bytes)}, {format_bytes(info.free_bytes)} free"))
        rows.append(("high water", format_offset(info.used.end)))
    return [heading, *columns(rows)]


def _file_system_lines(info: FileSystemInfo) -> list[str]:
    lines = ["Metadata that open and a first look read"]
    lines += columns(
        [
            (format_offset(piece.extent.offset), format_bytes(piece.extent.length), piece.what)
            for piece in info.metadata
        ],
        right=frozenset({0, 1}),
    )
    lines.append(f"Boot files, of {'a Linux' if info.linux else 'Redox'}")
    lines += columns(
        [
            (
                file.path,
                format_bytes(file.size_bytes),
                "magic ok" if file.sound else f"wrong magic {file.magic.hex()}",
            )
            for file in info.boot_files
        ]
        + [(path, "", "missing") for path in info.missing],
        right=frozenset({1}),
    )
    return lines


def _header(header: RedoxHeader) -> Json:
    return {
        "uuid": str(header.uuid),
        "version": header.version,
        "size_bytes": header.size_bytes,
        "generation": header.generation,
        "ring_slot": header.slot,
        "encrypted": header.encrypted,
        "key_slots": list(header.key_slots),
    }


def _found_json(found: FoundRedoxFS) -> Json:
    ring = found.ring
    return {
        "found_by": found.found_by,
        "offset_bytes": found.offset_bytes,
        "size_bytes": found.size_bytes,
        "partition": None if found.partition is None else found.partition.number,
        "header": None if ring.newest is None else _header(ring.newest),
        "ring": {
            "valid": len(ring.valid),
            "stale": len(ring.stale),
            "invalid": ring.invalid_slots,
            "empty": ring.zero_slots,
        },
        "fault": None if found.fault is None else str(found.fault),
    }
