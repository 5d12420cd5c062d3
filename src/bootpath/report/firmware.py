"""A boot by the image's own loader as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootpath.core.printable import Printable, printable_lines
from bootpath.report.timeline import outcome_json, outcome_lines, reads_json, reads_lines, timeline_lines
from bootpath.report.units import format_bytes

if TYPE_CHECKING:
    from bootpath.boot.machine.firmware import FirmwareRun


def firmware_json(name: str, run: FirmwareRun) -> dict[str, Any]:
    """``bootpath boot --firmware F --json`` (docs/schemas/firmware.json)."""
    return {
        "disk": name,
        "firmware": run.firmware.value,
        "read_bytes": run.read_bytes,
        "written_bytes": run.written_bytes,
        "reads": reads_json(run.reads),
        **outcome_json(run),
    }


def render_firmware(name: str, run: FirmwareRun) -> Printable:
    """``bootpath boot --firmware F``."""
    lines = [name, *timeline_lines(run.steps)]
    if run.reads:
        lines.append("Read from the served disk:")
        lines += reads_lines(run.reads)
    lines.append(f"Written, and kept in RAM: {format_bytes(run.written_bytes)}")
    return printable_lines([*lines, *outcome_lines(run)])
