"""``bootpath inspect`` as text and as JSON, whatever kind of disk it was."""

from __future__ import annotations

from typing import Any

from bootpath.boot.inspection.values import Inspection, LinuxInspection, LiveInspection
from bootpath.core.printable import Printable
from bootpath.report.inspection.contents import render_contents
from bootpath.report.inspection.contentsjson import choice_json, mbr_json, node_json, problem_json, reason_json
from bootpath.report.inspection.decision import decision_json
from bootpath.report.inspection.live import gpt_json, live_json, render_live
from bootpath.report.inspection.medium import medium_json

_NOT_LIVE: dict[str, Any] = {"places": [], "root": None, "locked": False, "file_system": None}


def render_inspection(inspection: Inspection) -> Printable:
    """``bootpath inspect``."""
    return render_live(inspection) if isinstance(inspection, LiveInspection) else render_contents(inspection)


def inspection_json(inspection: Inspection) -> dict[str, Any]:
    """``bootpath inspect --json`` (docs/schemas/inspect.json); what another kind of disk has is null or empty."""
    root = inspection.contents.root
    linux = inspection if isinstance(inspection, LinuxInspection) else None
    return {
        "disk": inspection.name,
        "size_bytes": inspection.size_bytes,
        "containers": [
            {"kind": each.kind, "detail": each.detail, "size_bytes": each.size_bytes}
            for each in inspection.contents.disk_images
        ],
        "kind": {"name": inspection.kind.kind.value, **reason_json(inspection.kind.why)},
        "gpt": None if root.gpt is None else gpt_json(root.gpt),
        "mbr": None if root.mbr is None else mbr_json(root.mbr),
        "gpt_fault": None if root.gpt_fault is None else str(root.gpt_fault),
        **(live_json(inspection) if isinstance(inspection, LiveInspection) else _NOT_LIVE),
        "contents": node_json(root),
        "medium": None if linux is None or linux.medium is None else medium_json(linux.medium),
        "choice": None if linux is None else choice_json(linux.boot),
        "decision": None if linux is None else decision_json(linux.boot),
        "checked": []
        if linux is None
        else [{"path": each.path, "against": each.against.value} for each in linux.checked],
        "boots": inspection.boots,
        "warnings": list(inspection.warnings),
        "problems": [problem_json(problem) for problem in inspection.problems],
    }
