"""The timeline of a boot in a machine, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bootpath.report.text import columns
from bootpath.report.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from bootpath.boot.timeline import Step
    from bootpath.boot.watching import WatchedRun


def timeline_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps, each with its start and length in seconds."""
    return [
        {
            "actor": step.actor,
            "what": step.what,
            "start_seconds": round(step.start_seconds, 3),
            "seconds": round(step.seconds, 3),
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


def outcome_json(run: WatchedRun) -> dict[str, Any]:
    """What every boot in a machine ends with."""
    return {
        "accelerator": run.accelerator,
        "booted": run.failure is None,
        "seconds_to_end": run.seconds_to_end,
        "screenshot": None if run.screenshot is None else str(run.screenshot),
        "timeline": timeline_json(run.steps),
        "failure": None if run.failure is None else str(run.failure),
    }


def outcome_lines(run: WatchedRun, *, verdict: str | None = None) -> list[str]:
    """The last lines; `verdict` is said of a boot that failed."""
    lines = [] if run.seconds_to_end is None else [f"Done after {format_seconds(run.seconds_to_end)}"]
    return [*lines, "Verdict: boots" if run.failure is None else f"Verdict: {verdict or 'does not boot'}"]
