"""Numbers as people read them in reports."""

from __future__ import annotations

from bootpath.core.units import format_bytes as format_bytes
from bootpath.core.units import plural as plural


def format_offset(offset: int) -> str:
    """An offset on a disk: in MiB, always, so that offsets compare at a glance ("3328.1 MiB")."""
    value = offset / (1 << 20)
    return f"{value:.0f} MiB" if value == int(value) else f"{value:.1f} MiB"


def format_seconds(seconds: float) -> str:
    """A duration: milliseconds below a second."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
