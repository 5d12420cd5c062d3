"""The identifiers of an image, derived from one seed, as systemd-repart derives them.

Source: systemd-repart(8), --seed=; repart.d(5), UUID= and Verity=. With HMAC-SHA256 keyed by the 16 bytes of the seed
(or of the partition's UUID), the first 128 bits made a UUID of version 4:

============================= =========================================================================
disk GUID                     "disk-uuid"
first partition of a type     the type UUID's 16 bytes
n-th partition of that type   the same, and n-1 as 64 bits in little endian
file system of a partition    "file-system-uuid", keyed by the partition's UUID
verity salt (256 bits)        "verity-salt"; of a further slot "verity-salt-2" and so on (ours)
verity superblock             "verity-uuid"; likewise
============================= =========================================================================

Nothing here is random: two images with one seed and the same content have the same identifiers.
"""

from __future__ import annotations

import hmac
from uuid import UUID


def derive(key: UUID, message: bytes) -> bytes:
    """HMAC-SHA256 of the message, keyed by a UUID's bytes."""
    return hmac.digest(key.bytes, message, "sha256")


def derive_uuid(key: UUID, message: bytes) -> UUID:
    """The same as a UUID of version 4."""
    return UUID(bytes=derive(key, message)[:16], version=4)


def disk_uuid(seed: UUID) -> UUID:
    """The disk's GUID."""
    return derive_uuid(seed, b"disk-uuid")


def partition_uuid(seed: UUID, type_guid: UUID, instance: int) -> UUID:
    """The GUID of the partition that is number `instance`, from 0, of its type."""
    counter = instance.to_bytes(8, "little") if instance else b""
    return derive_uuid(seed, type_guid.bytes + counter)


def file_system_uuid(partition: UUID) -> UUID:
    """The UUID of the file system in the partition with this (derived, or given) UUID."""
    return derive_uuid(partition, b"file-system-uuid")


def verity_salt(seed: UUID, slot: int) -> bytes:
    """The salt of the hash trees of a slot, counted from 1."""
    return derive(seed, b"verity-salt" + _suffix(slot))


def verity_uuid(seed: UUID, slot: int) -> UUID:
    """The UUID in the superblocks of the hash trees of a slot, counted from 1."""
    return derive_uuid(seed, b"verity-uuid" + _suffix(slot))


def _suffix(slot: int) -> bytes:
    return b"" if slot == 1 else b"-%d" % slot
