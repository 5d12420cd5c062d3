"""The FAT that a Raspberry Pi starts from: which kernels its firmware would load, and what is missing there.

Source: Raspberry Pi documentation, "The boot folder": before it loads a kernel, the firmware loads itself,
``start*.elf`` with the ``fixup*.dat`` of the same name (and ``bootcode.bin`` up to the Raspberry Pi 3); that of a
Raspberry Pi 5 is not on the disk. ``autoboot.txt`` may lead to another partition, ``tryboot.txt`` is for one boot.

Only a volume that has a config.txt, and something of the firmware's beside it, is taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bootpath.formats.entries.raspberrypi import DEFAULT_KERNELS, PiBoot, PiConfig, pi_boots

CONFIG = "/config.txt"
_FIRMWARE = re.compile(r"start\w*\.elf")
_OWN = re.compile(r"bootcode\.bin|start\w*\.elf|fixup\w*\.dat|bcm27\S*\.dtb|kernel\w*\.img|cmdline\.txt")
_OTHER_LOADER = re.compile(r"(?:.*/)?u-?boot\S*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PiVolume:
    """The settings of a volume and the names in its root, in lower case; `system_names` are those behind os_prefix."""

    config: PiConfig
    names: frozenset[str]
    system_names: frozenset[str]

    def boots(self) -> tuple[PiBoot, ...]:
        """What each kind of board would load."""
        return pi_boots(self.config, self.system_names)

    def warnings(self, boot: PiBoot) -> Iterator[str]:
        """What is to be known of one of them."""
        for setting in self.config.undecided:
            yield f"config.txt: {setting} counts only on some boards, and is not taken into account"
        yield from _missing(self.names)
        if _OTHER_LOADER.fullmatch(boot.kernel):
            yield f"{boot.kernel} is U-Boot, which goes on to the entries that it finds itself"
        if "autoboot.txt" in self.names:
            yield "autoboot.txt may have the firmware start from another partition"


def is_pi_volume(names: Collection[str]) -> bool:
    """True when files of these names, in lower case, beside a config.txt are those of a Raspberry Pi."""
    return any(_OWN.fullmatch(name) for name in names)


def default_names() -> str:
    """The kernels that are looked for when none is named."""
    return ", ".join(name for name, _, _ in DEFAULT_KERNELS)


def _missing(names: frozenset[str]) -> Iterator[str]:
    """What the firmware misses of itself."""
    found = sorted(name for name in names if _FIRMWARE.fullmatch(name))
    if not found:
        yield "the firmware is missing (start*.elf): only a Raspberry Pi 5 starts from here"
    for name in found:
        fixup = name.replace("start", "fixup", 1).removesuffix(".elf") + ".dat"
        if fixup not in names:
            yield f"{fixup}, which belongs to {name}, is missing"
    if found and "start.elf" in found and "bootcode.bin" not in names:
        yield "bootcode.bin, without which boards before the Raspberry Pi 4 do not start, is missing"
