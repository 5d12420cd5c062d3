"""A device in a file or on a block device, by pread and pwrite.

Never by mmap: when an image is truncated under a mapping, touching it is SIGBUS; here it is EIO, and never zeros. The
descriptor can be inherited: a daemon that has given up its namespace cannot open a path any more, so it takes the
descriptor before, or is passed it.

A file may have any size, a device has whole blocks: the last block is filled up with zeros, as QEMU does. Such a file
is not opened for writing, since its end could not keep what is written there. A file of 0 bytes is no disk.

A resident read is one that the page cache answers: preadv2 with RWF_NOWAIT, "if some data is not immediately available,
return EAGAIN" (readv(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from typing import ClassVar

from bootpath.block.leaves import holes
from bootpath.block.leaves.pagecache import is_cached
from bootpath.core.device import Buffer, Direct, FileRange, Identity, Segment
from bootpath.core.errors import DeviceError

# Errors of a write that mean what the contract's table says they mean; everything else is a failed lower device.
_WRITE_ERRNOS = {
    errno.ENOSPC: errno.ENOSPC,
    errno.EDQUOT: errno.ENOSPC,
    errno.EFBIG: errno.ENOSPC,
    errno.EROFS: errno.EPERM,
    errno.EPERM: errno.EPERM,
}
_ZERO_CHUNK = bytes(1 << 20)

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def empty_disk(name: str) -> DeviceError:
    """What is said of a disk without a byte, whatever it is on."""
    return DeviceError("a disk of 0 bytes is no disk", errno=errno.EINVAL, where=name)


def _kind(mode: int) -> str:
    """What a file is that is not a disk."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


