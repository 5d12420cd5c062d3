"""A boot by the image's own loader as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootpath.report.text import columns
from bootpath.report.timeline import outcome_json, outcome_lines, timeline_lines
from bootpath.report.units import format_bytes, plural

if TYPE_CHECKING:
    from bootpath.boot.firmwareboot import FirmwareRun


def firmware_json(name: str, run: FirmwareRun) -> dict[str, Any]:
    """``bootpath boot --vm --firmware F --json`` (docs/schemas/firmware.json)."""
    return {
        "disk": name,
        "firmware": run.firmware.value,
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
        **outcome_json(run),
    }


def render_firmware(name: str, run: FirmwareRun) -> str:
    """``bootpath boot --vm --firmware F``."""
    lines = [name, *timeline_lines(run.steps)]
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
    return "\n".join([*lines, *outcome_lines(run)])
