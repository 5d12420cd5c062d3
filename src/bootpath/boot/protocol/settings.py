"""What the guest is told: the handoff in its environment, and words for itself on the kernel's command line.

Linux gives words ``KEY=value`` of its command line that it does not know to init as environment, at most 32 of them,
and words with a dot to nobody; the latter are ours (``/proc/cmdline``):

======================  ==========================================================================
bootpath.shell=1        when the boot fails: a shell on the console instead of powering off
bootpath.classic=1      serve the live disk as the old daemon did: only what is preloaded
bootpath.deadline=30    seconds a read waits for the physical disk
bootpath.overlay=N      bytes of writes that are kept in RAM, then ENOSPC (default: half of the free memory)
bootpath.init=/path     the root's init (default /sbin/init)
======================  ==========================================================================

An extents map that is too long for a command line lies in memory behind the preload, at the text that LIVE_MAP_ADDR and
LIVE_MAP_SIZE point to; here it is put back into the environment block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bootpath.core.errors import BootError

PREFIX = "bootpath."
MAP_ADDR, MAP_SIZE = "DISK_LIVE_MAP_ADDR", "DISK_LIVE_MAP_SIZE"
_EXTENTS = "DISK_LIVE_EXTENTS"
_PREFIXES = ("DISK_", "REDOXFS_", "PARTITION_")
_MAX_MAP_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Settings:
    """The words for the guest itself; see the module docstring."""

    shell: bool = False
    classic: bool = False
    deadline: float = 30.0
    overlay: int | None = None
    init: str = "/sbin/init"

    def words(self) -> list[str]:
        """The words that say this, without those that say what is so anyway."""
        default = Settings()
        words = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != getattr(default, field.name):
                words.append(f"{PREFIX}{field.name}={int(value) if isinstance(value, bool) else value}")
        return words


def parse_settings(command_line: str) -> Settings:
    """The settings in a kernel command line. Raises BootError for an unknown one, or a value that is none."""
    readers: dict[str, Callable[[str], Any]] = {
        "shell": _flag,
        "classic": _flag,
        "deadline": float,
        "overlay": int,
        "init": str,
    }
    found: dict[str, Any] = {}
    for word in command_line.split():
        name, equals, value = word.removeprefix(PREFIX).partition("=")
        if not word.startswith(PREFIX):
            continue
        if not equals or name not in readers:
            raise BootError("unknown word", where="kernel command line", found=word)
        try:
            found[name] = readers[name](value)
        except ValueError:
            raise BootError("a value nobody can read", where="kernel command line", found=word) from None
    return Settings(**found)


def _flag(text: str) -> bool:
    return {"0": False, "1": True}[text] if text in ("0", "1") else _refuse(text)


def _refuse(text: str) -> bool:
    raise ValueError(text)


def environment_block(environment: Mapping[str, str], read_memory: Callable[[int, int, str], bytes]) -> bytes:
    """The handoff's environment block, from init's environment. `read_memory` (address, length, what it is for) reads
    physical memory. Raises BootError when the map of extents cannot be where it is said to be."""
    pairs = {key: value for key, value in environment.items() if key.startswith(_PREFIXES)}
    address, length = pairs.pop(MAP_ADDR, None), pairs.pop(MAP_SIZE, None)
    if address is not None and length is not None:
        try:
            at, size = int(address, 16), int(length, 16)
        except ValueError:
            raise BootError("is no address and size", where=MAP_ADDR, found=f"{address!r}, {length!r}") from None
        if size > _MAX_MAP_BYTES:
            raise BootError("the map of extents has", where=MAP_SIZE, found=size, expected=f"<= {_MAX_MAP_BYTES} bytes")
        pairs[_EXTENTS] = read_memory(at, size, MAP_ADDR).decode("ascii", errors="replace")
    return "".join(f"{key}={value}\n" for key, value in pairs.items()).encode()
