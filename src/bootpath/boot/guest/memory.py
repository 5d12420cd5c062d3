"""Physical memory that the loader reserved: the regions Linux shows as /dev/pmemN.

``memmap=SIZE!ADDR`` makes a range of RAM a legacy persistent memory region, which the driver nd_pmem shows as a block
device; its namespace's ``resource`` in sysfs is the physical address.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from bootpath.core.errors import BootError

SYS_BLOCK = Path("/sys/block")
DEVICES = Path("/dev")


@dataclass(frozen=True, slots=True)
class MemoryRegion:
    """`length` bytes at physical `address`, mapped read-only."""

    address: int
    length: int
    device: Path

    def map(self) -> memoryview:
        """The bytes. Raises OSError."""
        fd = os.open(self.device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return memoryview(mmap.mmap(fd, self.length, prot=mmap.PROT_READ))
        finally:
            os.close(fd)


def find_regions(sys_block: Path = SYS_BLOCK, devices: Path = DEVICES) -> list[MemoryRegion]:
    """The regions that the kernel shows."""
    found = []
    for entry in sorted(sys_block.glob("pmem*")):
        address = int((entry / "device/resource").read_text(), 16)
        found.append(MemoryRegion(address, int((entry / "size").read_text()) * 512, devices / entry.name))
    return found


class PhysicalMemory:
    """Reads what lies in the regions. Each is mapped once."""

    def __init__(self, regions: list[MemoryRegion]) -> None:
        self.regions = regions
        self._maps: dict[int, memoryview] = {}

    def at(self, address: int, length: int, what: str) -> memoryview:
        """The bytes at a physical address. Raises BootError when they are not in a region, OSError."""
        for region in self.regions:
            start = address - region.address
            if start >= 0 and start + length <= region.length:
                if region.address not in self._maps:
                    self._maps[region.address] = region.map()
                return self._maps[region.address][start : start + length]
        known = ", ".join(f"{region.length:#x} at {region.address:#x}" for region in self.regions)
        raise BootError(
            "the environment points at memory that was not reserved",
            where=what,
            expected=f"a place in {known}" if known else "a region of persistent memory (memmap=SIZE!ADDR)",
            found=f"{length:#x} bytes at {address:#x}",
        )

    def read(self, address: int, length: int, what: str) -> bytes:
        """A copy of them."""
        return bytes(self.at(address, length, what))
