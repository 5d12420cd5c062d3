"""Rebuilding a block of a verity volume from its FEC (forward error correction).

FEC covers the data and, behind it, the hash device from the tree on (`formats.verity.fec`). A block is rebuilt from the
254 others of its codewords, and accepted only when its digest is the one that was asked for: FEC proves nothing. There
are three attempts, the cheapest first:

1. the block is wrong, and so is what cannot be read, and nothing else;
2. every other block of the codewords whose hash does not match is wrong too: up to `roots` of them;
3. the wrong blocks are unknown: up to half as many wrong bytes in each codeword, wherever they are, also in the FEC.

Hashes are looked up without being repaired themselves, so nothing here calls itself. A block whose hash is that of
zeros is taken for zeros only for a target with ignore_zero_blocks, as in Linux: without that option, what such a block
holds counts as any other.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bootpath.block.views import read_wide
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.verity import check_fec
from bootpath.formats.verity.fec import FecParameters, repair_codewords
from bootpath.formats.verity.tree import BlockHasher, VerityParameters

Promised: TypeAlias = Callable[[int], "bytes | None"]
"""The digest of a block of the message, from a hash block that was checked; None where it is not known."""


@dataclass(frozen=True, slots=True)
class ParityArea:
    """Where the FEC's parity blocks are: on `device` from byte `offset_bytes`."""

    device: Device
    parameters: FecParameters
    offset_bytes: int = 0


class Repair:
    """Repairs one volume by its FEC. For several threads. Raises DeviceError (EINVAL) when a device is too short."""

    def __init__(
        self,
        data: Device,
        hashes: Device,
        area: ParityArea,
        parameters: VerityParameters,
        *,
        start_block: int,
        ignore_zero_blocks: bool = False,
    ) -> None:
        check_fec(parameters, area.parameters)
        self._data, self._hashes, self._area = data, hashes, area
        self._data_blocks, self._start_block = parameters.data_blocks, start_block
        self._size = parameters.data_block_size
        self._hasher = BlockHasher(parameters)
        self._zero_digest = self._hasher.digest(bytes(self._size)) if ignore_zero_blocks else None
        behind = area.parameters.blocks - parameters.data_blocks
        covered = (start_block + behind) * self._size if behind > 0 else 0
        for device, end, what in (
            (hashes, covered, "what FEC covers"),
            (area.device, area.offset_bytes + area.parameters.parity_bytes, "the FEC area"),
        ):
            if end > device.size_bytes:
                raise DeviceError(
                    f"{what} ends past the device",
                    errno=errno.EINVAL,
                    where=device.identity.name,
                    found=f"an end at byte {end}",
                    expected=f"at most {device.size_bytes}",
                )

    def rebuilt(self, block: int, expected: bytes, promised: Promised) -> bytes | None:
        """Block `block` of the message with the `expected` digest, or None. Raises nothing."""
        place, symbol = self._area.parameters.place(block)
        return self.rebuilt_at(place, {symbol: expected}, promised).get(symbol)

    def rebuilt_at(self, place: int, wanted: Mapping[int, bytes], promised: Promised) -> dict[int, bytes]:
        """What can be rebuilt of the wrong symbols at a place; `wanted` are their digests. Raises nothing."""
        shape, size = self._area.parameters, self._size
        try:
            parity = self._read(
                self._area.device, self._area.offset_bytes + place * size * shape.roots, size * shape.roots
            )
        except DeviceError:
            return {}
        symbols: list[bytes] = []
        unreadable: set[int] = set()
        for symbol in range(shape.symbols):
            try:
                symbols.append(self._message(symbol * shape.rounds + place))
            except DeviceError:
                symbols.append(bytes(size))
                unreadable.add(symbol)
        found: dict[int, bytes] = {}
        for erased, thorough in self._attempts(place, set(wanted), symbols, unreadable, promised):
            message = repair_codewords(b"".join(symbols), parity, shape.roots, erased, thorough=thorough)
            if message is None:
                continue
            for symbol in wanted.keys() - found.keys():
                content = message[symbol * size : (symbol + 1) * size]
                if self._hasher.digest(content) == wanted[symbol]:
                    found[symbol] = content
            if len(found) == len(wanted):
                break
        return found

    def _attempts(
        self, place: int, wanted: set[int], symbols: list[bytes], unreadable: set[int], promised: Promised
    ) -> Iterator[tuple[set[int], bool]]:
        """(the symbols that are known to be wrong, whether others may be) for each attempt."""
        yield unreadable | wanted, False
        erased = unreadable | wanted
        for symbol in set(range(len(symbols))) - erased:
            digest = promised(symbol * self._area.parameters.rounds + place)
            if digest is None:
                continue
            if digest == self._zero_digest:
                # Any content is accepted there; the FEC is that of zeros.
                symbols[symbol] = bytes(self._size)
            elif self._hasher.digest(symbols[symbol]) != digest:
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
