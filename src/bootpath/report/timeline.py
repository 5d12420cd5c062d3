"""What boots have in common, as text and as JSON: the timeline, what was read of the disk, the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bootpath.report.page import error_json
from bootpath.report.text import columns
from bootpath.report.units import format_bytes, format_seconds, plural

if TYPE_CHECKING:
    from bootpath.boot.machine.diskreads import AreaReads
    from bootpath.boot.machine.watched import WatchedRun
    from bootpath.boot.timeline import Step


def timeline_json(steps: Iterable[Step], *, digits: int = 3) -> list[dict[str, Any]]:
    """The steps, each with its start and length in seconds, rounded to so many digits."""
    return [
        {
            "actor": step.actor,
            "what": step.what,
            "start_seconds": round(step.start_seconds, digits),
            "seconds": round(step.seconds, digits),
            "bytes": step.bytes,
            "detail": step.detail,
            "failed": step.failed,
        }
        for step in steps
    ]


def timeline_lines(steps: Sequence[Step]) -> list[str]:
    """A line a step."""
    return columns(
        [
            (
                f"{step.start_seconds:8.3f} s",
                f"[{step.actor}]",
                step.what,
                format_bytes(step.bytes) if step.bytes else "",
                "FAILED" if step.failed else format_seconds(step.seconds) if step.seconds else "",
                step.detail,
            )
            for step in steps
        ],
        indent="",
        right=frozenset({3, 4}),
    )


def reads_json(reads: Iterable[AreaReads]) -> list[dict[str, Any]]:
    """What was read of each area of the disk."""
    return [
        {
            "area": area.name,
            "operations": area.operations,
            "bytes": area.bytes,
            "distinct_bytes": area.distinct_bytes,
        }
        for area in reads
    ]


def reads_lines(reads: Iterable[AreaReads]) -> list[str]:
    """A line an area."""
    rows = [
        (
            area.name,
            plural(area.operations, "read"),
            format_bytes(area.bytes),
            f"{format_bytes(area.distinct_bytes)} of it different",
        )
        for area in reads
    ]
    return columns(rows, right=frozenset({1, 2}))


def outcome_json(run: WatchedRun) -> dict[str, Any]:
    """What every boot in a machine ends with."""
    return {
        "accelerator": run.accelerator,
        "booted": run.failure is None,
        "seconds_to_end": run.seconds_to_end,
        "screenshot": None if run.screenshot is None else str(run.screenshot),
        "timeline": timeline_json(run.steps),
        "failure": None if run.failure is None else error_json(run.failure),
    }


def outcome_lines(run: WatchedRun, *, verdict: str | None = None) -> list[str]:
    """The last lines; `verdict` is said of a boot that failed."""
    lines = [] if run.seconds_to_end is None else [f"Done after {format_seconds(run.seconds_to_end)}"]
    return [*lines, "Verdict: boots" if run.failure is None else f"Verdict: {verdict or 'does not boot'}"]
