"""What is on a disk, as a value: its contents, and what would boot from it.

Two kinds of disks are told apart by what is on them. A *live disk* holds a RedoxFS: partitions, file system, boot files
and where metadata lies. Any other disk is judged as Linux would: which partition or volume would be the root, and how
sure that is (`image.roots.choice`). `inspect_disk` reads only what it reports: of a live disk also the header ring, the
allocator log, two directories and the first bytes of kernel and initfs.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bootpath.core.device import Device
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.core.reasons import Reason
from bootpath.formats.partitions.dps import Architecture, Designator
from bootpath.formats.partitions.imagepolicy import ImagePolicy, Protection
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.values import RING_BYTES, LabelledExtent, RedoxHeader
from bootpath.image.contents.nodes import Contents, NodeKind, NodeReason
from bootpath.image.contents.read import open_node, read_contents
from bootpath.image.contents.volumes import check_static_volume
from bootpath.image.redox.discovery import Discovery, Place, choose_place, find_redoxfs, place_device
from bootpath.image.redox.layout import INITFS_MAGIC, INITFS_PATH, KERNEL_MAGIC, KERNEL_PATH, REDOX_NAME
from bootpath.image.roots.candidates import Candidate
from bootpath.image.roots.choice import RootChoice, check_candidate, choose_root, effective_policy
from bootpath.image.roots.reasons import ExclusionReason, Problem
from bootpath.image.verity.tree import Mismatch, Progress


class InspectionReason(Reason):
    """Why a disk does not boot, beside what keeps a Linux image from having a root (`image.roots.reasons`)."""

    EMPTY = "the disk has no bytes"
    DAMAGED = "{}"
    BOOT_FILE_MISSING = "the file is missing, and a loader needs it"
    BOOT_FILE_WRONG = "the file begins with {}, and a loader expects {}"
    NOT_AS_PROMISED = "{}"
    NO_ROOT_HASH = "a RedoxFS has no hash tree to compare with the root hash that was given"


@dataclass(frozen=True, slots=True)
class BootFile:
    """A file the loader needs; `magic` is what its first bytes are, `expected` what they must be."""

    path: str
    size_bytes: int
    magic: bytes
    expected: bytes

    @property
    def sound(self) -> bool:
        """True when the magic is right."""
        return self.magic == self.expected


@dataclass(frozen=True, slots=True)
class FileSystemInfo:
    """An opened RedoxFS. Pieces and extents are bytes relative to its start."""

    header: RedoxHeader
    used_bytes: int
    free_bytes: int
    used: ExtentSet
    metadata: tuple[LabelledExtent, ...]
    boot_files: tuple[BootFile, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """A disk, what was found on it, and the verdict: `problems` is empty when it would boot.

    `choice` is None for a live disk, which `place` and `file_system` describe. `checked` are the paths of the nodes
    whose whole hash tree was read and is right.
    """

    name: str
    size_bytes: int
    contents: Contents
    discovery: Discovery
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()
    place: Place | None = None
    file_system: FileSystemInfo | None = None
    locked: bool = False
    choice: RootChoice | None = None
    checked: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """True for a disk that holds a RedoxFS, or should."""
        return self.choice is None

    @property
    def boots(self) -> bool:
        """True when a loader would find, open and load everything it needs."""
        return not self.problems


def _boot_file(fs: RedoxFS, path: str, expected: bytes) -> BootFile | None:
    try:
        node = fs.lookup(path)
    except FileSystemError as fault:
        if fault.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    return BootFile(path, node.size_bytes, fs.read(path, 0, len(expected)), expected)


def describe_file_system(fs: RedoxFS) -> FileSystemInfo:
    """Read what an opened file system says of itself. Raises FormatError, FileSystemError, DeviceError."""
    free = fs.free_extents()
    used = ExtentSet(free.gaps(Extent(0, fs.header.size_bytes)))
    boot_files = []
    missing = []
    for path, magic in ((KERNEL_PATH, KERNEL_MAGIC), (INITFS_PATH, INITFS_MAGIC)):
        found = _boot_file(fs, path, magic)
        if found is None:
            missing.append(path)
        else:
            boot_files.append(found)
    return FileSystemInfo(
        header=fs.header,
        used_bytes=fs.used_bytes,
        free_bytes=fs.free_bytes,
        used=used,
        metadata=(LabelledExtent("ring", Extent(0, RING_BYTES)), *fs.log_extents(), *fs.node_extents("/")),
        boot_files=tuple(boot_files),
        missing=tuple(missing),
    )


@dataclass(frozen=True, slots=True)
class Request:
    """What to look for, and what to demand. See `choose_root`; `full` reads all of a root that has a hash tree.

    `in_parts` also shows a disk of which not all can be read (`read_contents`); it has no root then.
    """

    password: bytes | None = None
    policy: ImagePolicy | None = None
    certificates: tuple[bytes, ...] = ()
    slot: str | None = None
    architecture: Architecture | None = None
    root_hash: bytes | None = None
    full: bool = False
    in_parts: bool = False


def inspect_disk(
    disk: Device,
    *,
    password: bytes | None = None,
    request: Request | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Look at a whole disk or a bare file system. Raises DeviceError; damage is a finding, not an error.

    A wrong password raises FileSystemError; a missing one leaves the inspection `locked`. `progress` is told the bytes
    that were compared with a hash tree.
    """
    request = request or Request(password)
    contents = read_contents(disk, in_parts=request.in_parts)
    choice = choose_root(
        contents,
        request.policy,
        request.certificates,
        request.slot,
        architecture=request.architecture,
        root_hash=request.root_hash,
    )
    discovery = _find_live(disk, contents, choice)
    if discovery.places:
        live = _inspect_live(disk, contents, discovery, password or request.password)
        return replace(live, problems=(*live.problems, *_demands(live, request)))
    if not disk.size_bytes:
        return _inspect_nothing(disk, contents, discovery, choice, Problem(InspectionReason.EMPTY()))
    if not choice.candidates:
        live = _inspect_live(disk, contents, discovery, password or request.password)
        faults = [
            Problem(NodeReason.DAMAGED(fault), node.path)
            for node in contents.nodes()
            for fault in node.faults
            if fault is not discovery.gpt_fault
        ]
        known = any(node.superblocks for node in contents.nodes())  # what is not RedoxFS is not missed then
        return replace(live, problems=(*faults, *choice.problems, *(() if known else live.problems)), choice=choice)
    problems, checked = list(choice.problems), []
    for candidate in choice.chosen if request.full and choice.boots else ():
        try:
            if _verify(disk, contents, candidate, progress):
                checked.append(candidate.data.path)
        except FormatError as fault:
            problems.append(Problem(InspectionReason.NOT_AS_PROMISED(fault), str(candidate.data.location)))
    mentioned = {each for problem in problems for each in problem.cause.walk()}
    damaged = [
        f"{node.path}: {node.fault}" if node.path else str(node.fault)
        for node in contents.nodes()
        if node.fault is not None
        and node.fault not in mentioned
        and not (node.refusal is not None and node.partition is not None)  # the table's own warnings have it
    ]
    return Inspection(
        name=disk.identity.name,
        size_bytes=disk.size_bytes,
        contents=contents,
        discovery=discovery,
        warnings=tuple(dict.fromkeys((*contents.warnings, *choice.warnings, *damaged))),
        problems=tuple(problems),
        choice=choice,
        checked=tuple(checked),
    )


