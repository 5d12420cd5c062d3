"""The physical memory of a simulated machine: where the loader puts things and the system finds them again."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field

from bootpath.core.errors import BootError

PAGE_BYTES = 4096
FIRST_ADDRESS = 1 << 32
"""Allocations start at 4 GiB, where a PC has plain RAM."""


@dataclass(slots=True)
class Memory:
    """Page-aligned regions by physical address. Untouched pages cost nothing: they are anonymous mappings."""

    regions: dict[int, memoryview] = field(default_factory=dict)
    _next: int = FIRST_ADDRESS

    def allocate(self, length: int) -> tuple[int, memoryview]:
        """A zeroed region of `length` bytes and its address."""
        address = self._next
        region = memoryview(mmap.mmap(-1, max(length, 1)))[:length]
        self.regions[address] = region
        self._next += -(-max(length, 1) // PAGE_BYTES) * PAGE_BYTES
        return address, region

    def store(self, data: bytes) -> int:
        """Put `data` into a region of its own; its address."""
        address, region = self.allocate(len(data))
        region[:] = data
        return address

    def at(self, address: int, length: int, *, what: str) -> memoryview:
        """The region somebody was told of. Raises BootError when nothing of that size lies there."""
        region = self.regions.get(address)
        if region is None or len(region) != length:
            raise BootError(
                "the environment points at memory that was not handed over",
                where=what,
                found=f"{length} bytes at {address:#x}",
            )
        return region

    @property
    def total_bytes(self) -> int:
        """Memory handed over in all."""
        return sum(len(region) for region in self.regions.values())
