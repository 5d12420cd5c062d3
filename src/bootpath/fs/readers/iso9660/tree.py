"""Files of an ISO 9660 medium: what Linux's isofs shows of it.

Source: ECMA-119 §6.8, §6.9, §7; the records are `formats.iso9660`'s. Which names count is Linux's rule: Rock Ridge
where the root names it, else Joliet, else the plain ones, in lower case and without ";1" (";" and "/" in them become
"."). Names of Joliet and plain ones are compared without case, as by boot loaders.

A file may have several extents, in records one after the other that all but the last say that it goes on. A directory
that lies too deep for ECMA-119 is moved up by Rock Ridge, and listed where it belongs: there it is a file with CL, and
where it really is, RE says that it is not listed. Files whose pieces are interleaved are refused, as by Linux.

Where nothing says more, modes are 0555, and there are no owners. Nodes are known by the block of their content.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bootpath.core.device import Device
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import Extent
from bootpath.formats.iso9660.descriptors import SECTOR_BYTES, VolumeDescriptor, read_descriptors
from bootpath.formats.iso9660.records import (
    ABOVE,
    ASSOCIATED,
    MIN_RECORD_BYTES,
    THIS,
    DirectoryRecord,
    iter_records,
    parse_record,
)
from bootpath.formats.iso9660.rockridge import Compressed, RockRidge, parse_rock_ridge
from bootpath.formats.region import Region
from bootpath.fs.readers.files import FileKind, FileNode
from bootpath.fs.readers.iso9660.areas import ContinuationCount, SystemUse
from bootpath.fs.readers.iso9660.zisofs import read_compressed
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import Child, TreeFiles, check_directory_size, checked_name

_PIECE_BYTES = 64 << 10  # of a directory, read at once; whole sectors
_DEFAULT_PERMISSIONS = 0o555
_MAX_EXTENTS = 1 << 12  # 16 TiB in extents of 4 GiB


@dataclass(frozen=True, slots=True)
class IsoNode:
    """What the records of a file say. `extents` are its content as it is stored; `target` is a link's.

    `identity` tells nodes apart: Rock Ridge's serial number, or the place of the content.
    """

    kind: FileKind
    mode: int
    extents: tuple[Extent, ...]
    identity: int
    seconds: int = 0
    uid: int = 0
    gid: int = 0
    links: int = 1
    target: bytes | None = None
    compressed: Compressed | None = None
    interleaved: bool = False

    @property
    def stored_bytes(self) -> int:
        """The size on the medium."""
        return sum(extent.length for extent in self.extents)

    @property
    def size_bytes(self) -> int:
        """The size as it is read."""
        if self.target is not None:
            return len(self.target)
        return self.stored_bytes if self.compressed is None else self.compressed.size_bytes


class IsoTree:
    """`treefiles.Tree` of an ISO 9660 medium; references are what their records say.

    `joliet` says that names are Joliet's, `rock_ridge` that they are Rock Ridge's.
    """

    warnings: Sequence[str] = ()

    def __init__(self, source: Source, primary: VolumeDescriptor, joliet: VolumeDescriptor | None) -> None:
        self.source = source
        self.joliet = False
        self._block_bytes = primary.block_bytes
        self._system_use = SystemUse(source, self._block_bytes)
        root = parse_record(primary.root_record)
        itself = self._first_record(root.block)
        self._system_use.detect(itself.system_use)
        self.rock_ridge = self._system_use.rock_ridge
        if self.rock_ridge:
            self.root = self._node([root], self._rock_ridge(itself, ContinuationCount(), first=True))
        else:
            self.joliet = joliet is not None
            if joliet is not None:
                self._block_bytes = joliet.block_bytes
                root = parse_record(joliet.root_record)
            self.root = self._node([root], RockRidge())
        if self.root.kind is not FileKind.DIRECTORY:
            raise source.fault(f"corrupt: the root is a {self.root.kind.value}", expected="a directory")

    def fold(self, name: str) -> str:
        """See `Tree.fold`: case matters in Rock Ridge only."""
        return name if self.rock_ridge else "".join(c.upper() if len(c.upper()) == 1 else c for c in name)

    def node(self, ref: IsoNode) -> FileNode:
        """See `Tree.node`."""
        return FileNode(
            ref.identity, ref.kind, ref.mode, ref.size_bytes, ref.uid, ref.gid, ref.links, ref.seconds * 10**9
        )

    def children(self, ref: IsoNode) -> Iterator[Child[IsoNode]]:
        """See `Tree.children`."""
        if ref.kind is not FileKind.DIRECTORY:
            raise self.source.fault(f"corrupt: the entry is a {ref.kind.value}", expected="a directory")
        count = ContinuationCount()
        parts: list[DirectoryRecord] = []
        for record in self._records(ref):
            if record.flags & ASSOCIATED or record.name in (THIS, ABOVE):
                continue
            parts.append(record)
            if len(parts) > _MAX_EXTENTS:
                raise self.source.fault("corrupt: a file has too many extents", expected=f"at most {_MAX_EXTENTS}")
            if record.goes_on and not record.is_directory:
                continue
            child = self._child(parts, count)
            parts = []
            if child is not None:
                yield child
        if parts:
            raise self.source.fault("corrupt: the last extent of a file is missing")

    def read(self, ref: IsoNode, offset: int, length: int) -> bytes:
        """See `Tree.read`."""
        if ref.target is not None:
            return ref.target[offset : offset + length]
        self._check_readable(ref)
        if ref.compressed is None:
            return self._stored(ref, offset, length)
        return read_compressed(
            self.source, ref.compressed, lambda at, count: self._stored(ref, at, count), offset, length
        )

    def doubts(self, ref: IsoNode) -> Iterator[str]:
        """See `Tree.doubts`: what is wrong here is found when it is read."""
        return iter(())

    def extents(self, ref: IsoNode) -> Iterator[Extent]:
        """See `Tree.extents`."""
        self._check_readable(ref)
        yield from (extent for extent in ref.extents if extent.length)

    def _check_readable(self, ref: IsoNode) -> None:
        """Raise FileSystemError for a file whose form is not read here."""
        unknown = ref.compressed is not None and not ref.compressed.known
        if ref.interleaved or unknown:
            what = "its compression is not known" if unknown else "its blocks are interleaved with others"
            where = f"{self.source.device.identity.name}: {self.source.format}"
            raise FileSystemError(f"the file cannot be read: {what}", errno=errno.EOPNOTSUPP, where=where)

    def _stored(self, ref: IsoNode, offset: int, length: int) -> bytes:
        """Bytes of a file as they are on the medium. Raises FormatError past its end, DeviceError."""
        if offset + length > ref.stored_bytes:
            found = f"{length} bytes at {offset}"
            raise self.source.fault("corrupt: a file is too short", found=found, expected=f"{ref.stored_bytes} bytes")
        parts = []
        for extent in ref.extents:
            if offset < extent.length and length:
                take = min(length, extent.length - offset)
                parts.append(self.source.read_data(extent.offset + offset, take))
                length -= take
                offset = extent.length
            offset -= extent.length
        return b"".join(parts)

    # Records

    def _records(self, ref: IsoNode) -> Iterator[DirectoryRecord]:
        """Every record of a directory. Raises FormatError, DeviceError."""
        (extent,) = ref.extents
        check_directory_size(self.source, extent.length)
        for start in range(0, extent.length, _PIECE_BYTES):
            length = min(_PIECE_BYTES, extent.length - start)
            self.source.spend_directory(length)
            data = self.source.read(extent.offset + start, length)
            try:
                for _, record in iter_records(data, extent.offset + start):
                    yield record
            except FormatError as error:
                raise error.at(self.source.device.identity.name) from None

    def _first_record(self, block: int) -> DirectoryRecord:
        """The first record of a directory, which is its own. Raises FormatError, DeviceError."""
        data = self.source.read(block * self._block_bytes, SECTOR_BYTES)
        record = parse_record(data[: max(data[0], MIN_RECORD_BYTES)])
        if record.name != THIS or not record.is_directory:
            raise self.source.fault(f"corrupt: block {block} does not begin with a directory's own record")
        return record

    def _child(self, parts: list[DirectoryRecord], count: ContinuationCount) -> Child[IsoNode] | None:
        """A file or directory by its records; None for one that is not listed here."""
        said = self._rock_ridge(parts[0], count) if self.rock_ridge else RockRidge()
        if said.moved:
            return None
        if said.moved_to is not None:
            # The record here is a file that stands for the directory; its size and mode are at the directory itself.
            itself = self._first_record(said.moved_to)
            moved = self._rock_ridge(itself, count)
            node = self._node([replace(itself, block=said.moved_to)], replace(moved, name=None))
        else:
            node = self._node(parts, said)
        name = self._name(parts[0].name) if said.name is None else os.fsdecode(said.name)
        return Child(checked_name(self.source, name), node.kind, node)

    def _rock_ridge(self, record: DirectoryRecord, count: ContinuationCount, *, first: bool = False) -> RockRidge:
        try:
            return parse_rock_ridge(list(self._system_use.entries(record.system_use, count, first=first)))
        except FormatError as error:
            raise error.at(self.source.device.identity.name) from None

    def _name(self, raw: bytes) -> str:
        """A name that Rock Ridge does not say. Raises FormatError."""
        if self.joliet:
            name = raw[: len(raw) & ~1].decode("utf-16-be", "replace").removesuffix(";1")
            return name.rstrip(".") or name
        # "Drop trailing '.;1' (ISO 9660:1988 7.5.1 requires period)", then ';1'
        plain = raw.decode("latin-1")
        name = plain.removesuffix(".;1") if plain.endswith(".;1") else plain.removesuffix(";1")
        return "".join(c.lower() if "A" <= c <= "Z" else "." if c in ";/" else c for c in name)

    def _node(self, parts: list[DirectoryRecord], said: RockRidge) -> IsoNode:
        first = parts[0]
        extents = tuple(Extent(part.block * self._block_bytes, part.size_bytes) for part in parts)
        if first.is_directory:
            kind: FileKind | None = FileKind.DIRECTORY
        elif said.mode is None:
            kind = FileKind.FILE if said.target is None else FileKind.SYMLINK
        else:
            kind = FileKind.of_mode(said.mode)
        if kind is None or (kind is FileKind.DIRECTORY) != first.is_directory:
            raise self.source.fault(
                "corrupt: the mode of a record is that of something else", found=f"{said.mode or 0:#o}"
            )
        permissions = _DEFAULT_PERMISSIONS if said.mode is None else stat.S_IMODE(said.mode)
        target = (said.target or b"") if kind is FileKind.SYMLINK else None
        file = kind is FileKind.FILE
        return IsoNode(
            kind,
            _TYPE_BITS[kind] | permissions,
            extents if kind is FileKind.DIRECTORY or file else (),
            self._identity(first, said),
            first.seconds if said.modified is None else said.modified,
            said.uid,
            said.gid,
            said.links,
            target,
            said.compressed if file else None,
            file and any(part.interleaved for part in parts),
        )

    @staticmethod
    def _identity(first: DirectoryRecord, said: RockRidge) -> int:
        """A directory is where its records are, by whatever name it was reached; others may share an empty extent."""
        if first.is_directory or not said.serial:
            return first.block * 2
        return said.serial * 2 + 1


_TYPE_BITS = {
    FileKind.DIRECTORY: stat.S_IFDIR,
    FileKind.FILE: stat.S_IFREG,
    FileKind.SYMLINK: stat.S_IFLNK,
    FileKind.CHARACTER_DEVICE: stat.S_IFCHR,
    FileKind.BLOCK_DEVICE: stat.S_IFBLK,
    FileKind.FIFO: stat.S_IFIFO,
    FileKind.SOCKET: stat.S_IFSOCK,
}


def open_iso9660(device: Device) -> TreeFiles[IsoNode]:
    """The files of the ISO 9660 medium that `device` is. Raises FormatError, DeviceError."""
    source = Source(device, "iso9660")
    found = read_descriptors(Region(device, head_bytes=0))
    if found is None:
        raise source.fault("there is no volume descriptor in sector 16")
    return TreeFiles(IsoTree(source, found.primary, found.joliet))
