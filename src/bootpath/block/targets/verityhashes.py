"""The hash blocks of a verity volume: read when they are needed, and believed only below the root hash.

A hash block is believed when its digest stands in its parent, up to the root hash, and is checked each time it is read
from its device. The cache holds checked copies, at most `cache_bytes`, and one that was dropped from it is a stranger
again. (barebox believes a block that it reads for the second time; a disk that answers differently the second time
passes there.) With a `repair` a block that is wrong or cannot be read is rebuilt from parity, and checked like any.

Source: as `block.targets.verity`.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict

from bootpath.block.targets.verityrepair import Repair
from bootpath.block.views import read_wide
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.formats.verity.tree import BlockHasher, Level, VerityParameters

DEFAULT_CACHE_BYTES = 16 << 20


class HashTree:
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
                "root hash has",
                errno=errno.EINVAL,
                where=self._where,
                found=f"{len(root_hash)} bytes",
                expected=f"{parameters.digest_bytes}",
            )
        end = parameters.tree_end(start_block)
        if end > hashes.size_bytes:
            raise DeviceError(
                "the hash tree ends at byte",
                errno=errno.EINVAL,
                where=self._where,
                found=end,
                expected=f"at most {hashes.size_bytes}",
                hint="is the hash device truncated?",
            )

    def expected(self, block: int, *, wait: bool = True) -> tuple[bytes, int] | None:
        """(a checked leaf, the digest's place in it) for a data block; None when that is not cached and not `wait`."""
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
        """The digest that a block of the message must have; None where that is not known without repair."""
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
            return self._digest_in(above, index, mend=False)
        except DeviceError:
            return None

    @property
    def cached_bytes(self) -> int:
        """Memory of the checked hash blocks."""
        return len(self._cache) * self.parameters.hash_block_size

    def _place(self, index: int) -> int:
        return (index & ((1 << self.parameters.fanout_bits) - 1)) * self.parameters.slot_bytes

    def _digest_in(self, level: int, index: int, *, mend: bool) -> bytes:
        """The digest, in a hash block of `level`, of the block `index` of the level below."""
        if level == len(self.levels):
            return self.root_hash
        parent = self._trusted(level, index >> self.parameters.fanout_bits, wait=True, mend=mend)
        assert parent is not None
        place = self._place(index)
        return parent[place : place + self.parameters.digest_bytes]

    def _trusted(self, level: int, index: int, *, wait: bool, mend: bool = True) -> bytes | None:
        """A hash block that is believed. Raises IntegrityError, or as its device does."""
        number = self.levels[level].start + index
        with self._lock:
            content = self._cache.get(number)
            if content is not None:
                self._cache.move_to_end(number)
                return content
        if not wait:
            return None
        expected = self._digest_in(level + 1, index, mend=mend)
        try:
            content = self._checked(number, level, index, expected)
        except DeviceError:
            mended = self._mended(number, expected) if mend else None
            if mended is None:
                raise
            content = mended
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
                f"verity: hash block {number} (level {level}, block {index} of it) does not match",
                where=self._where,
                found=found.hex(),
                expected=expected.hex(),
            )
        return content

    def _mended(self, number: int, expected: bytes) -> bytes | None:
        if self._repair is None:
            return None
        block = number - self._start_block + self.parameters.data_blocks
        content = self._repair.mended(block, expected, self.promised)
        self.repaired_blocks += content is not None
        return content
