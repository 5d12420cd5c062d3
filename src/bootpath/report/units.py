"""Numbers as people read them."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def format_bytes(count: int) -> str:
    """A size with a binary unit, below 10240 of it: "4093 MiB", "3 GiB", "3328.1 MiB", "5000 bytes"."""
    if count == 1:
        return "1 byte"
    value, unit = float(count), 0
    while unit < len(_UNITS) - 1 and (value >= 10240 or (value >= 1024 and value % 1024 == 0)):
        value /= 1024
        unit += 1
    return f"{value:.0f} {_UNITS[unit]}" if value == int(value) else f"{value:.1f} {_UNITS[unit]}"


def format_offset(offset: int) -> str:
    """A place on a disk: in MiB, always, so that places compare at a glance ("3328.1 MiB")."""
    value = offset / (1 << 20)
    return f"{value:.0f} MiB" if value == int(value) else f"{value:.1f} MiB"


def format_seconds(seconds: float) -> str:
    """A duration: milliseconds below a second."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 extent", "3 extents"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
