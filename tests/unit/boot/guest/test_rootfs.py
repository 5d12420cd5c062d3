from __future__ import annotations

import errno

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.log import Log
from bootpath.boot.guest.rootfs import FirstFailure
from bootpath.core.errors import DeviceError
from bootpath.core.iolog import Read, Write


def test_the_first_access_that_failed_is_the_verdict() -> None:
    failures = FirstFailure()
    device = Log(MemoryDevice(8192), failures)
    device.write(0, bytes(4096))
    for record in (Write(4096, 512, None, False, errno.EINVAL), Read(0, 512, "", errno.EIO)):
        failures(record)
    verdict = failures.explain(DeviceError("beyond the preload", where="disk.live", errno=errno.EINVAL))
    assert str(verdict) == (
        "50_rootfs: write of 512 bytes at offset 4096 failed with EINVAL; disk.live: beyond the preload"
    )


def test_a_fault_without_an_access() -> None:
    assert str(FirstFailure().explain(DeviceError("broken"))) == "50_rootfs: broken"
