"""The hash blocks of a verity volume: read when they are needed, and trusted only below the root hash.

A hash block is trusted when its digest stands in its parent, up to the root hash. It is checked each time it is read
from its device: the cache holds checked copies, at most `cache_bytes`, and a block that was dropped from it is checked
again. (barebox trusts a block that it reads for the second time; a disk that answers differently the second time passes
there.) With a `repair`, a block that is wrong or cannot be read is rebuilt from FEC, and checked like any other.

Source: as `block.targets.verity`.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict

from bootpath.block.targets.verity.repair import Repair
from bootpath.block.views import read_wide
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.formats.verity.tree import BlockHasher, Level, VerityParameters

DEFAULT_CACHE_BYTES = 16 << 20


class VerityTree:
    """The tree on `hashes` from hash block `start_block`. For several threads. Raises DeviceError (EINVAL)."""

    def __init__(
        self,
        hashes: Device,
        parameters: VerityParameters,
        root_hash: bytes,
        *,
        start_block: int,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        repair: Repair | None = None,
    ) -> None:
        self.parameters = parameters
        self.levels: tuple[Level, ...] = parameters.levels(start_block)
        self.root_hash = root_hash
        self.hasher = BlockHasher(parameters)
        self.repaired_blocks = 0
        self._hashes = hashes
        self._where = hashes.identity.name
        self._start_block = start_block
        self._repair = repair
        self._cache: OrderedDict[int, bytes] = OrderedDict()  # block number: checked content
        self._cache_blocks = max(cache_bytes // parameters.hash_block_size, len(self.levels))
        self._lock = threading.Lock()
        if len(root_hash) != parameters.digest_bytes:
            raise DeviceError(
                "the root hash has the wrong length",
                errno=errno.EINVAL,
                where=self._where,
                found=f"{len(root_hash)} bytes",
                expected=f"{parameters.digest_bytes}",
            )
        end = parameters.tree_end(start_block)
        if end > hashes.size_bytes:
            raise DeviceError(
                "the hash tree ends past the device",
                errno=errno.EINVAL,
                where=self._where,
                found=f"an end at byte {end}",
                expected=f"at most {hashes.size_bytes}",
                hint="is the hash device truncated?",
            )

    def expected(self, block: int, *, wait: bool = True) -> tuple[bytes, int] | None:
        """(a checked leaf, the digest's offset in it) for a data block; None when it is not cached and not `wait`."""
        if not self.levels:
            return self.root_hash, 0
        leaf = self._trusted(0, block >> self.parameters.fanout_bits, wait=wait)
        return None if leaf is None else (leaf, self._place(block))

    def digest_of(self, block: int) -> bytes:
        """The digest that a data block must have. Raises IntegrityError, or as the hash device does."""
        found = self.expected(block)
        assert found is not None
        leaf, place = found
        return leaf[place : place + self.parameters.digest_bytes]

    def promised(self, block: int) -> bytes | None:
        """The digest that a block of the FEC's message must have; None where it is not known without repair."""
        index = block
        if block < self.parameters.data_blocks:
            above = 0
        else:
            number = block - self.parameters.data_blocks + self._start_block
            level = next((each for each in self.levels if each.start <= number < each.start + each.blocks), None)
            if level is None:
                return None
            above = self.levels.index(level) + 1
            index = number - level.start
        try:
            return self._digest_in(above, index, repair=False)
        except DeviceError:
            return None

    def mismatches(self, first: int, content: Buffer) -> list[int]:
        """Which of the data blocks from `first` on do not match their leaves. Raises as `digest_of`."""
        digests = self.hasher.packed(content, self.parameters.data_block_size)
        size, slot = self.parameters.digest_bytes, self.parameters.slot_bytes
        wrong: list[int] = []
        block, stop = first, first + len(digests) // size
        fanout = 1 << self.parameters.fanout_bits
        while block < stop:
            found = self.expected(block)
            assert found is not None
            leaf, place = found
            run = min(stop, (block // fanout + 1) * fanout) - block
            mine = digests[(block - first) * size : (block - first + run) * size]
            if slot != size or leaf[place : place + run * size] != mine:
                for index in range(run):
                    at = place + index * slot
                    if leaf[at : at + size] != mine[index * size : (index + 1) * size]:
                        wrong.append(block + index)
            block += run
        return wrong

    def check(self) -> int:
        """Read all hash blocks, from the top; how many FEC had to rebuild. Raises IntegrityError, or as the device."""
        before = self.repaired_blocks
        for number in range(len(self.levels) - 1, -1, -1):
            for index in range(self.levels[number].blocks):
                self._trusted(number, index, wait=True)
        return self.repaired_blocks - before

    @property
    def cached_bytes(self) -> int:
        """Memory of the checked hash blocks."""
        return len(self._cache) * self.parameters.hash_block_size

    def _place(self, index: int) -> int:
        return (index & ((1 << self.parameters.fanout_bits) - 1)) * self.parameters.slot_bytes

    def _digest_in(self, level: int, index: int, *, repair: bool) -> bytes:
        """The digest, in a hash block of `level`, of the block `index` of the level below."""
        if level == len(self.levels):
            return self.root_hash
        parent = self._trusted(level, index >> self.parameters.fanout_bits, wait=True, repair=repair)
        assert parent is not None
        place = self._place(index)
        return parent[place : place + self.parameters.digest_bytes]

    def _trusted(self, level: int, index: int, *, wait: bool, repair: bool = True) -> bytes | None:
        """A checked hash block. Raises IntegrityError, or as its device does."""
        number = self.levels[level].start + index
        with self._lock:
            content = self._cache.get(number)
            if content is not None:
                self._cache.move_to_end(number)
                return content
        if not wait:
            return None
        expected = self._digest_in(level + 1, index, repair=repair)
        try:
            content = self._checked(number, level, index, expected)
        except DeviceError:
            rebuilt = self._rebuilt(number, expected) if repair else None
            if rebuilt is None:
                raise
            content = rebuilt
        with self._lock:
            self._cache[number] = content
            while len(self._cache) > self._cache_blocks:
                self._cache.popitem(last=False)
        return content

    def _checked(self, number: int, level: int, index: int, expected: bytes) -> bytes:
        size = self.parameters.hash_block_size
        content = b"".join(read_wide(self._hashes, number * size, size))
        found = self.hasher.digest(content)
        if found != expected:
            raise IntegrityError(
                f"hash block {number} (block {index} of level {level}) does not match the root hash",
                where=self._where,
                found=found.hex(),
                expected=expected.hex(),
            )
        return content

    def _rebuilt(self, number: int, expected: bytes) -> bytes | None:
        if self._repair is None:
            return None
        block = number - self._start_block + self.parameters.data_blocks
        content = self._repair.rebuilt(block, expected, self.promised)
        self.repaired_blocks += content is not None
        return content
