"""Where the preload lies in a machine's memory, and the kernel parameters for it: one blob, a reserved range.

The blob is the preload, then the map of extents where it is too long for a command line, then the password::

    address                                        the preload, packed
    + preload, rounded up to 4096                  the text of DISK_LIVE_EXTENTS
    + map, rounded up to 4096                      the password

QEMU's q35 has its RAM below 2816 MiB in one piece; a larger machine has 2 GiB below, the rest from 4 GiB on (hw/i386/
pc_q35.c). The initrd is put at the end of the low piece (hw/i386/x86.c), so a preload there lies below it; a large one
lies at 4 GiB. Linux maps persistent memory in sections of 2 MiB (MEMREMAP_COMPAT_ALIGN_MAX).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bootpath.boot.protocol.settings import EXTENTS, MAP_ADDR, MAP_SIZE
from bootpath.boot.redox.memory import PAGE_BYTES
from bootpath.core.errors import BootError
from bootpath.formats.cmdline.parameters import Parameter, quote
from bootpath.formats.handoff import Handoff, pack_handoff

MIB = 1 << 20
LOW_LIMIT_BYTES = 0xB0000000
LOW_OF_LARGE_BYTES = 2048 * MIB
HIGH_ADDRESS = 1 << 32
ALIGN_BYTES = 2 * MIB
KERNEL_ROOM_BYTES = 192 * MIB
"""From 0: the kernel as it is unpacked, and what it needs before it knows its memory."""
FIRMWARE_ROOM_BYTES = 32 * MIB
"""At the end of low memory: q35's TSEG of 16 MiB, and below it what SeaBIOS allocates (ACPI tables, SMBIOS, itself)."""
_MAP_PARAMETER_BYTES = 512


@dataclass(frozen=True, slots=True)
class ReservedMemory:
    """A machine of `memory_bytes`, of which it gives up `reserved_bytes` at `address`."""

    memory_bytes: int
    address: int
    reserved_bytes: int

    @property
    def parameter(self) -> Parameter:
        """The kernel parameter that reserves the memory."""
        return quote("memmap", f"{self.reserved_bytes >> 20}M!{self.address:#x}")


def reserve_memory(usable_bytes: int, initrd_bytes: int, blob_bytes: int) -> ReservedMemory:
    """A machine that leaves `usable_bytes` to the system. Raises BootError when that is too little to start Linux."""
    least = _up(KERNEL_ROOM_BYTES + initrd_bytes + FIRMWARE_ROOM_BYTES, MIB)
    if usable_bytes < least:
        raise BootError(
            "the machine has too little memory for Linux",
            where="placement",
            expected=f"at least {least >> 20} MiB beside the preload",
            found=f"{usable_bytes >> 20} MiB",
        )
    reserved = max(_up(blob_bytes, ALIGN_BYTES), ALIGN_BYTES)
    total = _up(usable_bytes, MIB) + reserved
    if total < LOW_LIMIT_BYTES:
        end = total - FIRMWARE_ROOM_BYTES - _up(initrd_bytes, PAGE_BYTES)
        return ReservedMemory(total, (end - reserved) // ALIGN_BYTES * ALIGN_BYTES, reserved)
    return ReservedMemory(max(total, LOW_LIMIT_BYTES, LOW_OF_LARGE_BYTES + reserved), HIGH_ADDRESS, reserved)


@dataclass(frozen=True, slots=True)
class PreloadBlob:
    """What lies behind the preload in memory, and what it makes of the handoff."""

    map_text: bytes
    password: bytes
    preload_bytes: int

    @property
    def size_bytes(self) -> int:
        """With the preload."""
        return self.password_offset + len(self.password)

    @property
    def map_offset(self) -> int:
        """Where the map lies."""
        return _up(self.preload_bytes, PAGE_BYTES)

    @property
    def password_offset(self) -> int:
        """Where the password lies."""
        return self.map_offset + _up(len(self.map_text), PAGE_BYTES)

    def parts(self) -> list[tuple[int, bytes]]:
        """What to write at which offset, beside the preload itself."""
        return [(self.map_offset, self.map_text), (self.password_offset, self.password)]

    def parameters(self, handoff: Handoff, address: int) -> tuple[Parameter, ...]:
        """The handoff as kernel parameters, with the blob at `address`. Raises FormatError."""
        extra = handoff.extra
        if self.map_text:
            places = ((MAP_ADDR, address + self.map_offset), (MAP_SIZE, len(self.map_text)))
            extra = (*extra, *((key, f"{value:016x}") for key, value in places))
        moved = replace(
            handoff,
            live_addr=address,
            password_addr=address + self.password_offset if self.password else None,
            password_size_bytes=len(self.password) if self.password else None,
            extra=extra,
        )
        pairs = [line.partition("=") for line in pack_handoff(moved).decode().split("\n") if line]
        return tuple(quote(key, value) for key, _, value in pairs if not (self.map_text and key == EXTENTS))


def make_blob(handoff: Handoff, password: bytes | None) -> PreloadBlob:
    """What goes with the preload: the map only when it is too long for a command line."""
    text = ",".join(f"{extent.offset:x}+{extent.length:x}" for extent in handoff.live_extents or ()).encode()
    map_text = text if len(text) > _MAP_PARAMETER_BYTES else b""
    return PreloadBlob(map_text, password or b"", handoff.live_size_bytes or 0)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
