"""Makes the images of this directory, in the source directory: ``python -m tests.golden.ubifs.make``.

They are flashes to which Linux 6.1 wrote, in a guest, cut off in two ways, with what it listed of each when it had
mounted it read-only: `tests.support.ubifsflash` says what was done, tests/vm/test_ubifs.py does it again.
"""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bootpath.vm.config import MachineConfig
from bootpath.vm.qemu import QEMU
from tests.support.tools import tool
from tests.support.ubifsflash import run_guest, stage

KEPT = {"journal": 0, "cut": 4}


def main() -> None:
    with ExitStack() as machines, TemporaryDirectory() as directory:

        def start(config: MachineConfig, *, transcript: Path | None = None) -> QEMU:
            return machines.enter_context(QEMU(config, binary=tool("qemu-system-x86_64"), transcript=transcript))

        run_guest(start, Path(directory))
        for name, number in KEPT.items():
            for suffix, content in zip(("img", "listing"), stage(Path(directory), number), strict=True):
                Path(__file__).with_name(f"{name}.{suffix}.gz").write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main()