def _inspect_nothing(
    disk: Device, contents: Contents, discovery: Discovery, choice: RootChoice, problem: Problem
) -> Inspection:
    return Inspection(
        name=disk.identity.name,
        size_bytes=disk.size_bytes,
        contents=contents,
        discovery=discovery,
        problems=(problem,),
        choice=choice,
    )


def _demands(live: Inspection, request: Request) -> Iterator[Problem]:
    """What was asked for that a RedoxFS does not have: it is encrypted, or not protected at all."""
    place = live.place
    if place is None or place.ring.newest is None:
        return
    path = "" if place.partition is None else str(place.partition.number)
    node = live.contents.node(path)
    if request.slot is not None and (node is None or not node.location.is_named(request.slot)):
        yield Problem(ExclusionReason.OTHER_SLOT(request.slot), place.found_by)
    if request.root_hash is not None:
        yield Problem(InspectionReason.NO_ROOT_HASH(), place.found_by)
    judgement = effective_policy(request.policy, request.certificates).judge(
        Designator.ROOT,
        Protection.ENCRYPTED if place.ring.newest.encrypted else Protection.UNPROTECTED,
        gpt_flags=0 if place.partition is None else place.partition.flags,
        file_system="redoxfs",
    )
    if judgement.protection is None:
        yield Problem(judgement.refused or ExclusionReason.POLICY_UNUSED(), place.found_by)


