"""The traps of a live disk above the devices; docs/explanation/live-disk-traps.md explains all twenty."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.boot.redox.drivers import Drivers
from bootpath.boot.redox.lived import Finder, start_lived
from bootpath.boot.redox.loader import load
from bootpath.boot.redox.memory import Memory
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.redox.simulation import Simulation, SimulationMode, SimulationSetup, simulate
from bootpath.boot.timeline import Timeline
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError, DeviceError, FormatError
from bootpath.core.extents import Extent
from bootpath.formats.handoff import parse_handoff
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.images import FAR_FILE, MIB, digest, make_image, make_tree

FULL = PreloadChoice(PreloadKind.FULL)


class Shared(NamedTuple):
    image: Path
    plan: PreloadChoice


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    directory = tmp_path_factory.mktemp("traps")
    image = make_image(directory, tree=make_tree(directory / "tree"))
    with closing(FileDevice.open(image)) as disk:
        return Shared(image, PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk).plan))


def boot(image: Path, preload: PreloadChoice, **changes: object) -> Simulation:
    with closing(FileDevice.open(image)) as disk:
        setup = SimulationSetup(preload, changes.pop("disks", [disk]), **changes)  # type: ignore[arg-type]
        return simulate(disk, setup, clock=time.monotonic, pause=time.sleep)


def start(environment: bytes, memory: Memory) -> None:
    drivers = Drivers([], 0, time.monotonic)
    start_lived(environment, memory, drivers, deadline_seconds=0, clock=time.monotonic)


@pytest.mark.trap(4)
def test_each_errno_of_a_device_passes_through_redoxfs() -> None:
    """Upstream's DiskFile makes every failure EIO; through the binding the device's own error arrives."""
    device = MemoryDevice(4 * MIB)
    RedoxFS.create(device, created_ns=0).close()
    for name in ("EINVAL", "ENOSPC", "EPERM"):
        faulty = checked(Fault(device, parse_rules(f"read:error:errno={name}")))
        with pytest.raises(DeviceError) as caught:
            RedoxFS.open(faulty)
        assert caught.value.errno == getattr(errno, name)


@pytest.mark.trap(8)
def test_the_handoff_is_in_bytes(shared: Shared) -> None:
    result = boot(shared.image, shared.plan)
    handoff = result.handoff
    assert handoff is not None
    assert handoff.full_size_bytes == 21 * MIB
    assert handoff.phys_offset_bytes == 2 * MIB
    assert handoff.live_size_bytes == sum(extent.length for extent in handoff.preload_extents)


@pytest.mark.trap(12)
def test_the_root_scan_skips_the_physical_partition(shared: Shared) -> None:
    result = boot(shared.image, shared.plan)
    scan = next(step for step in result.steps if step.what.startswith("scan"))
    assert "found on disk.live" in scan.detail
    assert "belongs to lived, skipped" in scan.detail
    assert "disk" not in result.reads


@pytest.mark.trap(15)
def test_opening_with_cleanup_writes_to_the_overlay_and_not_to_the_image(shared: Shared) -> None:
    before = digest(shared.image)
    result = boot(shared.image, shared.plan)
    assert result.overlay_bytes > 0
    assert digest(shared.image) == before


@pytest.mark.trap(16)
def test_a_partial_preload_is_marked_as_partial(shared: Shared) -> None:
    for preload, partial in (
        (shared.plan, True),
        (PreloadChoice(PreloadKind.PREFIX, prefix_bytes=4 * MIB), True),
        (FULL, False),
    ):
        handoff = boot(shared.image, preload).handoff
        assert handoff is not None
        assert handoff.live_partial == partial
    classic = boot(shared.image, FULL, mode=SimulationMode.CLASSIC).handover
    assert classic is not None
    assert b"PARTIAL" not in classic.environment


@pytest.mark.trap(17)
def test_only_a_full_preload_serves_everything_without_a_disk(shared: Shared) -> None:
    refused = boot(shared.image, shared.plan, disks=[], touches=(FAR_FILE,))
    assert "preload more, or all of it" in str(refused.failure)
    assert boot(shared.image, FULL, disks=[], touches=(FAR_FILE,)).failure is None


@pytest.mark.trap(18)
@pytest.mark.parametrize("prefix_bytes", [4 * MIB, 0, 4096])
def test_any_prefix_boots_with_the_disk_behind_it(shared: Shared, prefix_bytes: int) -> None:
    result = boot(shared.image, PreloadChoice(PreloadKind.PREFIX, prefix_bytes=prefix_bytes), touches=(FAR_FILE,))
    assert result.failure is None
    assert result.reads["disk"].reads > 0


@pytest.mark.trap(19)
def test_a_disk_that_is_truncated_during_the_preload_fails_the_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file loses its end between the open and the preload."""
    image = make_image(tmp_path)

    def shorten(self: PreloadChoice, header: object) -> list[Extent]:
        with image.open("r+b") as file:
            file.truncate(10 * MIB)
        return [Extent(0, 21 * MIB)]

    monkeypatch.setattr(PreloadChoice, "extents", shorten)
    with closing(FileDevice.open(image)) as disk, pytest.raises(DeviceError, match="truncated"):
        load(disk, FULL, Timeline(time.monotonic))


@pytest.mark.trap(20)
@pytest.mark.parametrize("value", ["", "0x100", "xyz", "-1", "1_0", "1" * 17])
def test_malformed_hexadecimal_is_refused(value: str) -> None:
    environment = f"DISK_LIVE_ADDR={value}\nDISK_LIVE_SIZE=0000000000001000\n".encode()
    with pytest.raises(FormatError, match="DISK_LIVE_ADDR"):
        start(environment, Memory())


# What else lived refuses in an environment


def test_not_a_live_boot() -> None:
    with pytest.raises(BootError, match="not a live boot"):
        start(b"REDOXFS_BLOCK=0000000000000200\n", Memory())


def test_an_environment_of_an_old_loader() -> None:
    memory = Memory()
    address, _ = memory.allocate(4096)
    environment = f"DISK_LIVE_ADDR={address:016x}\nDISK_LIVE_SIZE=0000000000001000\n".encode()
    with pytest.raises(BootError, match="REDOXFS_FULL_SIZE"):
        start(environment, memory)


def test_memory_that_was_not_handed_over() -> None:
    environment = (
        b"DISK_LIVE_ADDR=0000000000001000\nDISK_LIVE_SIZE=0000000000001000\nREDOXFS_FULL_SIZE=0000000000001000\n"
    )
    assert parse_handoff(environment).is_live
    with pytest.raises(BootError, match="not handed over"):
        start(environment, Memory())


# Disks that go while they are looked at


def test_a_disk_that_goes_between_the_look_and_the_judgement(shared: Shared) -> None:
    handover = boot(shared.image, FULL).handover
    assert handover is not None
    handoff = parse_handoff(handover.environment)
    assert handoff.live_addr is not None
    preload = handover.memory.at(handoff.live_addr, handoff.live_size_bytes or 0, what="preload")
    disk = MemoryDevice(8 * MIB)

    class Pulled:
        looks = 0

        def present(self) -> Sequence[Device]:
            self.looks += 1
            return [disk] if self.looks == 1 else []

    finder = Finder(handoff, preload, Pulled())
    candidate = finder.find()
    assert candidate is not None
    with pytest.raises(DeviceError, match="the disk went away while it was examined"):
        finder.judge(candidate)
