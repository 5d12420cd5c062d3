"""Make files of data that do not compress, to fill a disk as photographs and films would.

    python -m demo.data DIRECTORY --data 1GiB

Files of 64 MiB and a SHA256SUMS beside them. The same arguments make the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from pathlib import Path

from bootpath.cli.arguments import size

FILE_BYTES = 64 << 20


def make_data(directory: Path, data_bytes: int, *, seed: int = 1) -> None:
    """Fill `directory` with `data_bytes` of data."""
    directory.mkdir(parents=True, exist_ok=True)
    content = bytearray(random.Random(seed).randbytes(FILE_BYTES))
    sums = []
    for index, start in enumerate(range(0, data_bytes, FILE_BYTES)):
        content[:8] = index.to_bytes(8)
        part = content[: data_bytes - start]
        name = f"data{index:02}"
        (directory / name).write_bytes(part)
        sums.append(f"{hashlib.sha256(part).hexdigest()}  {name}\n")
    (directory / "SHA256SUMS").write_text("".join(sums))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--data", type=size, default=1 << 30)
    options = parser.parse_args()
    make_data(options.directory, options.data)


if __name__ == "__main__":
    main()