class FileDevice:
    """An open descriptor of a regular file or a block device; its size is rounded up to `block_bytes`.

    `padding_bytes` at the end are not in the file: they read as zeros.

    The device owns the descriptor and closes it, unless `owns` is false. Raises DeviceError with the errno of the
    system call; EINVAL when the descriptor is neither a file nor a block device, when it is empty, and when it is to
    be writable and its end is no whole block; EPERM when it is to be writable but is not open for writing.
    """

    whole_blocks: ClassVar = True
    """False for a file that is no disk: it has any size, and grows."""

    def __init__(
        self,
        fd: int,
        *,
        writable: bool = False,
        block_bytes: int = 512,
        identity: Identity | None = None,
        owns: bool = True,
    ) -> None:
        self.identity = identity or Identity(f"fd {fd}")
        self.block_bytes = block_bytes
        self.read_only = not writable
        self._fd = fd
        self._owns = owns
        self._nowait = hasattr(os, "RWF_NOWAIT")
        try:
            mode = os.fstat(fd).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
                raise DeviceError(
                    f"this is {_kind(mode)}, not a disk",
                    errno=errno.EINVAL,
                    where=self.identity.name,
                    expected="a regular file or a block device",
                )
            access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
            if access == os.O_WRONLY or (writable and access != os.O_RDWR):
                wanted = "reading and writing" if writable else "reading"
                raise DeviceError(
                    f"the descriptor is not open for {wanted}", errno=errno.EPERM, where=self.identity.name
                )
            size = os.lseek(fd, 0, os.SEEK_END)
        except OSError as error:
            raise self._error("the file cannot be opened", error, error.errno or errno.EIO) from error
        self._file_bytes = size
        self.padding_bytes = -size % block_bytes if self.whole_blocks else 0
        self.size_bytes = size + self.padding_bytes
        if self.whole_blocks:
            self._check_size(writable)

    def _check_size(self, writable: bool) -> None:
        if not self._file_bytes:
            raise empty_disk(self.identity.name)
        if writable and self.padding_bytes:
            raise DeviceError(
                "the last block is not whole, so this cannot be written as a disk",
                errno=errno.EINVAL,
                where=self.identity.name,
                found=f"{self._file_bytes} bytes",
                expected=f"a multiple of {self.block_bytes}",
                hint=f"truncate --size=%{self.block_bytes} makes it one",
            )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        writable: bool = False,
        block_bytes: int = 512,
        identity: Identity | None = None,
    ) -> FileDevice:
        """Open a path: O_RDONLY unless `writable`. Raises DeviceError, for example ENOENT or EACCES."""
        identity = identity or Identity(os.fspath(path))
        try:
            fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise DeviceError(
                f"the file cannot be opened: {error.strerror}", errno=error.errno or errno.EIO, where=identity.name
            ) from error
        except ValueError:  # a name with a NUL, or one that the file system's encoding does not have
            raise DeviceError("no file can have this name", errno=errno.EINVAL, where=ascii(identity.name)) from None
        try:
            return cls(fd, writable=writable, block_bytes=block_bytes, identity=identity)
        except DeviceError:
            os.close(fd)
            raise

    def _error(self, what: str, error: OSError, code: int = errno.EIO) -> DeviceError:
        return DeviceError(f"{what}: {error.strerror or error}", errno=code, where=self.identity.name)

    def _truncated(self, offset: int) -> DeviceError:
        return DeviceError(
            f"the file ends at {offset}: it was truncated while in use",
            where=self.identity.name,
            expected=f"{self._file_bytes} bytes as when it was opened",
        )

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EIO when the system call fails or the file has become shorter than its device."""
        past = offset + length - self._file_bytes
        if past > 0 and self.padding_bytes:
            return (*self.read(offset, length - past), bytes(past))
        try:
            data = os.pread(self._fd, length, offset)
            if len(data) == length:
                return (data,)
            parts: list[Buffer] = []
            position, end = offset, offset + length
            while data:
                parts.append(data)
                position += len(data)
                if position == end:
                    return parts
                data = os.pread(self._fd, end - position, position)
        except OSError as error:
            raise self._error(f"read of {length} bytes at {offset} failed", error) from error
        raise self._truncated(position)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None unless the page cache has all of it, or when the kernel cannot tell."""
        if not self._nowait:
            return None
        buffer = bytearray(length)
        try:
            if os.preadv(self._fd, (buffer,), offset, os.RWF_NOWAIT) == length:
                return (buffer,)
        except OSError as error:
            # EOPNOTSUPP: the file system cannot tell, now or ever. Any other failure is for read to meet.
            if error.errno == errno.EOPNOTSUPP:
                self._nowait = False
        return None

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`: when the page cache has all of it and the file still has it."""
        fd = self._fd
        try:
            if not is_cached(fd, offset, length) or os.lseek(fd, 0, os.SEEK_END) < offset + length:
                return None
        except OSError:
            return None
        return (FileRange(self, offset, length),)

    def fileno(self) -> int:
        """The descriptor, -1 when the device is closed."""
        return self._fd

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`; `fua` is RWF_DSYNC. ENOSPC when the file system is full, else EIO."""
        flags = os.RWF_DSYNC if fua else 0
        view = memoryview(data)
        done = 0
        try:
            while done < len(view):
                if fua:
                    done += os.pwritev(self._fd, (view[done:],), offset + done, flags)
                else:
                    done += os.pwrite(self._fd, view[done:], offset + done)
        except OSError as error:
            code = _WRITE_ERRNOS.get(error.errno or 0, errno.EIO)
            raise self._error(f"write of {len(view)} bytes at {offset} failed", error, code) from error

    def flush(self) -> None:
        """See `Device.flush`: fdatasync."""
        if self.read_only:
            return
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._error("flush failed", error, _WRITE_ERRNOS.get(error.errno or 0, errno.EIO)) from error

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: punches a hole, which reads as zeros; does nothing where that is not possible."""
        try:
            holes.punch(self._fd, offset, length)
        except OSError as error:
            raise self._error(f"discard of {length} bytes at {offset} failed", error) from error

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: by fallocate, or by writing where the file system cannot."""
        try:
            if holes.zero_range(self._fd, offset, length) or holes.punch(self._fd, offset, length):
                return
        except OSError as error:
            code = _WRITE_ERRNOS.get(error.errno or 0, errno.EIO)
            raise self._error(f"zero of {length} bytes at {offset} failed", error, code) from error
        for position in range(offset, offset + length, len(_ZERO_CHUNK)):
            self.write(position, memoryview(_ZERO_CHUNK)[: min(len(_ZERO_CHUNK), offset + length - position)])

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: source "file"; holes are neither allocated nor anything but zeros."""
        try:
            # Past the end of a truncated file SEEK_DATA reports a hole; those bytes are lost, not zero.
            size = os.lseek(self._fd, 0, os.SEEK_END)
            if size < min(offset + length, self._file_bytes):
                raise self._truncated(size)
            for start, size, data in holes.data_runs(self._fd, offset, length, self.block_bytes):
                yield Segment(start, size, "file", allocated=data, zero=not data)
        except OSError as error:
            raise self._error(f"the extents of {length} bytes at {offset} cannot be found", error) from error

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`: the descriptor, when all of the device is behind it."""
        if self.padding_bytes:
            return None
        return Direct(offset=0, length=self.size_bytes, writable=not self.read_only, fd=self._fd)

    def close(self) -> None:
        """See `Device.close`."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._owns:
            os.close(fd)
