"""lived as a server: the handoff from a file, the preload from memory that somebody else filled, a disk by its name."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bootpath.block.leaves.images.open import ImageRules
from bootpath.block.leaves.open import open_later
from bootpath.block.live.late import LateDisk
from bootpath.boot.redox.lived import LIVE_NAME, live_base, locate, no_disk, read_environment, same_disk
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import FormatError
from bootpath.formats.handoff import Handoff
from bootpath.serve.live.service import LiveService, Shape


@dataclass(frozen=True, slots=True)
class LivedSettings:
    """What lived serves.

    `environment` is the environment block, `memory` the file or device that begins with the preload, `disk` what the
    physical disk is called, None when none will come. A read waits for it up to `deadline_seconds`. `forks` says that
    several processes will serve.
    """

    environment: bytes
    memory: Path
    disk: str | None
    deadline_seconds: float = 30.0
    block_bytes: int = 4096
    overlay_bytes: int | None = None
    forks: bool = False


def open_lived(settings: LivedSettings, stack: ExitStack) -> LiveService:
    """The live disk as a service; the physical disk is closed by `stack`. Raises FormatError, BootError, OSError."""
    handoff = read_environment(with_line_feeds(settings.environment))
    preload = read_preload(settings.memory, handoff)
    late = no_disk() if settings.disk is None else _late_disk(settings.disk, handoff, preload, settings)
    stack.callback(late.close)
    base = live_base(handoff, preload, late, block_bytes=settings.block_bytes)
    shape = Shape(device_name=LIVE_NAME, overlay_bytes=settings.overlay_bytes)
    return LiveService(base, shape, forks=settings.forks)


def _late_disk(name: str, handoff: Handoff, preload: Buffer, settings: LivedSettings) -> LateDisk:
    open_disk = open_later(name, timeout_seconds=settings.deadline_seconds or None, images=ImageRules(raw=True))

    def appear() -> Device:
        disk = open_disk()
        try:
            return locate(disk, handoff, owns=True)
        except FormatError:
            return disk  # for `same_disk` to refuse, with the reason

    return LateDisk(appear, deadline_seconds=settings.deadline_seconds, accept=same_disk(handoff, preload), name=name)


def with_line_feeds(environment: bytes) -> bytes:
    """An environment block; init's own environment in /proc is separated by NULs instead of line feeds."""
    return environment.replace(b"\0", b"\n") if b"\0" in environment else environment


def read_preload(path: Path, handoff: Handoff) -> Buffer:
    """The preload at the start of a file or device. Raises FormatError when it is short, OSError.

    A device (pmem) is RAM and is mapped, and so is memory that is sealed against shrinking (memfd); any other file
    could be truncated under a mapping and is read.
    """
    length = handoff.live_size_bytes or 0
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            return memoryview(mmap.mmap(file.fileno(), length, prot=mmap.PROT_READ))
        if 0 < length <= os.fstat(file.fileno()).st_size and _cannot_shrink(file.fileno()):
            return memoryview(mmap.mmap(file.fileno(), length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
        data = file.read(length)
    if len(data) != length:
        raise FormatError("the preload is short", where=str(path), expected=f"{length} bytes", found=len(data))
    return data


def _cannot_shrink(descriptor: int) -> bool:
    try:
        return bool(fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:
        return False  # a file of a file system that has no seals
