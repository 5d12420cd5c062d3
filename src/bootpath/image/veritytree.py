"""Building and checking whole dm-verity trees, on all processors.

The leaves are most of the work: each thread takes a run of data blocks that fills whole hash blocks, hashes them
(hashlib lets go of the interpreter meanwhile) and writes the hash blocks; only their digests, a 128th with the usual
parameters, are kept for the level above. So memory is bounded: `_RUN_BYTES` for each thread, and the digests of the
first level's blocks.

Source: as `formats.verity`.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.formats.verity import BlockHasher, Level, VerityParameters

_RUN_BYTES = 4 << 20
_READ_BYTES = 1 << 20
_MOST_REPORTED = 16

_Result = TypeVar("_Result")
Progress = Callable[[int], None]
"""Called with the bytes of data done so far."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A block that is not what its hash says: `level` -1 is data, 0 the leaves."""

    level: int
    block: int


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
    if not levels:
        return BlockHasher(parameters).digests(
            read_bytes(data, 0, parameters.data_block_size), parameters.data_block_size
        )[0]
    size = parameters.hash_block_size

    def leaves(first: int, digests: list[bytes]) -> list[bytes]:
        blocks = _hash_blocks(parameters, digests)
        hashes.write((levels[0].start + first) * size, blocks)
        return BlockHasher(parameters).digests(blocks, size)

    above: list[bytes] = []
    for digests in _leaf_runs(data, parameters, leaves, threads, progress):
        above += digests
    for level in levels[1:]:
        blocks = _hash_blocks(parameters, above)
        hashes.write(level.start * size, blocks)
        above = BlockHasher(parameters).digests(blocks, size)
    (root_hash,) = above
    return root_hash


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

    The tree is computed anew from the data and compared with what is stored, so it does not matter in which order
    levels are believed; and the root of what was computed with `root_hash`.
    """
    _fits(data, hashes, parameters, start_block)
    levels = parameters.levels(start_block)
    found: list[Mismatch] = []
    if not levels:
        block = read_bytes(data, 0, parameters.data_block_size)
        return [] if BlockHasher(parameters).digests(block, len(block))[0] == root_hash else [Mismatch(-1, 0)]
    stored_above = _check_levels(hashes, parameters, levels, root_hash, found)

    def leaves(first: int, digests: list[bytes]) -> list[Mismatch]:
        size, fanout = parameters.hash_block_size, 1 << parameters.fanout_bits
        computed = _hash_blocks(parameters, digests)
        stored = read_bytes(hashes, (levels[0].start + first) * size, len(computed))
        wrong: list[Mismatch] = []
        for index, digest in enumerate(BlockHasher(parameters).digests(stored, size)):
            if digest != stored_above[first + index]:
                wrong.append(Mismatch(0, first + index))
        if stored != computed:
            for index, digest in enumerate(digests):
                place = index // fanout * size + index % fanout * parameters.slot_bytes
                if stored[place : place + len(digest)] != digest:
                    wrong.append(Mismatch(-1, first * fanout + index))
        return wrong

    for wrong in _leaf_runs(data, parameters, leaves, threads, progress):
        found += wrong
        if len(found) >= _MOST_REPORTED:
            break
    return found[:_MOST_REPORTED]


def _check_levels(
    hashes: Device, parameters: VerityParameters, levels: tuple[Level, ...], root_hash: bytes, found: list[Mismatch]
) -> list[bytes]:
    """The digests that the blocks of level 0 must have, by what is stored above them, which is checked here."""
    expected = [root_hash]
    size, fanout = parameters.hash_block_size, 1 << parameters.fanout_bits
    for number in range(len(levels) - 1, 0, -1):
        level = levels[number]
        stored = read_bytes(hashes, level.start * size, level.blocks * size)
        for index, digest in enumerate(BlockHasher(parameters).digests(stored, size)):
            if digest != expected[index]:
                found.append(Mismatch(number, index))
        below = levels[number - 1].blocks
        expected = [
            stored[place : place + parameters.digest_bytes]
            for index in range(below)
            for place in (index // fanout * size + index % fanout * parameters.slot_bytes,)
        ]
    return expected


def _leaf_runs(
    data: Device,
    parameters: VerityParameters,
    leaves: Callable[[int, list[bytes]], list[_Result]],
    threads: int | None,
    progress: Progress | None,
) -> Iterator[list[_Result]]:
    """What `leaves(first leaf, digests of its data blocks)` gives for all data, in order."""
    block, fanout = parameters.data_block_size, 1 << parameters.fanout_bits
    leaf_bytes = block * fanout
    run_leaves = max(_RUN_BYTES // leaf_bytes, 1)
    run_bytes = run_leaves * leaf_bytes
    count = threads or os.cpu_count() or 1

    def work(start: int) -> list[_Result]:
        length = min(run_bytes, parameters.data_bytes - start)
        digests: list[bytes] = []
        for position in range(start, start + length, _READ_BYTES):
            size = min(_READ_BYTES, start + length - position)
            digests += BlockHasher(parameters).digests(read_bytes(data, position, size), block)
        return leaves(start // leaf_bytes, digests)

    starts = iter(range(0, parameters.data_bytes, run_bytes))
    pending: deque[Future[list[_Result]]] = deque()
    done = 0
    with ThreadPoolExecutor(count, thread_name_prefix="verity") as pool:
        try:
            for start in starts:
                pending.append(pool.submit(work, start))
                if len(pending) > 2 * count:
                    yield pending.popleft().result()
                    done += run_bytes
                    if progress is not None:
                        progress(done)
            while pending:
                yield pending.popleft().result()
                done += run_bytes
                if progress is not None:
                    progress(min(done, parameters.data_bytes))
        finally:
            for future in pending:
                future.cancel()


def _hash_blocks(parameters: VerityParameters, digests: list[bytes]) -> bytes:
    """The digests as whole hash blocks."""
    size, fanout, slot = parameters.hash_block_size, 1 << parameters.fanout_bits, parameters.slot_bytes
    if slot != parameters.digest_bytes:
        digests = [digest.ljust(slot, b"\0") for digest in digests]
    return b"".join(
        b"".join(digests[start : start + fanout]).ljust(size, b"\0") for start in range(0, len(digests), fanout)
    )


def _fits(data: Device, hashes: Device, parameters: VerityParameters, start_block: int) -> None:
    end = (start_block + parameters.tree_blocks()) * parameters.hash_block_size
    for device, wanted, what in ((data, parameters.data_bytes, "data"), (hashes, end, "hash tree")):
        if wanted > device.size_bytes:
            raise DeviceError(
                f"the {what} ends at byte",
                errno=errno.EINVAL,
                where=device.identity.name,
                found=wanted,
                expected=f"at most {device.size_bytes}",
            )
