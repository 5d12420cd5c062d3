"""What FEC can correct of a whole volume: nothing is written, every block that is wrong is looked at once.

The answer is that of the target (`block.targets.verity`), which corrects each block when it is read, but it costs less:

1. The hash tree is read from the top; its wrong blocks are corrected, since the data is judged by them.
2. All data is hashed. The first wrong block is tried at once, then the second, the fourth, the eighth and so on: a
   volume that is beyond correction is found to be so where its damage begins, in most cases, and not at its end.
3. All wrong blocks that share codewords are corrected together, the codewords with most of them first. So no part of
   the volume is read more often than once more, however many blocks are wrong.

A byte for each data block is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bootpath.block.targets.verity.hashes import DEFAULT_CACHE_BYTES, VerityTree
from bootpath.block.targets.verity.repair import ParityArea, Repair
from bootpath.block.views import read_wide
from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.inorder import in_order
from bootpath.image.verity.tree import Progress

_RUN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Corrected:
    """How many blocks are wrong, all of which FEC can correct."""

    data_blocks: int
    hash_blocks: int


def correct_volume(
    data: Device,
    hashes: Device,
    parameters: VerityParameters,
    root_hash: bytes,
    parity: ParityArea,
    *,
    start_block: int,
    progress: Progress | None = None,
) -> Corrected:
    """How many blocks FEC has to correct. Raises IntegrityError, or as reading does, for one that it cannot.

    `progress` is called with the bytes of data done so far, in each of two passes.
    """
    repair = Repair(data, hashes, parity, parameters, start_block=start_block)
    above_leaves = sum(level.blocks for level in parameters.levels(start_block)[1:]) * parameters.hash_block_size
    cache_bytes = max(2 * above_leaves, DEFAULT_CACHE_BYTES)
    tree = VerityTree(hashes, parameters, root_hash, start_block=start_block, cache_bytes=cache_bytes, repair=repair)
    hash_blocks = tree.check()
    work = _Correction(data, tree, repair, parity)
    return Corrected(work.run(progress), hash_blocks)


class _Correction:
    """The passes over the data."""

    def __init__(self, data: Device, tree: VerityTree, repair: Repair, parity: ParityArea) -> None:
        self._data = data
        self._tree = tree
        self._repair = repair
        self._rounds = parity.parameters.rounds
        self._blocks = tree.parameters.data_blocks
        self._size = tree.parameters.data_block_size

    def run(self, progress: Progress | None) -> int:
        """How many data blocks are wrong. Raises as `correct_volume`."""
        wrong = bytearray(self._blocks)
        count, next_trial = 0, 1
        for end, found in self._wrong_blocks():
            for block, fault in found.items():
                wrong[block] = 1
                count += 1
                if count == next_trial:
                    next_trial *= 2
                    self._correct(block % self._rounds, {block: fault})
            if progress is not None:
                progress(end * self._size)
        if count == next_trial // 2 == 1:
            return count  # it was tried
        of_place = [(wrong[place :: self._rounds].count(1), place) for place in range(self._rounds)]
        places = [place for number, place in sorted(of_place, reverse=True) if number]
        for done, place in enumerate(places, start=1):
            of_data = wrong[place :: self._rounds]
            blocks = [place + symbol * self._rounds for symbol, marked in enumerate(of_data) if marked]
            self._correct(place, dict.fromkeys(blocks))
            if progress is not None:
                progress(self._blocks * self._size * done // len(places))
        return count

    def _wrong_blocks(self) -> Iterator[tuple[int, Mapping[int, DeviceError | None]]]:
        """(the end of a run of blocks, those in it that do not match or cannot be read, and why they cannot)."""
        run = max(_RUN_BYTES // self._size, 1)

        def work(first: int) -> tuple[int, Mapping[int, DeviceError | None]]:
            count = min(run, self._blocks - first)
            lost: dict[int, DeviceError | None] = {}
            try:
                content = read_bytes(self._data, first * self._size, count * self._size)
            except DeviceError:
                parts = [self._read(first + index, lost) for index in range(count)]
                content = b"".join(parts)
            return first + count, {**dict.fromkeys(self._tree.mismatches(first, content)), **lost}

        yield from in_order(work, range(0, self._blocks, run))

    def _read(self, block: int, lost: dict[int, DeviceError | None]) -> bytes:
        try:
            return b"".join(read_wide(self._data, block * self._size, self._size))
        except DeviceError as fault:
            lost[block] = fault.as_value()
            return bytes(self._size)

    def _correct(self, place: int, blocks: Mapping[int, DeviceError | None]) -> None:
        """Correct blocks that share codewords. Raises IntegrityError, or why one could not be read."""
        wanted = {block // self._rounds: self._tree.digest_of(block) for block in blocks}
        found = self._repair.rebuilt_at(place, wanted, self._tree.promised)
        for block, fault in blocks.items():
            symbol = block // self._rounds
            if symbol in found or self._repair.rebuilt(block, wanted[symbol], self._tree.promised) is not None:
                continue
            if fault is not None:
                raise fault
            raise IntegrityError(
                f"data block {block} does not match the root hash, and FEC cannot correct it",
                where=self._data.identity.name,
            )
