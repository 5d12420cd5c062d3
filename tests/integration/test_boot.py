"""The whole path, in process: loader, live disk, late physical disk, mounted root."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.boot.redox.planning import BootPlan, plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.redox.simulation import Simulation, SimulationMode, SimulationSetup, simulate
from bootpath.core.device import Device
from bootpath.core.errors import BootError, FileSystemError
from tests.support.images import FAR_FILE, MIB, PASSWORD, copy, digest, make_image, patch

FULL = PreloadChoice(PreloadKind.FULL)
FS_OFFSET = 2 * MIB


def planned(image: Path, password: bytes | None = None, touches: Sequence[str] = ()) -> BootPlan:
    with closing(FileDevice.open(image)) as disk:
        return plan_boot(disk, password=password, touches=touches)


def plan_of(image: Path, password: bytes | None = None) -> PreloadChoice:
    return PreloadChoice(PreloadKind.PLAN, plan=planned(image, password).plan)


def boot(
    image: Path,
    preload: PreloadChoice | None,
    *,
    others: Sequence[Device] | None = None,
    mode: SimulationMode = SimulationMode.LIVE,
    delay: float = 0.0,
    deadline: float = 5.0,
    touches: tuple[str, ...] = (),
    password: bytes | None = None,
    block_bytes: int = 4096,
) -> Simulation:
    before = digest(image)
    with closing(FileDevice.open(image)) as disk:
        disks = [disk] if others is None else others
        setup = SimulationSetup(preload, disks, mode, delay, deadline, password, touches, block_bytes)
        result = simulate(disk, setup, clock=time.monotonic, pause=time.sleep)
    assert digest(image) == before
    return result


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_plan_boot_reads_nothing_from_the_disk(image: Path, block_bytes: int) -> None:
    result = boot(image, plan_of(image), block_bytes=block_bytes)
    assert result.failure is None
    assert result.mounted
    assert "disk" not in result.reads
    assert result.reads["preload"].bytes > 0


def test_plan_boot_needs_no_disk_at_all(image: Path) -> None:
    assert boot(image, plan_of(image), others=[]).failure is None


def test_read_beyond_the_plan_waits_for_the_late_disk(image: Path) -> None:
    result = boot(image, plan_of(image), delay=0.05, touches=(FAR_FILE,))
    assert result.failure is None
    assert result.reads["disk"].bytes >= 6 * MIB


def test_no_disk_is_an_error_where_the_plan_ends_and_not_with_a_full_preload(image: Path) -> None:
    result = boot(image, plan_of(image), others=[], touches=(FAR_FILE,))
    assert result.mounted
    assert isinstance(result.failure, BootError)
    assert "no physical disk will come" in str(result.failure)
    assert result.failed_access is not None
    assert result.failed_access.error == "EIO"
    assert boot(image, FULL, others=[], touches=(FAR_FILE,)).failure is None


def test_prefix_preload_falls_through(image: Path) -> None:
    result = boot(image, PreloadChoice(PreloadKind.PREFIX, prefix_bytes=2 * MIB), touches=(FAR_FILE,))
    assert result.failure is None
    assert result.reads["disk"].reads > 0


def test_from_disk_waits_for_the_driver(image: Path) -> None:
    result = boot(image, None, mode=SimulationMode.FROM_DISK, delay=0.05)
    assert result.failure is None
    assert result.seconds_to_root is not None
    assert result.seconds_to_root >= 0.05
    assert set(result.reads) <= {"disk", "overlay"}


@pytest.mark.parametrize("preload", ["plan", "full", "prefix"])
def test_encrypted(locked_image: Path, preload: str) -> None:
    chosen = {
        "plan": lambda: plan_of(locked_image, PASSWORD),
        "full": lambda: FULL,
        "prefix": lambda: PreloadChoice(PreloadKind.PREFIX, prefix_bytes=4 * MIB),
    }[preload]()
    result = boot(locked_image, chosen, password=PASSWORD, touches=(FAR_FILE,))
    assert result.failure is None
    assert result.handoff is not None
    assert result.handoff.password_size_bytes == len(PASSWORD)


@pytest.mark.parametrize("password", [None, b"wrong"])
def test_encrypted_without_the_password(locked_image: Path, password: bytes | None) -> None:
    result = boot(locked_image, FULL, password=password)
    assert isinstance(result.failure, FileSystemError)
    assert "password" in str(result.failure)


def test_classic_fails_exactly_where_the_plan_says(image: Path) -> None:
    plan = planned(image, touches=[FAR_FILE])
    ends = sorted({access.end for access in plan.accesses})
    chosen = ends[::5] + ends[-2:]
    for prefix in sorted({*chosen, *(end - 4096 for end in chosen), 1 * MIB, 22 * MIB}):
        miss = plan.classic_miss(prefix)
        preload = PreloadChoice(PreloadKind.PREFIX, prefix_bytes=prefix)
        result = boot(image, preload, mode=SimulationMode.CLASSIC, touches=(FAR_FILE,))
        assert (result.failure is None) == (miss is None), prefix
        if miss is not None:
            assert result.failed_access is not None
            failed = result.failed_access
            assert (failed.operation, failed.offset, failed.error) == (miss.operation, miss.offset, "EINVAL")
            assert failed.step == miss.step


def test_the_smallest_prefix_is_the_smallest(image: Path) -> None:
    plan = planned(image)
    for prefix, boots in ((plan.prefix_bytes, True), (plan.prefix_bytes - 4096, False)):
        result = boot(image, PreloadChoice(PreloadKind.PREFIX, prefix_bytes=prefix), mode=SimulationMode.CLASSIC)
        assert (result.failure is None) == boots


def test_plan_of_another_image_is_refused(image: Path, tmp_path: Path) -> None:
    other = make_image(tmp_path, uuid=type(planned(image).plan.uuid)(int=5))
    result = boot(image, plan_of(other))
    assert isinstance(result.failure, BootError)
    assert "was made for another image" in str(result.failure)


def test_another_disk_is_refused_by_name(image: Path, tmp_path: Path) -> None:
    other = make_image(tmp_path, "other.img", uuid=type(planned(image).plan.uuid)(int=5))
    with closing(FileDevice.open(other)) as disk:
        result = boot(image, plan_of(image), others=[disk], touches=(FAR_FILE,))
    assert result.mounted
    assert "the disk is refused" in str(result.failure)
    assert str(planned(image).plan.uuid) in str(result.failure)


def test_a_disk_without_any_file_system_is_refused(image: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.img"
    empty.write_bytes(bytes(24 * MIB))
    with closing(FileDevice.open(empty)) as disk:
        result = boot(image, plan_of(image), others=[disk], touches=(FAR_FILE,))
    assert "holds no RedoxFS" in str(result.failure)


def test_same_uuid_but_another_ring_is_refused(image: Path, tmp_path: Path) -> None:
    twin = copy(image, tmp_path / "twin.img")
    with closing(FileDevice.open(twin)) as disk:
        ring_block = bytes(disk.read(FS_OFFSET + 200 * 4096, 4096)[0])
    patch(twin, FS_OFFSET + 200 * 4096 + 100, bytes([ring_block[100] ^ 1]))
    with closing(FileDevice.open(twin)) as disk:
        result = boot(image, plan_of(image), others=[disk], touches=(FAR_FILE,))
    assert "the disk is refused" in str(result.failure)


def test_two_disks_with_one_uuid_are_an_ambiguity(image: Path, tmp_path: Path) -> None:
    twin = copy(image, tmp_path / "twin.img")
    with closing(FileDevice.open(image)) as first, closing(FileDevice.open(twin)) as second:
        result = boot(image, plan_of(image), others=[first, second], touches=(FAR_FILE,))
    assert "more than one disk holds this file system" in str(result.failure)


def test_a_copy_of_the_partition_alone_is_not_the_disk(image: Path, tmp_path: Path) -> None:
    # Trap 7: dd of the partition has the same uuid and ring; its disk has another GUID.
    twin = make_image(tmp_path, "twin.img", uuid=type(planned(image).plan.uuid)(int=9))
    with closing(FileDevice.open(image)) as disk:
        content = b"".join(disk.read(FS_OFFSET, disk.size_bytes - FS_OFFSET - MIB))
    patch(twin, FS_OFFSET, content)
    with closing(FileDevice.open(twin)) as other, closing(FileDevice.open(image)) as disk:
        refused = boot(image, plan_of(image), others=[other], touches=(FAR_FILE,))
        both = boot(image, plan_of(image), others=[other, disk], touches=(FAR_FILE,))
    assert "disk_guid" in str(refused.failure)
    assert both.failure is None


def test_disk_that_never_arrives(image: Path) -> None:
    result = boot(image, plan_of(image), delay=3600, deadline=0.01, touches=(FAR_FILE,))
    assert result.mounted
    assert "no disk has appeared within 0.01 s" in str(result.failure)


@pytest.mark.parametrize("after", [0, 1, 3, 7, 8, 9])
def test_disk_that_dies(image: Path, after: int) -> None:
    with closing(FileDevice.open(image)) as disk:
        dying = Fault(disk, parse_rules(f"read:error:after={after}"))
        result = boot(image, plan_of(image), others=[dying], touches=(FAR_FILE,), deadline=0.01)
    assert result.mounted
    assert isinstance(result.failure, BootError)
    assert "EIO" in str(result.failure)


def test_recorded_boot_makes_a_plan_without_fallback(image: Path) -> None:
    first = boot(image, plan_of(image), touches=(FAR_FILE,))
    assert first.trace is not None
    with closing(FileDevice.open(image)) as disk:
        plan = plan_boot(disk, recorded=first.trace).plan
    second = boot(image, PreloadChoice(PreloadKind.PLAN, plan=plan), others=[], touches=(FAR_FILE,))
    assert second.failure is None


def test_touched_paths_are_in_the_plan(image: Path) -> None:
    with_far = planned(image, touches=[FAR_FILE])
    assert with_far.plan.total_bytes >= planned(image).plan.total_bytes + 6 * MIB
    preload = PreloadChoice(PreloadKind.PLAN, plan=with_far.plan)
    assert boot(image, preload, others=[], touches=(FAR_FILE,)).failure is None


def test_what_only_the_loader_reads_is_not_preloaded(image: Path) -> None:
    plan = planned(image)
    loader = {part.why for part in plan.plan.extents if part.step == "loader"}
    assert {"kernel", "initfs"} <= loader
    result = boot(image, PreloadChoice(PreloadKind.PLAN, plan=plan.plan))
    assert result.handover is not None
    assert result.handover.preload_bytes == plan.system_bytes
    assert plan.system_bytes + 500_000 < plan.plan.total_bytes
