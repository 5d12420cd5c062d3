from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootpath.vm.commandline import command_line
from bootpath.vm.config import Accelerator, Display, FirmwareSetting, MachineConfig, MemoryFile, Smbios, Uefi
from bootpath.vm.disks import Disk, Interface


def arguments(config: MachineConfig, accelerator: Accelerator = Accelerator.TCG) -> list[str]:
    fds = range(11, 11 + config.serial_ports)
    return command_line(config, binary="qemu", accelerator=accelerator, qmp_fd=10, serial_fds=fds)


def values(config: MachineConfig, option: str) -> list[str]:
    """What follows each `option`."""
    words = arguments(config)
    return [words[index + 1] for index, word in enumerate(words) if word == option]


def test_the_smallest_machine() -> None:
    expected = (
        "qemu -nodefaults -no-user-config -display none -machine q35 -accel tcg -cpu max -smp 1 -m 256M -rtc base=utc"
        " -chardev socket,id=qmp,fd=10 -mon chardev=qmp,mode=control"
        " -chardev socket,id=serial0,fd=11 -serial chardev:serial0 -no-reboot"
    )
    assert " ".join(arguments(MachineConfig())) == expected


def test_linux() -> None:
    config = MachineConfig(kernel=Path("k"), initrd=Path("i"), cmdline="console=ttyS0 a=b,c", cpus=2)
    assert arguments(config)[-6:] == ["-kernel", "k", "-initrd", "i", "-append", "console=ttyS0 a=b,c"]
    assert values(config, "-smp") == ["2"]


def test_kvm() -> None:
    assert "kvm" in arguments(MachineConfig(), Accelerator.KVM)


def test_switches() -> None:
    words = arguments(MachineConfig(reboot=True, paused=True, bios_on_serial=True, extra=("-d", "int")))
    assert "-no-reboot" not in words
    assert "-S" in words
    assert "q35,graphics=off" in words
    assert words[-2:] == ["-d", "int"]


def test_serial_ports_need_descriptors() -> None:
    assert values(MachineConfig(serial_ports=2), "-serial") == ["chardev:serial0", "chardev:serial1"]
    assert "-serial" not in arguments(MachineConfig(serial_ports=0))
    with pytest.raises(ValueError, match="1 serial ports"):
        command_line(MachineConfig(), binary="qemu", accelerator=Accelerator.TCG, qmp_fd=3, serial_fds=())


def test_firmware() -> None:
    uefi = MachineConfig(firmware=Uefi(Path("code,1.fd"), Path("vars.fd")))
    assert values(uefi, "-drive") == [
        "if=pflash,unit=0,format=raw,readonly=on,file=code,,1.fd",
        "if=pflash,unit=1,format=raw,readonly=off,file=vars.fd",
    ]
    assert values(MachineConfig(firmware=Path("bios.bin")), "-bios") == ["bios.bin"]


def test_what_the_firmware_hands_over() -> None:
    config = MachineConfig(
        fw_cfg=(FirmwareSetting("opt/a", text="x,y"), FirmwareSetting("opt/b", path=Path("f"))),
        smbios=(Smbios(11, (("value", "one,two"), ("value", "three"))), Smbios(1, (("serial", "7"),))),
    )
    assert values(config, "-fw_cfg") == ["name=opt/a,string=x,,y", "name=opt/b,file=f"]
    assert values(config, "-smbios") == ["type=11,value=one,,two,value=three", "type=1,serial=7"]


def test_devices() -> None:
    config = MachineConfig(
        blobs=(MemoryFile(Path("ram.img"), 0x1_2000_0000),),
        user_network=True,
        display=Display.VIRTIO_GPU,
        debug_exit_port=0x501,
    )
    assert values(config, "-device") == [
        "driver=loader,file=ram.img,addr=0x120000000,force-raw=on",
        "virtio-vga",
        "virtio-net-pci,netdev=net0,romfile=",
        "isa-debug-exit,iobase=0x501,iosize=1",
    ]
    assert values(config, "-netdev") == ["user,id=net0"]
    assert values(MachineConfig(display=Display.STD), "-device") == ["VGA"]


def test_each_disk_has_its_bus() -> None:
    config = MachineConfig(
        disks=(
            Disk("a", Path("a.img")),
            Disk("b", Path("b.img"), Interface.AHCI),
            Disk("c", Path("c.img"), Interface.VIRTIO_SCSI),
            Disk("d", "nbd:unix:/s", serial="x,y"),
            Disk("e", Path("e.img"), Interface.AHCI),
        ),
        hotplug_ports=1,
    )
    devices = values(config, "-device")
    assert [word.split(",")[1] for word in devices if word.startswith("pcie-root-port")] == [
        "id=port0",
        "id=port1",
        "id=port2",
    ]
    buses = {word.split(",")[1]: word.split(",")[2] for word in devices if ",drive=" in word}
    assert buses == {
        "id=a": "bus=port0",
        "id=b": "bus=ide.0",
        "id=c": "bus=scsi0.0",
        "id=d": "bus=port1",
        "id=e": "bus=ide.1",
    }
    assert "virtio-scsi-pci,id=scsi0" in devices
    assert any(word.endswith(",serial=x,,y") for word in devices)
    nodes = [json.loads(word) for word in values(config, "-blockdev")]
    assert [node["node-name"] for node in nodes] == ["a", "b", "c", "d", "e"]


def test_a_snapshot_is_a_drive() -> None:
    config = MachineConfig(disks=(Disk("a", "nbd+unix:///x?socket=/s,1", snapshot=True),))
    assert not values(config, "-blockdev")
    (drive,) = values(config, "-drive")
    assert drive == (
        "if=none,id=a,snapshot=on,driver=raw,read-only=off,discard=unmap,"
        "file.driver=nbd,file.server.type=unix,file.server.path=/s,,1,file.export=x,file.reconnect-delay=0"
    )
