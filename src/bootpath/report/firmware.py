"""A boot by the image's own loader as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootpath.report.text import columns
from bootpath.report.units import format_bytes, format_seconds, plural

if TYPE_CHECKING:
    from bootpath.boot.firmwareboot import FirmwareRun


def firmware_json(name: str, run: FirmwareRun) -> dict[str, Any]:
    """``bootpath boot --vm --firmware F --json`` (docs/schemas/firmware.json)."""
    return {
        "disk": name,
        "firmware": run.firmware.value,
        "accelerator": run.accelerator,
        "booted": run.failure is None,
        "seconds_to_end": run.seconds_to_end,
        "read_bytes": run.read_bytes,
        "written_bytes": run.written_bytes,
        "reads": [
            {
                "area": area.name,
                "operations": area.operations,
                "bytes": area.bytes,
                "distinct_bytes": area.distinct_bytes,
            }
            for area in run.reads
        ],
        "screenshot": None if run.screenshot is None else str(run.screenshot),
        "timeline": [
            {
                "actor": step.actor,
                "what": step.what,
                "start_seconds": round(step.start_seconds, 3),
                "seconds": round(step.seconds, 3),
                "detail": step.detail,
                "failed": step.failed,
            }
            for step in run.steps
        ],
        "failure": None if run.failure is None else str(run.failure),
    }


def render_firmware(name: str, run: FirmwareRun) -> str:
    """``bootpath boot --vm --firmware F``."""
    lines = [name]
    lines += columns(
        [
            (
                f"{step.start_seconds:8.3f} s",
                f"[{step.actor}]",
                step.what,
                "FAILED" if step.failed else format_seconds(step.seconds) if step.seconds else "",
                step.detail,
            )
            for step in run.steps
        ],
        indent="",
        right=frozenset({3}),
    )
    if run.reads:
        lines.append("Read from the served disk:")
        lines += columns(
            [
                (
                    area.name,
                    plural(area.operations, "read"),
                    format_bytes(area.bytes),
                    f"{format_bytes(area.distinct_bytes)} of it different",
                )
                for area in run.reads
            ],
            right=frozenset({1, 2}),
        )
    lines.append(f"Written, and kept in RAM: {format_bytes(run.written_bytes)}")
    if run.seconds_to_end is not None:
        lines.append(f"Done after {format_seconds(run.seconds_to_end)}")
    lines.append("Verdict: boots" if run.failure is None else "Verdict: does not boot")
    return "\n".join(lines)
