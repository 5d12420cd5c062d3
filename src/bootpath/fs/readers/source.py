"""Bytes of a device at any offset, for file system readers: alignment, the end of the device, and a small cache.

Metadata is read in pages of 4 KiB, and the last `CACHED_PAGES` of them are kept; file data is read past the cache. A
range that is not on the device is damage of the file system that points there, so it is a FormatError; what the device
itself raises passes through.
"""

from __future__ import annotations

from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import FormatError
from bootpath.core.limits import spend
from bootpath.fs.readers.recent import Recent

PAGE_BYTES = 4096
CACHED_PAGES = 256


class Source:
    """`device`, read by whoever parses the file system on it; `format_name` is what errors say. Not thread-safe."""

    def __init__(self, device: Device, format_name: str) -> None:
        self.device = device
        self.format = format_name
        self.size_bytes = device.size_bytes
        self._align = device.block_bytes
        self._pages: Recent[int, bytes] = Recent(CACHED_PAGES)

    def fault(self, what: str, *, found: object = None, expected: object = None) -> FormatError:
        """A FormatError at this device, to be raised."""
        where = f"{self.device.identity.name}: {self.format}"
        return FormatError(what, where=where, found=found, expected=expected)

    def spend_directory(self, length: int) -> None:
        """So much more of directories is gone through: names cost, and so do places without any. Raises LimitError."""
        spend("directory_bytes", length, "the directories are too large", where=self.device.identity.name)

    def spend_clusters(self, count: int) -> None:
        """So many more clusters of a file are followed without being read. Raises LimitError."""
        spend("file_clusters", count, "the files have too many clusters", where=self.device.identity.name)

    def spend_unpacked(self, length: int) -> None:
        """So much more is decompressed, which may be much more than is read. Raises LimitError."""
        spend("unpacked_bytes", length, "too much has to be decompressed", where=self.device.identity.name)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes of metadata from byte `offset`. Raises FormatError past the end, DeviceError."""
        self._check(offset, length)
        first, inside = divmod(offset, PAGE_BYTES)
        if inside + length <= PAGE_BYTES:
            return self._pages.get(first, self._read_page)[inside : inside + length]
        last = (offset + length - 1) // PAGE_BYTES
        if last - first >= CACHED_PAGES // 2:
            return self.read_data(offset, length)
        joined = b"".join(self._pages.get(index, self._read_page) for index in range(first, last + 1))
        return joined[inside : inside + length]

    def read_data(self, offset: int, length: int) -> bytes:
        """The same for file data, which is not kept."""
        self._check(offset, length)
        if length == 0:
            return b""
        start = offset - offset % self._align
        end = offset + length + -(offset + length) % self._align
        data = read_bytes(self.device, start, end - start)
        return data if len(data) == length else data[offset - start : offset - start + length]

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise self.fault(f"{length} bytes at {offset} are not on the device", expected=f"at most {self.size_bytes}")

    def _read_page(self, index: int) -> bytes:
        start = index * PAGE_BYTES
        return read_bytes(self.device, start, min(PAGE_BYTES, self.size_bytes - start))
