"""A cpio archive in the "newc" format: what the Linux kernel unpacks into its first root file system.

Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst. An archive is a run of entries, each::

    070701                  magic; 070702 when `check` holds the sum of the data's bytes
    ino mode uid gid nlink mtime filesize major minor rmajor rminor namesize check
                            thirteen numbers, eight hexadecimal digits each: the header is 110 bytes
    name                    namesize bytes with the NUL that ends it, then zeros to a multiple of four
    data                    filesize bytes, then zeros to a multiple of four

Data is a file's content or a symbolic link's target. An entry named ``TRAILER!!!`` ends an archive; it may be missing,
and zeros and further archives may follow. Hard links are entries with one inode number and more than one link, of which
one has the data; they are parsed as files of their own. An archive in another format, or compressed, is refused.

Names are relative and plain here, as the kernel takes them: no ``.`` or ``..`` or empty part; ``.`` alone is the root.
The kernel makes no parent directories: `arrange_cpio` adds them, and puts parents before what is in them.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bootpath.core.errors import FormatError

CPIO_SPEC = "Linux early-userspace/buffer-format"
CPIO_TRAILER = "TRAILER!!!"
_MAGIC, _MAGIC_CHECKED = b"070701", b"070702"
_HEADER_BYTES = 110
_HEADER = re.compile(rb"07070[12]([0-9A-Fa-f]{104})")
_NOT_ZERO = re.compile(rb"[^\0]")
_PATH_MAX = 4096  # include/uapi/linux/limits.h; counts the NUL
_U32_MAX = 2**32 - 1
_ENCODING = ("utf-8", "surrogateescape")
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def _fault(what: str, path: str, found: object = None, expected: object = None) -> FormatError:
    return FormatError(what, where=f"cpio: {ascii(path)[1:-1]}", found=found, expected=expected, spec=CPIO_SPEC)


@dataclass(frozen=True, slots=True)
class CpioEntry:
    """One name in an archive. `mode` is kind and permissions as in stat; `data` is the content or a link's target.

    Raises FormatError for what the format, or the kernel, does not take.
    """

    path: str
    mode: int
    data: bytes = b""
    mtime_seconds: int = 0
    uid: int = 0
    gid: int = 0
    major: int = 0
    minor: int = 0

    def __post_init__(self) -> None:
        if self.path != _plain(self.path) or "\0" in self.path:
            raise _fault("the name is not relative and plain", self.path)
        if self.path == CPIO_TRAILER:
            raise _fault("the name marks the end of an archive and cannot be in it", self.path)
        if len(self.path.encode(*_ENCODING)) >= _PATH_MAX:
            raise _fault(
                "the name is too long",
                self.path[:40],
                f"{len(self.path)} characters",
                f"at most {_PATH_MAX - 1} bytes",
            )
        if stat.S_IFMT(self.mode) not in _KINDS or not 0 <= self.mode <= 0xFFFF:
            raise _fault("the mode is not valid", self.path, oct(self.mode), "a kind of file and its permissions")
        for name in ("mtime_seconds", "uid", "gid", "major", "minor"):
            if not 0 <= getattr(self, name) <= _U32_MAX:
                raise _fault(f"{name} is out of range", self.path, getattr(self, name), "an unsigned 32-bit number")
        if (self.major or self.minor) and stat.S_IFMT(self.mode) not in _DEVICES:
            raise _fault("only a device has a device number", self.path, self.kind, "a device")
        if self.kind == "symlink":
            if not 0 < len(self.data) < _PATH_MAX or b"\0" in self.data:
                raise _fault("the target of the link is empty, too long, or has a NUL", self.path)
        elif self.data and self.kind != "file":
            raise _fault("only a file or a link has data", self.path, self.kind, "a file or a link")
        if len(self.data) > _U32_MAX:
            raise _fault("the data is too long", self.path, f"{len(self.data)} bytes", f"at most {_U32_MAX}")

    @classmethod
    def directory(cls, path: str, permissions: int = 0o755) -> CpioEntry:
        """A directory."""
        return cls(path, stat.S_IFDIR | permissions)

    @classmethod
    def file(cls, path: str, data: bytes, permissions: int = 0o644) -> CpioEntry:
        """A regular file."""
        return cls(path, stat.S_IFREG | permissions, data)

    @classmethod
    def symlink(cls, path: str, target: str) -> CpioEntry:
        """A symbolic link."""
        return cls(path, stat.S_IFLNK | 0o777, target.encode(*_ENCODING))

    @classmethod
    def character_device(cls, path: str, major: int, minor: int, permissions: int = 0o600) -> CpioEntry:
        """A character device node."""
        return cls(path, stat.S_IFCHR | permissions, major=major, minor=minor)

    @property
    def kind(self) -> str:
        """What it is, in words: directory, file, symlink, character device, block device, fifo or socket."""
        return _KINDS[stat.S_IFMT(self.mode)]


def arrange_cpio(entries: Iterable[CpioEntry], *, mtime_seconds: int = 0) -> tuple[CpioEntry, ...]:
    """The entries as the kernel can unpack them, in one order whatever order they come in.

    Sorted by path, so that parents come first; missing parents added (mode 0755); times set to `mtime_seconds`.
    Equal entries count once. Raises FormatError for two different entries of one path, and for a parent that is no
    directory.
    """
    found: dict[str, CpioEntry] = {}
    for entry in entries:
        timed = replace(entry, mtime_seconds=mtime_seconds)
        if found.setdefault(entry.path, timed) != timed:
            raise _fault("two different entries have this name", entry.path)
    for path in list(found):
        parent = path.rpartition("/")[0]
        while parent:
            holder = found.setdefault(parent, replace(CpioEntry.directory(parent), mtime_seconds=mtime_seconds))
            if holder.kind != "directory":
                raise _fault(f"this {holder.kind} cannot hold {path!a}", parent)
            parent = parent.rpartition("/")[0]
    return tuple(sorted(found.values(), key=lambda entry: entry.path.split("/")))


def pack_cpio(entries: Iterable[CpioEntry]) -> bytes:
    """The archive, entries in the order given, inode numbers from 1 in that order, owner and time as they say."""
    parts: list[bytes] = []
    for inode, entry in enumerate(entries, start=1):
        links = 2 if entry.kind == "directory" else 1
        parts += _pack(entry.path, entry.data, inode, links, entry)
    parts += _pack(CPIO_TRAILER, b"", 0, 1, None)
    return b"".join(parts)


def _pack(path: str, data: bytes, inode: int, links: int, entry: CpioEntry | None) -> tuple[bytes, ...]:
    name = path.encode(*_ENCODING) + b"\0"
    mode, uid, gid, mtime, major, minor = (
        (entry.mode, entry.uid, entry.gid, entry.mtime_seconds, entry.major, entry.minor) if entry else (0,) * 6
    )
    numbers = (inode, mode, uid, gid, links, mtime, len(data), 0, 0, major, minor, len(name), 0)
    header = _MAGIC + b"".join(b"%08X" % number for number in numbers)
    return header, name, _padding(_HEADER_BYTES + len(name)), data, _padding(len(data))


def _padding(length: int) -> bytes:
    return bytes(-length % 4)


@dataclass(frozen=True, slots=True)
class _Header:
    """Whether `check` counts, and the thirteen numbers in their order."""

    checked: bool
    inode: int
    mode: int
    uid: int
    gid: int
    links: int
    mtime: int
    data_bytes: int
    major: int
    minor: int
    device_major: int
    device_minor: int
    name_bytes: int
    check: int


def parse_cpio(data: bytes) -> tuple[CpioEntry, ...]:
    """Every entry, of all archives in `data`, in order. Raises FormatError."""
    entries: list[CpioEntry] = []
    links: dict[tuple[int, int, int, int], list[int]] = {}
    position = 0
    while position < len(data):
        if data[position] == 0:
            # "\0"*: the kernel skips zeros wherever an entry or an archive could begin.
            more = _NOT_ZERO.search(data, position)
            position = len(data) if more is None else more.start()
            continue
        header = _parse_header(data, position)
        name_at = position + _HEADER_BYTES
        data_at = _aligned(name_at + header.name_bytes)
        end = data_at + header.data_bytes
        name = data[name_at : name_at + header.name_bytes]
        if len(name) < header.name_bytes or (header.data_bytes and end > len(data)):
            raise _cut_short(position)
        if not 1 <= header.name_bytes <= _PATH_MAX or name.find(b"\0") != header.name_bytes - 1:
            raise FormatError(
                "the name does not end where its header says", where=f"cpio: byte {position}", spec=CPIO_SPEC
            )
        path = name[:-1].decode(*_ENCODING)
        position = _aligned(end)
        if path == CPIO_TRAILER:
            links.clear()
            continue
        content = data[data_at:end]
        if header.checked and sum(content) & _U32_MAX != header.check:
            raise _fault("the data has the wrong checksum", path, hex(sum(content) & _U32_MAX), hex(header.check))
        entry = _entry(path, header, content)
        if entry.kind == "file" and header.links > 1:
            twins = links.setdefault((header.major, header.minor, header.inode, header.mode), [])
            twins.append(len(entries))
            entry = _share(entries, twins, entry)
        entries.append(entry)
    return tuple(entries)


def _aligned(position: int) -> int:
    return position + -position % 4


def _cut_short(position: int) -> FormatError:
    what = "the archive ends in the middle of an entry"
    return FormatError(what, where=f"cpio: byte {position}", hint="a part of it is missing")


def _parse_header(data: bytes, position: int) -> _Header:
    raw = data[position : position + _HEADER_BYTES]
    if raw[:6] not in (_MAGIC, _MAGIC_CHECKED) or position % 4:
        raise FormatError(
            "the entry has the wrong magic",
            where=f"cpio: byte {position}",
            found=ascii(raw[:6]),
            expected=f"{_MAGIC.decode()} at a multiple of four",
            hint="a compressed archive has to be unpacked first",
        )
    if len(raw) < _HEADER_BYTES:
        raise _cut_short(position)
    digits = _HEADER.fullmatch(raw)
    if digits is None:
        what = "the header has characters that are no hexadecimal digits"
        raise FormatError(what, where=f"cpio: byte {position}", spec=CPIO_SPEC)
    numbers = (int(digits[1][start : start + 8], 16) for start in range(0, 104, 8))
    return _Header(raw[:6] == _MAGIC_CHECKED, *numbers)


def _entry(path: str, header: _Header, content: bytes) -> CpioEntry:
    is_device = stat.S_IFMT(header.mode) in _DEVICES
    # GNU cpio ends a link's target without a NUL, and the kernel does not mind one.
    return CpioEntry(
        path=_plain(path),
        mode=header.mode,
        data=content.removesuffix(b"\0") if stat.S_IFMT(header.mode) == stat.S_IFLNK else content,
        mtime_seconds=header.mtime,
        uid=header.uid,
        gid=header.gid,
        major=header.device_major if is_device else 0,
        minor=header.device_minor if is_device else 0,
    )


def _share(entries: list[CpioEntry], twins: list[int], entry: CpioEntry) -> CpioEntry:
    """Give every name of one file the data that came with one of them."""
    if entry.data:
        for index in twins[:-1]:
            entries[index] = replace(entries[index], data=entry.data)
        return entry
    return replace(entry, data=entries[twins[0]].data) if len(twins) > 1 else entry


def _plain(path: str) -> str:
    """The path without a leading slash, ``.`` parts, doubled slashes; empty, which is refused, when it has ``..``."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts) or "."
