"""The physical disks of this machine, as the kernel's drivers show them in sysfs, and the news about them.

A disk is known by its name and its sequence number (``diskseq``, Linux 5.15), so that one that takes another's name is
another disk. Sources: Documentation/ABI/stable/sysfs-block, Documentation/ABI/testing/sysfs-uevent,
lib/kobject_uevent.c.
"""

from __future__ import annotations

import encodings.utf_16_le  # noqa: F401 - looked up by name for a GPT's names, and an initramfs has only what is imported
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.guest.memory import DEVICES, SYS_BLOCK
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError

_NOT_PHYSICAL = re.compile(r"(pmem|nbd|loop|ram|zram|dm-|md|fd|sr)\d")
_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_GROUP = 1
_MESSAGE_BYTES = 8192


class SysBlock:
    """The disks in `sys_block`, opened read-only when they appear. A disk that has gone stays open until `close`:
    others may be reading it."""

    def __init__(self, sys_block: Path = SYS_BLOCK, devices: Path = DEVICES) -> None:
        self._sys_block = sys_block
        self._devices = devices
        self._open: dict[tuple[str, str], FileDevice] = {}
        self._gone: list[FileDevice] = []
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The names of the physical disks there are."""
        return sorted(entry.name for entry in self._sys_block.iterdir() if _NOT_PHYSICAL.match(entry.name) is None)

    def present(self) -> Sequence[Device]:
        """See `PhysicalDisks.present`. A disk that cannot be opened is not there."""
        with self._lock:
            there = [(name, self._sequence(name)) for name in self.names()]
            for key in [key for key in self._open if key not in there]:
                self._gone.append(self._open.pop(key))
            for key in there:
                if key not in self._open:
                    self._try(key)
            return [self._open[key] for key in there if key in self._open]

    def close(self) -> None:
        """Close every disk."""
        with self._lock:
            for disk in (*self._open.values(), *self._gone):
                disk.close()
            self._open.clear()
            self._gone.clear()

    def _try(self, key: tuple[str, str]) -> None:
        try:
            disk = FileDevice.open(self._devices / key[0])
        except DeviceError:
            return
        if disk.size_bytes:  # a drive without a medium has none
            self._open[key] = disk
        else:
            disk.close()

    def _sequence(self, name: str) -> str:
        try:
            return (self._sys_block / name / "diskseq").read_text().strip()
        except OSError:
            return ""


@dataclass(frozen=True, slots=True)
class News:
    """The kernel says that a disk was added, removed or changed."""

    action: str
    name: str


def parse_uevent(message: bytes) -> News | None:
    """The news in a kernel uevent, ``add@/devices/…`` and ``KEY=value``, each ended by a NUL; None when it is about
    something else than a physical disk, or is none: udev has the kernel say again what there is (SYNTH_UUID)."""
    head, *pairs = message.decode(errors="replace").split("\0")
    if "@" not in head:
        return None
    values = dict(pair.partition("=")[::2] for pair in pairs)
    name = values.get("DEVNAME", "")
    if "SYNTH_UUID" in values:
        return None
    if values.get("SUBSYSTEM") != "block" or values.get("DEVTYPE") != "disk" or _NOT_PHYSICAL.match(name):
        return None
    return News(head.partition("@")[0], name)


class Uevents:
    """What the kernel says about disks, from the moment this was made."""

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_KOBJECT_UEVENT)
        self._socket.bind((0, _KERNEL_GROUP))

    def __iter__(self) -> Iterator[News]:
        while True:
            news = parse_uevent(self._socket.recv(_MESSAGE_BYTES))
            if news is not None:
                yield news
