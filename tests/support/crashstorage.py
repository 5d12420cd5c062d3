"""Storage that remembers every call, and what a disk may hold when the power goes between any two of them.

The model of the disk: what was written before the last flush is there. Of what was written after it, every 512-byte
sector holds any of the contents it has had since, or the beginning of one and the end of another; the file ends at any
of the places it has ended at since.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from random import Random

from bootpath.core.device import Buffer, Identity
from bootpath.core.errors import DeviceError

SECTOR = 512


class CrashStorage:
    """`image` is what is stable at first. `capacity_bytes` bounds the file; `fail_flush` makes flushes EIO."""

    def __init__(self, image: bytes = b"", *, capacity_bytes: int | None = None) -> None:
        self.identity = Identity("overlay.bpo")
        self.current = bytearray(image)
        self.stable = bytes(image)
        self.calls: list[tuple[str, int, bytes]] = []
        self.capacity_bytes = capacity_bytes
        self.fail_flush = False
        self.closed = False

    def mark(self, name: str, value: int) -> None:
        """Note a moment among the calls."""
        self.calls.append((name, value, b""))

    def length(self) -> int:
        return len(self.current)

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        if offset + length > len(self.current):
            raise DeviceError("truncated", where=self.identity.name)
        return (bytes(self.current[offset : offset + length]),)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return self.read(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        if self.capacity_bytes is not None and offset + len(data) > self.capacity_bytes:
            room = max(self.capacity_bytes - offset, 0)  # as a file system: what fits is written
            self._do("write", offset, bytes(data[:room]))
            raise DeviceError("no space", errno=errno.ENOSPC, where=self.identity.name)
        self._do("write", offset, bytes(data))

    def flush(self) -> None:
        if self.fail_flush:
            raise DeviceError("flush failed", where=self.identity.name)
        self._do("flush", 0, b"")

    def discard(self, offset: int, length: int) -> None:
        size = min(length, len(self.current) - offset)
        if size > 0:
            self._do("write", offset, bytes(size))

    def allocate(self, offset: int, length: int) -> None:
        if self.capacity_bytes is not None and offset + length > self.capacity_bytes:
            raise DeviceError("no space", errno=errno.ENOSPC, where=self.identity.name)
        if offset + length > len(self.current):
            self._do("truncate", offset + length, b"")

    def truncate(self, length: int) -> None:
        self._do("truncate", length, b"")

    def close(self) -> None:
        self.closed = True

    def _do(self, name: str, offset: int, data: bytes) -> None:
        self.calls.append((name, offset, data))
        _apply(self.current, name, offset, data)

    def killed(self, upto: int, random: Random) -> CrashStorage:
        """The file for the next process when this one died in call `upto`: what it wrote until then is in the page
        cache, and no more of it is stable than was."""
        after = CrashStorage(self.stable)
        calls = list(self.calls[:upto])
        if upto < len(self.calls) and self.calls[upto][0] == "write":
            _, offset, data = self.calls[upto]
            calls.append(("write", offset, data[: random.randint(0, len(data))]))
        for name, offset, data in calls:
            if name in ("write", "truncate", "flush"):
                after._do(name, offset, data)
        return after

    def lost_power(self, upto: int, random: Random, *, keep: float) -> bytes:
        """What may be on the disk after the first `upto` calls; `keep` is how likely something unflushed is there."""
        flushes = [index for index in range(upto) if self.calls[index][0] == "flush"]
        since = flushes[-1] + 1 if flushes else 0
        before = bytearray(self.stable)
        for name, offset, data in self.calls[:since]:
            _apply(before, name, offset, data)
        now = bytearray(before)
        sizes = [len(before)]
        versions: dict[int, list[bytes]] = {}
        for name, offset, data in self.calls[since:upto]:
            touched = range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)) if name == "write" else range(0)
            for sector in touched:
                versions.setdefault(sector, [_sector(now, sector)])
            if name == "truncate" and offset < len(now):
                for sector in [sector for sector in versions if (sector + 1) * SECTOR > offset]:
                    versions[sector].append(bytes(SECTOR))
            _apply(now, name, offset, data)
            for sector in touched:
                versions[sector].append(_sector(now, sector))
            if len(now) != sizes[-1]:
                sizes.append(len(now))
        image = before
        for sector, contents in versions.items():
            if random.random() >= keep:
                continue
            new = contents[-1] if keep >= 1 else random.choice(contents)
            if keep < 1 and random.random() < 0.1:
                cut = random.randrange(SECTOR)
                new = new[:cut] + random.choice(contents)[cut:]
            end = sector * SECTOR + SECTOR
            image.extend(bytes(max(end - len(image), 0)))
            image[end - SECTOR : end] = new
        size = sizes[-1] if keep >= 1 else random.choice(sizes)
        return bytes(image[:size].ljust(size, b"\0"))


def _sector(image: bytearray, sector: int) -> bytes:
    return bytes(image[sector * SECTOR : (sector + 1) * SECTOR]).ljust(SECTOR, b"\0")


def _apply(image: bytearray, name: str, offset: int, data: bytes) -> None:
    if name == "write" and data:
        image.extend(bytes(max(offset + len(data) - len(image), 0)))
        image[offset : offset + len(data)] = data
    elif name == "truncate":
        del image[offset:]
        image.extend(bytes(offset - len(image)))
