"""A RedoxFS by paths, through the redoxfs crate.

Paths are those of `lookup`: links are followed inside the image.

Every method that changes something is one transaction of the crate (`write` one for every 32 MiB, `archive` one for
every batch): it is there wholly or not at all, and stable after `flush`. Nothing writes access times.

Errors, with the device and the path in `where`: FileSystemError (ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, ENOSPC,
EINVAL, ENAMETOOLONG, ELOOP, EFBIG, ENOKEY...); FormatError when the image is damaged; whatever the device raises,
unchanged. After a panic inside the crate, which is a FormatError, the object refuses every call.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeAlias
from uuid import UUID

from bootpath import _native
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Buffer, Device, Identity, checked
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import ExtentSet
from bootpath.core.printable import printable
from bootpath.fs.redox.faults import NATIVE_FAULTS, translate, translate_open
from bootpath.fs.redox.lookup import Lookup
from bootpath.fs.redox.native import (
    make_extent,
    make_header,
    make_node,
    make_pieces,
    split_optional_time,
    split_time,
)
from bootpath.fs.redox.values import BLOCK_BYTES, Entry, HostTree, LabelledExtent, RedoxHeader, RedoxNode

Clock: TypeAlias = Callable[[], int]
"""Now, in nanoseconds since 1970."""
Progress: TypeAlias = Callable[[int, int, str], object]
"""Called with the bytes and files done and the path being archived, relative to the host directory."""

READ_ALL_BYTES = 4 << 30
"""`read` without a length refuses larger files: a damaged size must not take all memory."""
BATCH_BYTES = 16 << 20


def measure(host_dir: str | os.PathLike[str]) -> HostTree:
    """Count a host directory without reading its files.

    Raises FileSystemError at the path of anything RedoxFS cannot hold (devices, fifos, sockets, names that are not
    UTF-8, have a ':' or more than 252 bytes), OSError when the directory cannot be read.
    """
    return HostTree(*_native.measure(host_dir))


class RedoxFS:
    """An open RedoxFS. Made by `open` and `create`; usable from several threads, one call at a time."""

    def __init__(self, native: _native.FileSystem, device: Device, clock: Clock) -> None:
        self._native = native
        self._clock = clock
        self._lookup = Lookup(native, device.identity.name)

    @classmethod
    def open(
        cls,
        device: Device,
        *,
        password: bytes | None = None,
        block: int | None = 0,
        cleanup: bool = False,
        durable: bool = False,
        clock: Clock = time.time_ns,
    ) -> RedoxFS:
        """Open the file system whose ring is at 4096-byte block `block` of `device`; None looks in the first 65536.

        Reads the ring and the allocator log, and checks both before the crate may act on them. With `cleanup`, nodes
        that were removed while in use are released and the log is squashed, which always writes. With `durable`, the
        device is flushed before and after each header, so that a header never becomes stable before what it points to.

        Raises FormatError (no header, truncated or damaged image), FileSystemError (ENOKEY, EKEYREJECTED), DeviceError.
        """
        try:
            native = _native.FileSystem.open(_named(device), password, block, cleanup, durable)
        except NATIVE_FAULTS as fault:
            raise translate_open(fault, device.identity.name, block, password) from fault
        return cls(native, device, clock)

    @classmethod
    def create(
        cls,
        device: Device,
        *,
        password: bytes | None = None,
        uuid: UUID | None = None,
        reserved: bytes = b"",
        created_ns: int | None = None,
        pristine: bool = False,
        durable: bool = False,
        clock: Clock = time.time_ns,
    ) -> RedoxFS:
        """Make a file system that fills `device` after `reserved` (a boot loader, padded to a block).

        With a `uuid`, the whole ring is written with it; with a `uuid` and `created_ns` and without a password, the
        same content gives the same bytes. `pristine` says that the device reads as zeros, so that the ring need not be
        zeroed first; headers of an earlier file system could otherwise be elected.

        Raises FileSystemError (ENOSPC: it takes 265 blocks), DeviceError.
        """
        ctime = split_time(clock() if created_ns is None else created_ns)
        chosen = None if uuid is None else uuid.bytes
        try:
            native = _native.FileSystem.create(_named(device), password, reserved, ctime, chosen, pristine, durable)
        except NATIVE_FAULTS as fault:
            raise translate(fault, device.identity.name) from fault
        return cls(native, device, clock)

    def __enter__(self) -> RedoxFS:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the device, which stays open. Does not flush. Closing twice is harmless."""
        self._native.close()

    # The file system as a whole

    @property
    def header(self) -> RedoxHeader:
        """The header of the last transaction."""
        return make_header(self._lookup.call("", self._native.header)[0])

    @property
    def start_bytes(self) -> int:
        """Where the file system starts on its device; extents are relative to it."""
        return self._lookup.call("", self._native.header)[1] * BLOCK_BYTES

    @property
    def free_bytes(self) -> int:
        """Bytes that can be allocated."""
        return self._lookup.call("", self._native.free_blocks) * BLOCK_BYTES

    @property
    def used_bytes(self) -> int:
        """Bytes in use, with the ring and everything else that is not free."""
        return self.header.size_bytes - self.free_bytes

    def free_extents(self) -> ExtentSet:
        """What is free."""
        return ExtentSet(make_extent(first, count) for first, count in self._lookup.call("", self._native.free_runs))

    def log_extents(self) -> list[LabelledExtent]:
        """The blocks of the "allocator log" and of the "release list"."""
        return make_pieces(self._lookup.call("", self._native.log_runs))

    def node_extents(self, path: str, follow: bool = True) -> list[LabelledExtent]:
        """Everything the node at `path` occupies: "tree", "node", "data", "index" and "directory" blocks.

        The tree blocks are those that lead to it, shared with other nodes.
        """
        return make_pieces(self._lookup.call(path, self._native.node_runs, self._lookup.id_of(path, follow=follow)))

    def cleanup(self) -> None:
        """Release nodes that were removed while in use, and squash the allocator log. Always writes."""
        self._lookup.call("", self._native.cleanup)

    def flush(self) -> None:
        """Make everything written stable: flushes the device. Raises DeviceError."""
        self._lookup.call("", self._native.flush)

    # Finding

    def lookup(self, path: str, follow: bool = True) -> RedoxNode:
        """The node at `path`; with `follow`, what a link at its end leads to."""
        return make_node(self._lookup.resolve(path, follow=follow)[1])

    def exists(self, path: str) -> bool:
        """True when `path` leads to a node."""
        try:
            self._lookup.resolve(path, follow=True)
        except FileSystemError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return False
            raise
        return True

    def list(self, path: str = "/") -> list[Entry]:
        """The entries of a directory, sorted by name."""
        node_id = self._lookup.id_of(path)
        return [
            Entry(name, make_node(fields)) for name, fields in self._lookup.call(path, self._native.children, node_id)
        ]

    def walk(self, path: str = "/") -> Iterator[tuple[str, RedoxNode]]:
        """`path` and everything below it as (path, node), depth first, sorted; links are not followed.

        Raises FormatError when a directory is reached twice, which no sound image has.
        """
        names, fields = self._lookup.resolve(path, follow=False)
        seen: set[int] = set()
        pending = [("/" + "/".join(names), make_node(fields))]
        while pending:
            where, node = pending.pop()
            yield where, node
            if not node.is_dir:
                continue
            if node.id in seen:
                raise FormatError("the image is corrupt: a directory is reached twice", where=self._lookup.where(where))
            seen.add(node.id)
            prefix = where.rstrip("/")
            children = self._lookup.call(where, self._native.children, node.id)
            pending.extend((f"{prefix}/{name}", make_node(child)) for name, child in reversed(children))

    # Reading and writing

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Up to `length` bytes from `offset`, less at the end of the file; all of it without a length.

        Raises FileSystemError: EISDIR, EFBIG for more than 4 GiB without a length.
        """
        fields = self._lookup.resolve(path, follow=True)[1]
        if stat.S_ISDIR(fields[1]):
            raise self._lookup.refuse(errno.EISDIR, path)
        available = max(0, fields[5] - offset)
        if length is None and available > READ_ALL_BYTES:
            raise self._lookup.refuse(errno.EFBIG, path, hint="read it in parts, with an offset and a length")
        wanted = available if length is None else min(length, available)
        return self._lookup.call(path, self._native.read, fields[0], offset, wanted)

    def read_into(self, path: str, buffer: Buffer, offset: int = 0) -> int:
        """Fill a writable buffer from `offset`; returns how many bytes were read, less at the end of the file."""
        return self._lookup.call(path, self._native.read_into, self._lookup.id_of(path), offset, buffer)

    def readlink(self, path: str) -> str:
        """Where a symbolic link leads. EINVAL when it is none."""
        fields = self._lookup.resolve(path, follow=False)[1]
        if not stat.S_ISLNK(fields[1]):
            raise self._lookup.refuse(errno.EINVAL, path, hint="this is not a symbolic link")
        return self._lookup.target_of(path, fields)

    def write(self, path: str, data: Buffer, offset: int = 0, *, mtime_ns: int | None = None) -> None:
        """Write `data` into an existing file; a gap before it reads as zeros."""
        mtime = split_time(self._clock() if mtime_ns is None else mtime_ns)
        self._lookup.call(path, self._native.write, self._lookup.id_of(path), offset, data, mtime)

    def truncate(self, path: str, size_bytes: int, *, mtime_ns: int | None = None) -> None:
        """Set the size of a file; what is added reads as zeros, and what is cut off is freed."""
        mtime = split_time(self._clock() if mtime_ns is None else mtime_ns)
        self._lookup.call(path, self._native.truncate, self._lookup.id_of(path), size_bytes, mtime)

    # Names

    def _create(self, path: str, mode: int, content: bytes, ctime_ns: int | None) -> RedoxNode:
        _, parent, name = self._lookup.parent_of(path)
        ctime = split_time(self._clock() if ctime_ns is None else ctime_ns)
        return make_node(self._lookup.call(path, self._native.create_node, parent, name, mode, ctime, content))

    def mkfile(self, path: str, mode: int = 0o644, *, ctime_ns: int | None = None) -> RedoxNode:
        """Make an empty file. EEXIST."""
        return self._create(path, stat.S_IFREG | stat.S_IMODE(mode), b"", ctime_ns)

    def mkdir(self, path: str, mode: int = 0o755, *, ctime_ns: int | None = None) -> RedoxNode:
        """Make a directory. EEXIST."""
        return self._create(path, stat.S_IFDIR | stat.S_IMODE(mode), b"", ctime_ns)

    def symlink(self, target: str, path: str, *, ctime_ns: int | None = None) -> RedoxNode:
        """Make a symbolic link at `path` that leads to `target`. EEXIST; EINVAL, ENAMETOOLONG for the target."""
        content = target.encode(errors="surrogateescape")
        if not content or b"\0" in content:
            raise self._lookup.refuse(errno.EINVAL, path, hint="the target is empty or has a NUL")
        if len(content) >= BLOCK_BYTES:
            raise self._lookup.refuse(errno.ENAMETOOLONG, path)
        return self._create(path, stat.S_IFLNK | 0o777, content, ctime_ns)

    def link(self, path: str, new_path: str) -> None:
        """Give the node at `path` (a link itself, not what it leads to) one more name. EPERM for directories."""
        node_id = self._lookup.id_of(path, follow=False)
        _, parent, name = self._lookup.parent_of(new_path)
        self._lookup.call(new_path, self._native.link, parent, name, node_id)

    def rename(self, path: str, new_path: str) -> None:
        """Move a name, replacing what has the new one, as rename(2).

        EINVAL for a directory into itself, EISDIR, ENOTDIR, ENOTEMPTY for what cannot be replaced.
        """
        directory, parent, name = self._lookup.parent_of(path)
        new_directory, new_parent, new_name = self._lookup.parent_of(new_path)
        moved = [*directory, name]
        if new_directory[: len(moved)] == moved:
            raise self._lookup.refuse(errno.EINVAL, new_path, hint="a directory cannot move into itself")
        self._lookup.call(path, self._native.rename, parent, name, new_parent, new_name)

    def unlink(self, path: str) -> None:
        """Remove the name of a file or link, and the node with its last name. EISDIR."""
        _, parent, name = self._lookup.parent_of(path)
        self._lookup.call(path, self._native.remove, parent, name, stat.S_IFREG)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory. ENOTEMPTY, ENOTDIR."""
        _, parent, name = self._lookup.parent_of(path)
        self._lookup.call(path, self._native.remove, parent, name, stat.S_IFDIR)

    # Attributes

    def chmod(self, path: str, mode: int) -> None:
        """Set the permissions."""
        self._change(path, mode=stat.S_IMODE(mode))

    def chown(self, path: str, uid: int | None = None, gid: int | None = None, *, follow: bool = True) -> None:
        """Set the owner and group; None leaves one as it is."""
        self._change(path, follow=follow, uid=uid, gid=gid)

    def utimes(
        self,
        path: str,
        *,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
        ctime_ns: int | None = None,
        follow: bool = True,
    ) -> None:
        """Set the times of access, modification and creation; None leaves one as it is."""
        times = (split_optional_time(ctime_ns), split_optional_time(mtime_ns), split_optional_time(atime_ns))
        self._change(path, follow=follow, times=times)

    def _change(
        self,
        path: str,
        *,
        follow: bool = True,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        times: tuple[_native.Time | None, _native.Time | None, _native.Time | None] = (None, None, None),
    ) -> None:
        node_id = self._lookup.id_of(path, follow=follow)
        self._lookup.call(path, self._native.set_attributes, node_id, mode, uid, gid, *times)

    # The host

    def archive(
        self,
        host_dir: str | os.PathLike[str],
        path: str = "/",
        *,
        progress: Progress | None = None,
        uid: int | None = None,
        gid: int | None = None,
        clamp_mtime_ns: int | None = None,
        batch_bytes: int = BATCH_BYTES,
    ) -> HostTree:
        """Put the content of a host directory into the directory at `path`; returns what was archived.

        Names are taken in byte order; modes, owners, times, symbolic and hard links are kept. `uid` and `gid` replace
        the owners. `clamp_mtime_ns` makes the result reproducible: no modification time is later, and creation and
        access times, which a host cannot choose, become the modification time. About `batch_bytes` of data are held in
        memory and committed at a time; on an error what was committed stays. `progress` is called at most 20 times a
        second; what it raises, and KeyboardInterrupt, ends the archive.

        Raises as `measure`, before anything is written; FileSystemError (EEXIST, ENOSPC) at the host path; OSError.
        """
        parent = self._lookup.id_of(path)
        clamp = split_optional_time(clamp_mtime_ns)
        counts = self._lookup.call(path, self._native.archive, parent, host_dir, progress, uid, gid, clamp, batch_bytes)
        return HostTree(*counts)

    def mount(self, mountpoint: str | os.PathLike[str], ready: Callable[[], object]) -> None:
        """Serve the file system by FUSE until it is unmounted. Closes this object.

        `ready` is called when the mount is there, but before it answers: touching the mount in it never returns.
        Blocks; `mounting.Mount` does it in a thread. Raises FileSystemError, and what `ready` raises after unmounting.
        """
        self._lookup.call(os.fspath(mountpoint), self._native.mount, mountpoint, ready)


def _named(device: Device) -> Device:
    """The device by a name that is text: that of a file may be no UTF-8."""
    name = printable(device.identity.name)
    if name == device.identity.name:
        return device
    return checked(Linear(device, 0, device.size_bytes, identity=Identity(name)))
