"""Linux's own UBIFS, in a guest, as judge: a flash as a power cut leaves it, read here and mounted there.

The kernel writes to a UBIFS that mkfs.ubifs made, on UBI on block2mtd. At each stage the flash is copied while the file
system is mounted: what the kernel holds in memory is lost, as when the power fails. Then it mounts each copy read-only,
and lists what is in it. At the last stages the kernel's own emulation of power cuts ends the writing in the middle of a
write (debugfs, ``tst_recovery``).
"""

from __future__ import annotations

from pathlib import Path

from tests.support.ubifsflash import STAGES, assert_as_listed, open_root, run_guest, stage
from tests.vm.conftest import Start


def test_the_kernel_and_we_read_a_flash_after_a_power_cut(start: Start, tmp_path: Path) -> None:
    run_guest(start, tmp_path)
    for number in range(STAGES):
        image, listing = stage(tmp_path, number)
        files = open_root(image)
        assert assert_as_listed(files, listing.decode()) > 100, number
        assert bool(files.warnings) == (number != 3)
