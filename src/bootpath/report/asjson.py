"""Results as JSON: plain dicts whose shape is documented, and tested, by the schemas in ``docs/schemas``.

Sizes and offsets are bytes, durations seconds. Offsets inside a file system are relative to its start;
``file_system.offset_bytes`` says where that is on the disk.
"""

from __future__ import annotations

from typing import Any

from bootpath.boot.redox.planning import BootPlan, Miss
from bootpath.boot.redox.simulation import FailedAccess, Simulation
from bootpath.image.redox.build import Built
from bootpath.report.page import error_json
from bootpath.report.timeline import timeline_json

Json = dict[str, Any]


def _miss(miss: Miss | FailedAccess | None) -> Json | None:
    if miss is None:
        return None
    return {
        "operation": miss.operation,
        "offset": miss.offset,
        "length": miss.length,
        "step": miss.step,
        "error": miss.error,
    }


def plan_json(name: str, planned: BootPlan, preload_bytes: int | None) -> Json:
    """``bootpath plan --json``; `mounts` and `first_miss` only with a prefix to judge."""
    plan = planned.plan
    result: Json = {
        "disk": name,
        "file_system": {
            "uuid": str(plan.uuid),
            "generation": plan.generation,
            "size_bytes": plan.size_bytes,
            "offset_bytes": plan.offset_bytes,
            "used_bytes": planned.file_system.used_bytes,
        },
        "extents": [
            {"offset": part.offset, "length": part.length, "why": part.why, "step": part.step} for part in plan.extents
        ],
        "total_bytes": plan.total_bytes,
        "preload_bytes": planned.system_bytes,
        "prefix_bytes": planned.prefix_bytes,
        "boot_files_sound": planned.has_boot_files,
    }
    if preload_bytes is not None:
        miss = planned.classic_miss(preload_bytes)
        result["classic"] = {"preload_bytes": preload_bytes}
        result["mounts"] = miss is None
        result["first_miss"] = _miss(miss)
    return result


def simulation_json(name: str, simulation: Simulation, *, mode: str, preload: str | None) -> Json:
    """``bootpath simulate --json`` (docs/schemas/simulate.json)."""
    handover = simulation.handover
    return {
        "disk": name,
        "mode": mode,
        "preload": preload,
        "mounted": simulation.mounted,
        "booted": simulation.failure is None,
        "seconds_to_root": simulation.seconds_to_root,
        "preload_bytes": 0 if handover is None else handover.preload_bytes,
        "kernel_bytes": 0 if handover is None else handover.kernel_bytes,
        "initfs_bytes": 0 if handover is None else handover.initfs_bytes,
        "overlay_bytes": simulation.overlay_bytes,
        "reads": {source: {"count": count.reads, "bytes": count.bytes} for source, count in simulation.reads.items()},
        "timeline": timeline_json(simulation.steps, digits=6),
        "environment": None if handover is None else handover.environment.decode().splitlines(),
        "failure": None if simulation.failure is None else error_json(simulation.failure),
        "first_miss": _miss(simulation.failed_access),
    }


def built_json(built: Built) -> Json:
    """``bootpath build live --json``."""
    return {
        "disk": str(built.path),
        "size_bytes": built.size_bytes,
        "allocated_bytes": built.allocated_bytes,
        "file_system": {
            "uuid": str(built.uuid),
            "offset_bytes": built.file_system_offset_bytes,
            "size_bytes": built.file_system_bytes,
            "used_bytes": built.used_bytes,
        },
        "files": built.files,
    }
