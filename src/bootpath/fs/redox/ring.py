"""The ring of headers, read without opening the file system.

256 blocks of 4096 bytes; the header of generation g is written to slot g % 256. The crate elects the highest valid
generation and does not compare uuids, so that headers which an earlier mkfs left behind can outrank the file system
that is there now. mkfs always writes slot 0, so slot 0 says which one that is.

Source: redoxfs 0.9.1, `Header` and `FileSystem::open`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from bootpath import _native
from bootpath.core.device import Device, read_bytes
from bootpath.fs.redox.native import make_header
from bootpath.fs.redox.values import BLOCK_BYTES, RING_BYTES, RING_SLOTS, RedoxHeader

MAGIC = b"RedoxFS\0"
_ZERO_BLOCK = bytes(BLOCK_BYTES)


@dataclass(frozen=True, slots=True)
class Ring:
    """What the 256 slots hold. `valid` is sorted by slot; `newest` is what the crate elects, `first` slot 0.

    `invalid_slots` hold something that is no valid header (or are past the end of the device), `zero_slots` only zeros.
    """

    valid: tuple[RedoxHeader, ...]
    zero_slots: int
    invalid_slots: int

    @property
    def first(self) -> RedoxHeader | None:
        """The header in slot 0, where every loader starts, or None."""
        return self.valid[0] if self.valid and self.valid[0].slot == 0 else None

    @property
    def newest(self) -> RedoxHeader | None:
        """The header the crate elects: the highest generation, the lowest slot of equals."""
        return max(self.valid, key=lambda header: (header.generation, -header.slot), default=None)

    @property
    def uuids(self) -> tuple[UUID, ...]:
        """Every uuid seen, sorted."""
        return tuple(sorted({header.uuid for header in self.valid}))

    @property
    def uuid(self) -> UUID | None:
        """The file system that is there: slot 0's, or the newest header's when slot 0 is not valid."""
        reference = self.first or self.newest
        return None if reference is None else reference.uuid

    @property
    def stale(self) -> tuple[RedoxHeader, ...]:
        """Valid headers of other file systems than `uuid`."""
        return tuple(header for header in self.valid if header.uuid != self.uuid)

    @property
    def elects_stale(self) -> bool:
        """True when the crate would elect a header of another file system than slot 0's."""
        return self.newest is not None and self.newest.uuid != self.uuid

    @property
    def misplaced(self) -> tuple[RedoxHeader, ...]:
        """Valid headers that are not in the slot of their generation."""
        return tuple(header for header in self.valid if header.generation % RING_SLOTS != header.slot)


def scan_ring(device: Device, offset_bytes: int = 0) -> Ring:
    """Read the ring that starts at a byte of `device`, in one request. Raises DeviceError only.

    The `slot` of each header is where it was found.
    """
    available = min(RING_BYTES, device.size_bytes - offset_bytes) // BLOCK_BYTES * BLOCK_BYTES
    data = read_bytes(device, offset_bytes, available) if available > 0 else b""
    valid: list[RedoxHeader] = []
    zero_slots = 0
    for slot in range(len(data) // BLOCK_BYTES):
        block = data[slot * BLOCK_BYTES : (slot + 1) * BLOCK_BYTES]
        if block == _ZERO_BLOCK:
            zero_slots += 1
            continue
        header = parse_header(block, slot)
        if header is not None:
            valid.append(header)
    return Ring(tuple(valid), zero_slots, RING_SLOTS - zero_slots - len(valid))


def parse_header(block: bytes, slot: int) -> RedoxHeader | None:
    """The header in a block of 4096 bytes found in `slot`, None when there is no valid one."""
    fields = _native.parse_header(block) if block.startswith(MAGIC) else None
    if fields is None:
        return None
    return make_header((*fields[:4], slot, *fields[5:]))


def probe_redoxfs(device: Device, offset_bytes: int = 0) -> RedoxHeader | None:
    """The header the crate would elect at this place, or None when no RedoxFS starts here. Raises DeviceError.

    Only the first block is read unless it has RedoxFS's magic.
    """
    if offset_bytes + BLOCK_BYTES > device.size_bytes:
        return None
    if not read_bytes(device, offset_bytes, BLOCK_BYTES).startswith(MAGIC):
        return None
    return scan_ring(device, offset_bytes).newest
