"""Disks that come and go, under Debian's or Ubuntu's own kernel with one program: the kernel does the unplugging."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootpath.core.errors import MachineError
from bootpath.vm.blocks import disk_of
from bootpath.vm.config import MachineConfig
from bootpath.vm.disks import Disk, Interface
from bootpath.vm.qemu import QEMU
from tests.support.tools import guest_kernel, guest_program
from tests.vm.conftest import Start

SECONDS = 120.0
INIT = "#!/bin/busybox sh\n/bin/busybox mount -t sysfs sysfs /sys\necho init is here\nexec /bin/busybox sh\n"


@pytest.fixture(scope="session")
def initrd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initramfs that is busybox and a line of shell."""
    directory = tmp_path_factory.mktemp("initrd")
    root = directory / "root"
    for name in ("bin", "sys", "dev"):
        (root / name).mkdir(parents=True)
    busybox = guest_program("busybox")
    (root / "bin/busybox").write_bytes(busybox.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    packed = subprocess.run(
        [busybox, "cpio", "-o", "-H", "newc"], cwd=root, input=names.encode(), capture_output=True, check=True
    )
    (directory / "initrd").write_bytes(packed.stdout)
    return directory / "initrd"


def disk(tmp_path: Path, name: str, interface: Interface = Interface.VIRTIO) -> Disk:
    path = tmp_path / f"{name}.img"
    with path.open("wb") as image:
        image.truncate(1 << 20)
    return Disk(name, path, interface)


def linux(initrd: Path, *disks: Disk, hotplug_ports: int = 0) -> MachineConfig:
    return MachineConfig(
        kernel=guest_kernel(),
        initrd=initrd,
        cmdline="console=ttyS0 panic=-1",
        disks=disks,
        hotplug_ports=hotplug_ports,
        scsi_controller=True,
    )


def sources(machine: QEMU) -> set[str]:
    """The disks QEMU has, by query-block."""
    reply = machine.execute("query-block")
    assert isinstance(reply, list)
    return {name for name in (disk_of(entry.get("qdev")) for entry in reply) if name is not None}


def test_disks_come_and_go_while_linux_runs(start: Start, initrd: Path, tmp_path: Path) -> None:
    machine = start(linux(initrd, disk(tmp_path, "first"), hotplug_ports=1))
    machine.console.wait_for("init is here\n", SECONDS)
    assert sources(machine) == {"first"}

    machine.attach(disk(tmp_path, "late"))
    machine.attach(disk(tmp_path, "scsi", Interface.VIRTIO_SCSI))
    assert sources(machine) == set(machine.disks) == {"first", "late", "scsi"}
    assert set(machine.block_statistics()) == {"first", "late", "scsi"}
    with pytest.raises(ValueError, match="more hotplug_ports"):
        machine.attach(disk(tmp_path, "toomany"))
    with pytest.raises(ValueError, match="already"):
        machine.attach(disk(tmp_path, "late"))
    # The guest sees it: a virtio block device (0x1042) behind a root port.
    machine.console.send_line("until /bin/busybox test $(/bin/busybox cat /sys/bus/pci/devices/*/device"
                              " | /bin/busybox grep -c 0x1042) = 2; do :; done; echo seen: both")  # fmt: skip
    machine.console.wait_for("\nseen: both", SECONDS)

    for name in ("late", "first", "scsi"):
        machine.detach(name, SECONDS)
    assert sources(machine) == set(machine.disks) == set()
    machine.attach(disk(tmp_path, "late"))
    assert sources(machine) == {"late"}


def test_a_source_that_cannot_be_opened_leaves_no_trace(start: Start, tmp_path: Path) -> None:
    machine = start(MachineConfig(memory_bytes=32 << 20, hotplug_ports=1))
    with pytest.raises(MachineError, match=r"blockdev-add: .*No such file"):
        machine.attach(Disk("late", tmp_path / "none.img"))
    machine.attach(disk(tmp_path, "late"))
    assert machine.disks == ("late",)


def test_firmware_does_not_let_go(start: Start, tmp_path: Path) -> None:
    machine = start(MachineConfig(memory_bytes=32 << 20, disks=(disk(tmp_path, "only"),), paused=True))
    with pytest.raises(MachineError, match=r"the guest did not release disk only within 0\.1 s"):
        machine.detach("only", 0.1)
    assert machine.disks == ("only",)


def test_disks_that_cannot_be_plugged(start: Start, tmp_path: Path) -> None:
    machine = start(MachineConfig(memory_bytes=32 << 20))
    with pytest.raises(ValueError, match="AHCI"):
        machine.attach(disk(tmp_path, "a", Interface.AHCI))
    with pytest.raises(ValueError, match="no SCSI controller"):
        machine.attach(disk(tmp_path, "b", Interface.VIRTIO_SCSI))
    with pytest.raises(ValueError, match="snapshot"):
        machine.attach(Disk("c", tmp_path / "c.img", snapshot=True))
    with pytest.raises(ValueError, match="no disk"):
        machine.detach("nothing")


def test_linux_without_a_root_panics_and_the_machine_ends(start: Start) -> None:
    config = MachineConfig(kernel=guest_kernel(), cmdline="console=ttyS0 panic=-1")
    machine = start(config)
    machine.console.wait_for("Unable to mount root fs", SECONDS)
    assert machine.wait_exit(SECONDS) == 0
    assert "Kernel panic" in machine.console.text
