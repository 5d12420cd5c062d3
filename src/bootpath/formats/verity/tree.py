r"""dm-verity on disk: the superblock and the shape of the hash tree.

Sources: Linux Documentation/admin-guide/device-mapper/verity.rst; the cryptsetup wiki, "DMVerity", "Verity superblock
format"; veritysetup(8). Everything is compared with veritysetup in tests/integration/test_veritysetup.py.

Superblock, 512 bytes, little endian::

      0 "verity\0\0"         8 version, u32 = 1    12 hash_type, u32: 0 Chrome OS, 1 normal   16 UUID, 16
     32 algorithm, 32, NUL padded                  64 data_block_size, u32   68 hash_block_size, u32
     72 data_blocks, u64    80 salt_size, u16      82 0, 6     88 salt, 256    344 0, 168

The tree stands behind the superblock, from the next hash block on, or at the beginning of its device when there is
none: the root's level first, the leaves last. A hash block holds 2^n digests, as many as fit.

========= ========================= ===================================================
hash_type digest of a block         digests in a hash block
========= ========================= ===================================================
1         H(salt, block)            each padded with zeros to the next power of two
0         H(block, salt)            one directly after the other, zeros at the end
========= ========================= ===================================================

The root hash is the digest of the only block of the highest level; of the data block itself when there is only one.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from bootpath.core.device import Buffer
from bootpath.core.errors import FormatError

SUPERBLOCK_BYTES = 512
MAX_SALT_BYTES = 256
MIN_BLOCK_BYTES = 512
MAX_BLOCK_BYTES = 512 << 10  # veritysetup's limit, MAX_BLOCK_SIZE
MAX_LEVELS = 63  # DM_VERITY_MAX_LEVELS

# The names that veritysetup, the kernel and hashlib agree upon, and the bytes of a digest.
ALGORITHMS: Mapping[str, int] = {
    "sha1": 20,
    "sha224": 28,
    "sha256": 32,
    "sha384": 48,
    "sha512": 64,
}

_MAGIC = b"verity\0\0"
_VERSION = 1
_PAGE_BYTES = 4096
_SHOWN_CHARS = 16  # of what is no root hash: it may be a key that was named by mistake
_SUPERBLOCK = struct.Struct("<8sII16s32sIIQH6x256s168x")
_MAX_BYTES = 1 << 63  # offsets are signed in the kernel (loff_t)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a tree: `blocks` hash blocks from block `start` of the hash device."""

    start: int
    blocks: int


