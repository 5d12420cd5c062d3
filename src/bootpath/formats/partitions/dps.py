"""Discoverable partitions: what a GPT entry's type, flags, name and UUID say about its use.

Source: UAPI.2 Discoverable Partitions Specification. A type UUID stands for a use (`Designator`) and, for root and
/usr and what protects them, an architecture (`Architecture`); the table is in `formats.partitions.dpstypes`.

Flags of an entry: bit 63 no-auto, bit 60 read-only, bit 59 grow-file-system. Bits 0 to 2 are UEFI's.

Verity: "the partition UUID of the root partition should be the first 128 bits of the root hash ..., and the partition
UUID of this dm-verity partition should be the final 128 bits of it". So for a hash of 256 bits the pair of UUIDs is
the hash. Names that begin with ``PRT#`` or ``PND#`` belong to an updater that is not done.

Invariant: a `DiscoverableType` has an architecture exactly when its designator is `versioned`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from bootpath.formats.partitions.dpstypes import DPS_ROWS

DPS_SPEC = "UAPI.2"
FLAG_NO_AUTO = 1 << 63
FLAG_READ_ONLY = 1 << 60
FLAG_GROWFS = 1 << 59
FLAG_NO_BLOCK_IO = 1 << 1  # UEFI 2.10 §5.3.3: firmware is to ignore the partition
PARTIAL_PREFIXES = ("PRT#", "PND#")
EMPTY_LABEL = "_empty"
"""The label of a slot that holds nothing yet, or nothing any more (sysupdate.d(5), "MatchPattern")."""

_HALF_BYTES = 16


class Designator(Enum):
    """What a partition is for; the values are systemd's names, which image policies use too."""

    ROOT = "root"
    USR = "usr"
    ROOT_VERITY = "root-verity"
    USR_VERITY = "usr-verity"
    ROOT_VERITY_SIG = "root-verity-sig"
    USR_VERITY_SIG = "usr-verity-sig"
    HOME = "home"
    SRV = "srv"
    ESP = "esp"
    XBOOTLDR = "xbootldr"
    SWAP = "swap"
    TMP = "tmp"
    VAR = "var"
    USER_HOME = "user-home"
    LINUX_GENERIC = "linux-generic"

    @property
    def data(self) -> Designator:
        """What a verity or signature partition protects; any other designator itself."""
        return _PROTECTS.get(self, self)

    @property
    def hashes(self) -> Designator | None:
        """The designator of the hash partition that can protect this one."""
        return _HASHES.get(self)

    @property
    def signature(self) -> Designator | None:
        """The designator of the partition with the signature of this one's root hash."""
        return _SIGNATURES.get(self)

    @property
    def versioned(self) -> bool:
        """True for root, /usr and what protects them: they come for an architecture, and the newest is taken."""
        return self.data in _HASHES


_HASHES = {Designator.ROOT: Designator.ROOT_VERITY, Designator.USR: Designator.USR_VERITY}
_SIGNATURES = {Designator.ROOT: Designator.ROOT_VERITY_SIG, Designator.USR: Designator.USR_VERITY_SIG}
_PROTECTS = {protector: data for table in (_HASHES, _SIGNATURES) for data, protector in table.items()}


class Architecture(Enum):
    """The processors the specification has types for; the values are systemd's names."""

    ALPHA = "alpha"
    ARC = "arc"
    ARM = "arm"
    ARM64 = "arm64"
    IA64 = "ia64"
    LOONGARCH64 = "loongarch64"
    MIPS = "mips"
    MIPS_LE = "mips-le"
    MIPS64 = "mips64"
    MIPS64_LE = "mips64-le"
    PARISC = "parisc"
    PPC = "ppc"
    PPC64 = "ppc64"
    PPC64_LE = "ppc64-le"
    RISCV32 = "riscv32"
    RISCV64 = "riscv64"
    S390 = "s390"
    S390X = "s390x"
    TILEGX = "tilegx"
    X86 = "x86"
    X86_64 = "x86-64"

    @classmethod
    def of_machine(cls, machine: str) -> Architecture | None:
        """The architecture that `uname -m` calls `machine`, or None."""
        return _MACHINES.get(machine.lower()) or next((item for item in cls if item.value == machine.lower()), None)


