"""An Android sparse image, read in place through the index of its chunks.

Where the image has CRCs (``img2simg`` writes none by default), all of it is read once when it is opened: they are of
the disk from its beginning, so no part of it can be checked by itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from zlib import crc32

from bootpath.block.leaves.images.unpack import UnpackProgress
from bootpath.block.targets.readonly import ReadOnly
from bootpath.block.views import read_wide
from bootpath.core.device import Buffer, Device, Segment, read_bytes
from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import FormatError
from bootpath.core.units import plural
from bootpath.formats.crc32 import combine_crc32, repeated_crc32
from bootpath.formats.diskimages.androidsparse import (
    FILL_BYTES,
    ChunkKind,
    SparseChunk,
    SparseImage,
    read_sparse_image,
)
from bootpath.formats.diskimages.recognise import ImageKind
from bootpath.formats.region import Region

_ZEROS = bytes(FILL_BYTES)
_PIECE_BYTES = 1 << 20


class AndroidSparseDevice(ReadOnly):
    """The disk in `lower`, which it owns; `fills` are the 4 bytes of each chunk that repeats."""

    def __init__(self, lower: Device, image: SparseImage, *, disk_images: tuple[DiskImage, ...]) -> None:
        self.identity = lower.identity
        self.block_bytes = 512
        self.disk_images = disk_images
        self.padding_bytes = -image.size_bytes % self.block_bytes
        self.size_bytes = image.size_bytes + self.padding_bytes
        self._lower = lower
        self._image = image
        self._starts = [chunk.offset for chunk in image.chunks]

    def _chunks(self, offset: int, length: int) -> Iterator[tuple[SparseChunk | None, int, int]]:
        """(chunk, first byte in it, length) for each part of the range; None behind the last one."""
        end = min(offset + length, self._image.size_bytes)
        index = bisect_right(self._starts, offset) - 1
        position = offset
        while position < end:
            chunk = self._image.chunks[index]
            skip = position - chunk.offset
            part = min(chunk.length - skip, end - position)
            yield chunk, skip, part
            position += part
            index += 1
        if end < offset + length:
            yield None, 0, offset + length - end

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        views: list[Buffer] = []
        for chunk, skip, part in self._chunks(offset, length):
            if chunk is None or chunk.kind is ChunkKind.DONT_CARE:
                views.append(bytes(part))
            elif chunk.kind is ChunkKind.RAW:
                views += read_wide(self._lower, chunk.data_offset + skip, part)
            else:
                first = skip % FILL_BYTES
                repeated = self.pattern(chunk) * (part // FILL_BYTES + 2)
                views.append(repeated[first : first + part])
        return views

    def pattern(self, chunk: SparseChunk) -> bytes:
        """The bytes that repeat in a chunk."""
        return b"".join(map(bytes, read_wide(self._lower, chunk.data_offset, FILL_BYTES)))

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: never, the file is asked."""
        return None

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: what nobody cares about is a hole. Chunks need not begin on a block: edges are data."""
        mask = self.block_bytes - 1
        position, end = offset, offset + length
        for chunk, skip, part in self._chunks(offset, length):
            if chunk is None or chunk.kind is not ChunkKind.DONT_CARE:
                continue
            first = (chunk.offset + skip + mask) & ~mask
            last = (chunk.offset + skip + part) & ~mask
            if first >= last:
                continue
            if position < first:
                yield Segment(position, first - position, "file")
            yield Segment(first, last - first, "file", allocated=False, zero=True)
            position = last
        if position < end:
            yield Segment(position, end - position, "file")

    def close(self) -> None:
        """See `Device.close`."""
        self._lower.close()


def open_android_sparse(
    lower: Device, region: Region, outer: tuple[DiskImage, ...], progress: UnpackProgress | None
) -> AndroidSparseDevice:
    """The disk in the file `lower`, which is closed with it. Raises FormatError, LimitError, DeviceError."""
    image = read_sparse_image(region)
    detail = f"{plural(len(image.chunks), 'chunk')}, {'CRC-32 verified' if image.crcs else 'no CRC-32'}"
    described = DiskImage(ImageKind.ANDROID_SPARSE.value, detail, region.size_bytes)
    device = AndroidSparseDevice(lower, image, disk_images=(*outer, described))
    _verify(device, image, progress)
    return device


def _verify(device: AndroidSparseDevice, image: SparseImage, progress: UnpackProgress | None) -> None:
    """Compare every CRC that the image has. Raises FormatError."""
    crc, done, chunks = 0, 0, iter(image.chunks)
    for end, expected in image.crcs:
        while done < end:
            chunk = next(chunks)
            crc = _chunk_crc(device, chunk, crc)
            done += chunk.length
            if progress is not None:
                progress(done, image.size_bytes, device.identity.name)
        if crc != expected:
            raise FormatError(
                f"the CRC-32 of the first {end} bytes of the disk does not match",
                where=device.identity.name,
                found=f"{crc:#010x}",
                expected=f"{expected:#010x}",
            )


def _chunk_crc(device: AndroidSparseDevice, chunk: SparseChunk, crc: int) -> int:
    if chunk.kind is not ChunkKind.RAW:
        pattern = _ZEROS if chunk.kind is ChunkKind.DONT_CARE else device.pattern(chunk)
        return combine_crc32(crc, repeated_crc32(pattern, chunk.length // FILL_BYTES), chunk.length)
    for start in range(0, chunk.length, _PIECE_BYTES):
        length = min(_PIECE_BYTES, chunk.length - start)
        crc = crc32(read_bytes(device, chunk.offset + start, length), crc)
    return crc
