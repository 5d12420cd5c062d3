"""Rebuilding a block of a verity volume from its parity (forward error correction).

The parity covers the data and, behind it, the hash device from the tree on (`formats.verity.fec`). A block is rebuilt
from the 254 others of its codewords, and believed only when its digest is the one that was asked for: parity makes
nothing true. Three attempts, from the cheapest on:

1. the block, and what cannot be read, is wrong, and nothing else;
2. so is every block of the codewords that its hash says is wrong: up to `roots` of them;
3. the places are unknown: up to half as many wrong bytes in each codeword, wherever they are, in the parity too.

Hashes are looked up without being mended themselves, so nothing here calls itself.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from bootpath.block.views import read_wide
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.verity import check_fec
from bootpath.formats.verity.fec import FecParameters, mend
from bootpath.formats.verity.tree import BlockHasher, VerityParameters

Promised: TypeAlias = Callable[[int], "bytes | None"]
"""The digest of a block of the message, by a hash block that is believed; None where that is not known."""


@dataclass(frozen=True, slots=True)
class ParityArea:
    """Where parity is: on `device` from byte `offset_bytes`."""

    device: Device
    parameters: FecParameters
    offset_bytes: int = 0


class Repair:
    """The parity of one volume. For several threads. Raises DeviceError (EINVAL) when a device is too short for it."""

    def __init__(
        self, data: Device, hashes: Device, area: ParityArea, parameters: VerityParameters, *, start_block: int
    ) -> None:
        check_fec(parameters, area.parameters)
        self._data, self._hashes, self._area = data, hashes, area
        self._data_blocks, self._start_block = parameters.data_blocks, start_block
        self._size = parameters.data_block_size
        self._hasher = BlockHasher(parameters)
        self._zero_digest = self._hasher.digest(bytes(self._size))
        behind = area.parameters.blocks - parameters.data_blocks
        covered = (start_block + behind) * self._size if behind > 0 else 0
        for device, end, what in (
            (hashes, covered, "what parity covers"),
            (area.device, area.offset_bytes + area.parameters.parity_bytes, "parity"),
        ):
            if end > device.size_bytes:
                raise DeviceError(
                    f"{what} ends at byte",
                    errno=errno.EINVAL,
                    where=device.identity.name,
                    found=end,
                    expected=f"at most {device.size_bytes}",
                )

    def mended(self, block: int, expected: bytes, promised: Promised) -> bytes | None:
        """Block `block` of the message with the `expected` digest, or None. Raises nothing."""
        shape, size = self._area.parameters, self._size
        place, target = shape.place(block)
        try:
            parity = self._read(
                self._area.device, self._area.offset_bytes + place * size * shape.roots, size * shape.roots
            )
        except DeviceError:
            return None
        rows: list[bytes] = []
        unreadable: set[int] = set()
        for symbol in range(shape.symbols):
            try:
                rows.append(self._message(symbol * shape.rounds + place))
            except DeviceError:
                rows.append(bytes(size))
                unreadable.add(symbol)
        for erased, thorough in self._attempts(place, target, rows, unreadable, promised):
            message = mend(b"".join(rows), parity, shape.roots, erased, thorough=thorough)
            if message is not None:
                content = message[target * size : (target + 1) * size]
                if self._hasher.digest(content) == expected:
                    return content
        return None

    def _attempts(
        self, place: int, target: int, rows: list[bytes], unreadable: set[int], promised: Promised
    ) -> Iterator[tuple[set[int], bool]]:
        """(the rows that are known to be wrong, whether others may be) for each attempt."""
        yield unreadable | {target}, False
        erased = unreadable | {target}
        for symbol in set(range(len(rows))) - erased:
            digest = promised(symbol * self._area.parameters.rounds + place)
            if digest is None:
                continue
            if digest == self._zero_digest:
                # With ignore_zero_blocks nobody minds what is there; the parity is of zeros.
                rows[symbol] = bytes(self._size)
            elif self._hasher.digest(rows[symbol]) != digest:
                erased.add(symbol)
        yield erased, True
        yield unreadable, True

    def _message(self, block: int) -> bytes:
        if block < self._data_blocks:
            return self._read(self._data, block * self._size, self._size)
        if block < self._area.parameters.blocks:
            number = block - self._data_blocks + self._start_block
            return self._read(self._hashes, number * self._size, self._size)
        return bytes(self._size)  # the padding

    def _read(self, device: Device, offset: int, length: int) -> bytes:
        return b"".join(read_wide(device, offset, length))
