"""A partition of an image to be built, in the words of systemd's repart.d: one file, one partition.

Source: repart.d(5), the keys that say what a new image holds. `formats.repart.parse` reads such a file::

    [Partition]
    Type=root
    Format=erofs
    CopyFiles=/srv/tree:/
    Verity=data
    VerityMatchKey=root
    Minimize=best

What a key means is what systemd-repart makes of it. Keys that share out a disk's free space, or speak of a running
system, are of no use here: each is remembered in `ignored`, to be warned about. A key that nobody knows is an error
with file, section and line; so is one that would change what the image holds and is not done here (`REFUSED`).

Invariants: paths are absolute and have no "." or ".."; sizes are multiples of 4096, a minimum rounded up, a maximum
rounded down; CopyBlocks= excludes Format= and CopyFiles=; a verity role has a match key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.formats.partitions.dps import DISCOVERABLE_TYPES, Architecture, Designator, type_guid
from bootpath.formats.repart.unitfile import Assignment, pack_unit_file

REPART_SPEC = "repart.d(5)"
REPART_SECTION = "Partition"
LABEL_UNITS = 36  # UEFI 2.10 §5.3.3: the name has 72 bytes
NO_SPLIT = "-"
SPLIT_SPECIFIERS = "tTUn"  # type, type's UUID, UUID, number: what a partition has when it is made

IGNORED: Mapping[str, str] = {
    "Priority": "every partition is made, or none",
    "Weight": "free space is not shared out: set SizeMinBytes=",
    "PaddingWeight": "free space is not shared out",
    "PaddingMinBytes": "free space is not shared out",
    "PaddingMaxBytes": "free space is not shared out",
    "FactoryReset": "it is about a disk in use",
    "SupplementFor": "it is about a disk that has partitions already",
    "MountPoint": "no fstab is written",
    "EncryptedVolume": "no crypttab is written",
}
"""Keys that change nothing of what an image holds, and why."""

REFUSED: Mapping[str, str] = {
    "Encrypt": "images are not encrypted here; make the partition with systemd-repart",
    "Subvolumes": "btrfs is not made here",
    "DefaultSubvolume": "btrfs is not made here",
    "MakeSymlinks": "put the links into the tree that is copied",
    "ExcludeFilesTarget": "name what is left out by its source, with ExcludeFiles=",
    "Integrity": "dm-integrity is not made here",
    "IntegrityAlgorithm": "dm-integrity is not made here",
    "TPM2PCRs": "images are not encrypted here",
    "KeyFile": "images are not encrypted here",
}
"""Keys that would change it, and what to do instead."""


class FileSystemFormat(Enum):
    """What a partition can be formatted with; the values are those of Format=."""

    EROFS = "erofs"
    SQUASHFS = "squashfs"
    EXT4 = "ext4"
    VFAT = "vfat"
    SWAP = "swap"


class VerityRole(Enum):
    """A partition's part in dm-verity; the values are those of Verity=."""

    OFF = "off"
    DATA = "data"
    HASH = "hash"
    SIGNATURE = "signature"


class Minimize(Enum):
    """How small a file system is to be; the values are those of Minimize=."""

    OFF = "off"
    BEST = "best"
    GUESS = "guess"


@dataclass(frozen=True, slots=True)
class CopyFiles:
    """A file or directory of the host, and where it goes in the new file system."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A key that was read and means nothing here."""

    key: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class RepartDefinition:
    """One partition to be made. `name` is the file's; None stands for a key that is not given."""

    name: str
    type_guid: UUID
    label: str | None = None
    uuid: UUID | None = None
    size_min_bytes: int | None = None
    size_max_bytes: int | None = None
    format: FileSystemFormat | None = None
    copy_files: tuple[CopyFiles, ...] = ()
    copy_blocks: str | None = None
    exclude_files: tuple[str, ...] = ()
    make_directories: tuple[str, ...] = ()
    minimize: Minimize = Minimize.OFF
    verity: VerityRole = VerityRole.OFF
    verity_match_key: str | None = None
    verity_data_block_bytes: int = 4096
    verity_hash_block_bytes: int = 4096
    compression: str | None = None
    compression_level: int | None = None
    read_only: bool | None = None
    no_auto: bool | None = None
    grow_file_system: bool | None = None
    flags: int | None = None
    split_name: str = "%t"
    ignored: tuple[Ignored, ...] = field(default=(), compare=False)

    @property
    def type_name(self) -> str:
        """systemd's name of the type, or its UUID."""
        return type_name(self.type_guid)

    @property
    def designator(self) -> Designator | None:
        """What the type is for, where the specification knows it."""
        row = DISCOVERABLE_TYPES.get(self.type_guid)
        return None if row is None else row.designator

    @property
    def populated_format(self) -> FileSystemFormat | None:
        """The file system to make: Format=, or what files ask for when it is not given."""
        if self.format is None and (self.copy_files or self.make_directories):
            boots = self.designator in (Designator.ESP, Designator.XBOOTLDR)
            return FileSystemFormat.VFAT if boots else FileSystemFormat.EXT4
        return self.format


