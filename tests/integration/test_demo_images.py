"""The images people meet: 4093 MiB with 3 GiB used, which did not boot, and 1533 MiB, which did by luck."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.redox.simulation import Simulation, SimulationMode, SimulationSetup, simulate

pytestmark = pytest.mark.big
GIB = 1 << 30
MIB = 1 << 20


def boot(image: Path, preload: PreloadChoice | None = None, **changes: object) -> Simulation:
    with closing(FileDevice.open(image)) as disk:
        chosen = preload or PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk).plan)
        setup = SimulationSetup(chosen, changes.pop("disks", [disk]), **changes)  # type: ignore[arg-type]
        return simulate(disk, setup, clock=time.monotonic, pause=time.sleep)


def test_big_does_not_boot_classically(demo: Path) -> None:
    prefix = PreloadChoice(PreloadKind.PREFIX, prefix_bytes=GIB)
    result = boot(demo / "big.img", prefix, mode=SimulationMode.CLASSIC)
    assert not result.mounted
    with closing(FileDevice.open(demo / "big.img")) as disk:
        miss = plan_boot(disk).classic_miss(GIB)
    assert miss is not None
    assert result.failed_access is not None
    assert (result.failed_access.offset, result.failed_access.error) == (miss.offset, "EINVAL")
    assert miss.offset > GIB


def test_big_boots_from_a_plan_with_a_late_disk(demo: Path) -> None:
    result = boot(demo / "big.img", disk_delay_seconds=0.2, touches=("/usr/share/data/blob47",))
    assert result.failure is None
    assert result.seconds_to_root is not None
    assert result.handover is not None
    assert result.handover.preload_bytes < result.handover.header.size_bytes * 0.005
    late = next(step for step in result.steps if step.what.endswith("blob47"))
    assert late.start_seconds > result.seconds_to_root
    assert result.reads["disk"].bytes >= 64 * MIB


def test_big_without_a_disk(demo: Path) -> None:
    far = ("/usr/share/data/blob47",)
    assert boot(demo / "big.img", disks=[]).failure is None
    failed = boot(demo / "big.img", disks=[], touches=far)
    assert failed.mounted
    assert "no physical disk will come" in str(failed.failure)


def test_big_fully_preloaded_needs_no_disk(demo: Path) -> None:
    far = ("/usr/share/data/blob47",)
    assert boot(demo / "big.img", PreloadChoice(PreloadKind.FULL), disks=[], touches=far).failure is None


def test_mini_boots_both_ways(demo: Path) -> None:
    prefix = PreloadChoice(PreloadKind.PREFIX, prefix_bytes=GIB)
    assert boot(demo / "mini.img", prefix, mode=SimulationMode.CLASSIC).failure is None
    assert boot(demo / "mini.img", disk_delay_seconds=0.1).failure is None
