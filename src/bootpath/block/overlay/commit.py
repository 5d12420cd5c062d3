"""What is done with a persistent overlay as a file: look at it, commit it into its base, forget its changes.

A commit into the base can be interrupted at any moment and is then simply made again: the header says that it has
begun before the base is touched, nothing of the overlay changes until the base is stable, and then one write of the
header makes the overlay an empty one of the base as it is now. Between the two, the base is believed by its size and by
those blocks of its first MiB that the overlay does not hold. An overlay with checksums is read as a whole before it
begins, so that damage does not end it half way.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from uuid import UUID

from bootpath.block.leaves.images.open import ImageRules, open_image
from bootpath.block.overlay.base import identify, refuse_other_base
from bootpath.block.overlay.blockmap import ZERO
from bootpath.block.overlay.state import OverlayState, clear_space, copy_held, empty, held_content, load
from bootpath.block.overlay.storage import GrowingFile, OverlayStorage, lock
from bootpath.core.device import Device, direct_access
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.overlayfile import CLUSTER_BYTES, BaseIdentity, OverlayFileState

_PEEKS = 4


@dataclass(frozen=True, slots=True)
class OverlayInfo:
    """A persistent overlay as it lies on the disk."""

    uuid: UUID
    state: OverlayFileState
    generation: int
    base: BaseIdentity
    dirty_bytes: int  # of blocks that are held, whole 4 KiB each
    zero_bytes: int  # of blocks that were discarded or zeroed
    file_bytes: int
    allocated_bytes: int  # what the file takes on the host's disk
    log_bytes: int
    log_room_bytes: int
    in_use: bool  # a device is open on it: the figures are those of its last commit
    closed: bool  # it was closed after its last commit, not left by a crash
    checksums: bool  # damage of what it holds is noticed


def overlay_info(path: str | os.PathLike[str]) -> OverlayInfo:
    """What the file says; nothing is changed, and it may be in use. FormatError when it is damaged, DeviceError."""
    in_use = False
    try:
        storage = GrowingFile.open_locked(path, writable=False)
    except DeviceError as error:
        if error.errno != errno.EBUSY:
            raise
        storage = GrowingFile.peek(path)
        in_use = True
    try:
        for _ in range(_PEEKS if in_use else 0):
            with contextlib.suppress(FormatError):  # written or replaced while it was being read, or damaged
                return _info(storage, in_use)
        return _info(storage, in_use)
    finally:
        storage.close()


def _info(storage: GrowingFile, in_use: bool) -> OverlayInfo:
    overlay = load(storage, writable=False)
    header = overlay.journal.header
    dirty = zero = 0
    for _, value, count in overlay.blocks.held():
        if value == ZERO:
            zero += count
        else:
            dirty += count
    return OverlayInfo(
        uuid=header.uuid,
        state=header.state,
        generation=header.generation,
        base=header.base,
        dirty_bytes=dirty * CLUSTER_BYTES,
        zero_bytes=zero * CLUSTER_BYTES,
        file_bytes=storage.length(),
        allocated_bytes=storage.allocated_bytes(),
        log_bytes=header.log_clusters * CLUSTER_BYTES,
        log_room_bytes=overlay.journal.room_bytes,
        in_use=in_use,
        closed=overlay.journal.closed,
        checksums=header.checksums,
    )


def commit_overlay(
    path: str | os.PathLike[str], base: Device | str | os.PathLike[str], *, apply: bool = True, raw: bool = False
) -> int:
    """Write everything the overlay holds into its base and empty it; returns the bytes written or zeroed.

    Unless `apply`, only find out whether that can be done, and write nothing. A base that is a path is opened, locked
    and closed here; nobody else may use it meanwhile. Whatever interrupts the commit, do it again. DeviceError: EBUSY
    when either is in use, EINVAL when the overlay belongs to another base, EPERM when the base is read-only, or as the
    base fails; IntegrityError and FormatError when the overlay is damaged.
    """
    with ExitStack() as opened:
        storage = GrowingFile.open_locked(path, writable=apply)
        opened.callback(storage.close)
        if isinstance(base, (str, os.PathLike)):
            # What is packed in a file was read through it, and cannot be written back.
            file = open_image(os.fspath(base), writable=True, rules=ImageRules(raw=raw))
            opened.callback(file.close)
            direct = direct_access(file)
            assert direct is not None
            assert direct.fd is not None
            lock(direct.fd, file.identity.name, exclusive=True)
            base = file
        return commit_into(storage, base, apply=apply)


def commit_into(
    storage: OverlayStorage, base: Device, *, apply: bool = True, random: Callable[[int], bytes] = os.urandom
) -> int:
    """`commit_overlay` of storage that is locked already."""
    where = storage.identity.name
    if base.read_only:
        raise DeviceError(
            "the base is read-only, so nothing can be committed into it", errno=errno.EPERM, where=base.identity.name
        )
    overlay = load(storage, writable=apply, random=random)
    journal = overlay.journal
    header = journal.header
    held = [(first, count) for first, _, count in overlay.blocks.held()]
    masked = identify(base, masked=held)
    if header.state is OverlayFileState.COMMITTING:
        refuse_other_base(header.base, masked, where)
    else:
        refuse_other_base(header.base, identify(base), where)
    total = _expect_sound(overlay, base.size_bytes)
    committing = header.state is OverlayFileState.COMMITTING
    if not apply or not (committing or held):
        return total
    if not committing:
        begun = replace(header.base, digest=masked.digest)
        journal.rewrite(
            replace(header, generation=header.generation + 1, state=OverlayFileState.COMMITTING, base=begun)
        )
    copy_held(overlay, base, base.size_bytes)
    now = replace(header.base, digest=identify(base).digest)
    empty(storage, overlay, state=OverlayFileState.READY, base=now)
    clear_space(storage, overlay)
    return total


def _expect_sound(overlay: OverlayState, size_bytes: int) -> int:
    """How many bytes are held; all are read where that shows damage, which is raised as IntegrityError."""
    if overlay.journal.header.checksums:
        return sum(length for _, length, _ in held_content(overlay, size_bytes))
    held = overlay.blocks.held()
    return sum(min(count * CLUSTER_BYTES, size_bytes - first * CLUSTER_BYTES) for first, _, count in held)


def discard_overlay(path: str | os.PathLike[str], *, apply: bool = True) -> int:
    """Forget every change the overlay holds, all or nothing; returns the bytes of them. The file stays, of its base.

    Unless `apply`, only find out whether that can be done. DeviceError: EBUSY when it is in use, EINVAL when a commit
    into the base has begun, which only that commit can end. FormatError when it is damaged.
    """
    storage = GrowingFile.open_locked(path, writable=apply)
    try:
        overlay = load(storage, writable=apply)
        if overlay.journal.header.state is OverlayFileState.COMMITTING:
            raise DeviceError(
                "a commit into its base has begun: parts of the base are new already",
                errno=errno.EINVAL,
                where=storage.identity.name,
                hint="commit it again, then discard",
            )
        total = sum(count for _, _, count in overlay.blocks.held()) * CLUSTER_BYTES
        if apply:
            empty(storage, overlay)
            clear_space(storage, overlay)
        return total
    finally:
        storage.close()
