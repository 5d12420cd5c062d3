"""Counters of what lived read from the physical disk, in memory that it shares with init."""

from __future__ import annotations

import mmap
import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Reads that no RAM could answer: how many, their bytes, how many had to wait for the disk, how many failed."""

    reads: int
    bytes: int
    waits: int
    failures: int

    def detail(self) -> str:
        """The counts as the detail of an event."""
        return f"disk_reads={self.reads} disk_bytes={self.bytes} disk_waits={self.waits} disk_failures={self.failures}"


class DiskCounters:
    """Counters that survive a fork: the processes share them. Adding is for one process, from any of its threads."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self._lock = threading.Lock()

    def add(self, *, reads: int = 0, bytes_read: int = 0, waits: int = 0, failures: int = 0) -> None:
        """Count."""
        with self._lock:
            for index, more in enumerate((reads, bytes_read, waits, failures)):
                self._cells[index] += more

    def counts(self) -> Counts:
        """The counts so far."""
        return Counts(*self._cells[:4])
