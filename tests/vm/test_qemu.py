"""QEMU itself, with a boot sector as the guest."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import MachineError
from bootpath.vm.accelerator import AcceleratorChooser, choose_accelerator
from bootpath.vm.bootsector import DEBUG_EXIT_PORT, MIN_DISK_BYTES, serial_boot_sector
from bootpath.vm.config import Accelerator, Display, FirmwareSetting, MachineConfig, MemoryFile, Smbios
from bootpath.vm.disks import Disk, Interface
from bootpath.vm.firmware import private_uefi
from bootpath.vm.qemu import QEMU
from tests.support.nbd import serving
from tests.support.tools import tool
from tests.vm.conftest import Start

MEMORY_BYTES = 32 << 20
SECONDS = 60.0

PARENT = """
import sys
from bootpath.vm import QEMU, MachineConfig
machine = QEMU(MachineConfig())
machine.start()
print(machine.pid, flush=True)
sys.stdin.read()
"""


def boot_disk(path: Path, word: bytes, exit_value: int = 20) -> Path:
    path.write_bytes(serial_boot_sector(word, exit_value=exit_value).ljust(MIN_DISK_BYTES, b"\0"))
    return path


@pytest.mark.parametrize("interface", [each for each in Interface if each is not Interface.OPTICAL])
def test_a_boot_sector_speaks_and_ends_the_machine(start: Start, tmp_path: Path, interface: Interface) -> None:
    disk = Disk("boot", boot_disk(tmp_path / "a,b.img", b"hello\r\n"), interface, serial="SN,1")
    config = MachineConfig(memory_bytes=MEMORY_BYTES, disks=(disk,), debug_exit_port=DEBUG_EXIT_PORT)
    machine = start(config, transcript=tmp_path / "serial.log")
    assert machine.console.wait_for("hello\n", SECONDS)
    assert machine.wait_exit(SECONDS) == 41
    assert not machine.running
    assert (tmp_path / "serial.log").read_bytes() == machine.console.raw == b"hello\r\n"
    assert 0 < machine.console.lines[0].seconds < machine.seconds


def test_a_snapshot_disk_boots_and_keeps_nothing(start: Start, tmp_path: Path) -> None:
    path = boot_disk(tmp_path / "boot.img", b"hello")
    path.chmod(0o444)
    config = MachineConfig(
        memory_bytes=MEMORY_BYTES,
        disks=(Disk("boot", path, snapshot=True),),
        debug_exit_port=DEBUG_EXIT_PORT,
    )
    assert start(config).wait_exit(SECONDS) == 41


def test_statistics_say_what_was_read(start: Start, tmp_path: Path) -> None:
    # Without the port that ends it, the guest halts and can be asked.
    disk = Disk("boot", boot_disk(tmp_path / "boot.img", b"hello"))
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES, disks=(disk,)))
    machine.console.wait_for("hello", SECONDS)
    read = machine.block_statistics()["boot"]
    assert read.read_bytes >= 512
    assert read.read_operations >= 1
    assert read.written_bytes == read.failed_operations == 0


def test_a_power_cut(start: Start) -> None:
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES))
    assert machine.running
    machine.power_cut()
    assert machine.exit_code == -signal.SIGKILL
    with pytest.raises(MachineError, match="before QEMU ended") as caught:
        machine.console.wait_for("anything", SECONDS)
    assert caught.value.exit_code == -signal.SIGKILL
    assert caught.value.command[0].endswith("qemu-system-x86_64")
    with pytest.raises(MachineError, match="stop: "):
        machine.pause()


def test_pause_resume_reset(start: Start, tmp_path: Path) -> None:
    disk = Disk("boot", boot_disk(tmp_path / "boot.img", b"hello"))
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES, disks=(disk,), paused=True, reboot=True))
    assert machine.console.raw == b""
    machine.resume()
    machine.console.wait_for("hello", SECONDS)
    machine.pause()
    assert machine.wait_event("STOP", SECONDS)
    machine.resume()
    machine.reset()
    machine.console.wait_for("hello", SECONDS)
    assert machine.wait_event("RESET", SECONDS)


def test_a_reset_ends_a_machine_that_does_not_reboot(start: Start) -> None:
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES))
    machine.reset()
    assert machine.wait_exit(SECONDS) == 0
    assert machine.wait_event("SHUTDOWN", SECONDS).data["reason"] == "host-qmp-system-reset"


@pytest.mark.parametrize("display", [Display.STD, Display.VIRTIO_GPU])
def test_a_picture_of_the_bios(start: Start, tmp_path: Path, display: Display) -> None:
    # It writes the same to the serial port, which says when there is something to see.
    machine = start(MachineConfig(memory_bytes=64 << 20, display=display, bios_on_serial=True))
    machine.console.wait_for("No bootable device", SECONDS)
    machine.screendump(tmp_path / "bios.png")
    with Image.open(tmp_path / "bios.png") as image:
        assert image.format == "PNG"
        assert image.width >= 640
        colours = image.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 1, "the screen is blank"


def test_no_screen_no_picture(start: Start, tmp_path: Path) -> None:
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES))
    with pytest.raises(MachineError, match="no console"):
        machine.screendump(tmp_path / "x.png")


def test_blobs_are_in_ram_and_the_rest_is_accepted(start: Start, tmp_path: Path) -> None:
    blob = tmp_path / "blob,1"
    blob.write_bytes(b"\x7fELF, but raw")
    config = MachineConfig(
        memory_bytes=MEMORY_BYTES,
        paused=True,
        blobs=(MemoryFile(blob, 0x100_0000),),
        fw_cfg=(FirmwareSetting("opt/org.example/a", text="x,y"), FirmwareSetting("opt/org.example/b", path=blob)),
        smbios=(Smbios(1, (("serial", "S,1"),)), Smbios(11, (("value", "one,two"), ("value", "three")))),
        rtc_base="2006-06-17T16:01:21",
        user_network=True,
    )
    machine = start(config)
    machine.execute("pmemsave", {"val": 0x100_0000, "size": 13, "filename": str(tmp_path / "ram")})
    assert (tmp_path / "ram").read_bytes() == blob.read_bytes()[:13]
    machine.powerdown()
    assert machine.wait_event("POWERDOWN", SECONDS)


def test_a_disk_behind_an_nbd_server(start: Start, tmp_path: Path) -> None:
    image = serial_boot_sector(b"from afar", exit_value=20).ljust(MIN_DISK_BYTES, b"\0")
    with serving(MemoryDevice(image)) as server:
        disk = Disk("late", server.uri, read_only=True, reconnect_seconds=5)
        machine = start(MachineConfig(memory_bytes=MEMORY_BYTES, disks=(disk,), debug_exit_port=DEBUG_EXIT_PORT))
        assert machine.wait_exit(SECONDS) == 41
        assert machine.console.text == "from afar"


def test_the_bios_on_the_serial_port_and_keys(start: Start) -> None:
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES, bios_on_serial=True, reboot=True, display=Display.STD))
    machine.console.wait_for("No bootable device", SECONDS)
    machine.send_keys("ctrl", "alt", "delete")
    machine.console.wait_for("SeaBIOS", SECONDS)


def test_uefi(start: Start, tmp_path: Path) -> None:
    try:
        firmware = private_uefi(tmp_path)
    except MachineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    machine = start(MachineConfig(firmware=firmware, memory_bytes=256 << 20))
    machine.console.wait_for("BdsDxe", 120)


def test_two_serial_ports(start: Start) -> None:
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES, serial_ports=2))
    assert len(machine.consoles) == 2


def test_a_qemu_that_does_not_start(tmp_path: Path) -> None:
    machine = QEMU(MachineConfig(disks=(Disk("a", tmp_path / "none.img"),)), binary=tool("qemu-system-x86_64"))
    with pytest.raises(MachineError, match=r"QEMU did not start: .*none\.img.*: No such file") as caught:
        machine.start()
    assert caught.value.exit_code == 1
    assert "No such file or directory" in caught.value.diagnostics
    assert any("none.img" in note for note in caught.value.__notes__)
    machine.close()


def test_what_never_comes_is_reported_with_what_came(start: Start, tmp_path: Path) -> None:
    disk = Disk("boot", boot_disk(tmp_path / "boot.img", b"hello\r\nworld"))
    machine = start(MachineConfig(memory_bytes=MEMORY_BYTES, disks=(disk,)))
    machine.console.wait_for("world", SECONDS)
    with pytest.raises(MachineError, match="no match for 'login:' within") as caught:
        machine.console.wait_for("login:", 0.01)
    assert caught.value.console == ("hello", "world")
    assert caught.value.exit_code is None


def test_no_orphan_after_kill_9_of_its_parent() -> None:
    tool("qemu-system-x86_64")
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        watch = os.pidfd_open(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
    try:
        assert select.select([watch], [], [], SECONDS)[0], "QEMU outlived its parent"
    finally:
        os.close(watch)


def test_an_accelerator_is_chosen_by_a_guest_that_runs() -> None:
    chooser = AcceleratorChooser(lambda: choose_accelerator(binary=tool("qemu-system-x86_64")))
    choice = chooser.choice()
    assert choice.accelerator in Accelerator
    assert choice.reason
    assert chooser.choice() is choice
