"""What the guest is told: the handoff in its environment, and settings of its own on the kernel's command line.

Linux gives parameters ``KEY=value`` that it does not know to init as environment, at most 32 of them, and parameters
with a dot to nobody; the latter are ours (``/proc/cmdline``):

======================  ==========================================================================
bootpath.shell=1        when the boot fails: a shell on the console instead of powering off
bootpath.classic=1      serve the live disk as the old daemon did: only what is preloaded
bootpath.deadline=30    seconds that a read waits for the physical disk
bootpath.overlay=N      bytes of writes that are kept in RAM, then ENOSPC (default: half of the free memory)
bootpath.init=/path     the root's init (default /sbin/init)
======================  ==========================================================================

An extents map that is too long for a command line lies in memory behind the preload, where LIVE_MAP_ADDR and
LIVE_MAP_SIZE point to; here it is put back into the environment block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from bootpath.core.errors import BootError
from bootpath.formats.cmdline.parameters import Parameter, quote, split_init, split_parameters

PREFIX = "bootpath."
MAP_ADDR, MAP_SIZE = "DISK_LIVE_MAP_ADDR", "DISK_LIVE_MAP_SIZE"
EXTENTS = "DISK_LIVE_EXTENTS"
_PREFIXES = ("DISK_", "REDOXFS_", "PARTITION_")
_MAX_MAP_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the guest; see the module docstring."""

    shell: bool = False
    classic: bool = False
    deadline: float = 30.0
    overlay: int | None = None
    init: str = "/sbin/init"

    def parameters(self) -> tuple[Parameter, ...]:
        """The kernel parameters for these settings, without those that have their default."""
        default = Settings()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return tuple(
            quote(f"{PREFIX}{name}", int(value) if isinstance(value, bool) else value)
            for name, value in values.items()
            if value != getattr(default, name)
        )


def parse_settings(command_line: str) -> Settings:
    """The settings on a kernel command line. Raises FormatError, BootError for one that is unknown or unreadable."""
    readers: dict[str, Callable[[str], Any]] = {
        "shell": _flag,
        "classic": _flag,
        "deadline": float,
        "overlay": int,
        "init": str,
    }
    found: dict[str, Any] = {}
    for parameter in split_init(split_parameters(command_line))[0]:
        if not parameter.key.startswith(PREFIX):
            continue
        name, value = parameter.key.removeprefix(PREFIX), parameter.value
        if value is None or name not in readers:
            raise BootError("the parameter is not known", where="kernel command line", found=parameter.text)
        try:
            found[name] = readers[name](value)
        except ValueError:
            raise BootError("the value cannot be read", where="kernel command line", found=parameter.text) from None
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
            raise BootError(
                f"{MAP_ADDR} and {MAP_SIZE} are not numbers",
                where="handoff",
                found=f"{address!r}, {length!r}",
            ) from None
        if size > _MAX_MAP_BYTES:
            raise BootError(
                f"the map of extents has {size} bytes", where=MAP_SIZE, expected=f"at most {_MAX_MAP_BYTES} bytes"
            )
        pairs[EXTENTS] = read_memory(at, size, MAP_ADDR).decode("ascii", errors="replace")
    return "".join(f"{key}={value}\n" for key, value in pairs.items()).encode()
