"""The disks of a machine, as QEMU sees them: a block node (the data) and a device (how the guest sees it).

Source: QEMU's QMP reference, BlockdevOptions, and the properties of virtio-blk-pci, ide-hd and scsi-hd. Both halves are
plain dictionaries, so that a disk on the command line and one that is plugged in later are the same.

A virtio disk sits behind a PCI Express root port of its own, and a SCSI disk on a controller: both can be detached.
AHCI as QEMU has it cannot be hot-plugged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from bootpath.core.errors import FormatError
from bootpath.formats.nbd.uri import NbdUri, parse_nbd_uri

Flat: TypeAlias = dict[str, str | int | bool]
Options: TypeAlias = "dict[str, str | int | bool | Options]"

SCSI_CONTROLLER = "scsi0"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,30}")  # "node-name: at most 31 characters"; ids begin with a letter
_LEGACY_UNIX = "nbd:unix:"


class Interface(Enum):
    """How the guest sees a disk."""

    VIRTIO = "virtio"
    AHCI = "ahci"
    VIRTIO_SCSI = "virtio-scsi"
    OPTICAL = "optical"  # a drive with the disk as its medium, on the AHCI controller


ON_AHCI = (Interface.AHCI, Interface.OPTICAL)


_DRIVERS = {
    Interface.VIRTIO: "virtio-blk-pci",
    Interface.AHCI: "ide-hd",
    Interface.VIRTIO_SCSI: "scsi-hd",
    Interface.OPTICAL: "ide-cd",
}


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk. `name` identifies it in this machine; `source` is a raw image's path or an NBD server's address.

    Addresses: ``nbd://host[:port]/export``, ``nbd+unix:///export?socket=path``, ``nbd:unix:path[:exportname=name]``;
    QEMU speaks TLS only with certificates set up apart, so nbds is refused. `reconnect_seconds`: for so long are
    requests to a lost server held back and tried again, then they fail; 0 fails them at once. `snapshot` keeps what
    the guest writes in a temporary file, dropped at the end; such a disk must be there at the start. `serial` is what
    the guest reads as the disk's serial number; `boot_index` orders the firmware's choice, lowest first. Raises
    ValueError, and FormatError for an address that cannot be read.
    """

    name: str
    source: Path | str
    interface: Interface = Interface.VIRTIO
    read_only: bool = False
    snapshot: bool = False
    serial: str | None = None
    boot_index: int | None = None
    reconnect_seconds: int = 0
    block_bytes: int = 512

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(
                f"the name of a disk must be a letter and at most 30 of A-Z a-z 0-9 . _ -, not {self.name!r}"
            )
        if self.read_only and self.interface is Interface.AHCI:
            raise ValueError("QEMU does not support read-only AHCI disks")
        if self.interface is Interface.OPTICAL and not (self.read_only and self.block_bytes == 512):
            raise ValueError("an optical medium is read only, and has blocks of its own")
        if self.block_bytes not in (512, 4096):
            raise ValueError(f"a block must have 512 or 4096 bytes, not {self.block_bytes}")
        _nbd(self.source)


def disk_node(disk: Disk) -> Options:
    """The block node, for ``-blockdev`` and blockdev-add; its name is the disk's."""
    uri = _nbd(disk.source)
    data: Options
    if uri is None:
        data = {"driver": "file", "filename": str(disk.source)}
    else:
        server: Options = (
            {"type": "unix", "path": uri.socket}
            if uri.socket is not None
            else {"type": "inet", "host": uri.host or "", "port": str(uri.port)}
        )
        data = {"driver": "nbd", "server": server, "export": uri.export, "reconnect-delay": disk.reconnect_seconds}
    return {
        "driver": "raw",
        "node-name": disk.name,
        "read-only": disk.read_only,
        "discard": "unmap",
        "file": data,
    }


def disk_device(disk: Disk, bus: str) -> Options:
    """The guest's side, for ``-device`` and device_add, on `bus`; its id is the disk's name."""
    device: Options = {"driver": _DRIVERS[disk.interface], "id": disk.name, "bus": bus, "drive": disk.name}
    if disk.interface is not Interface.OPTICAL:
        device |= {"logical_block_size": disk.block_bytes, "physical_block_size": disk.block_bytes}
    if disk.serial is not None:
        device["serial"] = disk.serial
    if disk.boot_index is not None:
        device["bootindex"] = disk.boot_index
    return device


def dotted(options: Options, prefix: str = "") -> Flat:
    """Nested options with the names that QEMU's ``key=value`` form gives them: ``file.server.path``."""
    flat: Flat = {}
    for name, value in options.items():
        if isinstance(value, dict):
            flat.update(dotted(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _nbd(source: Path | str) -> NbdUri | None:
    """The NBD server `source` names; None for a file."""
    if isinstance(source, Path):
        return None
    if source.startswith(_LEGACY_UNIX):
        socket, _, export = source[len(_LEGACY_UNIX) :].partition(":exportname=")
        if not socket:
            raise FormatError("the socket is missing", where="nbd:unix:")
        return NbdUri(export, socket=socket)
    if not source.startswith(("nbd:", "nbds:", "nbd+unix:", "nbds+unix:")):
        raise ValueError(f"the source of a disk must be a Path or an NBD address, not {source!r}")
    uri = parse_nbd_uri(source)
    if uri.tls:
        raise ValueError("NBD with TLS is not supported for disks of a machine")
    return uri
