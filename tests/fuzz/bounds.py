"""What a process may do while it tries inputs: the same for a guided run and for a replay of what it found."""

from __future__ import annotations

import resource
import warnings
from pathlib import Path

INPUT_SECONDS = 20
ALLOCATED_BYTES = 256 << 20


def bound_process() -> None:
    """From here on a warning is an error, and so is more memory than that: at once, also for zeros nobody touches."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack, proc(5)
    limit = pages * resource.getpagesize() + ALLOCATED_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    warnings.simplefilter("error")
