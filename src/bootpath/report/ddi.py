"""A discoverable disk image, planned or built, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootpath.core.printable import Printable, printable_lines
from bootpath.formats.partitions.dps import flag_names
from bootpath.report.text import columns
from bootpath.report.units import format_bytes, format_offset

if TYPE_CHECKING:  # its libraries are an extra, and a report needs only the values
    from bootpath.image.ddi.build import BuiltDdi
    from bootpath.image.ddi.plan import DdiPlan, PlannedPartition

_COLUMNS = ("#", "name", "type", "start", "size", "holds", "flags", "uuid")


def ddi_json(plan: DdiPlan, built: BuiltDdi | None = None) -> dict[str, Any]:
    """``bootpath build image --json`` (docs/schemas/image.json). `built` is None when it was only planned."""
    return {
        "output": None if built is None else str(built.path),
        "size_bytes": plan.size_bytes,
        "allocated_bytes": None if built is None else built.allocated_bytes,
        "seed": str(plan.seed),
        "disk_guid": str(plan.gpt.disk_guid),
        "partitions": [_partition_json(each) for each in plan.partitions],
        "split": [] if built is None else [str(path) for path in built.split],
        "warnings": list(plan.warnings),
    }


def _partition_json(planned: PlannedPartition) -> dict[str, Any]:
    entry = planned.partition
    return {
        "number": entry.number,
        "definition": planned.definition.name,
        "slot": planned.slot,
        "type": planned.definition.type_name,
        "type_guid": str(entry.type_guid),
        "label": entry.name,
        "uuid": str(entry.guid),
        "flags": list(flag_names(entry.flags)),
        "flag_bits": f"{entry.flags:#018x}",
        "offset_bytes": entry.offset_bytes,
        "size_bytes": entry.size_bytes,
        "content": planned.content,
        "content_bytes": planned.content_bytes,
        "root_hash": None if planned.root_hash is None else planned.root_hash.hex(),
    }


def render_ddi(plan: DdiPlan, built: BuiltDdi | None = None) -> Printable:
    """The same as text."""
    if built is None:
        lines = [f"not written; {format_bytes(plan.size_bytes)}, disk {plan.gpt.disk_guid}"]
    else:
        used = format_bytes(built.allocated_bytes)
        lines = [f"{built.path}: {format_bytes(plan.size_bytes)}, {used} on disk, disk {plan.gpt.disk_guid}"]
    lines += columns([_COLUMNS, *(_row(each) for each in plan.partitions)])
    lines += [f"  root hash of {number}: {root_hash.hex()}" for number, root_hash in plan.root_hashes.items()]
    if built is not None:
        lines += [f"  split off: {path}" for path in built.split]
    return printable_lines(lines)


def _row(planned: PlannedPartition) -> tuple[str, ...]:
    entry = planned.partition
    return (
        str(entry.number),
        entry.name or "-",
        planned.definition.type_name,
        format_offset(entry.offset_bytes),
        format_bytes(entry.size_bytes),
        planned.content,
        " ".join(flag_names(entry.flags)) or "-",
        str(entry.guid),
    )