@dataclass(frozen=True, slots=True)
class VerityParameters:
    """Everything that decides a root hash but the data. Sizes are in bytes. Raises FormatError."""

    data_blocks: int
    algorithm: str = "sha256"
    salt: bytes = b""
    data_block_size: int = 4096
    hash_block_size: int = 4096
    hash_type: int = 1

    def __post_init__(self) -> None:
        if self.hash_type not in (0, 1):
            raise _fault("hash_type is unknown", self.hash_type, "0 or 1")
        if self.algorithm not in ALGORITHMS:
            raise _fault("the algorithm is unknown", repr(self.algorithm), "one of " + " ".join(ALGORITHMS))
        for name in ("data_block_size", "hash_block_size"):
            check_block_size(name, getattr(self, name))
        if len(self.salt) > MAX_SALT_BYTES:
            raise _fault("the salt is too long", f"{len(self.salt)} bytes", f"at most {MAX_SALT_BYTES}")
        if not 0 < self.data_blocks * self.data_block_size < _MAX_BYTES:
            raise _fault(
                "data_blocks is out of range", self.data_blocks, "at least one, and less than 2^63 bytes in all"
            )

    @property
    def digest_bytes(self) -> int:
        """Bytes of a digest."""
        return ALGORITHMS[self.algorithm]

    @property
    def fanout_bits(self) -> int:
        """A hash block holds 2^fanout_bits digests."""
        return (self.hash_block_size // self.digest_bytes).bit_length() - 1

    @property
    def slot_bytes(self) -> int:
        """From one digest in a hash block to the next."""
        return self.hash_block_size >> self.fanout_bits if self.hash_type else self.digest_bytes

    @property
    def data_bytes(self) -> int:
        """What is protected."""
        return self.data_blocks * self.data_block_size

    def levels(self, start: int) -> tuple[Level, ...]:
        """The tree that starts at hash block `start`, leaves first; empty for a single data block."""
        counts: list[int] = []
        blocks = self.data_blocks
        while blocks > 1:
            blocks = -(-blocks >> self.fanout_bits)
            counts.append(blocks)
        result: list[Level] = []
        for count in reversed(counts):
            result.append(Level(start, count))
            start += count
        if start * self.hash_block_size >= _MAX_BYTES:
            raise _fault(
                "the end of the hash tree is out of range", f"byte {start * self.hash_block_size}", "less than 2^63"
            )
        return tuple(reversed(result))

    def tree_blocks(self) -> int:
        """Hash blocks of the whole tree."""
        return sum(level.blocks for level in self.levels(0))

    def tree_end(self, start_block: int) -> int:
        """The byte at which the tree that starts there ends; 0 when there is none, as of a single data block."""
        blocks = self.tree_blocks()
        return (start_block + blocks) * self.hash_block_size if blocks else 0


@dataclass(frozen=True, slots=True)
class VeritySuperblock:
    """A superblock. Its device's tree starts at `tree_start` of the byte it stands at."""

    parameters: VerityParameters
    uuid: UUID

    def tree_start(self, offset: int) -> int:
        """The first hash block of the tree when the superblock is at byte `offset`."""
        return tree_start(offset, self.parameters.hash_block_size)


def check_block_size(name: str, size: int) -> None:
    """Raise FormatError when blocks cannot have that many bytes."""
    if size & (size - 1) or not MIN_BLOCK_BYTES <= size <= MAX_BLOCK_BYTES:
        raise _fault(f"{name} is not valid", size, f"a power of two from {MIN_BLOCK_BYTES} to {MAX_BLOCK_BYTES}")


def tree_start(offset: int, hash_block_size: int, *, superblock: bool = True) -> int:
    """The first hash block of a tree whose area begins at byte `offset`. Raises FormatError when it is misaligned.

    "hash_start_block: the offset, expressed in hash blocks, from the start of hash_dev to the root block".
    """
    if superblock:
        if offset % SUPERBLOCK_BYTES:
            raise _fault("the hash offset is not valid", offset, f"a multiple of {SUPERBLOCK_BYTES}")
        return -(-(offset + SUPERBLOCK_BYTES) // hash_block_size)
    if offset % hash_block_size:
        raise _fault(
            "the hash offset is not on a hash block", offset, f"a multiple of the hash block size, {hash_block_size}"
        )
    return offset // hash_block_size


def area_end(parameters: VerityParameters, offset: int, *, superblock: bool) -> int:
    """The byte at which a hash area ends that begins at byte `offset`. Raises FormatError as `tree_start` does.

    Without a tree that is the superblock's end, which veritysetup writes by blocks of at most 4096; without either 0.
    """
    end = parameters.tree_end(tree_start(offset, parameters.hash_block_size, superblock=superblock))
    if end or not superblock:
        return end
    unit = min(parameters.hash_block_size, _PAGE_BYTES)
    return -(-(offset + SUPERBLOCK_BYTES) // unit) * unit


def probe_verity(data: bytes) -> bool:
    """True when a superblock seems to begin here."""
    return data[: len(_MAGIC)] == _MAGIC


def parse_verity_superblock(data: bytes) -> VeritySuperblock:
    """The superblock at the start of `data`. Raises FormatError."""
    if len(data) < SUPERBLOCK_BYTES:
        raise _fault("the superblock has the wrong length", f"{len(data)} bytes", f"{SUPERBLOCK_BYTES} bytes")
    magic, version, hash_type, uuid, name, data_size, hash_size, blocks, salt_size, salt = _SUPERBLOCK.unpack_from(data)
    if magic != _MAGIC:
        raise _fault("the superblock's magic is wrong", magic.hex(), _MAGIC.hex())
    if version != _VERSION:
        raise _fault("the superblock's version is unknown", version, str(_VERSION))
    if salt_size > MAX_SALT_BYTES:
        raise _fault("the superblock's salt_size is too large", salt_size, f"at most {MAX_SALT_BYTES}")
    try:
        algorithm = name.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError as error:
        raise _fault("the superblock's algorithm is not ASCII", name.hex(), "ASCII") from error
    parameters = VerityParameters(blocks, algorithm, salt[:salt_size], data_size, hash_size, hash_type)
    return VeritySuperblock(parameters, UUID(bytes=uuid))


def pack_verity_superblock(superblock: VeritySuperblock) -> bytes:
    """The bytes of a superblock, `SUPERBLOCK_BYTES` of them."""
    of = superblock.parameters
    return _SUPERBLOCK.pack(
        _MAGIC,
        _VERSION,
        of.hash_type,
        superblock.uuid.bytes,
        of.algorithm.encode(),
        of.data_block_size,
        of.hash_block_size,
        of.data_blocks,
        len(of.salt),
        of.salt,
    )


def parse_root_hash(text: str, parameters: VerityParameters | None = None) -> bytes:
    """A root hash in hexadecimal, as veritysetup prints it; of any algorithm without parameters. Raises FormatError."""
    try:
        root_hash = bytes.fromhex(text.strip())
    except ValueError as error:
        raise _fault("the root hash is not hexadecimal", repr(text[:_SHOWN_CHARS]), "hexadecimal digits") from error
    if parameters is None:
        if len(root_hash) not in ALGORITHMS.values():
            raise _fault(
                "the root hash has the wrong length",
                f"{len(root_hash)} bytes",
                "20 to 64",
            )
    elif len(root_hash) != parameters.digest_bytes:
        raise _fault(
            "the root hash has the wrong length",
            f"{len(root_hash)} bytes",
            f"{parameters.digest_bytes} for {parameters.algorithm}",
        )
    return root_hash


NativeDigests: TypeAlias = Callable[[Buffer, int, bytes, str, bool], bytes]


class BlockHasher:
    """Salted digests of blocks. For several threads at a time.

    What the native module is fast with it hashes, all blocks of a call without the interpreter; hashlib does the rest,
    everything where there is no native module (in a guest), and everything when not `native` (docs/adr/0007).
    """

    def __init__(self, parameters: VerityParameters, *, native: bool = True) -> None:
        self._algorithm, self._salt = parameters.algorithm, parameters.salt
        self._salt_first = parameters.hash_type == 1
        self._digest_bytes = parameters.digest_bytes
        self._native = _native_digests(parameters.algorithm) if native else None
        # To be copied for every block; it has taken the salt already where that comes first.
        self._seed = hashlib.new(parameters.algorithm, parameters.salt if self._salt_first else b"")
        self._tail = b"" if self._salt_first else parameters.salt

    def packed(self, content: Buffer, block_size: int) -> bytes:
        """The digests of a row of whole blocks of `block_size` bytes, one directly after the other."""
        if self._native is not None:
            return self._native(content, block_size, self._salt, self._algorithm, self._salt_first)
        copy, tail, view = self._seed.copy, self._tail, memoryview(content)
        found = bytearray()
        for position in range(0, len(view), block_size):
            state = copy()
            state.update(view[position : position + block_size])
            if tail:
                state.update(tail)
            found += state.digest()
        return bytes(found)

    def digests(self, content: Buffer, block_size: int) -> list[bytes]:
        """The same as a list."""
        packed, size = self.packed(content, block_size), self._digest_bytes
        return [packed[position : position + size] for position in range(0, len(packed), size)]

    def digest(self, block: Buffer) -> bytes:
        """The digest of one block."""
        return self.packed(block, len(block))


def _native_digests(algorithm: str) -> NativeDigests | None:
    try:
        from bootpath._native import block_digests, fast_digests
    except ImportError:
        return None
    return block_digests if algorithm in fast_digests() else None


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="verity", found=found, expected=expected)
