"""verity: a read-only device whose every block is checked against a root hash, as Linux's dm-verity.

A data block is believed when its digest stands in a hash block that is believed; a hash block when its digest stands in
its parent, up to the root hash. Rules:

- What was checked is what is returned: content that others could still change (views of memory) is copied first, and
  both halves of a check read it once.
- A data block is checked each time it is read, unless `check_at_most_once`. A hash block is checked each time it is
  read from its device; the cache holds checked copies, at most `cache_bytes`, and one that was dropped from it is a
  stranger again. (barebox believes a block that it reads for the second time; a disk that answers differently the
  second time passes there.)
- A mismatch is an IntegrityError (EIO) that names block and level. With `Corruption.IGNORE` it is logged and the data
  returned, as with ignore_corruption; with `Corruption.STOP` every later read fails too, which is what a device in user
  space can do for restart_on_corruption and panic_on_corruption.
- With `ignore_zero_blocks` a block that is to be zeros is zeros, without being read.

Source: Linux Documentation/admin-guide/device-mapper/verity.rst.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from bootpath.block.readonly import ReadOnly
from bootpath.block.views import extents_wide, read_wide, read_wide_resident
from bootpath.core.device import Buffer, Device, Identity, Segment
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.formats.verity import BlockHasher, Level, VerityParameters

_log = logging.getLogger(__name__)

DEFAULT_CACHE_BYTES = 16 << 20
_RESIDENT_BYTES = 64 << 10  # more than this is hashed on a worker


class Corruption(Enum):
    """What becomes of a block that is not what its hash promised."""

    EIO = "eio"
    IGNORE = "ignore"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class VerityOptions:
    """The optional parameters of the kernel's target."""

    corruption: Corruption = Corruption.EIO
    ignore_zero_blocks: bool = False
    check_at_most_once: bool = False


