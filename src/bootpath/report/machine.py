"""A boot in a machine as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootpath.core.printable import Printable, printable_lines
from bootpath.report.timeline import outcome_json, outcome_lines, timeline_lines
from bootpath.report.units import format_bytes, format_seconds, plural

if TYPE_CHECKING:
    from bootpath.boot.redox.machinerun import MachineRun


def machine_json(name: str, run: MachineRun, *, mode: str, preload: str) -> dict[str, Any]:
    """``bootpath boot --json`` of a live disk (docs/schemas/machine.json)."""
    handover, memory, fallback, disk = run.handover, run.memory, run.fallback, run.disk
    return {
        "disk": name,
        "mode": mode,
        "preload": preload,
        "mounted": run.mounted,
        "seconds_to_root": run.seconds_to_root,
        "memory_bytes": None if memory is None else memory.memory_bytes,
        "reserved_bytes": None if memory is None else memory.reserved_bytes,
        "preload_bytes": 0 if handover is None else handover.preload_bytes,
        "preload_extents": 0 if handover is None else len(handover.preload_extents),
        "fallback": None
        if fallback is None
        else {
            "reads": fallback["disk_reads"],
            "bytes": fallback["disk_bytes"],
            "waits": fallback["disk_waits"],
            "failures": fallback["disk_failures"],
        },
        "disk_reads": None
        if disk is None
        else {"operations": disk.read_operations, "bytes": disk.read_bytes, "failed": disk.failed_operations},
        **outcome_json(run),
    }


def render_machine(name: str, run: MachineRun) -> Printable:
    """``bootpath boot`` of a live disk."""
    lines = [name, *timeline_lines(run.steps)]
    if run.mounted:
        assert run.handover is not None
        assert run.memory is not None
        assert run.seconds_to_root is not None
        assert run.fallback is not None
        reads = plural(run.fallback["disk_reads"], "read")
        lines.append(
            f"Root mounted after {format_seconds(run.seconds_to_root)}; until then {reads} "
            f"({format_bytes(run.fallback['disk_bytes'])}) had to come from the disk"
        )
        lines.append(
            f"{format_bytes(run.handover.preload_bytes)} preloaded, "
            f"for which the machine gave up {format_bytes(run.memory.reserved_bytes)} of its memory"
        )
    if run.disk is not None:
        lines.append(f"The machine read {format_bytes(run.disk.read_bytes)} from the disk in all")
    lines += outcome_lines(run, verdict="mounted, but the boot fails" if run.mounted else None)
    return printable_lines(lines)
