"""``lived``: the daemon of the boot path. It takes the loader's handoff and serves the live disk.

It starts before any disk driver: what the preload holds is answered at once, everything else waits for the physical
disk, which is opened when it appears and taken only when it is the disk that the loader read.
"""

from __future__ import annotations

import argparse
import fcntl
import mmap
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath import __version__
from bootpath.cli.arguments import duration, size
from bootpath.cli.main import run_command
from bootpath.cli.serve.serving import Listening, add_listening, serve

if TYPE_CHECKING:
    from bootpath.core.device import Buffer
    from bootpath.formats.handoff import Handoff
    from bootpath.serve.live.service import LiveService

HELP = "serve the live disk that a boot loader's handoff describes"
EPILOG = """\
Exports: the default one and disk.live, both the live disk at its full size.

examples:
  lived --env /proc/self/environ --memory /dev/pmem0 --disk /dev/vda --socket /run/lived.sock
  lived --env handoff --memory preload.bin --disk nbd+unix:///?socket=/run/driver.sock --socket /run/lived.sock
  lived --env - --memory preload.bin --no-disk --workers 4 --socket /run/lived.sock < handoff
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of the daemon."""
    parser = argparse.ArgumentParser(
        prog="lived", description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"lived {__version__}")
    parser.add_argument(
        "--env", metavar="FILE|-", required=True, help="the environment block; NUL-separated is fine too"
    )
    parser.add_argument(
        "--memory",
        metavar="F",
        type=Path,
        required=True,
        help="what the preload lies in: a file or device, from its start",
    )
    disks = parser.add_mutually_exclusive_group(required=True)
    disks.add_argument("--disk", metavar="D", help="the physical disk, which may appear later: path or nbd URI")
    disks.add_argument("--no-disk", action="store_true", help="none will come")
    parser.add_argument(
        "--deadline", type=duration, default=30.0, metavar="S", help="how long a read waits for it (default: 30)"
    )
    parser.add_argument(
        "--overlay-size", type=size, metavar="N", help="keep at most this many bytes of writes, then ENOSPC"
    )
    parser.add_argument(
        "--block-size", type=int, choices=(512, 4096), default=4096, help="logical block size (default: 4096)"
    )
    add_listening(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; the exit code."""
    return run_command(build_parser, _run, arguments)


def _run(options: argparse.Namespace) -> int:
    from bootpath.cli.console import note

    contradiction = Listening.contradiction(options)
    if contradiction is not None:
        note(f"lived: {contradiction}")
        return 2
    return serve(options, _service)


def _service(options: argparse.Namespace, stack: ExitStack) -> LiveService:
    from bootpath.block.leaves.open import open_device
    from bootpath.block.live.late import LateDisk
    from bootpath.boot.redox.lived import live_base, locate, no_disk, read_environment, same_disk
    from bootpath.core.device import Device
    from bootpath.core.errors import FormatError
    from bootpath.serve.live.service import LiveService, Shape

    handoff = read_environment(_environment(options.env))
    preload = _memory(options.memory, handoff)
    late = no_disk()
    if options.disk is not None:

        def appear() -> Device:
            disk = open_device(options.disk, timeout_seconds=options.deadline or None)
            try:
                return locate(disk, handoff, owns=True)
            except FormatError:
                return disk  # for `same_disk` to refuse, with the reason

        late = LateDisk(
            appear, deadline_seconds=options.deadline, accept=same_disk(handoff, preload), name=options.disk
        )
        stack.callback(late.close)
    base = live_base(handoff, preload, late, block_bytes=options.block_size)
    shape = Shape(device_name="disk.live", overlay_bytes=options.overlay_size)
    return LiveService(base, shape, forks=options.workers > 1)


def _environment(name: str) -> bytes:
    """The environment block; init's own environment in /proc is separated by NULs instead of line feeds."""
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    return data.replace(b"\0", b"\n") if b"\0" in data else data


def _memory(path: Path, handoff: Handoff) -> Buffer:
    """The preload. A device (pmem) is RAM and is mapped, and so is memory that is sealed against shrinking (memfd); any
    other file could be truncated under a mapping and is read."""
    from bootpath.core.errors import FormatError

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
