"""Where the compressed extents of an erofs file are: the index of its logical clusters.

Source: Linux Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. Little endian. Behind the inode, at a
multiple of 8, stands a header: fragment offset, u32 (or 0, u16, and size of inline data, u16); advise, u16;
algorithms, a half of u8 each; cluster bits, u8. Behind it an entry for each logical cluster (a block, mostly):

- full: 8 bytes, after 8 unused ones: advise, u16 (its type in bits 0 and 1); offset, u16; block, u32
- compact: packs of 2 entries in 8 bytes, and (2B) of 16 in 32 bytes, from the first multiple of 32 on. A pack ends with
  a block number, u32; before it stand the entries, 16 or 14 bits each: the offset or distance, and the type above it.

An extent begins where an entry's type is a head, at the entry's offset in that logical cluster, and ends where the
next one begins. Entries in between say how far back their head is; the first of them says, when pclusters are big, how
many blocks the extent takes (bit 11 set). The last extent may be inline behind its entry (ztailpacking) or in the
packed inode (fragments). An extent may be the beginning of what its blocks hold (dedupe).

Invariants: an extent has at most 12 MiB, and 1 MiB compressed; a head is no further away than that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Protocol

from bootpath.fs.readers.source import Source

MAX_EXTENT_BYTES = 12 << 20
MAX_COMPRESSED_BYTES = 1 << 20
HEADER_BYTES = 8
_BLOCK_COUNT = 1 << 11
_WHOLE_FILE = 1 << 63


class Advise(IntFlag):
    """h_advise."""

    COMPACT_2B = 0x01
    BIG_PCLUSTER_1 = 0x02
    BIG_PCLUSTER_2 = 0x04
    INLINE = 0x08
    INTERLACED = 0x10
    FRAGMENT = 0x20


class Type(IntEnum):
    """What a logical cluster's entry is."""

    PLAIN = 0
    HEAD1 = 1
    NONHEAD = 2
    HEAD2 = 3


class ExtentStorage(IntEnum):
    """Where an extent's bytes are: in blocks, behind the index, or in the packed inode."""

    BLOCKS = 0
    INLINE = 1
    FRAGMENT = 2


@dataclass(frozen=True, slots=True)
class IndexHeader:
    """The header. `whole_file` is the offset in the packed inode of a file that is there altogether, else None."""

    advise: Advise
    algorithms: tuple[int, int]
    cluster_bits: int
    inline_bytes: int
    fragment_offset: int
    whole_file: int | None


@dataclass(frozen=True, slots=True)
class CompressedExtent:
    """`length` bytes from byte `start` of the file: `size` bytes at `place`, of the device or of the packed inode.

    `algorithm` is erofs's number, None for bytes as they are; `rotated`: those begin in the middle of their block.
    """

    start: int
    length: int
    storage: ExtentStorage
    place: int
    size: int
    algorithm: int | None
    rotated: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    type: Type
    offset: int = 0
    block: int = 0
    back: int = 0
    blocks: int | None = None
    end: int = 0


class _Entries(Protocol):
    def load(self, number: int) -> _Entry:
        """The entry of a logical cluster; `end` is the byte behind it, or behind its pack."""
        ...


class _FullEntries:
    def __init__(self, source: Source, start: int, advise: Advise) -> None:
        self._source = source
        self._start = start + HEADER_BYTES + 8
        self._big = bool(advise & (Advise.BIG_PCLUSTER_1 | Advise.BIG_PCLUSTER_2))

    def load(self, number: int) -> _Entry:
        place = self._start + number * 8
        advise, offset, block = struct.unpack("<HHI", self._source.read(place, 8))
        kind = Type(advise & 3)
        if kind is not Type.NONHEAD:
            return _Entry(kind, offset=offset, block=block, end=place + 8)
        back = block & 0xFFFF
        if back & _BLOCK_COUNT and self._big:
            return _Entry(kind, back=1, blocks=back & ~_BLOCK_COUNT, end=place + 8)
        return _Entry(kind, back=back, end=place + 8)


