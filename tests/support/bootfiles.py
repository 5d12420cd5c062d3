"""File trees in memory and PE files by hand, for boot entries."""

from __future__ import annotations

import stat
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Identity
from bootpath.core.extents import Extent
from bootpath.formats.entries.pe import ReadAt
from bootpath.fs.readers.files import FileKind, FileNode
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import Child, TreeFiles

X64, AA64 = 0x8664, 0xAA64


class MemoryTree:
    """A tree of paths: bytes for a file, str for a symbolic link. `fold_case` compares names as FAT does."""

    def __init__(
        self, content: Mapping[str, bytes | str], *, fold_case: bool = False, programs: Collection[str] = ()
    ) -> None:
        self._programs = programs
        self.source = Source(MemoryDevice(bytes(512), identity=Identity("memory")), "memory")
        self.warnings: Sequence[str] = ()
        self.root = "/"
        self._fold_case = fold_case
        self._content: dict[str, bytes | str | None] = {"/": None}
        for path, value in content.items():
            for above in PurePosixPath(path).parents:
                self._content.setdefault(str(above), None)
            self._content[path] = value
        self._children: dict[str, list[str]] = {}
        for path in self._content:
            if path != "/":
                self._children.setdefault(str(PurePosixPath(path).parent), []).append(path)

    def node(self, ref: str) -> FileNode:
        value = self._content[ref]
        kind, mode = _KINDS[type(value)]
        size = len(value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value or b"")
        permissions = 0o755 if ref in self._programs else 0o644
        return FileNode(list(self._content).index(ref), kind, mode | permissions, size)

    def children(self, ref: str) -> Iterable[Child[str]]:
        for path in self._children.get(ref, []):
            yield Child(path.rpartition("/")[2], _KINDS[type(self._content[path])][0], path)

    def fold(self, name: str) -> str:
        return name.upper() if self._fold_case else name

    def read(self, ref: str, offset: int, length: int) -> bytes:
        value = self._content[ref]
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value or b""
        return data[offset : offset + length]

    def extents(self, ref: str) -> Iterable[Extent]:
        return ()

    def doubts(self, ref: str) -> Iterable[str]:
        return ()


_KINDS = {
    bytes: (FileKind.FILE, stat.S_IFREG),
    str: (FileKind.SYMLINK, stat.S_IFLNK),
    type(None): (FileKind.DIRECTORY, stat.S_IFDIR),
}


def memory_files(
    content: Mapping[str, bytes | str], *, fold_case: bool = False, programs: Collection[str] = ()
) -> TreeFiles[str]:
    """Files in memory; those of `programs` may be executed."""
    return TreeFiles(MemoryTree(content, fold_case=fold_case, programs=programs))


def pe_image(
    sections: Sequence[tuple[str, bytes]], *, machine: int = X64, subsystem: int = 10, align: int = 512
) -> bytes:
    """A PE32+ file with these sections, one after the other, padded to `align`."""
    optional = bytearray(112)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<H", optional, 68, subsystem)
    start = 64
    header = b"MZ".ljust(60, b"\0") + start.to_bytes(4, "little")
    header += struct.pack("<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, 0, 0, len(optional), 0x22) + optional
    offset = -(-(len(header) + 40 * len(sections)) // align) * align
    body = b""
    for name, data in sections:
        raw = -(-len(data) // align) * align
        header += struct.pack("<8sIIIIIIHHI", name.encode(), len(data), 0x1000, raw, offset, 0, 0, 0, 0, 0x40000040)
        body += data.ljust(raw, b"\0")
        offset += raw
    return header.ljust(-(-len(header) // align) * align, b"\0") + body


def read_at(data: bytes) -> ReadAt:
    return lambda offset, length: data[offset : offset + length]
