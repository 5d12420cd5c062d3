"""The decision on a Linux image, in the words and the JSON that every command shows."""

from __future__ import annotations

from typing import Any

from bootpath.boot.linux.result import LinuxBoot
from bootpath.report.inspection.contentsjson import reason_json


def describe_verdict(boot: LinuxBoot) -> str:
    """The verdict with its reason."""
    if boot.plan is None:
        return f"does not boot: {boot.refusal}"
    weak = boot.plan.weakest
    if weak is None:
        return f"verified: {boot.plan.parts[0].why}"
    return f"unverified, but allowed by the policy: {weak.what}: {weak.why}"


def describe_decision(boot: LinuxBoot) -> str:
    """The verdict, and the entry that it is on."""
    if boot.plan is None:
        return describe_verdict(boot)
    return f"{boot.plan.entry.entry.id} would be booted; {describe_verdict(boot)}"


def decision_json(boot: LinuxBoot) -> dict[str, Any]:
    """What boots: `decision` in docs/schemas/inspect.json and entries.json."""
    plan = boot.plan
    return {
        "verdict": boot.verdict.value,
        "refusal": None if boot.refusal is None else reason_json(boot.refusal),
        "root": None if boot.chosen is None else boot.chosen.data.path,
        "entry": None
        if plan is None
        else {
            "id": plan.entry.entry.id,
            "place": plan.entry.source.location.path,
            "path": plan.entry.source.path or None,
            "why": reason_json(plan.why),
        },
        "command_line": None if plan is None else plan.command_line,
    }
