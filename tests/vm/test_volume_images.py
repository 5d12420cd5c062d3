"""Complete disk images in volumes of LVM2, booted in QEMU: the layout of Infix, one bundle or two in both volumes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.boot.linux.machine import LinuxMachine
from tests.support.ddi import Signer
from tests.support.linuxsystem import LinuxSystem, make_initrd, make_system, make_volume_images
from tests.support.tools import tool
from tests.vm.test_linux_boot import boot, booted, log_in, says


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> LinuxSystem:
    tool("qemu-system-x86_64")
    directory = tmp_path_factory.mktemp("system")
    return make_system(directory, make_initrd(directory / "initrd", "lvm", "verity"), Signer.make(directory))


@pytest.fixture(scope="module")
def newer(system: LinuxSystem, tmp_path_factory: pytest.TempPathFactory) -> LinuxSystem:
    """The same in another version, which calls itself two."""
    return make_system(tmp_path_factory.mktemp("newer"), system.directory / "initrd", system.signer, "two")


@pytest.mark.parametrize(("slot", "twins"), [("primary", False), ("secondary", False), ("secondary", True)])
def test_the_image_in_the_volume_that_is_named(
    system: LinuxSystem, newer: LinuxSystem, tmp_path: Path, slot: str, twins: bool
) -> None:
    images = {"primary": system, "secondary": system if twins else newer}
    path = make_volume_images(tmp_path / "disk.img", images)
    seen: list[str] = []

    def look(machine: LinuxMachine) -> None:
        log_in(machine)
        seen.extend(says(machine, each) for each in ("hostname", "cat /sys/block/dm-*/dm/name", "cat /proc/cmdline"))

    run = booted(boot(path, system, look, slot=f"internal/{slot}"))
    assert seen[0].strip() == ("one" if twins or slot == "primary" else "two")
    # The volume, two partitions of it as kpartx calls them, and verity: nothing of the other one.
    names = seen[1].split()
    assert sorted(names) == [f"internal-{slot}", f"internal-{slot}p1", f"internal-{slot}p2", "root"]
    assert run.boot is not None
    node = run.boot.contents.node(f"internal/{slot}/1")
    assert node is not None
    assert f"bootpath.slot={node.location.disk_id}:1:{node.location.first_lba}" in seen[2]
