"""crypt: a lower device whose sectors are encrypted, as Linux's dm-crypt.

Each unit of `sector_bytes` is encrypted by itself under an IV made of its number (`sectorcipher`). The number counts
512-byte sectors from the start of the mapping, plus `iv_offset`; with `large_ivs` (iv_large_sectors) that sum is
divided by the sectors of a unit. Everything read or written is a whole number of units, so a write never reads first.

Source: Linux Documentation/admin-guide/device-mapper/dm-crypt.rst.

What the device below knows to be zeros is not zeros here: nothing is reported as such. A discard is ignored unless
`allow_discards`; what was discarded reads as noise.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from bootpath.block.targets.filter import Filter
from bootpath.block.targets.sectorcipher import SectorCipher
from bootpath.core.device import SECTOR_BYTES, Buffer, Device, Identity, Segment
from bootpath.core.errors import DeviceError

_RESIDENT_BYTES = 16 << 10  # more than this is decrypted on a worker
_PIECE_BYTES = 1 << 20


class Crypt(Filter):
    """`lower`, which stays open, decrypted by `cipher`.

    Raises DeviceError (EINVAL) when its size is not a multiple of the blocks that the unit asks for: units of more than
    512 bytes make it a device with blocks of 4096.
    """

    def __init__(
        self,
        lower: Device,
        cipher: SectorCipher,
        *,
        iv_offset: int = 0,
        sector_bytes: int = SECTOR_BYTES,
        large_ivs: bool = False,
        allow_discards: bool = False,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(lower, identity=identity or Identity(f"crypt({lower.identity.name})"))
        self.block_bytes = max(lower.block_bytes, SECTOR_BYTES if sector_bytes == SECTOR_BYTES else 4096)
        if self.size_bytes % self.block_bytes:
            raise DeviceError(
                "the device does not end on a unit of encryption",
                errno=errno.EINVAL,
                where=self.identity.name,
                found=f"{self.size_bytes} bytes",
                expected=f"a multiple of {self.block_bytes}",
            )
        self._cipher = cipher
        self._unit = sector_bytes
        sectors = sector_bytes // SECTOR_BYTES
        self._iv_divisor = sectors if large_ivs else 1
        self._iv_step = 1 if large_ivs else sectors
        self._iv_offset = iv_offset
        self._allow_discards = allow_discards

    def _first_iv(self, offset: int) -> int:
        return (offset // SECTOR_BYTES + self._iv_offset) // self._iv_divisor

    def _decrypted(self, offset: int, views: Sequence[Buffer]) -> Sequence[Buffer]:
        data = views[0] if len(views) == 1 else b"".join(views)
        return (self._cipher.decrypt(data, self._unit, self._first_iv(offset), self._iv_step),)

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        return self._decrypted(offset, self.lower.read(offset, length))

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: a small read that is resident below."""
        views = self.lower.read_resident(offset, length) if length <= _RESIDENT_BYTES else None
        return None if views is None else self._decrypted(offset, views)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        self.lower.write(offset, self._cipher.encrypt(data, self._unit, self._first_iv(offset), self._iv_step), fua=fua)

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: passed on with `allow_discards`, else nothing."""
        if self._allow_discards:
            self.lower.discard(offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: encrypted zeros are written."""
        for start in range(offset, offset + length, _PIECE_BYTES):
            self.write(start, bytes(min(_PIECE_BYTES, offset + length - start)))

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the lower device's, none of them known to be zeros."""
        for segment in self.lower.extents(offset, length):
            yield Segment(segment.offset, segment.length, segment.source)
