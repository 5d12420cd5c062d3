"""A RedoxFS image taken apart, so that damage can be made to look sound.

Every block of RedoxFS is guarded by the seahash in the pointer to it, up to the header. `Surgeon` knows which pointer
guards which block; `patch` changes bytes and makes every hash above them right again. Written from the on-disk format,
independently of the crate. Unencrypted images only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BLOCK = 4096
RING_SLOTS = 256
_MASK = (1 << 64) - 1
_PRIME = 0x6EED0E9DA4D94A4F
_SEEDS = (0x16F11FE89B0D677C, 0xB480A793D8E6C86C, 0x6FE2E5AAF078EBC9, 0x14F994A4C5259381)

TREE_POINTER, LOG_POINTER, RELEASE_POINTER = 48, 64, 3152
NODE_SIZE, NODE_BLOCKS, NODE_RECORD_LEVEL, NODE_FLAGS, NODE_LEVELS = 14, 22, 66, 70, 128
# A directory block: entries (node id, length of the name, name), then their count and their bytes. The crate leaves
# this order to the compiler; every compiler it supports puts the large array first.
DIRECTORY_COUNT = 4092
POINTERS_PER_LIST = 256
TREE_POINTERS = 254


def _diffuse(value: int) -> int:
    value = value * _PRIME & _MASK
    value ^= (value >> 32) >> (value >> 60)
    return value * _PRIME & _MASK


def seahash(data: bytes | bytearray | memoryview) -> int:
    """SeaHash of `data` with the default seeds."""
    a, b, c, d = _SEEDS
    whole = len(data) // 8 * 8
    for (word,) in struct.iter_unpack("<Q", data[:whole]):
        a, b, c, d = b, c, d, _diffuse(a ^ word)
    if whole < len(data):
        a, b, c, d = b, c, d, _diffuse(a ^ int.from_bytes(data[whole:], "little"))
    return _diffuse(a ^ b ^ c ^ d ^ len(data))


@dataclass(frozen=True)
class Block:
    """A block that something points to: `parent` is the index of the block with the pointer (None: the header)."""

    what: str
    index: int
    length: int
    parent: int | None
    pointer_offset: int


class Surgeon:
    """Works on `image` in place; the file system starts at its first byte."""

    def __init__(self, image: bytearray) -> None:
        self.image = image
        self.slot = max(range(RING_SLOTS), key=self._generation)
        self.blocks: dict[int, Block] = {}
        self.nodes: dict[int, int] = {}
        self._list("log", self._header_pointer(LOG_POINTER), None, LOG_POINTER)
        self._tree(self._header_pointer(TREE_POINTER), None, TREE_POINTER, 3, 0)

    @property
    def header_offset(self) -> int:
        return self.slot * BLOCK

    def copy(self) -> Surgeon:
        """Another surgeon on a copy of the image, as it is."""
        other = Surgeon.__new__(Surgeon)
        other.image = bytearray(self.image)
        other.slot, other.blocks, other.nodes = self.slot, self.blocks, self.nodes
        return other

    def _generation(self, slot: int) -> int:
        block = self.image[slot * BLOCK : (slot + 1) * BLOCK]
        if not block.startswith(b"RedoxFS\0") or seahash(block[:4072]) != struct.unpack_from("<Q", block, 4088)[0]:
            return -1
        generation: int = struct.unpack_from("<Q", block, 40)[0]
        return generation

    def _header_pointer(self, offset: int) -> int:
        address: int = struct.unpack_from("<Q", self.image, self.header_offset + offset)[0]
        return address

    def _add(self, what: str, address: int, parent: int | None, offset: int) -> int:
        index = address >> 8
        self.blocks[index] = Block(what, index, BLOCK << (address & 15), parent, offset)
        return index

    def _pointers(self, index: int, start: int, count: int) -> list[tuple[int, int]]:
        """Offset and address of the pointers that are not null."""
        base = index * BLOCK
        found = []
        for offset in range(start, start + 16 * count, 16):
            (address,) = struct.unpack_from("<Q", self.image, base + offset)
            if address >> 8:
                found.append((offset, address))
        return found

    def _list(self, what: str, address: int, parent: int | None, offset: int) -> None:
        """A list linked through the first pointer of each block."""
        while address >> 8:
            index = self._add(what, address, parent, offset)
            parent, offset = index, 0
            (address,) = struct.unpack_from("<Q", self.image, index * BLOCK)

    def _tree(self, address: int, parent: int | None, offset: int, level: int, node_id: int) -> None:
        index = self._add("tree", address, parent, offset)
        for child_offset, child in self._pointers(index, 0, TREE_POINTERS):
            child_id = node_id << 8 | child_offset // 16
            if level:
                self._tree(child, index, child_offset, level - 1, child_id)
            else:
                self._node(child, index, child_offset, child_id)

    def _node(self, address: int, parent: int, offset: int, node_id: int) -> None:
        index = self._add("node", address, parent, offset)
        self.nodes[node_id] = index
        (mode,) = struct.unpack_from("<H", self.image, index * BLOCK)
        (flags,) = struct.unpack_from("<I", self.image, index * BLOCK + NODE_FLAGS)
        if mode & 0xF000 == 0x4000:
            self._directory(index)
        elif not flags & 1:
            first = NODE_LEVELS
            for depth, count in enumerate((128, 64, 32, 16, 8)):
                for child_offset, child in self._pointers(index, first, count):
                    self._records(child, index, child_offset, depth)
                first += 16 * count

    def _records(self, address: int, parent: int, offset: int, depth: int) -> None:
        index = self._add("index" if depth else "data", address, parent, offset)
        if depth:
            for child_offset, child in self._pointers(index, 0, POINTERS_PER_LIST):
                self._records(child, index, child_offset, depth - 1)

    def _directory(self, node: int) -> None:
        marker, _, root, _ = struct.unpack_from("<4Q", self.image, node * BLOCK + NODE_LEVELS)
        if marker | 0xF == _MASK:
            self._htree(root, node, NODE_LEVELS + 16, marker & 15)

    def _htree(self, address: int, parent: int, offset: int, level: int) -> None:
        index = self._add("htree" if level else "directory", address, parent, offset)
        for entry in range(BLOCK // 20 if level else 0):
            child_offset = entry * 20 + 4
            (child,) = struct.unpack_from("<Q", self.image, index * BLOCK + child_offset)
            if child >> 8:
                self._htree(child, index, child_offset, level - 1)

    def block(self, what: str, number: int = 0) -> Block:
        """The `number`th block that is a `what`."""
        return [block for block in self.blocks.values() if block.what == what][number]

    def below(self, node_id: int) -> Block:
        """The first block that a node points to."""
        node = self.nodes[node_id]
        return next(block for block in self.blocks.values() if block.parent == node)

    def patch(self, block: Block, offset: int, data: bytes) -> None:
        """Change bytes of a block and every hash above it."""
        start = block.index * BLOCK + offset
        self.image[start : start + len(data)] = data
        self.seal(block)

    def seal(self, block: Block) -> None:
        """Make the hashes above a block right."""
        start = block.index * BLOCK
        digest = struct.pack("<Q", seahash(self.image[start : start + block.length]))
        if block.parent is None:
            self.patch_header(block.pointer_offset + 8, digest)
        else:
            self.patch(self.blocks[block.parent], block.pointer_offset + 8, digest)

    def patch_header(self, offset: int, data: bytes) -> None:
        """Change bytes of the newest header and its hashes."""
        start = self.header_offset
        self.image[start + offset : start + offset + len(data)] = data
        digest = seahash(self.image[start : start + 4072])
        struct.pack_into("<QQQ", self.image, start + 4072, digest, 0, digest)
