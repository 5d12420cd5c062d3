"""``50_rootfs`` in the guest: the root, mounted by FUSE through the redoxfs crate.

It is mounted by lived's own process, straight from the live disk: over its socket, every block would go through two
more processes, and a boot takes twice as long. A failed boot says what the simulation says: which access
failed, and how.
"""

from __future__ import annotations

import errno
from pathlib import Path

from bootpath.block.targets.log import Log
from bootpath.boot.redox.rootfs import ROOTFS
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError, DeviceError
from bootpath.core.iolog import Read, Record, Write
from bootpath.fs.redox.mounting import Mount

ROOT = Path("/sysroot")


class FirstFailure:
    """The sink above the live disk that remembers the first access that failed."""

    def __init__(self) -> None:
        self.record: Read | Write | None = None

    def __call__(self, record: Record) -> None:
        """See `Sink`."""
        if isinstance(record, Read | Write) and record.errno and self.record is None:
            self.record = record

    def explain(self, fault: DeviceError) -> BootError:
        """The verdict about the boot that `fault` is."""
        record = self.record
        if record is None:
            return BootError(str(fault), where=ROOTFS)
        operation = "read" if isinstance(record, Read) else "write"
        code = errno.errorcode.get(record.errno, str(record.errno))
        return BootError(
            f"{operation} of {record.length} bytes at offset {record.offset} failed with {code}",
            where=ROOTFS,
            hint=str(fault),
        )


def mount_root(device: Device, password: bytes | None, *, mountpoint: Path = ROOT) -> Mount:
    """Mount the live disk's file system. Raises BootError (an access that failed), FormatError, FileSystemError."""
    failures = FirstFailure()
    mountpoint.mkdir(exist_ok=True)
    mount = Mount(checked(Log(device, failures)), mountpoint, password=password)
    try:
        mount.start()
    except DeviceError as fault:
        raise failures.explain(fault) from fault
    return mount
