"""remote: a read-only disk that is an object on an http(s) server or in S3.

- Reads are of whole chunks, aligned; the last used ones stay in a cache of bounded bytes. Adjacent chunks that are
  missing are one request. A chunk that is being fetched is waited for, never fetched twice at a time.
- A failure that may pass is tried again, with exponential backoff, a bounded number of times; then EIO. What cannot
  pass (404, 403, no ranges) fails at once.
- Size and version are those of the opening. An object that changes is EIO for all that was not read before: never two
  versions in one disk. A server that tells no version is refused, unless `unversioned`.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from bootpath.block.leaves.file import empty_disk
from bootpath.block.leaves.remoteobject import RemoteObject, TransientError, open_object
from bootpath.block.targets.readonly import ReadOnly
from bootpath.core.device import Buffer, Identity, Segment
from bootpath.core.errors import DeviceError

CHUNK_BYTES = 1 << 20
CACHE_BYTES = 64 << 20
MAX_REQUEST_BYTES = 8 << 20
LOOKUP_CHUNK_BYTES = 64 << 10
"""For who looks at a few places of a disk and reads on at none."""

_Result = TypeVar("_Result")


class _Fetch:
    """A chunk on its way: set `data` or `error`, then `done`."""

    __slots__ = ("data", "done", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.data: memoryview | None = None
        self.error: DeviceError | None = None


class RemoteDevice(ReadOnly):
    """`remote` as a device; its size is rounded up to `block_bytes`, by zeros. Made by `open_remote`.

    `requests` and `fetched_bytes` count what the server gave. `tries` is how often a request is made at most, `backoff`
    the first and the longest pause between them in seconds; `sleep` is there for tests. Raises DeviceError as the
    object's first request.
    """

    def __init__(
        self,
        remote: RemoteObject,
        *,
        block_bytes: int = 512,
        chunk_bytes: int = CHUNK_BYTES,
        cache_bytes: int = CACHE_BYTES,
        tries: int = 5,
        backoff: tuple[float, float] = (0.1, 5.0),
        sleep: Callable[[float], None] = time.sleep,
        unversioned: bool = False,
        identity: Identity | None = None,
    ) -> None:
        if chunk_bytes <= 0 or chunk_bytes % 4096 or tries < 1:
            raise ValueError(f"chunk_bytes is {chunk_bytes} and tries {tries}: a multiple of 4096, and at least 1")
        self.block_bytes = block_bytes
        self.identity = identity or Identity(remote.name)
        self.chunk_bytes = chunk_bytes
        self._remote = remote
        self._max_chunks = max(cache_bytes // chunk_bytes, 1)
        self._tries = tries
        self._backoff = backoff
        self._sleep = sleep
        self._lock = threading.Lock()
        self._chunks: OrderedDict[int, memoryview] = OrderedDict()
        self._fetches: dict[int, _Fetch] = {}
        self.requests = 0
        self.fetched_bytes = 0
        self.version = self._retried(remote.version)
        if not unversioned and self.version.etag is None and self.version.modified is None:
            raise DeviceError(
                "the server gives neither ETag nor Last-Modified, so a change would not be noticed",
                errno=errno.ENOTSUP,
                where=remote.name,
            )
        if not self.version.size_bytes:
            raise empty_disk(remote.name)
        self.padding_bytes = -self.version.size_bytes % block_bytes
        self.size_bytes = self.version.size_bytes + self.padding_bytes

    def _retried(self, request: Callable[[], _Result]) -> _Result:
        pause, longest = self._backoff
        for left in range(self._tries - 1, -1, -1):
            try:
                return request()
            except TransientError as error:
                if not left:
                    tried = f"{error.what} ({self._tries} tries)" if error.expected is None else error.what
                    raise DeviceError(tried, where=error.where, found=error.found, expected=error.expected) from error
            self._sleep(pause)
            pause = min(2 * pause, longest)
        raise AssertionError

    # Reading

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EIO when the object cannot be read, or is not what it was."""
        size = self.chunk_bytes
        first, stop = offset // size, (offset + length - 1) // size + 1
        found: dict[int, memoryview] = {}
        while len(found) < stop - first:
            mine, others = self._claim(first, stop, found)
            if mine:
                self._fetch(mine[0], mine[-1] + 1, found)
            elif others:
                index, fetch = others
                fetch.done.wait()
                if fetch.data is None:
                    assert fetch.error is not None
                    raise _copy(fetch.error)
                found[index] = fetch.data
        return self._views(offset, length, [found[index] for index in range(first, stop)])

    def _claim(
        self, first: int, stop: int, found: dict[int, memoryview]
    ) -> tuple[list[int], tuple[int, _Fetch] | None]:
        """Take what the cache has; then (adjacent chunks that this thread is to fetch, one that another fetches)."""
        mine: list[int] = []
        others: tuple[int, _Fetch] | None = None
        most = max(MAX_REQUEST_BYTES // self.chunk_bytes, 1)
        with self._lock:
            for index in range(first, stop):
                if index in found:
                    continue
                data = self._chunks.get(index)
                fetch = self._fetches.get(index)
                if data is not None:
                    self._chunks.move_to_end(index)
                    found[index] = data
                elif fetch is not None:
                    others = others or (index, fetch)
                elif len(mine) < most and (not mine or mine[-1] + 1 == index):
                    mine.append(index)
            for index in mine:
                self._fetches[index] = _Fetch()
        return mine, others

    def _get(self, start: int, end: int) -> bytes | memoryview:
        data = self._remote.get(start, end, self.version)
        with self._lock:
            self.requests += 1
            self.fetched_bytes += len(data)
        return data

    def _fetch(self, first: int, stop: int, found: dict[int, memoryview]) -> None:
        """Get chunks that are claimed, and tell who waits for them."""
        size = self.chunk_bytes
        start, end = first * size, min(stop * size, self.version.size_bytes)
        failure: DeviceError | None = None
        chunks: dict[int, memoryview] = {}
        try:
            data = self._retried(lambda: self._get(start, end))
            if len(data) != end - start:
                raise DeviceError(
                    f"read of {end - start} bytes at {start} came up short",
                    where=self._remote.name,
                    found=f"{len(data)} bytes",
                    expected=f"{end - start} bytes",
                )
            for index in range(first, stop):
                low = index * size - start
                part = memoryview(data)[low : low + size]
                if low + size > len(data) and end == self.version.size_bytes:
                    part = memoryview(bytes(part) + bytes(self.padding_bytes))
                # One buffer must not stay for one of its chunks.
                chunks[index] = part.toreadonly() if stop - first == 1 else memoryview(bytes(part))
        except DeviceError as error:
            failure = error
        finally:
            failure = failure or DeviceError("the read was interrupted", where=self._remote.name)
            with self._lock:
                for index in range(first, stop):
                    fetch = self._fetches.pop(index)
                    if index in chunks:
                        fetch.data = self._chunks[index] = chunks[index]
                    else:
                        fetch.error = failure
                    fetch.done.set()
                while len(self._chunks) > self._max_chunks:
                    self._chunks.popitem(last=False)
        if not chunks:
            raise failure
        found.update(chunks)

    def _views(self, offset: int, length: int, chunks: list[memoryview]) -> list[Buffer]:
        skip = offset % self.chunk_bytes
        views: list[Buffer] = []
        for chunk in chunks:
            part = chunk[skip : skip + length]
            skip = 0
            length -= len(part)
            views.append(part)
        return views

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None unless every chunk is in the cache."""
        size = self.chunk_bytes
        chunks: list[memoryview] = []
        with self._lock:
            for index in range(offset // size, (offset + length - 1) // size + 1):
                chunk = self._chunks.get(index)
                if chunk is None:
                    return None
                self._chunks.move_to_end(index)
                chunks.append(chunk)
        return self._views(offset, length, chunks)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: source "remote"; a server tells no holes."""
        yield Segment(offset, length, "remote")

    @property
    def cached_bytes(self) -> int:
        """Bytes in the cache."""
        with self._lock:
            return sum(map(len, self._chunks.values()))

    def close(self) -> None:
        """See `Device.close`: the cache is forgotten."""
        with self._lock:
            self._chunks.clear()


def _copy(error: DeviceError) -> DeviceError:
    """The same failure for another thread: a traceback belongs to one."""
    copy = DeviceError(
        error.what, errno=error.errno, where=error.where, expected=error.expected, found=error.found, hint=error.hint
    )
    copy.__cause__ = error
    return copy


def open_remote(
    url: str, *, block_bytes: int = 512, chunk_bytes: int = CHUNK_BYTES, cache_bytes: int = CACHE_BYTES
) -> RemoteDevice:
    """The object at an http://, https:// or s3://bucket/key URL as a device.

    Needs the extra ``bootpath[remote]``. DeviceError: ENOENT, EACCES, EINVAL (URL), ENOTSUP (no ranges or versions),
    ENOPKG (obstore is missing), EIO.
    """
    return RemoteDevice(open_object(url), block_bytes=block_bytes, chunk_bytes=chunk_bytes, cache_bytes=cache_bytes)
