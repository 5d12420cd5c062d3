"""Devices and checks for tests of RedoxFS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Buffer, Device, Identity, Segment
from bootpath.core.extents import Extent, ExtentSet
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.values import BLOCK_BYTES, RING_BYTES

EPOCH_NS = 1_700_000_000_000_000_000
MIB = 1 << 20


def clock() -> int:
    return EPOCH_NS


def new_fs(size_bytes: int = 8 * MIB) -> tuple[RedoxFS, MemoryDevice]:
    device = MemoryDevice(size_bytes)
    return RedoxFS.create(device, created_ns=EPOCH_NS, pristine=True, clock=clock), device


class Indirect:
    """A device without `direct()`: every byte goes through Python. `before` may raise."""

    def __init__(self, lower: Device, before: Callable[[str, int, int], None] | None = None) -> None:
        self.lower = lower
        self.before = before
        self.calls: list[tuple[str, int, int]] = []
        self.size_bytes = lower.size_bytes
        self.block_bytes = lower.block_bytes
        self.read_only = lower.read_only
        self.identity = Identity("indirect")

    def _note(self, operation: str, offset: int, length: int) -> None:
        self.calls.append((operation, offset, length))
        if self.before is not None:
            self.before(operation, offset, length)

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        self._note("read", offset, length)
        half = length // 2
        return (*self.lower.read(offset, half), b"", *self.lower.read(offset + half, length - half))

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return None

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        self._note("write", offset, len(data))
        self.lower.write(offset, data, fua=fua)

    def flush(self) -> None:
        self._note("flush", 0, 0)

    def discard(self, offset: int, length: int) -> None:
        self._note("discard", offset, length)

    def zero(self, offset: int, length: int) -> None:
        self._note("zero", offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        return self.lower.extents(offset, length)

    def close(self) -> None:
        pass


def tree_of(fs: RedoxFS, path: str = "/") -> dict[str, tuple[object, ...]]:
    """Everything below `path` that a reader can see."""
    seen: dict[str, tuple[object, ...]] = {}
    for where, node in fs.walk(path):
        content: object = None
        if node.is_file:
            content = fs.read(where)
        elif node.is_symlink:
            content = fs.readlink(where)
        seen[where] = (node.mode, node.uid, node.gid, node.links, node.mtime_ns, content)
    return seen


def assert_sound(fs: RedoxFS) -> None:
    """Every block is free or reached exactly once; block 256, behind the ring, is never used."""
    reached = ExtentSet([Extent(0, RING_BYTES + BLOCK_BYTES)])
    total = RING_BYTES + BLOCK_BYTES
    seen_nodes: set[int] = set()
    tree: set[Extent] = set()
    pieces = list(fs.log_extents())
    for path, node in fs.walk():
        if node.id in seen_nodes:
            continue
        seen_nodes.add(node.id)
        for piece in fs.node_extents(path, follow=False):
            if piece.what == "tree":
                tree.update(_blocks(piece.extent))
            else:
                pieces.append(piece)
    for extent in (*tree, *(piece.extent for piece in pieces)):
        reached.add(extent)
        total += extent.length
    whole = Extent(0, fs.header.size_bytes)
    assert total == reached.total_bytes, "something is reached twice"
    assert list(ExtentSet(fs.free_extents().gaps(whole))) == list(reached), "used is not what is reached"


def _blocks(extent: Extent) -> Iterator[Extent]:
    for offset in range(extent.offset, extent.end, BLOCK_BYTES):
        yield Extent(offset, BLOCK_BYTES)
