"""ext2, ext3 and ext4: what a reader needs of the superblock, the group descriptors, and where an inode is.

Source: Linux Documentation/filesystems/ext4 (super.rst, group_descr.rst, blockgroup.rst, checksums.rst). Little endian.
The superblock itself is `formats.superblocks.ext`'s. Group descriptors, 32 or (64bit) desc_size bytes, stand in the
block after it, with meta_bg each block of them in the first of the groups it describes.

With metadata_csum, superblock, descriptors, inodes, extent blocks and directory blocks carry a CRC-32C, and every one
that is read here is checked. Incompatible features that are not in `READABLE` make the file system unreadable, and the
error names them. A journal that was not replayed makes a warning: what is on disk is read as it is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.formats.crc32c import crc32c_update
from bootpath.formats.region import Region
from bootpath.formats.superblocks.ext import EXT_BYTES, EXT_OFFSET, ExtSuperblock, Incompat, RoCompat, probe_ext
from bootpath.fs.readers.source import Source

ROOT_INODE = 2
READABLE = (
    Incompat.FILETYPE
    | Incompat.RECOVER
    | Incompat.META_BG
    | Incompat.EXTENTS
    | Incompat.BITS64
    | Incompat.MMP
    | Incompat.FLEX_BG
    | Incompat.EA_INODE
    | Incompat.CSUM_SEED
    | Incompat.LARGEDIR
    | Incompat.INLINE_DATA
    # Inodes that are encrypted and directories without case are refused one by one.
    | Incompat.ENCRYPT
    | Incompat.CASEFOLD
)
_CRC_START = 0xFFFFFFFF
_STATE_ERRORS = 2
_COMPAT_SPARSE_SUPER2 = 0x200


@dataclass(frozen=True, slots=True)
class Ext4Super:
    """What reading needs. `seed` begins every metadata checksum when `checksums`.

    `backup_groups` have a copy of the superblock, None: by the rule of sparse_super.
    """

    superblock: ExtSuperblock
    block_bytes: int
    blocks: int
    first_data_block: int
    inodes: int
    blocks_per_group: int
    inodes_per_group: int
    inode_bytes: int
    descriptor_bytes: int
    first_meta_bg: int
    incompat: Incompat
    checksums: bool
    seed: int
    backup_groups: tuple[int, ...] | None
    warnings: tuple[str, ...]

    @property
    def groups(self) -> int:
        """Block groups."""
        return -(-(self.blocks - self.first_data_block) // self.blocks_per_group)

    def descriptor_place(self, group: int) -> int:
        """The byte at which a group's descriptor is."""
        in_block = self.block_bytes // self.descriptor_bytes
        block, index = divmod(group, in_block)
        super_block = EXT_OFFSET // self.block_bytes
        if self.incompat & Incompat.META_BG and block >= self.first_meta_bg:
            # A meta group's descriptors stand in its first group, after a copy of the superblock where there is one.
            first = block * in_block
            place = self.first_data_block + first * self.blocks_per_group + self._has_copy(first)
            if first == 0:
                place = super_block + 1
        else:
            place = super_block + 1 + block
        return place * self.block_bytes + index * self.descriptor_bytes

    def _has_copy(self, group: int) -> bool:
        """True when a group begins with a copy of the superblock: sparse_super has 0, 1, powers of 3, 5 and 7."""
        if self.backup_groups is not None:
            return group in self.backup_groups
        if not self.superblock.ro_compat & RoCompat.SPARSE_SUPER or group <= 1:
            return True
        return any(base ** _logarithm(group, base) == group for base in (3, 5, 7))


def _logarithm(number: int, base: int) -> int:
    """How often `number` can be divided by `base`."""
    count = 0
    while number >= base:
        number //= base
        count += 1
    return count


