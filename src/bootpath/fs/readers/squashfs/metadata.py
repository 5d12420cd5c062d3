"""The metadata of a squashfs: chains of small compressed blocks, and the tables that point into them.

Source: Linux Documentation/filesystems/squashfs.rst. Little endian. A metadata block is a header, u16 (its size, bit
15: stored as it is), and that many bytes, which hold at most 8192; each follows the one before it. A place in metadata
is where a block begins and the byte in what it holds. The values of a table are in such blocks, found by an array of
their places, u64.

Invariants: a block never gives more than 8192 bytes, whatever it claims; at most `CACHED_BLOCKS` are kept; reading n
bytes costs at most n blocks, since none may be empty.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.fs.readers.codecs import Codec, decompress
from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.source import Source

METADATA_BYTES = 8192
CACHED_BLOCKS = 64
_STORED = 1 << 15


@dataclass(slots=True)
class Cursor:
    """A place in metadata that moves on as it is read: `block` is a byte of the device, `offset` in what it holds."""

    block: int
    offset: int


class Metadata:
    """Reads metadata blocks of a squashfs whose used bytes end at `end`."""

    def __init__(self, source: Source, codec: Codec, end: int) -> None:
        self.source = source
        self.codec = codec
        self.end = end
        self._blocks: Recent[int, tuple[bytes, int]] = Recent(CACHED_BLOCKS)

    def read(self, cursor: Cursor, length: int) -> bytes:
        """The next `length` bytes; the cursor stands behind them. Raises FormatError, FileSystemError, DeviceError."""
        parts = []
        while length:
            data, following = self._blocks.get(cursor.block, self._read_block)
            if cursor.offset >= len(data):
                if cursor.offset > len(data):
                    raise self.source.fault(
                        f"corrupt: the metadata block at {cursor.block} is too short",
                        found=f"{len(data)} bytes",
                        expected=f"at least {cursor.offset} bytes",
                    )
                cursor.block, cursor.offset = following, 0
                continue
            part = data[cursor.offset : cursor.offset + length]
            parts.append(part)
            cursor.offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def _read_block(self, place: int) -> tuple[bytes, int]:
        """What the metadata block at a byte holds, and where the next one begins."""
        header = int.from_bytes(self.source.read(place, 2), "little")
        size = header & _STORED - 1
        if not 0 < size <= METADATA_BYTES or place + 2 + size > self.end:
            raise self.source.fault(f"corrupt: the metadata block at {place} has a wrong length", found=f"{size} bytes")
        data = self.source.read(place + 2, size)
        if not header & _STORED:
            data = self.unpack(data, METADATA_BYTES, place)
        if not data:
            raise self.source.fault(f"corrupt: the metadata block at {place} is empty")
        return data, place + 2 + size

    def unpack(self, data: bytes, most: int, place: int) -> bytes:
        """Decompress at most `most` bytes of what was read at a byte. Raises FormatError when there is more."""
        self.source.spend_unpacked(most)
        try:
            unpacked = decompress(self.codec, data, most + 1)
        except FormatError as error:
            raise error.at(f"{self.source.device.identity.name}: squashfs: block at {place}") from None
        if len(unpacked) > most:
            raise self.source.fault(f"corrupt: the block at {place} is too long", expected=f"at most {most} bytes")
        return unpacked

    def entry(self, table: int, index: int, size: int) -> bytes:
        """Value `index` of a table whose values have `size` bytes; the array of its blocks is at byte `table`."""
        block, slot = divmod(index, METADATA_BYTES // size)
        place = int.from_bytes(self.source.read(table + block * 8, 8), "little")
        return self.read(Cursor(place, slot * size), size)