def type_name(guid: UUID) -> str:
    """systemd's name of a partition type, or its UUID."""
    row = DISCOVERABLE_TYPES.get(guid)
    return str(guid) if row is None else row.name


def partition_type(text: str, architecture: Architecture) -> UUID | None:
    """The type of an identifier ("root", "root-arm64-verity", "esp") or a UUID; None when it is neither."""
    for designator in Designator:
        if designator.value == text:
            try:
                return type_guid(designator, architecture if designator.versioned else None)
            except KeyError:
                return None
    for guid, row in DISCOVERABLE_TYPES.items():
        if row.name == text:
            return guid
    try:
        return UUID(text)
    except ValueError:
        return None


def check_label(label: str, *, where: str) -> str:
    """The label, when an entry of a GPT can hold it. Raises FormatError."""
    try:
        units = len(label.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        raise FormatError("the label cannot be written in UTF-16", where=where, found=ascii(label[:80])) from None
    if units > LABEL_UNITS:
        raise FormatError(
            "the label is too long",
            where=where,
            found=f"{units} UTF-16 units",
            expected=f"at most {LABEL_UNITS}",
            spec="UEFI 2.10 §5.3.3",
        )
    return label


def pack_repart(definition: RepartDefinition) -> bytes:
    """The file of a definition. Raises FormatError for a path that cannot be written down."""
    return pack_unit_file(
        Assignment(REPART_SECTION, key, value, 0) for key, value in _pairs(definition) if value is not None
    )


def _pairs(of: RepartDefinition) -> Iterator[tuple[str, str | None]]:
    def text(value: object) -> str | None:
        return None if value is None else str(value)

    def escaped(value: str | None) -> str | None:
        return None if value is None else value.replace("%", "%%")

    def flag(value: bool | None) -> str | None:
        return None if value is None else "yes" if value else "no"

    yield "Type", of.type_name
    yield "Label", escaped(of.label)
    yield "UUID", "null" if of.uuid is not None and of.uuid.int == 0 else text(of.uuid)
    yield "SizeMinBytes", text(of.size_min_bytes)
    yield "SizeMaxBytes", text(of.size_max_bytes)
    yield "Format", None if of.format is None else of.format.value
    yield "CopyBlocks", None if of.copy_blocks is None else escaped(_ended(of.copy_blocks))
    for copy in of.copy_files:
        for path in (copy.source, copy.target):
            if ":" in path:
                raise FormatError("the path has a colon", where=f"{of.name}: CopyFiles=", found=path, spec=REPART_SPEC)
        yield "CopyFiles", escaped(f"{copy.source}:{_ended(copy.target)}")
    for path in of.exclude_files:
        yield "ExcludeFiles", escaped(_quoted(path))
    for path in of.make_directories:
        yield "MakeDirectories", escaped(_quoted(path))
    yield "Minimize", None if of.minimize is Minimize.OFF else of.minimize.value
    yield "Verity", None if of.verity is VerityRole.OFF else of.verity.value
    yield "VerityMatchKey", of.verity_match_key
    yield "VerityDataBlockSizeBytes", None if of.verity_data_block_bytes == 4096 else text(of.verity_data_block_bytes)
    yield "VerityHashBlockSizeBytes", None if of.verity_hash_block_bytes == 4096 else text(of.verity_hash_block_bytes)
    yield "Compression", of.compression
    yield "CompressionLevel", text(of.compression_level)
    yield "ReadOnly", flag(of.read_only)
    yield "NoAuto", flag(of.no_auto)
    yield "GrowFileSystem", flag(of.grow_file_system)
    yield "Flags", None if of.flags is None else f"{of.flags:#x}"
    yield "SplitName", None if of.split_name == "%t" else of.split_name


def _ended(path: str) -> str:
    """A slash keeps what the end of a line would lose: blanks, and a backslash."""
    return f"{path}/" if path[-1:] in (" ", "\t", "\r", "\\") else path


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