class _CompactEntries:
    def __init__(self, source: Source, start: int, header: IndexHeader, blocks: int) -> None:
        self._source = source
        self._start = start + HEADER_BYTES
        self._big = bool(header.advise & Advise.BIG_PCLUSTER_1)
        self._low_bits = max(header.cluster_bits, 12)
        # Packs of 2 until the place is a multiple of 32, then packs of 16 as far as they go, then packs of 2 again.
        self._before = (32 - self._start % 32) // 4 & 7
        self._small = 0
        if header.advise & Advise.COMPACT_2B and self._before < blocks:
            self._small = (blocks - self._before) // 16 * 16
        self._pack: tuple[int, list[_Entry]] = (-1, [])

    def load(self, number: int) -> _Entry:
        place, size = self._start, 4
        if number >= self._before:
            place += self._before * 4
            number -= self._before
            if number < self._small:
                size = 2
            else:
                place += self._small * 2
                number -= self._small
        count = 16 if size == 2 else 2
        place += number * size
        pack_place = place - place % (count * size)
        if self._pack[0] != pack_place:
            self._pack = (pack_place, self._parse_pack(pack_place, count, size))
        return self._pack[1][(place - pack_place) // size]

    def _parse_pack(self, place: int, count: int, size: int) -> list[_Entry]:
        data = self._source.read(place, count * size)
        bits = (count * size - 4) * 8 // count
        if self._low_bits + 2 > bits:
            raise self._source.fault(
                "corrupt: the compact index has clusters of a wrong size", found=f"2^{self._low_bits} bytes"
            )
        packed = int.from_bytes(data[:-4], "little")
        block = int.from_bytes(data[-4:], "little")
        values = [packed >> index * bits for index in range(count)]
        lows = [value & (1 << self._low_bits) - 1 for value in values]
        types = [Type(value >> self._low_bits & 3) for value in values]
        # The number of the pack is that of its first extent; without big pclusters, of the block before that.
        block += 0 if self._big else 1
        end = place + count * size
        entries = []
        for index, (kind, low) in enumerate(zip(types, lows, strict=True)):
            if kind is not Type.NONHEAD:
                entries.append(_Entry(kind, offset=low, block=block, end=end))
                counted = index + 1 < count and types[index + 1] is Type.NONHEAD and lows[index + 1] & _BLOCK_COUNT
                block += 0 if self._big and counted else 1
            elif low & _BLOCK_COUNT and self._big:
                entries.append(_Entry(kind, back=1, blocks=low & ~_BLOCK_COUNT, end=end))
                block += low & ~_BLOCK_COUNT
            elif index + 1 < count:
                entries.append(_Entry(kind, back=low, end=end))
            else:
                # The last entry of a pack says how far the next head is instead: the one before it knows.
                before = entries[index - 1]
                entries.append(_Entry(kind, back=before.back + 1 if before.type is Type.NONHEAD else 1, end=end))
        return entries


def parse_index_header(source: Source, data: bytes, block_bits: int) -> IndexHeader:
    """The 8 bytes behind an inode. Raises FormatError."""
    (whole,) = struct.unpack("<Q", data)
    if whole & _WHOLE_FILE:
        return IndexHeader(Advise.FRAGMENT, (0, 0), block_bits, 0, 0, whole ^ _WHOLE_FILE)
    fragment, inline_bytes, advise, algorithms, bits = struct.unpack("<I2xHHBB", data[:4] + data[:4] + data[4:])
    unknown = advise & ~0x3F
    if unknown or bits & 15 > 14 - min(block_bits, 14):
        raise source.fault(
            "corrupt: the compressed inode has an unknown layout", found=f"advise {advise:#x}, cluster bits {bits}"
        )
    return IndexHeader(
        advise=Advise(advise),
        algorithms=(algorithms & 15, algorithms >> 4),
        cluster_bits=block_bits + (bits & 15),
        inline_bytes=inline_bytes if advise & Advise.INLINE and not advise & Advise.FRAGMENT else 0,
        fragment_offset=fragment,
        whole_file=None,
    )


class CompressedIndex:
    """The extents of one file of `size` bytes, whose index begins at byte `start`. Blocks have 2^`block_bits` bytes."""

    def __init__(self, source: Source, start: int, size: int, block_bits: int, *, compact: bool) -> None:
        self._source = source
        self._size = size
        self._block_bits = block_bits
        self.header = header = parse_index_header(source, source.read(start, HEADER_BYTES), block_bits)
        blocks = -(-size >> block_bits)
        self._entries: _Entries = (
            _CompactEntries(source, start, header, blocks) if compact else _FullEntries(source, start, header.advise)
        )
        self._tail: tuple[int, int, int] | None = None
        self._last: CompressedExtent | None = None

    def extent_at(self, offset: int) -> CompressedExtent:
        """The extent with the file's byte `offset`, which is inside its size. Raises FormatError, DeviceError."""
        # It may take thousands of entries to find, and who reads a block of it reads the next one, too.
        last = self._last
        if last is None or not last.start <= offset < last.start + last.length:
            last = self._last = self._find_extent(offset)
        return last

    def _find_extent(self, offset: int) -> CompressedExtent:
        header = self.header
        if header.whole_file is not None:
            return CompressedExtent(0, self._size, ExtentStorage.FRAGMENT, header.whole_file, self._size, None, False)
        number, head = self._head(offset)
        start = (number << header.cluster_bits) + head.offset
        end = self._end(number)
        length = end - start
        if length <= 0:
            raise self._source.fault(f"corrupt: the extent at {start} ends before it begins", found=f"byte {end}")
        special = header.advise & Advise.FRAGMENT or header.inline_bytes
        if special and number == self._find_tail()[0]:
            _, place, high = self._find_tail()
            if header.advise & Advise.FRAGMENT:
                place = header.fragment_offset | high << 32
                return CompressedExtent(start, length, ExtentStorage.FRAGMENT, place, length, None, False)
            return self._stored(head, start, length, ExtentStorage.INLINE, place, header.inline_bytes)
        if length > MAX_EXTENT_BYTES:
            raise self._source.fault(f"corrupt: the extent at {start} has the wrong length", found=f"{length} bytes")
        size = self._blocks(number, head) << self._block_bits
        if not 0 < size <= MAX_COMPRESSED_BYTES:
            raise self._source.fault(
                f"corrupt: the extent at {start} has the wrong compressed length", found=f"{size} bytes"
            )
        return self._stored(head, start, length, ExtentStorage.BLOCKS, head.block << self._block_bits, size)

    def _stored(
        self, head: _Entry, start: int, length: int, storage: ExtentStorage, place: int, size: int
    ) -> CompressedExtent:
        if head.type is Type.PLAIN:
            if length > size:
                raise self._source.fault(
                    f"corrupt: the plain extent at {start} has the wrong length", found=f"{length} of {size} bytes"
                )
            rotated = bool(self.header.advise & Advise.INTERLACED)
            return CompressedExtent(start, length, storage, place, size, None, rotated)
        algorithm = self.header.algorithms[head.type is Type.HEAD2]
        return CompressedExtent(start, length, storage, place, size, algorithm, False)

    def _load(self, number: int) -> _Entry:
        entry = self._entries.load(number)
        if entry.type is not Type.NONHEAD and entry.offset >= 1 << self.header.cluster_bits:
            raise self._source.fault(f"corrupt: an extent begins at byte {entry.offset} of a logical cluster")
        return entry

    def _head(self, offset: int) -> tuple[int, _Entry]:
        """The logical cluster in which the extent of `offset` begins, and its entry."""
        bits = self.header.cluster_bits
        first = number = offset >> bits
        entry = self._load(number)
        if entry.type is not Type.NONHEAD and offset & (1 << bits) - 1 < entry.offset:
            entry = _Entry(Type.NONHEAD, back=1)
        while entry.type is Type.NONHEAD:
            number -= entry.back
            if entry.back == 0 or number < 0 or first - number > (MAX_EXTENT_BYTES >> bits) + 1:
                raise self._source.fault(f"corrupt: no extent has byte {offset}", found=f"cluster {number}")
            entry = self._load(number)
        return number, entry

    def _end(self, number: int) -> int:
        """Where the extent that begins in logical cluster `number` ends."""
        bits = self.header.cluster_bits
        most = number + (MAX_EXTENT_BYTES >> bits) + 2
        following = number + 1
        while following << bits < self._size:
            entry = self._load(following)
            if entry.type is not Type.NONHEAD:
                return min((following << bits) + entry.offset, self._size)
            following += 1
            if following > most:
                raise self._source.fault(f"corrupt: the extent at cluster {number} has no end")
        return self._size

    def _blocks(self, number: int, head: _Entry) -> int:
        big = Advise.BIG_PCLUSTER_1 if head.type is Type.HEAD1 else Advise.BIG_PCLUSTER_2
        if not self.header.advise & big or (number + 1) << self.header.cluster_bits >= self._size:
            return 1
        blocks = self._load(number + 1).blocks
        return 1 if blocks is None else blocks

    def _find_tail(self) -> tuple[int, int, int]:
        """The logical cluster in which the last extent begins, the byte behind the index, and the head's block."""
        if self._tail is None:
            last = self._load(self._size - 1 >> self.header.cluster_bits)
            number, head = self._head(self._size - 1)
            # Only the full index has room for the upper half of a fragment's offset.
            high = head.block if isinstance(self._entries, _FullEntries) else 0
            self._tail = number, last.end, high
        return self._tail
