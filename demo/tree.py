"""Make a directory tree like that of a live system: kernel, initfs, a few hundred small files, and bulk data.

    python demo/tree.py TREE --data 3GiB

The bulk is random, so incompressible, in files of 64 MiB. The same arguments make the same tree.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

from bootpath.cli.arguments import size

BLOB_BYTES = 64 << 20
KERNEL_BYTES = 3 << 20
INITFS_BYTES = 5 << 20


def write(path: Path, data: bytes | bytearray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (0, 0))


def make_tree(root: Path, data_bytes: int, *, seed: int = 1) -> None:
    """A tree with `data_bytes` of bulk below usr/share/data."""
    generator = random.Random(seed)
    write(root / "usr/lib/boot/kernel", b"\x7fELF\x02\x01\x01" + generator.randbytes(KERNEL_BYTES - 7))
    write(root / "usr/lib/boot/initfs", b"RedoxFtw" + generator.randbytes(INITFS_BYTES - 8))
    write(root / "etc/hostname", b"bootpath-demo\n")
    write(root / "etc/passwd", b"root;0;0;root;/root;/usr/bin/ion\n")
    write(root / "etc/group", b"root;0;root\n")
    for index, service in enumerate(("base", "drivers", "net", "getty")):
        write(root / f"usr/lib/init.d/{index:02}_{service}", f"# {service}\n".encode() * 20)
    for index in range(300):
        write(root / f"usr/bin/program{index:03}", generator.randbytes(generator.randrange(1000, 60_000)))
    for name in ("init", "getty", "login", "ion"):
        write(root / f"usr/bin/{name}", generator.randbytes(200_000))
    (root / "home/user").mkdir(parents=True, exist_ok=True)
    content = bytearray(generator.randbytes(BLOB_BYTES))
    for index, start in enumerate(range(0, data_bytes, BLOB_BYTES)):
        content[:8] = index.to_bytes(8)
        write(root / f"usr/share/data/blob{index:02}", content[: data_bytes - start])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--data", type=size, default=3 << 30)
    options = parser.parse_args()
    make_tree(options.tree, options.data)


if __name__ == "__main__":
    main()