_MACHINES = {
    "x86_64": Architecture.X86_64,
    "amd64": Architecture.X86_64,
    "i386": Architecture.X86,
    "i486": Architecture.X86,
    "i586": Architecture.X86,
    "i686": Architecture.X86,
    "aarch64": Architecture.ARM64,
    "armv6l": Architecture.ARM,
    "armv7l": Architecture.ARM,
    "armv8l": Architecture.ARM,
    "ppc64le": Architecture.PPC64_LE,
    "mipsel": Architecture.MIPS_LE,
    "mips64el": Architecture.MIPS64_LE,
}


@dataclass(frozen=True, slots=True)
class DiscoverableType:
    """A row of the specification's table."""

    guid: UUID
    designator: Designator
    architecture: Architecture | None

    @property
    def name(self) -> str:
        """systemd's name for it: "root-x86-64-verity-sig", "esp"."""
        if self.architecture is None:
            return self.designator.value
        data, *rest = self.designator.value.split("-", 1)
        return "-".join((data, self.architecture.value, *rest))


DISCOVERABLE_TYPES: Mapping[UUID, DiscoverableType] = {
    UUID(guid): DiscoverableType(
        UUID(guid), Designator(designator), Architecture(architecture) if architecture else None
    )
    for guid, designator, architecture in DPS_ROWS
}

_BY_USE = {(row.designator, row.architecture): guid for guid, row in DISCOVERABLE_TYPES.items()}


def discoverable_type(guid: UUID) -> DiscoverableType | None:
    """What the specification says of a type UUID, or None."""
    return DISCOVERABLE_TYPES.get(guid)


def type_guid(designator: Designator, architecture: Architecture | None = None) -> UUID:
    """The type UUID of a use. Raises KeyError when the specification has none."""
    return _BY_USE[designator, architecture]


def flag_names(flags: int) -> tuple[str, ...]:
    """The specification's names of the flags that are set, in the order of the bits, highest first."""
    named = ((FLAG_NO_AUTO, "no-auto"), (FLAG_READ_ONLY, "read-only"), (FLAG_GROWFS, "growfs"))
    return tuple(name for bit, name in named if flags & bit)


def is_partial(name: str) -> bool:
    """True for a name by which an updater marks a partition that is not whole, or not yet to be used."""
    return name.startswith(PARTIAL_PREFIXES)


def data_uuid(root_hash: bytes) -> UUID:
    """The UUID that a partition protected by this hash should have: its first 128 bits."""
    return UUID(bytes=root_hash[:_HALF_BYTES])


def hash_uuid(root_hash: bytes) -> UUID:
    """The UUID that the hash partition of this hash should have: its final 128 bits."""
    return UUID(bytes=root_hash[-_HALF_BYTES:])


def root_hash_of(data: UUID, hashes: UUID) -> bytes:
    """The hash of 256 bits that a pair of UUIDs spells."""
    return data.bytes + hashes.bytes


def var_uuid(machine_id: bytes) -> UUID:
    """The UUID that the /var partition of this machine must have.

    "the first 128 bits of HMAC-SHA256(machine-id, 0x4d21b016b53445c2a9fb5c16e091fd2d)"; set as systemd sets it, to a
    UUID of version 4. Raises ValueError unless the machine id has 16 bytes.
    """
    if len(machine_id) != _HALF_BYTES:
        raise ValueError(f"a machine id has {_HALF_BYTES} bytes, not {len(machine_id)}")
    digest = hmac.digest(machine_id, type_guid(Designator.VAR).bytes, "sha256")[:_HALF_BYTES]
    return UUID(bytes=digest, version=4)
