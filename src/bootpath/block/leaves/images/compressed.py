"""Compressed disks: read in place where the file says where its blocks are, else unpacked once.

In place: .xz files of blocks that are small enough (``xz -T``, ``xz --block-size``), and .zst files with a seek table
(zstd's seekable format). gzip has no index. Every check that a format has is made of what is read: the decoders make
them of each block, member, stream or frame.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bootpath.block.leaves.images.packed import PackedDevice
from bootpath.block.leaves.images.unpack import UnpackProgress, unpack_whole
from bootpath.core.device import Device
from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import FormatError
from bootpath.core.extras import NotInstalledError
from bootpath.core.limits import check_limit, limit_hint, limits
from bootpath.core.units import plural
from bootpath.formats.diskimages.recognise import ImageKind
from bootpath.formats.diskimages.xz import read_xz_index, stream_of_block
from bootpath.formats.diskimages.zstd import FRAME_MAGIC, read_seek_table, skippable_bytes
from bootpath.formats.region import Region

if TYPE_CHECKING:
    import zstandard

_PIECE_BYTES = 1 << 20
_TAKEN_BYTES = 16 << 10
_GZIP = 31  # zlib.decompressobj: "the input must include a gzip header and trailer"
_ZSTD_PIECE_BYTES = 1024  # a block of 4 bytes can be 128 KiB, so at most 32 MiB come of this
_MAGIC_BYTES = 8

_Pieces = Iterator[tuple[bytes, int]]


def open_compressed(
    lower: Device, region: Region, kind: ImageKind, outer: tuple[DiskImage, ...], progress: UnpackProgress | None
) -> Device:
    """The disk in the file `lower`, which is closed with it; `region` is all of the file, without padding.

    Raises FormatError, LimitError, DeviceError, NotInstalledError.
    """
    match kind:
        case ImageKind.XZ:
            return _open_xz(lower, region, outer, progress)
        case ImageKind.ZSTD:
            return _open_zstd(lower, region, outer, progress)
        case _:
            images = (*outer, DiskImage(kind.value, "unpacked as a whole", region.size_bytes))
            return unpack_whole(lower, _gzip_pieces(region), disk_images=images, progress=progress)


def _indexed(kind: ImageKind, what: str, count: int, size: int) -> DiskImage:
    return DiskImage(kind.value, f"{plural(count, what)}, read in place", size)


def _fits(sizes: list[int]) -> bool:
    """True for what is read in place: blocks of a size that may be unpacked for one read."""
    return max(sizes) <= limits().packed_block_bytes


# gzip


def _gzip_pieces(region: Region) -> _Pieces:
    """The content of all members (RFC 1952 §2.2), behind which there may be zeros."""
    source = _Source(region, ImageKind.GZIP)
    while source.find(b"\x1f\x8b", padded=True):
        decoder = zlib.decompressobj(_GZIP)
        while not decoder.eof:
            try:
                content = decoder.decompress(source.take(), _PIECE_BYTES)
            except zlib.error as fault:
                raise _corrupt(ImageKind.GZIP, fault) from fault
            if not decoder.eof:  # then this is in `unused_data` as well
                source.give_back(len(decoder.unconsumed_tail))
            if content:
                yield content, source.position
            elif not decoder.eof and source.empty:
                source.more()
        source.give_back(len(decoder.unused_data))


# xz


def _xz_decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits().unpacking_bytes)


def _open_xz(lower: Device, region: Region, outer: tuple[DiskImage, ...], progress: UnpackProgress | None) -> Device:
    blocks = [block for block in read_xz_index(region) if block.size_bytes]
    sizes = [block.size_bytes for block in blocks]
    if not sizes or not _fits(sizes):
        images = (*outer, DiskImage(ImageKind.XZ.value, "unpacked as a whole", region.size_bytes))
        return unpack_whole(lower, _xz_pieces(region), disk_images=images, progress=progress)

    def unpack(index: int) -> bytes:
        block = blocks[index]
        packed = region.read(block.offset, (block.unpadded_bytes + 3) & ~3, "a block")
        decoder = _xz_decoder()
        try:
            # One byte more than is promised would be too many.
            content = decoder.decompress(stream_of_block(block, packed), block.size_bytes + 1)
            if not decoder.eof and len(content) <= block.size_bytes:
                decoder.decompress(b"", 1)
        except lzma.LZMAError as fault:
            raise _corrupt(ImageKind.XZ, fault) from fault
        if not decoder.eof:
            raise FormatError("a block does not end where its index says", where=ImageKind.XZ.value)
        return content

    return PackedDevice(
        lower, sizes, unpack, disk_images=(*outer, _indexed(ImageKind.XZ, "block", len(blocks), region.size_bytes))
    )


def _xz_pieces(region: Region) -> _Pieces:
    source = _Source(region, ImageKind.XZ)
    while source.find(b"\xfd7zXZ\0", padded=True):
        decoder = _xz_decoder()
        while not decoder.eof:
            if decoder.needs_input and source.empty:
                source.more()
            try:
                content = decoder.decompress(source.take() if decoder.needs_input else b"", _PIECE_BYTES)
            except lzma.LZMAError as fault:
                raise _corrupt(ImageKind.XZ, fault) from fault
            if content:
                yield content, source.position
        source.give_back(len(decoder.unused_data))


# zstd


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as fault:
        raise NotInstalledError("zstandard", "zstd", "a disk image that is compressed with zstd") from fault
    return zstandard


def _open_zstd(lower: Device, region: Region, outer: tuple[DiskImage, ...], progress: UnpackProgress | None) -> Device:
    library = _zstandard()
    frames = read_seek_table(region)
    if not frames or not _fits([frame.size_bytes for frame in frames]):
        images = (*outer, DiskImage(ImageKind.ZSTD.value, "unpacked as a whole", region.size_bytes))
        return unpack_whole(lower, _zstd_pieces(region, library), disk_images=images, progress=progress)

    def unpack(index: int) -> bytes:
        frame = frames[index]
        packed = region.read(frame.offset, frame.packed_bytes, "a frame")
        decompressor: zstandard.ZstdDecompressor = library.ZstdDecompressor(max_window_size=limits().unpacking_bytes)
        try:
            with decompressor.stream_reader(packed) as reader:
                return reader.read(frame.size_bytes + 1)
        except (library.ZstdError, MemoryError) as fault:
            raise _corrupt(ImageKind.ZSTD, fault) from fault

    sizes = [frame.size_bytes for frame in frames]
    images = (*outer, _indexed(ImageKind.ZSTD, "frame", len(frames), region.size_bytes))
    return PackedDevice(lower, sizes, unpack, disk_images=images)


def _zstd_pieces(region: Region, library: Any) -> _Pieces:
    source = _Source(region, ImageKind.ZSTD)
    decompressor = library.ZstdDecompressor(max_window_size=limits().unpacking_bytes)
    while source.find(b"", padded=False):
        skipped = skippable_bytes(source.head)
        if skipped is not None:
            source.skip(skipped)
            continue
        if not source.head.startswith(FRAME_MAGIC):
            raise source.not_here()
        decoder = decompressor.decompressobj()
        while not decoder.eof:
            if source.empty:
                source.more()
            try:
                content = decoder.decompress(source.take(_ZSTD_PIECE_BYTES))
            except (library.ZstdError, MemoryError) as fault:
                raise _corrupt(ImageKind.ZSTD, fault) from fault
            if content:
                yield content, source.position
        source.give_back(len(decoder.unused_data))


class _Source:
    """A file from its beginning to its end; `position` is where what was taken ends.

    What is taken is a copy, so it is little: a decoder gives back all that stands behind its part, and a part can be
    as small as a few bytes.
    """

    def __init__(self, region: Region, kind: ImageKind) -> None:
        self._data = b""
        self._at = 0
        self._read_bytes = 0
        self._parts = 0
        self._region = region
        self._kind = kind

    @property
    def position(self) -> int:
        """How much of the file is used up."""
        return self._read_bytes - len(self._data) + self._at

    @property
    def empty(self) -> bool:
        """True when `more` must be called before anything can be taken."""
        return self._at == len(self._data)

    @property
    def head(self) -> bytes:
        """The next bytes, as many as a magic needs after `find`."""
        return self._data[self._at : self._at + _MAGIC_BYTES]

    def _read(self) -> bool:
        data = self._region.peek(self._read_bytes, _PIECE_BYTES)
        self._read_bytes += len(data)
        self._data = self._data[self._at :] + data
        self._at = 0
        return bool(data)

    def more(self) -> None:
        """Read on. Raises FormatError at the end."""
        if not self._read():
            raise FormatError(
                "the file ends within what is compressed", where=self._kind.value, hint="is it truncated?"
            )

    def take(self, length: int = _TAKEN_BYTES) -> bytes:
        """So much of what is there."""
        taken = self._data[self._at : self._at + length]
        self._at += len(taken)
        return taken

    def give_back(self, length: int) -> None:
        """So many bytes at the end of what was taken last were not used after all."""
        self._at -= length

    def skip(self, length: int) -> None:
        """Go on so much further. Raises FormatError at the end."""
        while length > len(self._data) - self._at:
            length -= len(self._data) - self._at
            self._at = len(self._data)
            self.more()
        self._at += length

    def find(self, magic: bytes, *, padded: bool) -> bool:
        """True when another part follows, False at the end. Raises FormatError for anything else, LimitError."""
        while True:
            if padded:
                self._skip_zeros()
            if len(self._data) - self._at >= _MAGIC_BYTES or not self._read():
                break
        if self.empty:
            return False
        if not self.head.startswith(magic):
            raise self.not_here()
        self._parts += 1
        check_limit("packed_blocks", self._parts, "the file has too many parts", where=self._kind.value)
        return True

    def _skip_zeros(self) -> None:
        while self._data.startswith(b"\0", self._at):
            taken = self.take()
            self.give_back(len(taken.lstrip(b"\0")))

    def not_here(self) -> FormatError:
        """What is said of anything behind what is compressed."""
        return FormatError("data that is not compressed follows", where=self._kind.value)


def _corrupt(kind: ImageKind, fault: Exception) -> FormatError:
    if isinstance(fault, MemoryError) or "emory" in str(fault):
        what = "the decoder needs more memory than is allowed"
        return FormatError(what, where=kind.value, hint=limit_hint("unpacking_bytes"))
    return FormatError(f"what is compressed is damaged: {fault}", where=kind.value)
