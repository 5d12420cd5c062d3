"""Inspecting a live disk: which RedoxFS a loader would open, whether it can, and what it needs from it."""

from __future__ import annotations

from collections.abc import Iterator

from bootpath.boot.inspection.values import (
    InspectionReason,
    InspectionRequest,
    LiveInspection,
)
from bootpath.core.device import Device
from bootpath.core.errors import FormatError
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.imagepolicy import Protection
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.image.contents.nodes import Contents
from bootpath.image.kind import JudgedKind
from bootpath.image.redox.describe import FileSystemInfo, describe_file_system
from bootpath.image.redox.discovery import Discovery, FoundRedoxFS, choose_place, place_device
from bootpath.image.roots.reasons import ExclusionReason, Problem


def inspect_live(
    disk: Device, contents: Contents, kind: JudgedKind, discovery: Discovery, request: InspectionRequest
) -> LiveInspection:
    """Judge a disk on which a RedoxFS, or a partition for one, was found. Raises DeviceError, FileSystemError."""
    problems: list[Problem] = []
    chosen: FoundRedoxFS | None = None
    info: FileSystemInfo | None = None
    locked = False
    try:
        chosen = choose_place(discovery, where=disk.identity.name)
        newest = chosen.ring.newest
        assert newest is not None
        if newest.encrypted and request.password is None:
            locked = True
        else:
            with RedoxFS.open(place_device(disk, discovery, chosen), password=request.password) as fs:
                info = describe_file_system(fs)
    except FormatError as fault:
        problems.append(Problem(InspectionReason.REDOXFS_UNUSABLE(fault)))
    problems += _of_boot_files(info)
    problems += _demands(contents, chosen, request)
    return LiveInspection(
        contents=contents,
        kind=kind,
        problems=tuple(problems),
        warnings=tuple(_warnings(discovery, chosen)),
        found=discovery.places,
        chosen=chosen,
        file_system=info,
        locked=locked,
    )


def _of_boot_files(info: FileSystemInfo | None) -> Iterator[Problem]:
    for path in () if info is None else info.missing:
        yield Problem(InspectionReason.BOOT_FILE_MISSING(), path)
    for file in () if info is None else info.boot_files:
        if not file.sound:
            expected = " or ".join(magic.hex() for magic in file.file.magics)
            yield Problem(InspectionReason.BOOT_FILE_WRONG(file.magic.hex(), expected), file.path)


def _demands(contents: Contents, chosen: FoundRedoxFS | None, request: InspectionRequest) -> Iterator[Problem]:
    """What was asked for that a RedoxFS does not have: it is encrypted, or not protected at all."""
    if chosen is None or chosen.ring.newest is None:
        return
    where = chosen.found_by
    node = contents.node("" if chosen.partition is None else str(chosen.partition.number))
    if request.linux.slot is not None and (node is None or not node.location.is_named(request.linux.slot)):
        yield Problem(ExclusionReason.OTHER_SLOT(request.linux.slot), where)
    if request.linux.root_hash is not None:
        yield Problem(InspectionReason.NO_ROOT_HASH(), where)
    judgement = request.linux.boot_policy.judge(
        Designator.ROOT,
        Protection.ENCRYPTED if chosen.ring.newest.encrypted else Protection.UNPROTECTED,
        gpt_flags=0 if chosen.partition is None else chosen.partition.flags,
        file_system="redoxfs",
    )
    if judgement.protection is None:
        yield Problem(judgement.refused or ExclusionReason.POLICY_UNUSED(), where)


def _warnings(discovery: Discovery, chosen: FoundRedoxFS | None) -> Iterator[str]:
    if discovery.gpt is not None:
        yield from discovery.gpt.warnings
    if discovery.gpt_fault is not None:
        yield str(discovery.gpt_fault)
    # Where none can be chosen, the first one's fault is the problem.
    judged = discovery.places[0] if chosen is None and not discovery.usable else chosen
    for other in discovery.places:
        if other is not judged and other.fault is not None:
            yield str(other.fault)
    if chosen is not None and chosen.ring.stale:
        stale = ", ".join(str(header.slot) for header in chosen.ring.stale)
        yield f"{chosen.found_by}: stale headers of another file system in ring slots {stale}"
