"""What a boot loader leaves to the system, as files."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.redox.loader import load
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.timeline import Timeline


def handed_over(image: Path, directory: Path) -> tuple[Path, Path]:
    """The environment block and the preload, as a boot loader leaves them."""
    with closing(FileDevice.open(image)) as disk:
        plan = PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk).plan)
        handover = load(disk, plan, Timeline(lambda: 0.0))
    environment, memory = directory / "environment", directory / "memory"
    environment.write_bytes(handover.environment)
    address = int(
        next(line for line in handover.environment.decode().splitlines() if "LIVE_ADDR" in line).split("=")[1], 16
    )
    memory.write_bytes(handover.memory.at(address, handover.preload_bytes, what="preload"))
    return environment, memory
