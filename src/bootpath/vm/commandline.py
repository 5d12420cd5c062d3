"""The QEMU command line of a machine: a pure function.

Source: qemu(1), docs/qdev-device-use.txt, docs/pcie.txt ("only PCI Express Root Ports can be hot-plugged into").

In QEMU's ``key=value,key=value`` options a comma inside a value is written twice; block nodes are given as JSON,
which needs no such care. The monitor and the serial ports are file descriptors that QEMU inherits: no path, no wait
until a socket appears, no other process that could connect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count

from bootpath.vm.config import Accelerator, Display, FirmwareSetting, MachineConfig, Uefi
from bootpath.vm.disks import ON_AHCI, SCSI_CONTROLLER, Disk, Flat, Interface, disk_device, disk_node, dotted

_CARDS = {
    (Display.STD, True): "VGA",
    (Display.VIRTIO_GPU, True): "virtio-vga",
    (Display.STD, False): "bochs-display",
    (Display.VIRTIO_GPU, False): "virtio-gpu-pci",
}
"""The device of each graphics card, with the compatibility to VGA that a PC's firmware needs, and without."""
_AHCI = "ich9-ahci,id=ide"
"""The controller of q35, with the name of its buses."""


def command_line(
    config: MachineConfig, *, binary: str, accelerator: Accelerator, qmp_fd: int, serial_fds: Sequence[int]
) -> list[str]:
    """The arguments that start QEMU with `config`; `serial_fds` has one descriptor for each serial port."""
    if len(serial_fds) != config.serial_ports:
        raise ValueError(f"{config.serial_ports} serial ports need as many descriptors, not {len(serial_fds)}")
    return [binary, *_arguments(config, accelerator, qmp_fd, serial_fds)]


def root_port(index: int) -> str:
    """The id, which is also the bus name, of root port `index`."""
    return f"port{index}"


def disk_buses(disks: Sequence[Disk]) -> list[str]:
    """The bus of each disk that is there at the start."""
    ports, ahci = count(), count()
    return [
        root_port(next(ports))
        if disk.interface is Interface.VIRTIO
        else f"ide.{next(ahci)}"
        if disk.interface in ON_AHCI
        else f"{SCSI_CONTROLLER}.0"
        for disk in disks
    ]


def pairs(options: Flat) -> str:
    """QEMU's ``key=value,key=value``, commas in values doubled."""
    return ",".join(f"{name}={_escape(_text(value))}" for name, value in options.items())


def _arguments(
    config: MachineConfig, accelerator: Accelerator, qmp_fd: int, serial_fds: Sequence[int]
) -> Iterator[str]:
    yield from ("-nodefaults", "-no-user-config", "-display", "none")
    board = config.board
    yield from ("-machine", board.machine + (",graphics=off" if config.bios_on_serial else ""))
    cpu = config.cpu_model or (board.cpu if accelerator is Accelerator.TCG else "max")
    yield from ("-accel", accelerator.value, "-cpu", cpu, "-smp", str(config.cpus))
    yield from ("-m", f"{config.memory_bytes >> 20}M", "-rtc", f"base={config.rtc_base}")
    yield from ("-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control")
    for index, fd in enumerate(serial_fds):
        yield from ("-chardev", f"socket,id=serial{index},fd={fd}", "-serial", f"chardev:serial{index}")
    if not config.reboot:
        yield "-no-reboot"
    if config.paused:
        yield "-S"
    yield from _firmware(config)
    if config.kernel is not None:
        yield from ("-kernel", str(config.kernel))
        if config.initrd is not None:
            yield from ("-initrd", str(config.initrd))
        if config.cmdline:
            yield from ("-append", config.cmdline)
    for blob in config.blobs:
        loader: Flat = {"driver": "loader", "file": str(blob.path), "addr": f"{blob.address:#x}", "force-raw": True}
        yield from ("-device", pairs(loader))
    if config.display is not Display.NONE:
        yield from ("-device", _CARDS[config.display, config.board.vga])
    if config.user_network:
        # Without its boot ROM, which is a package of its own and not needed: nothing boots from the network.
        yield from ("-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile=")
    if config.debug_exit_port is not None:
        yield from ("-device", f"isa-debug-exit,iobase={config.debug_exit_port:#x},iosize=1")
    yield from _disks(config)
    yield from config.extra


def _firmware(config: MachineConfig) -> Iterator[str]:
    if isinstance(config.firmware, Uefi):
        chips = ((0, config.firmware.code, True), (1, config.firmware.variables, False))
        for unit, path, read_only in chips:
            drive: Flat = {"if": "pflash", "unit": unit, "format": "raw", "readonly": read_only, "file": str(path)}
            yield from ("-drive", pairs(drive))
    elif config.firmware is not None:
        yield from ("-bios", str(config.firmware))
    for setting in config.fw_cfg:
        yield from ("-fw_cfg", _setting(setting))
    for table in config.smbios:
        # A field may come several times, so this is no mapping.
        fields = ",".join(f"{name}={_escape(value)}" for name, value in table.fields)
        yield from ("-smbios", f"type={table.type},{fields}")


def _setting(setting: FirmwareSetting) -> str:
    if setting.path is not None:
        return pairs({"name": setting.name, "file": str(setting.path)})
    return pairs({"name": setting.name, "string": setting.text or ""})


def _disks(config: MachineConfig) -> Iterator[str]:
    for index in range(config.root_ports):
        # A chassis and slot pair must be unique for the guest to see a slot that can be plugged.
        yield from ("-device", f"pcie-root-port,id={root_port(index)},bus=pcie.0,chassis={index + 1},slot={index + 1}")
    if not config.board.has_ahci and any(disk.interface in ON_AHCI for disk in config.disks):
        yield from ("-device", _AHCI)
    if config.has_scsi:
        yield from ("-device", f"virtio-scsi-pci,id={SCSI_CONTROLLER}")
    for disk, bus in zip(config.disks, disk_buses(config.disks), strict=True):
        node = disk_node(disk)
        if disk.snapshot:
            # -blockdev knows no snapshots, and -drive gives its node a name by itself.
            del node["node-name"]
            yield from ("-drive", pairs({"if": "none", "id": disk.name, "snapshot": True, **dotted(node)}))
        else:
            yield from ("-blockdev", json.dumps(node))
        yield from ("-device", pairs(dotted(disk_device(disk, bus))))


def _text(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _escape(value: str) -> str:
    return value.replace(",", ",,")
