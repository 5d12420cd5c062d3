"""Building and checking whole dm-verity trees, on all processors.

The leaves are most of the work: each thread takes a run of data blocks that fills whole hash blocks, hashes them
without the interpreter and writes the hash blocks; only their digests, a 128th with the usual parameters, are kept for
the level above. So memory is bounded: `_READ_BYTES` for each thread, and the digests of the first level's blocks.

Source: as `formats.verity`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bootpath.core.device import Device, read_bytes, read_into
from bootpath.core.errors import DeviceError
from bootpath.formats.verity.tree import BlockHasher, Level, VerityParameters
from bootpath.image.inorder import in_order

_RUN_BYTES = 4 << 20
_READ_BYTES = 256 << 10  # what the nearer cache holds, so that hashing does not read memory again
_MOST_REPORTED = 16

_Result = TypeVar("_Result")
Progress = Callable[[int], None]
"""Called with the bytes of data done so far."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A block that is not what its hash says: `level` -1 is data, 0 the leaves."""

    level: int
    block: int

    def __str__(self) -> str:
        return f"data block {self.block}" if self.level < 0 else f"hash block {self.block} of level {self.level}"


def build_tree(
    data: Device,
    hashes: Device,
    parameters: VerityParameters,
    *,
    start_block: int,
    threads: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Write the tree of `data` to `hashes` from hash block `start_block`; returns the root hash.

    Raises DeviceError (EINVAL) when a device is too short, else what reading and writing raise.
    """
    _fits(data, hashes, parameters, start_block)
    levels = parameters.levels(start_block)
    hasher, size = BlockHasher(parameters), parameters.hash_block_size
    if not levels:
        return hasher.digest(read_bytes(data, 0, parameters.data_block_size))

    def leaves(first: int, digests: bytes) -> bytes:
        blocks = hash_blocks(parameters, digests)
        hashes.write((levels[0].start + first) * size, blocks)
        return hasher.packed(blocks, size)

    above = b"".join(_leaf_runs(data, parameters, leaves, threads, progress))
    for level in levels[1:]:
        blocks = hash_blocks(parameters, above)
        hashes.write(level.start * size, blocks)
        above = hasher.packed(blocks, size)
    return above


def check_tree(
    data: Device,
    hashes: Device,
    parameters: VerityParameters,
    root_hash: bytes,
    *,
    start_block: int,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Mismatch]:
    """Read everything and compare; the first mismatches, none when all is well. Errors as `build_tree`.

    Each level is checked by what is stored above it, the highest by `root_hash`, and the data by the leaves: only what
    hangs together from the root to the data is found to be right.
    """
    _fits(data, hashes, parameters, start_block)
    levels = parameters.levels(start_block)
    hasher, size, fanout = BlockHasher(parameters), parameters.hash_block_size, 1 << parameters.fanout_bits
    if not levels:
        block = read_bytes(data, 0, parameters.data_block_size)
        return [] if hasher.digest(block) == root_hash else [Mismatch(-1, 0)]
    found: list[Mismatch] = []
    promised = _check_levels(hashes, parameters, levels, root_hash, found)
    width = parameters.digest_bytes

    def leaves(first: int, digests: bytes) -> list[Mismatch]:
        computed = hash_blocks(parameters, digests)
        stored = read_bytes(hashes, (levels[0].start + first) * size, len(computed))
        wrong = [
            Mismatch(0, first + index)
            for index in _different(hasher.packed(stored, size), promised[first * width :], width)
        ]
        if stored != computed:
            mine = packed_digests(parameters, stored, len(digests) // width)
            wrong += [Mismatch(-1, first * fanout + index) for index in _different(digests, mine, width)]
        return wrong

    for wrong in _leaf_runs(data, parameters, leaves, threads, progress):
        found += wrong
        if len(found) >= _MOST_REPORTED:
            break
    return found[:_MOST_REPORTED]


def hash_blocks(parameters: VerityParameters, digests: bytes) -> bytes:
    """Digests, given one directly after the other, as whole hash blocks."""
    width, slot = parameters.digest_bytes, parameters.slot_bytes
    if slot != width:
        spread = bytearray(len(digests) // width * slot)
        for index in range(width):
            spread[index::slot] = digests[index::width]
        digests = bytes(spread)
    size, used = parameters.hash_block_size, slot << parameters.fanout_bits
    if used == size:
        return digests.ljust(-(-len(digests) // size) * size, b"\0")
    return b"".join(digests[start : start + used].ljust(size, b"\0") for start in range(0, len(digests), used))


def packed_digests(parameters: VerityParameters, blocks: bytes, count: int) -> bytes:
    """The first `count` digests in a row of hash blocks, one directly after the other."""
    width, slot = parameters.digest_bytes, parameters.slot_bytes
    size, used = parameters.hash_block_size, slot << parameters.fanout_bits
    if used != size:
        blocks = b"".join(blocks[start : start + used] for start in range(0, len(blocks), size))
    if slot != width:
        packed = bytearray(len(blocks) // slot * width)
        for index in range(width):
            packed[index::width] = blocks[index::slot]
        blocks = bytes(packed)
    return blocks[: count * width]


def _check_levels(
    hashes: Device, parameters: VerityParameters, levels: tuple[Level, ...], root_hash: bytes, found: list[Mismatch]
) -> bytes:
    """The digests that the blocks of level 0 must have, by what is stored above them, which is checked here."""
    hasher, size = BlockHasher(parameters), parameters.hash_block_size
    expected = root_hash
    for number in range(len(levels) - 1, 0, -1):
        level = levels[number]
        stored = read_bytes(hashes, level.start * size, level.blocks * size)
        wrong = _different(hasher.packed(stored, size), expected, parameters.digest_bytes)
        found += [Mismatch(number, index) for index in wrong]
        expected = packed_digests(parameters, stored, levels[number - 1].blocks)
    return expected


def _different(mine: bytes, other: bytes, width: int) -> list[int]:
    """Which of the digests in `mine` are others in `other`, which may go on behind them."""
    if other.startswith(mine):
        return []
    starts = range(0, len(mine), width)
    return [start // width for start in starts if mine[start : start + width] != other[start : start + width]]


def _leaf_runs(
    data: Device,
    parameters: VerityParameters,
    leaves: Callable[[int, bytes], _Result],
    threads: int | None,
    progress: Progress | None,
) -> Iterator[_Result]:
    """What `leaves(first leaf, digests of its data blocks)` gives for all data, in order."""
    block, fanout = parameters.data_block_size, 1 << parameters.fanout_bits
    leaf_bytes = block * fanout
    run_leaves = max(_RUN_BYTES // leaf_bytes, 1)
    run_bytes = run_leaves * leaf_bytes
    hasher = BlockHasher(parameters)
    buffers: list[memoryview] = []  # those that no thread uses just now: fresh memory costs as much as reading into it

    def work(start: int) -> _Result:
        end = min(start + run_bytes, parameters.data_bytes)
        buffer = buffers.pop() if buffers else memoryview(bytearray(max(_READ_BYTES, block)))
        digests: list[bytes] = []
        for position in range(start, end, len(buffer)):
            part = buffer[: min(len(buffer), end - position)]
            read_into(data, position, part)
            digests.append(hasher.packed(part, block))
        buffers.append(buffer)
        return leaves(start // leaf_bytes, b"".join(digests))

    def done(count: int) -> None:
        if progress is not None:
            progress(min(count * run_bytes, parameters.data_bytes))

    starts = range(0, parameters.data_bytes, run_bytes)
    for number, result in enumerate(in_order(work, starts, threads=threads), start=1):
        yield result
        done(number)


def _fits(data: Device, hashes: Device, parameters: VerityParameters, start_block: int) -> None:
    end = parameters.tree_end(start_block)
    for device, wanted, what in ((data, parameters.data_bytes, "data"), (hashes, end, "hash tree")):
        if wanted > device.size_bytes:
            raise DeviceError(
                f"the {what} ends beyond the device",
                errno=errno.EINVAL,
                where=device.identity.name,
                found=f"byte {wanted}",
                expected=f"at most byte {device.size_bytes}",
            )
