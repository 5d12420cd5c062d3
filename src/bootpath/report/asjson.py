"""Results as JSON: plain dicts whose shape is documented, and tested, by the schemas in ``docs/schemas``.

Sizes and offsets are bytes, durations seconds. Offsets inside a file system are relative to its start;
``file_system.offset_bytes`` says where that is on the disk.
"""

from __future__ import annotations

from typing import Any

from bootpath.boot.redox.planning import BootPlan, Miss
from bootpath.boot.redox.simulation import FailedAccess, Simulation
from bootpath.formats.partitions.gpt import Gpt
from bootpath.fs.redox.values import RedoxHeader
from bootpath.image.inspection import Inspection
from bootpath.image.redox.build import Built
from bootpath.image.redox.discovery import Place
from bootpath.report.contentsjson import choice_json, node_json, problem_json
from bootpath.report.page import error_json
from bootpath.report.timeline import timeline_json

Json = dict[str, Any]


def _header(header: RedoxHeader) -> Json:
    return {
        "uuid": str(header.uuid),
        "version": header.version,
        "size_bytes": header.size_bytes,
        "generation": header.generation,
        "ring_slot": header.slot,
        "encrypted": header.encrypted,
        "key_slots": list(header.key_slots),
    }


def _place(place: Place) -> Json:
    ring = place.ring
    return {
        "found_by": place.found_by,
        "offset_bytes": place.offset_bytes,
        "size_bytes": place.size_bytes,
        "partition": None if place.partition is None else place.partition.number,
        "header": None if ring.newest is None else _header(ring.newest),
        "ring": {
            "valid": len(ring.valid),
            "stale": len(ring.stale),
            "invalid": ring.invalid_slots,
            "empty": ring.zero_slots,
        },
        "fault": None if place.fault is None else str(place.fault),
    }


def _gpt(gpt: Gpt) -> Json:
    return {
        "disk_guid": str(gpt.disk_guid),
        "block_bytes": gpt.block_bytes,
        "verdict": gpt.verdict.value,
        "advice": gpt.verdict.advice,
        "primary_fault": None if gpt.primary_fault is None else str(gpt.primary_fault),
        "backup_fault": None if gpt.backup_fault is None else str(gpt.backup_fault),
        "partitions": [
            {
                "number": partition.number,
                "name": partition.name,
                "type_guid": str(partition.type_guid),
                "guid": str(partition.guid),
                "first_lba": partition.first_lba,
                "last_lba": partition.last_lba,
                "offset_bytes": partition.offset_bytes,
                "size_bytes": partition.size_bytes,
                "flags": partition.flags,
            }
            for partition in gpt.partitions
        ],
    }


def inspection_json(inspection: Inspection) -> Json:
    """``bootpath inspect --json``."""
    discovery, info = inspection.discovery, inspection.file_system
    return {
        "disk": inspection.name,
        "size_bytes": inspection.size_bytes,
        "gpt": None if discovery.gpt is None else _gpt(discovery.gpt),
        "gpt_fault": None if discovery.gpt_fault is None else str(discovery.gpt_fault),
        "places": [_place(place) for place in discovery.places],
        "root": None if inspection.place is None else _place(inspection.place),
        "locked": inspection.locked,
        "file_system": None
        if info is None
        else {
            "used_bytes": info.used_bytes,
            "free_bytes": info.free_bytes,
            "high_water_bytes": info.used.end,
            "metadata": [
                {"what": piece.what, "offset": piece.extent.offset, "length": piece.extent.length}
                for piece in info.metadata
            ],
            "boot_files": [
                {"path": file.path, "size_bytes": file.size_bytes, "magic": file.magic.hex(), "sound": file.sound}
                for file in info.boot_files
            ],
        },
        "contents": node_json(inspection.contents.root),
        "choice": None if inspection.choice is None else choice_json(inspection.choice),
        "verified": list(inspection.checked),
        "boots": inspection.boots,
        "warnings": list(inspection.warnings),
        "problems": [problem_json(problem) for problem in inspection.problems],
    }


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
