from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bootpath.vm.config import FirmwareSetting, MachineConfig
from bootpath.vm.disks import Disk, Interface

A, B = Disk("a", Path("a")), Disk("b", Path("b"))
IMPOSSIBLE: list[tuple[Callable[[], object], str]] = [
    (lambda: MachineConfig(memory_bytes=0), "1 MiB"),
    (lambda: MachineConfig(memory_bytes=(1 << 20) + 1), "1 MiB"),
    (lambda: MachineConfig(cpus=0), "CPU"),
    (lambda: MachineConfig(cmdline="quiet"), "kernel"),
    (lambda: MachineConfig(initrd=Path("x")), "kernel"),
    (lambda: MachineConfig(serial_ports=5), "serial"),
    (lambda: MachineConfig(rtc_base="yesterday"), "rtc_base"),
    (lambda: MachineConfig(disks=(A, A)), "same name"),
    (lambda: MachineConfig(disks=(A, B), hotplug_ports=23), "only 24 ports"),
    (lambda: MachineConfig(disks=tuple(Disk(f"d{i}", Path("x"), Interface.AHCI) for i in range(7))), "AHCI"),
    (lambda: FirmwareSetting("etc/x", text="a"), "opt/"),
    (lambda: FirmwareSetting("opt/a,b", text="a"), "opt/"),
    (lambda: FirmwareSetting("opt/x"), "path or a text"),
    (lambda: FirmwareSetting("opt/x", Path("a"), "b"), "path or a text"),
]


@pytest.mark.parametrize(("make", "message"), IMPOSSIBLE)
def test_impossible_machines(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_ports() -> None:
    config = MachineConfig(disks=(A, Disk("c", Path("c"), Interface.AHCI), B), hotplug_ports=1)
    assert config.root_ports == 3
    assert not config.has_scsi
    assert MachineConfig(scsi_controller=True).has_scsi
