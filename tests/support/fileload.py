"""A load in the manner of fsx: random operations on one file, each compared with a model in memory.

It needs nothing but the standard library, so that it runs in a test guest as well as here. The operations are decided
by the seed alone; the file's last content is what `run` returns the digest of, for whoever reads it again later.

The model is fsx of the Apple and FreeBSD file system tests: write, read, truncate, map, each at a random range.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import sys

MAX_BYTES = 1 << 20
MAX_STEP_BYTES = 96 << 10
PAGE_BYTES = 4096
OPERATIONS = ("write", "write", "write", "read", "read", "truncate", "map", "mapped read", "sync", "direct read")


class Load:
    """One file and what must be in it. AssertionError says which operation found something else."""

    def __init__(self, path: str, seed: int, *, direct: bool = True) -> None:
        self.path = path
        self.model = bytearray()
        self._random = random.Random(seed)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._direct = os.open(path, os.O_RDONLY | os.O_DIRECT) if direct else None

    def run(self, operations: int) -> str:
        """Do so many operations; the digest of what the file holds in the end, synced."""
        for number in range(operations):
            operation = self._random.choice(OPERATIONS)
            offset = self._random.randrange(MAX_BYTES - MAX_STEP_BYTES)
            length = self._random.randint(1, MAX_STEP_BYTES)
            try:
                getattr(self, "_" + operation.replace(" ", "_"))(offset, length)
            except AssertionError as fault:
                raise AssertionError(
                    f"{self.path}: operation {number}: {operation} {length} at {offset}: {fault}"
                ) from None
        os.fsync(self._fd)
        return hashlib.sha256(self.model).hexdigest()

    def close(self) -> None:
        os.close(self._fd)
        if self._direct is not None:
            os.close(self._direct)

    def _compare(self, offset: int, found: bytes) -> None:
        expected = self.model[offset : offset + len(found)]
        if found != expected:
            at = next(index for index, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
            raise AssertionError(f"byte {offset + at} is {found[at]:#x}, expected {expected[at]:#x}")

    def _grow(self, end: int) -> None:
        self.model.extend(bytes(max(0, end - len(self.model))))

    def _write(self, offset: int, length: int) -> None:
        data = self._random.randbytes(length)
        assert os.pwrite(self._fd, data, offset) == length, "short write"
        self._grow(offset + length)
        self.model[offset : offset + length] = data

    def _read(self, offset: int, length: int) -> None:
        found = os.pread(self._fd, length, offset)
        assert len(found) == max(0, min(length, len(self.model) - offset)), f"{len(found)} bytes came"
        self._compare(offset, found)

    def _truncate(self, offset: int, length: int) -> None:
        os.ftruncate(self._fd, offset)
        del self.model[offset:]
        self._grow(offset)

    def _map(self, offset: int, length: int) -> None:
        end = min(offset + length, len(self.model))
        if end > offset:
            with mmap.mmap(self._fd, len(self.model)) as memory:
                data = self._random.randbytes(end - offset)
                memory[offset:end] = data
                self.model[offset:end] = data

    def _mapped_read(self, offset: int, length: int) -> None:
        if self.model:
            with mmap.mmap(self._fd, len(self.model), prot=mmap.PROT_READ) as memory:
                self._compare(offset, memory[offset : offset + length])

    def _sync(self, offset: int, length: int) -> None:
        os.fdatasync(self._fd)

    def _direct_read(self, offset: int, length: int) -> None:
        """Past the page cache: what the disk holds, after it was told to hold it."""
        if self._direct is None:
            return
        os.fdatasync(self._fd)
        offset -= offset % PAGE_BYTES
        with mmap.mmap(-1, -(-length // PAGE_BYTES) * PAGE_BYTES) as memory:
            count = os.preadv(self._direct, [memory], offset)
            self._compare(offset, memory[:count])


def main() -> int:
    """``load FILE SEED OPERATIONS``: print the digest; or ``digest FILE``."""
    if sys.argv[1] == "load":
        load = Load(sys.argv[2], int(sys.argv[3]))
        print(load.run(int(sys.argv[4])), flush=True)
        load.close()
    else:
        with open(sys.argv[2], "rb") as file:
            print(hashlib.file_digest(file, "sha256").hexdigest(), flush=True)
    return 0
