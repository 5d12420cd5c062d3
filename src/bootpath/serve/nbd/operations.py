"""What each request does to the device, and the reply to it. Each may wait for the device, so most run on workers.

All return the buffers of the reply and raise DeviceError. Ranges have been checked before.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootpath.core.device import Buffer, Device
from bootpath.serve.nbd.blockstatus import block_status
from bootpath.serve.nbd.handshake import Style
from bootpath.serve.nbd.replies import Replies

_CHUNK_BYTES = 1 << 20
_ZEROS = memoryview(bytes(_CHUNK_BYTES))
_RANGE_BYTES = 32 << 20  # zero and discard in pieces, so that no device needs a large scratch buffer
_HOLE_BYTES = 128 << 10  # reads from this size on are answered with holes where there are some


class Operations:
    """The operations on one device for one client."""

    def __init__(self, device: Device, replies: Replies) -> None:
        self._device = device
        self._write_device = device.write
        self._read_resident = device.read_resident
        self._replies = replies
        self._extended = replies.style is Style.EXTENDED

    def read(self, cookie: bytes, offset: int, length: int, whole: bool) -> Sequence[Buffer]:
        """Read; with `whole` the reply is one chunk ("MUST NOT be fragmented")."""
        return self.data(self._device.read(offset, length), cookie, offset, length, whole)

    def data(self, views: Sequence[Buffer], cookie: bytes, offset: int, length: int, whole: bool) -> Sequence[Buffer]:
        """The reply to a read; unless `whole`, a large one with holes where the device has some."""
        replies = self._replies
        if whole or not self._shows_holes(length):
            return (replies.data(cookie, offset, length), *views)
        segments = [(s.offset, s.length, s.zero) for s in self._device.extents(offset, length)]
        if not any(zero for _, _, zero in segments):
            return (replies.data(cookie, offset, length), *views)
        content = memoryview(views[0] if len(views) == 1 else b"".join(views))
        buffers: list[Buffer] = []
        for start, size, zero in segments:
            if zero:
                buffers.append(replies.hole(cookie, offset, start, size))
            else:
                buffers.append(replies.part(cookie, offset, start, size))
                buffers.append(content[start - offset : start - offset + size])
        buffers.append(replies.finish(cookie, offset))
        return buffers

    def has_holes(self, offset: int, length: int) -> bool:
        """True when the reply to a read of this range has holes."""
        return self._shows_holes(length) and any(segment.zero for segment in self._device.extents(offset, length))

    def _shows_holes(self, length: int) -> bool:
        return self._replies.chunked and length >= _HOLE_BYTES

    def write(self, cookie: bytes, offset: int, data: Buffer, fua: bool) -> Sequence[Buffer]:
        """Write."""
        self._write_device(offset, data, fua=fua)
        return (self._replies.done(cookie, offset),)

    def flush(self, cookie: bytes) -> Sequence[Buffer]:
        """Flush."""
        self._device.flush()
        return (self._replies.done(cookie, 0),)

    def trim(self, cookie: bytes, offset: int, length: int, fua: bool) -> Sequence[Buffer]:
        """Discard."""
        for start in range(offset, offset + length, _RANGE_BYTES):
            self._device.discard(start, min(_RANGE_BYTES, offset + length - start))
        return self._changed(cookie, offset, fua)

    def zero(self, cookie: bytes, offset: int, length: int, fua: bool, filled: bool) -> Sequence[Buffer]:
        """Zero; `filled`: "the area MUST be fully provisioned", so the zeros are written."""
        step = _CHUNK_BYTES if filled else _RANGE_BYTES
        for start in range(offset, offset + length, step):
            size = min(step, offset + length - start)
            if filled:
                self._write_device(start, _ZEROS[:size])
            else:
                self._device.zero(start, size)
        return self._changed(cookie, offset, fua)

    def _changed(self, cookie: bytes, offset: int, fua: bool) -> Sequence[Buffer]:
        if fua:
            self._device.flush()
        return (self._replies.done(cookie, offset),)

    def cache(self, cookie: bytes, offset: int, length: int) -> Sequence[Buffer]:
        """Read what is not in RAM, for whatever is below to keep."""
        for start in range(offset, offset + length, _CHUNK_BYTES):
            size = min(_CHUNK_BYTES, offset + length - start)
            if self._read_resident(start, size) is None:
                self._device.read(start, size)
        return (self._replies.done(cookie, offset),)

    def status(self, cookie: bytes, offset: int, length: int, contexts: tuple[int, ...], one: bool) -> Sequence[Buffer]:
        """Block status, one chunk for each metadata context."""
        statuses = block_status(self._device, offset, length, contexts, one=one, extended=self._extended)
        last = len(statuses) - 1
        return [
            self._replies.status(cookie, offset, status, last=index == last) for index, status in enumerate(statuses)
        ]
