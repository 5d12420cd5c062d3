"""Overlay files of the two versions, and what the disk is with them; the first by this script at commit fcac03a, which
knew no checksums.

    python -m tests.golden.overlay.make tests/golden/overlay version-1
    python -m tests.golden.overlay.make tests/golden/overlay version-2

The base is ``pattern(0, SIZE)``. `closed` was closed, `killed` is what a killed process left: its last writes are in no
record.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from random import Random

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.file import OverlayFile
from bootpath.core.device import checked, read_bytes
from tests.support.patterns import pattern

SIZE = 100 * 4096 + 1536


def main(folder: Path, version: str) -> None:
    path = folder / "made.overlay"
    overlay = OverlayFile.create(path, MemoryDevice(pattern(0, SIZE)))
    disk = checked(overlay)
    random = Random(1)
    for tag in range(1, 60):
        offset = random.randrange(SIZE // 512 - 24) * 512
        length = random.randint(1, 24) * 512
        if tag % 7 == 0:
            disk.zero(offset, length)
        else:
            disk.write(offset, pattern(offset, length, tag))
        if tag % 10 == 0:
            disk.flush()
    disk.write(SIZE - 512, pattern(SIZE - 512, 512, 60), fua=True)
    content = read_bytes(disk, 0, SIZE)
    disk.write(0, pattern(0, 8192, 61))
    killed = path.read_bytes()
    disk.write(0, content[:8192])
    disk.close()
    for name, data in (
        (f"{version}-closed.overlay", path.read_bytes()),
        (f"{version}-killed.overlay", killed),
        ("disk.img", content),
    ):
        (folder / f"{name}.gz").write_bytes(gzip.compress(data, mtime=0))
    path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