def _verify(disk: Device, contents: Contents, candidate: Candidate, progress: Progress | None) -> bool:
    """Read all of a candidate; False when there is nothing to compare it with. Raises FormatError, DeviceError."""
    data = candidate.data
    if data.kind is NodeKind.UBI_VOLUME:
        return check_static_volume(open_node(disk, contents, data.parent_path), data.name)
    wrong = check_candidate(disk, contents, candidate, progress=progress)
    if wrong:
        shown = ", ".join(_mismatch(each) for each in wrong[:3])
        raise FormatError("it is not what its root hash promises", found=shown)
    return candidate.hashes is not None


def _mismatch(mismatch: Mismatch) -> str:
    if mismatch.level < 0:
        return f"data block {mismatch.block}"
    return f"hash block {mismatch.block} of level {mismatch.level}"


def _find_live(disk: Device, contents: Contents, choice: RootChoice) -> Discovery:
    """Where a RedoxFS is. Where something else could be the root it is not searched for, unless a place claims it."""
    nodes = contents.nodes()
    claims = any(node.name == REDOX_NAME or any(s.kind == "redoxfs" for s in node.superblocks) for node in nodes)
    others = any(each.architecture is not None or each.data.superblocks for each in choice.candidates)
    return find_redoxfs(disk) if claims or not others else Discovery(contents.root.gpt, None, ())


def _inspect_live(disk: Device, contents: Contents, discovery: Discovery, password: bytes | None) -> Inspection:
    """A disk with a RedoxFS, or with nothing at all."""
    warnings = list(discovery.gpt.warnings) if discovery.gpt is not None else []
    problems: list[Problem] = []
    place: Place | None = None
    info: FileSystemInfo | None = None
    locked = False
    try:
        place = choose_place(discovery, where=disk.identity.name)
        newest = place.ring.newest
        assert newest is not None
        if newest.encrypted and password is None:
            locked = True
        else:
            with RedoxFS.open(place_device(disk, discovery, place), password=password) as fs:
                info = describe_file_system(fs)
    except FormatError as fault:
        problems.append(Problem(InspectionReason.DAMAGED(fault)))
    if discovery.gpt_fault is not None:
        warnings.append(str(discovery.gpt_fault))
    shown = place if place is not None or not problems else next(iter(discovery.places), None)  # `choose_place` raised
    warnings += [str(other.fault) for other in discovery.places if other is not shown and other.fault is not None]
    if place is not None and place.ring.stale:
        stale = ", ".join(str(header.slot) for header in place.ring.stale)
        warnings.append(f"{place.found_by}: stale headers of another file system in ring slots {stale}")
    if info is not None:
        problems += [Problem(InspectionReason.BOOT_FILE_MISSING(), path) for path in info.missing]
        problems += [
            Problem(InspectionReason.BOOT_FILE_WRONG(file.magic.hex(), file.expected.hex()), file.path)
            for file in info.boot_files
            if not file.sound
        ]
    return Inspection(
        name=disk.identity.name,
        size_bytes=disk.size_bytes,
        contents=contents,
        discovery=discovery,
        place=place,
        file_system=info,
        locked=locked,
        warnings=tuple(warnings),
        problems=tuple(problems),
    )
