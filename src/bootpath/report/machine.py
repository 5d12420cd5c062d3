"""A boot in a machine as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootpath.report.text import columns
from bootpath.report.units import format_bytes, format_seconds, plural

if TYPE_CHECKING:
    from bootpath.boot import MachineRun


def machine_json(name: str, run: MachineRun, *, mode: str, preload: str) -> dict[str, Any]:
    """``bootpath boot --vm --json`` (docs/schemas/machine.json)."""
    handover, placement, fallback, disk = run.handover, run.placement, run.fallback, run.disk
    return {
        "disk": name,
        "mode": mode,
        "preload": preload,
        "accelerator": run.accelerator,
        "mounted": run.mounted,
        "booted": run.failure is None,
        "seconds_to_root": run.seconds_to_root,
        "seconds_to_end": run.seconds_to_end,
        "memory_bytes": None if placement is None else placement.memory_bytes,
        "reserved_bytes": None if placement is None else placement.reserved_bytes,
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
        "screenshot": None if run.screenshot is None else str(run.screenshot),
        "timeline": [
            {
                "actor": step.actor,
                "what": step.what,
                "start_seconds": round(step.start_seconds, 3),
                "seconds": round(step.seconds, 3),
                "bytes": step.bytes,
                "detail": step.detail,
                "failed": step.failed,
            }
            for step in run.steps
        ],
        "failure": None if run.failure is None else str(run.failure),
    }


def render_machine(name: str, run: MachineRun) -> str:
    """``bootpath boot --vm``."""
    lines = [name]
    lines += columns(
        [
            (
                f"{step.start_seconds:8.3f} s",
                f"[{step.actor}]",
                step.what,
                format_bytes(step.bytes) if step.bytes else "",
                "FAILED" if step.failed else format_seconds(step.seconds) if step.seconds else "",
                step.detail,
            )
            for step in run.steps
        ],
        indent="",
        right=frozenset({3, 4}),
    )
    if run.mounted:
        assert run.handover is not None
        assert run.placement is not None
        assert run.seconds_to_root is not None
        assert run.fallback is not None
        reads = plural(run.fallback["disk_reads"], "read")
        lines.append(
            f"Root mounted after {format_seconds(run.seconds_to_root)}; until then {reads} "
            f"({format_bytes(run.fallback['disk_bytes'])}) had to come from the disk"
        )
        lines.append(
            f"{format_bytes(run.handover.preload_bytes)} preloaded, "
            f"for which the machine gave up {format_bytes(run.placement.reserved_bytes)} of its memory"
        )
    if run.disk is not None:
        lines.append(f"The machine read {format_bytes(run.disk.read_bytes)} from the disk in all")
    if run.seconds_to_end is not None:
        lines.append(f"Done after {format_seconds(run.seconds_to_end)}")
    if run.failure is None:
        lines.append("Verdict: boots")
    else:
        lines.append(f"Verdict: {'mounted, but the boot fails' if run.mounted else 'does not boot'}")
    return "\n".join(lines)