class HashTree:
    """The hash blocks of one tree, read from `hashes` and believed only below `root_hash`. For several threads."""

    def __init__(
        self,
        hashes: Device,
        parameters: VerityParameters,
        root_hash: bytes,
        *,
        start_block: int,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        self.parameters = parameters
        self.levels: tuple[Level, ...] = parameters.levels(start_block)
        self.root_hash = root_hash
        self._hashes = hashes
        self._where = hashes.identity.name
        self.hasher = BlockHasher(parameters)
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
        end = (start_block + parameters.tree_blocks()) * parameters.hash_block_size
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

    def _place(self, index: int) -> int:
        return (index & ((1 << self.parameters.fanout_bits) - 1)) * self.parameters.slot_bytes

    def _trusted(self, level: int, index: int, *, wait: bool) -> bytes | None:
        """A hash block that is believed. Raises IntegrityError, or as its device does."""
        number = self.levels[level].start + index
        with self._lock:
            content = self._cache.get(number)
            if content is not None:
                self._cache.move_to_end(number)
                return content
        if not wait:
            return None
        if level == len(self.levels) - 1:
            expected = self.root_hash
        else:
            parent = self._trusted(level + 1, index >> self.parameters.fanout_bits, wait=True)
            assert parent is not None
            place = self._place(index)
            expected = parent[place : place + self.parameters.digest_bytes]
        content = self._read(number)
        found = self.hasher.digest(content)
        if found != expected:
            raise IntegrityError(
                f"verity: hash block {number} (level {level}, block {index} of it) does not match",
                where=self._where,
                found=found.hex(),
                expected=expected.hex(),
            )
        with self._lock:
            self._cache[number] = content
            while len(self._cache) > self._cache_blocks:
                self._cache.popitem(last=False)
        return content

    def _read(self, number: int) -> bytes:
        size = self.parameters.hash_block_size
        return b"".join(read_wide(self._hashes, number * size, size))

    @property
    def cached_bytes(self) -> int:
        """Memory of the checked hash blocks."""
        return len(self._cache) * self.parameters.hash_block_size


class Verity(ReadOnly):
    """The first `parameters.data_bytes` of `data`, checked below `root_hash` with the tree on `hashes`.

    The tree starts at hash block `start_block` of `hashes`, which may be the same device as `data`. Nothing is read
    here but the lower devices' sizes. Raises DeviceError (EINVAL) when a device is too short, or the root hash has the
    wrong length; closing it leaves both devices open.
    """

    def __init__(
        self,
        data: Device,
        hashes: Device,
        parameters: VerityParameters,
        root_hash: bytes,
        *,
        start_block: int,
        options: VerityOptions | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        identity: Identity | None = None,
    ) -> None:
        if parameters.data_bytes > data.size_bytes:
            raise DeviceError(
                f"verity needs {parameters.data_bytes} bytes of data",
                errno=errno.EINVAL,
                where=data.identity.name,
                found=data.size_bytes,
                hint="is the data device truncated?",
            )
        self.tree = HashTree(hashes, parameters, root_hash, start_block=start_block, cache_bytes=cache_bytes)
        self.options = options or VerityOptions()
        self.size_bytes = parameters.data_bytes
        self.block_bytes = 4096 if parameters.data_block_size >= 4096 else 512
        self.identity = identity or Identity(f"verity({data.identity.name})")
        self.corrupted_blocks = 0
        self._data = data
        self._size = parameters.data_block_size
        self._slot = parameters.slot_bytes
        self._digest_bytes = parameters.digest_bytes
        self._zero_digest = self.tree.hasher.digest(bytes(self._size)) if self.options.ignore_zero_blocks else None
        self._checked = bytearray(parameters.data_blocks) if self.options.check_at_most_once else None
        self._stopped = False

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EIO (IntegrityError) when a block of it is not what the root hash promised."""
        first, start, wide = self._blocks(offset, length)
        content = _own(read_wide(self._data, start, wide))
        return (self._verified(first, content)[offset - start : offset - start + length],)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: a small read whose data is resident and whose leaves are cached."""
        if length > _RESIDENT_BYTES:
            return None
        first, start, wide = self._blocks(offset, length)
        for block in range(first, first + wide // self._size):
            if self.tree.expected(block, wait=False) is None:
                return None
        views = read_wide_resident(self._data, start, wide)
        if views is None:
            return None
        return (self._verified(first, _own(views))[offset - start : offset - start + length],)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the data device's, but nothing is known to be zero that was not checked."""
        for segment in extents_wide(self._data, offset, length):
            yield Segment(segment.offset, segment.length, segment.source)

    def close(self) -> None:
        """See `Device.close`: the lower devices stay open."""

    def _blocks(self, offset: int, length: int) -> tuple[int, int, int]:
        """(first data block, its offset, bytes of whole blocks) of a range."""
        first = offset // self._size
        start = first * self._size
        return first, start, -(-(offset + length - start) // self._size) * self._size

    def _verified(self, first: int, content: memoryview) -> memoryview:
        if self._stopped:
            raise IntegrityError("verity: stopped after a corrupted block", where=self.identity.name)
        count = len(content) // self._size
        checked = self._checked
        if checked is not None and checked.count(1, first, first + count) == count:
            return content
        try:
            wrong = self._mismatches(first, content)
        except IntegrityError as error:
            self._corrupted(error)
            return content
        zeros = [block for block in wrong if self._is_to_be_zero(block)]
        if zeros:
            patched = bytearray(content)
            for block in zeros:
                position = (block - first) * self._size
                patched[position : position + self._size] = bytes(self._size)
            content = memoryview(patched)
            wrong = [block for block in wrong if block not in zeros]
        for block in wrong:
            position = (block - first) * self._size
            self._corrupted(
                IntegrityError(
                    f"verity: data block {block} does not match",
                    where=self.identity.name,
                    found=self.tree.hasher.digest(content[position : position + self._size]).hex(),
                    expected=self._digest_of(block).hex(),
                )
            )
        if checked is not None and not wrong:
            checked[first : first + count] = b"\1" * count
        return content

    def _mismatches(self, first: int, content: memoryview) -> list[int]:
        """Which data blocks of a row are not what their leaves say."""
        digests = self.tree.hasher.digests(content, self._size)
        wrong: list[int] = []
        block, stop = first, first + len(digests)
        fanout = 1 << self.tree.parameters.fanout_bits
        while block < stop:
            found = self.tree.expected(block)
            assert found is not None
            leaf, place = found
            run = min(stop, (block // fanout + 1) * fanout) - block
            mine = digests[block - first : block - first + run]
            if self._slot != self._digest_bytes or leaf[place : place + run * self._slot] != b"".join(mine):
                for index, digest in enumerate(mine):
                    at = place + index * self._slot
                    if leaf[at : at + self._digest_bytes] != digest:
                        wrong.append(block + index)
            block += run
        return wrong

    def _digest_of(self, block: int) -> bytes:
        found = self.tree.expected(block)
        assert found is not None
        leaf, place = found
        return leaf[place : place + self._digest_bytes]

    def _is_to_be_zero(self, block: int) -> bool:
        return self._zero_digest is not None and self._digest_of(block) == self._zero_digest

    def _corrupted(self, error: IntegrityError) -> None:
        self.corrupted_blocks += 1
        if self.options.corruption is Corruption.IGNORE:
            _log.warning("%s", error)
            return
        self._stopped = self.options.corruption is Corruption.STOP
        raise error


def _own(views: Sequence[Buffer]) -> memoryview:
    """The content as bytes that nobody else can change."""
    if len(views) == 1 and isinstance(views[0], bytes):
        return memoryview(views[0])
    return memoryview(b"".join(views))
