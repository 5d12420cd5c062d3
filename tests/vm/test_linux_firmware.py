"""The same image by loaders of its own: systemd-boot under UEFI, and U-Boot, from the disk that we serve."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict
from bootpath.boot.linux.machine import LinuxMachine, LinuxSetup, boot_linux
from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareSetup, ServedImage
from bootpath.vm.config import MachineConfig
from bootpath.vm.disks import Disk, Interface
from tests.support.ddi import Signer
from tests.support.linuximage import make_linux_disk
from tests.support.linuxsystem import LinuxSystem, make_esp, make_initrd, make_system
from tests.support.tools import guest_kernel, stored, tool
from tests.vm.conftest import Start

SECONDS = 240.0
MIB = 1 << 20
U_BOOT = Path("/usr/lib/u-boot/qemu-x86/u-boot.rom")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> LinuxSystem:
    tool("qemu-system-x86_64")
    directory = tmp_path_factory.mktemp("system")
    initrd = make_initrd(directory / "initrd", "verity")
    return make_system(directory, initrd, Signer.make(directory))


@pytest.fixture(scope="module")
def disk(system: LinuxSystem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root, and an EFI partition with kernel and initramfs for those loaders, which know the root hash."""
    directory = tmp_path_factory.mktemp("disk")
    options = f"console=ttyS0 panic=-1 quiet roothash={system.volume.root_hash.hex()}"
    esp = make_esp(directory, system, options)
    return make_linux_disk(directory / "disk.img", [("one_1", system.volume)], esp=esp).path


@pytest.mark.full
def test_systemd_boot_under_uefi(disk: Path, system: LinuxSystem) -> None:
    setup = FirmwareSetup(Firmware.UEFI, memory_bytes=512 * MIB)
    result = FirmwareMachine(disk, setup).boot(timeout_seconds=SECONDS)
    assert result.failure is None, result.failure
    areas = {area.name: area for area in result.reads}
    assert areas["esp"].distinct_bytes > 10 * MIB, "kernel and initramfs came from there"
    assert MIB < areas["one_1"].distinct_bytes < len(system.volume.data)

    # Our loader takes them from the root, which is signed, and reads nothing big from the EFI partition.
    own = LinuxSetup(LinuxRequest(certificates=system.certificates), memory_bytes=512 * MIB)
    run = boot_linux(lambda setup: LinuxMachine(disk, setup), own, timeout_seconds=SECONDS)
    assert run.failure is None, run.failure
    assert run.boot is not None
    assert run.boot.verdict is LinuxVerdict.VERIFIED
    areas = {area.name: area for area in run.reads}
    assert areas["esp"].distinct_bytes < MIB
    assert areas["one_1"].distinct_bytes > 10 * MIB


def test_u_boot(disk: Path, system: LinuxSystem, tmp_path: Path, start: Start) -> None:
    """U-Boot finds extlinux.conf, loads what its label says, and starts it: from power-on to the login, untouched.

    The label names a FIT, which has all sizes in it. A kernel and an initrd would go through zboot, whose argument for
    the initrd's size is a buffer that label_boot (boot/pxe_utils.c) forgets to fill, from U-Boot 2022.10 until 2024.01
    ("x86: pxeboot: bugfix: Set variable for size of initrd"): Linux would be told 12 bytes.
    """
    initrd_bytes = (system.directory / "initrd").stat().st_size
    with ServedImage(disk, tmp_path / "socket") as image:
        attached = Disk("served", image.uri, Interface.AHCI, boot_index=0)
        config = MachineConfig(memory_bytes=512 * MIB, firmware=stored(U_BOOT), disks=(attached,))
        console = start(config, transcript=tmp_path / "console").console
        console.wait_for("Found /extlinux/extlinux.conf", SECONDS)
        console.wait_for("Kernel command line", SECONDS)
        assert re.findall(r"Initial RAM disk at .*, size (\d+) bytes", console.text) == [str(initrd_bytes)]
        loaded_bytes = sum(read.length for read in image.reads)
        assert loaded_bytes > initrd_bytes + guest_kernel().stat().st_size
        console.wait_for("login: ", SECONDS)
        assert re.findall(r"Retrieving file: (\S+)", console.text) == ["/extlinux/extlinux.conf", "/linux.itb"]
        assert "bootpath: @" in console.text
