"""Inspecting a Linux image, and a disk of no known kind: what would boot, from which root, and how sure that is.

What boots is decided by `boot.linux.load`. On a disk with candidates, damage elsewhere is a warning; without any, it is
the problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bootpath.boot.inspection.values import Check, CheckedContent, InspectionReason, InspectionRequest, LinuxInspection
from bootpath.boot.linux.choice import SUMS
from bootpath.boot.linux.load import decide_linux
from bootpath.boot.linux.result import LinuxBoot
from bootpath.core.device import Device
from bootpath.core.errors import FormatError
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.imagepolicy import Protection
from bootpath.image.contents.nodes import Contents, NodeKind, NodeReason
from bootpath.image.contents.read import open_node
from bootpath.image.contents.volumes import check_static_volume
from bootpath.image.kind import DiskKind, JudgedKind
from bootpath.image.livemedia import LiveMedium, read_live_medium
from bootpath.image.roots.candidates import Candidate
from bootpath.image.roots.choice import RootChoice, check_candidate
from bootpath.image.roots.reasons import ExclusionReason, Problem, ProblemReason
from bootpath.image.verity.tree import Progress

_SHOWN_MISMATCHES = 3


def inspect_linux(
    disk: Device, contents: Contents, kind: JudgedKind, request: InspectionRequest, progress: Progress | None = None
) -> LinuxInspection:
    """Judge what was read of a disk. Raises DeviceError, Error when a library for signatures is missing."""
    boot = decide_linux(disk, replace(request.linux, full=request.full), contents, progress)
    medium = read_live_medium(disk, contents)
    inspection = LinuxInspection(
        contents=contents,
        kind=kind,
        problems=_problems(contents, kind, boot) if medium is None else tuple(_of_medium(medium, boot)),
        warnings=(
            *contents.warnings,
            *(() if medium is None else medium.warnings),
            *(() if boot.plan is None else boot.plan.warnings),
        ),
        boot=boot,
        medium=medium,
    )
    if not boot.order.choice.candidates:
        return inspection
    problems = inspection.problems
    known = {each.candidate.data.path for each in boot.attempts if each.candidate is not None and each.checked}
    checked = [CheckedContent(path, Check.HASH_TREE) for path in sorted(known)]
    for candidate in (each for each in inspection.mounted if request.full and each.data.path not in known):
        try:
            check = _verify(disk, contents, candidate, progress)
            if check is not None:
                checked.append(CheckedContent(candidate.data.path, check))
        except FormatError as fault:
            problem = Problem(InspectionReason.NOT_AS_PROMISED(fault), str(candidate.data.location))
            problems = (*problems, problem)
    warnings = (*inspection.warnings, *boot.order.choice.warnings, *_damage(contents, problems))
    return replace(inspection, problems=problems, warnings=tuple(dict.fromkeys(warnings)), checked=tuple(checked))


def boots_by_firmware(disk: Device, boot: LinuxBoot) -> LiveMedium | None:
    """The medium that its own loader would boot, as far as is allowed, although ours does not; None where there is
    none. Raises DeviceError."""
    medium = None if boot.plan is not None else read_live_medium(disk, boot.contents)
    if medium is None or not medium.ways or any(_of_medium(medium, boot)):
        return None
    return medium


def _problems(contents: Contents, kind: JudgedKind, boot: LinuxBoot) -> tuple[Problem, ...]:
    """Why nothing boots: in parts, where the refusal sums up what is wrong with the roots."""
    refusal, choice = boot.refusal, boot.order.choice
    if refusal is None:
        return ()
    if boot.order.refusal is not None and not choice.candidates:
        return _without_candidates(contents, kind, choice)
    if boot.order.refusal is not None and refusal.reason in SUMS and choice.problems:
        return choice.problems
    return (Problem(refusal),)


def _of_medium(medium: LiveMedium, boot: LinuxBoot) -> Iterator[Problem]:
    """Why a medium boots neither by our loader nor by firmware, or must not: nothing protects what firmware boots."""
    linux = boot.request
    if boot.refusal is None:
        return
    if not medium.ways:
        yield Problem(InspectionReason.NO_LOADER())
        yield Problem(boot.refusal)
    if linux.slot is not None:
        yield Problem(ExclusionReason.OTHER_SLOT(linux.slot))
    if linux.root_hash is not None:
        yield Problem(ExclusionReason.NO_ROOT_HASH())
    judgement = linux.boot_policy.judge(
        Designator.ROOT, Protection.UNPROTECTED, gpt_flags=0, file_system=medium.superblock.kind
    )
    if judgement.protection is None:
        yield Problem(judgement.refused or ExclusionReason.POLICY_UNUSED())


def _without_candidates(contents: Contents, kind: JudgedKind, choice: RootChoice) -> tuple[Problem, ...]:
    """Why there is not even a candidate."""
    if not contents.size_bytes:
        return (Problem(InspectionReason.EMPTY()),)
    faults = [
        Problem(NodeReason.DAMAGED(fault), node.title if node.path else "")
        for node in contents.nodes()
        for fault in node.faults
    ]
    nothing = Problem(ProblemReason.NOTHING())
    known = [
        Problem(kind.why) if problem == nothing and kind.kind is DiskKind.UNKNOWN else problem
        for problem in choice.problems
    ]
    return (*faults, *known)


def _damage(contents: Contents, problems: tuple[Problem, ...]) -> list[str]:
    """What is damaged and not the reason of a problem."""
    mentioned = {each for problem in problems for each in problem.cause.walk()}
    return [
        f"{node.path}: {node.fault}" if node.path else str(node.fault)
        for node in contents.nodes()
        if node.fault is not None
        and node.fault not in mentioned
        and not (node.refusal is not None and node.partition is not None)  # the table's own warnings have it
    ]


def _verify(disk: Device, contents: Contents, candidate: Candidate, progress: Progress | None) -> Check | None:
    """Read all of a candidate; None when there is nothing to compare it with. Raises FormatError, DeviceError."""
    data = candidate.data
    if candidate.hashes is None and data.kind is NodeKind.UBI_VOLUME:
        static = check_static_volume(open_node(disk, contents, data.parent_path), data.name)
        return Check.ERASEBLOCK_CRCS if static else None
    wrong = check_candidate(disk, contents, candidate, progress=progress)
    if wrong:
        shown = ", ".join(map(str, wrong[:_SHOWN_MISMATCHES]))
        raise FormatError("the content does not match the root hash", found=shown)
    return None if candidate.hashes is None else Check.HASH_TREE