def read_ext4_super(source: Source) -> Ext4Super:
    """The superblock of the file system on a device. Raises FormatError, DeviceError."""
    superblock = probe_ext(Region(source.device, head_bytes=EXT_OFFSET + EXT_BYTES))
    if superblock is None:
        raise source.fault("there is no superblock at byte 1024")
    data = source.read(EXT_OFFSET, EXT_BYTES)
    unknown = superblock.incompat & ~int(READABLE)
    if unknown:
        names = [flag.name.lower() for flag in Incompat if flag & unknown and flag.name]
        rest = unknown & ~sum(Incompat)
        names += [hex(rest)] if rest else []
        raise source.fault(f"cannot be read: it has features that are not known here ({', '.join(names)})")
    incompat = Incompat(superblock.incompat)
    block_bytes = superblock.block_bytes
    blocks = superblock.size_bytes // block_bytes
    (first_data_block,) = struct.unpack_from("<I", data, 20)
    blocks_per_group, inodes_per_group = struct.unpack_from("<I4xI", data, 32)
    wide = bool(incompat & Incompat.BITS64)
    descriptor_bytes = int.from_bytes(data[254:256], "little") if wide else 32
    for name, value, least, most in (
        ("the number of blocks per group is out of range", blocks_per_group, 1, 1 << 31),
        ("the number of inodes per group is out of range", inodes_per_group, 1, block_bytes * 8),
        ("the size of the group descriptors is out of range", descriptor_bytes, 64 if wide else 32, block_bytes),
        ("the number of blocks is out of range", blocks, 1, source.size_bytes // block_bytes),
    ):
        if not least <= value <= most:
            raise source.fault(name, found=value, expected=f"{least} to {most}")
    if descriptor_bytes & (descriptor_bytes - 1):
        raise source.fault(
            "the size of the group descriptors is not a power of two", found=descriptor_bytes, expected="a power of two"
        )
    seed = crc32c_update(_CRC_START, data[104:120])
    if incompat & Incompat.CSUM_SEED:
        (seed,) = struct.unpack_from("<I", data, 0x270)
    backup_groups = None
    if superblock.compat & _COMPAT_SPARSE_SUPER2:
        backup_groups = (0, *struct.unpack_from("<II", data, 0x24C))
    warnings = []
    if superblock.needs_recovery:
        warnings.append("needs_recovery: the journal was not replayed, so files can be stale")
    if int.from_bytes(data[58:60], "little") & _STATE_ERRORS:
        warnings.append("the kernel found errors in this file system: check it with e2fsck")
    return Ext4Super(
        superblock=superblock,
        block_bytes=block_bytes,
        blocks=blocks,
        first_data_block=first_data_block,
        inodes=superblock.inodes,
        blocks_per_group=blocks_per_group,
        inodes_per_group=inodes_per_group,
        inode_bytes=superblock.inode_bytes,
        descriptor_bytes=descriptor_bytes,
        first_meta_bg=int.from_bytes(data[0x104:0x108], "little"),
        incompat=incompat,
        checksums=bool(superblock.ro_compat & RoCompat.METADATA_CSUM),
        seed=seed,
        backup_groups=backup_groups,
        warnings=tuple(warnings),
    )


def check(source: Source, what: str, computed: int, stored: int) -> None:
    """Raise FormatError when a checksum is not what is stored."""
    if computed != stored:
        raise source.fault(f"corrupt: {what} has the wrong checksum", found=f"{stored:#x}", expected=f"{computed:#x}")


def inode_place(source: Source, sb: Ext4Super, number: int) -> int:
    """The byte of an inode. Raises FormatError for a number or a descriptor that is none, DeviceError."""
    if not 1 <= number <= sb.inodes:
        raise source.fault("corrupt: the inode number is out of range", found=number, expected=f"1 to {sb.inodes}")
    group, index = divmod(number - 1, sb.inodes_per_group)
    if group >= sb.groups:
        raise source.fault(
            "corrupt: the inode is in a group that does not exist", found=group, expected=f"less than {sb.groups}"
        )
    data = source.read(sb.descriptor_place(group), sb.descriptor_bytes)
    if sb.checksums:
        # The checksum of a descriptor is the lower half, taken with zeros in its own place.
        register = crc32c_update(sb.seed, struct.pack("<I", group))
        register = crc32c_update(register, data[:30] + b"\0\0" + data[32:])
        check(source, f"group descriptor {group}", register & 0xFFFF, int.from_bytes(data[30:32], "little"))
    table = int.from_bytes(data[8:12], "little")
    if sb.incompat & Incompat.BITS64:
        table |= int.from_bytes(data[40:44], "little") << 32
    if not sb.first_data_block < table < sb.blocks:
        raise source.fault(
            f"corrupt: the inode table of group {group} is outside the file system", found=f"block {table}"
        )
    return table * sb.block_bytes + index * sb.inode_bytes
