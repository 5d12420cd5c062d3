"""Numbers with their units and nouns, for sentences."""

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


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 extent", "3 extents"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
