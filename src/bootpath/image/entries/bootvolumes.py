"""Where a disk may have boot entries: XBOOTLDR, the ESP, and the roots; each with its files and with its name.

Source: UAPI.1 "The Partitions": `$BOOT` is XBOOTLDR where there is one, else the ESP, which is read too; with an MBR
the partition of type 0xEA. "Each partition type mentioned above can be present only once on the same disk": a second
one is excluded. A disk with an MBR may have no ESP: then the FAT that is bootable, or the first one, is what the
firmware of a board reads, and counts as one.

Roots are what `image.roots.candidates` finds, slots A and B alike; one with a hash tree is read through it, so that
nothing unchecked is believed. The newest version comes first: where the entries of two roots are called the same, that
is what puts them in order.

A boot volume knows how a kernel is told where it is (`image.entries.rootaddress`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key

from bootpath.core.device import Device
from bootpath.core.errors import Error
from bootpath.formats.cmdline.address import RootAddress
from bootpath.formats.entries.vercmp import compare_versions
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.superblocks.value import Superblock
from bootpath.fs.readers.files import Files
from bootpath.fs.readers.open import READERS, open_files
from bootpath.image.contents.nodes import Contents, Node, NodeKind
from bootpath.image.contents.partitions import is_medium
from bootpath.image.contents.read import open_node
from bootpath.image.entries.menu import EntrySource, Excluded, VolumeRole
from bootpath.image.entries.reasons import VolumeReason
from bootpath.image.entries.rootaddress import name_partition, name_root
from bootpath.image.roots.candidates import Candidate, Terms, find_candidates, set_aside
from bootpath.image.roots.table import open_root_device

_DESIGNATORS = {Designator.XBOOTLDR: VolumeRole.XBOOTLDR, Designator.ESP: VolumeRole.ESP}


@dataclass(frozen=True, slots=True)
class BootVolume:
    """A file system with entries in it. `address` names it to a kernel, None where nothing can.

    `superblock` is that of an optical medium.
    """

    source: EntrySource
    files: Files
    address: RootAddress | None
    superblock: Superblock | None = None

    @property
    def follows_links(self) -> bool:
        """True where symbolic links may stand: not on a boot partition."""
        return self.source.role in (VolumeRole.ROOT, VolumeRole.MEDIUM)


def find_boot_volumes(
    disk: Device, contents: Contents, roles: Collection[VolumeRole], terms: Terms
) -> Iterator[BootVolume | Excluded]:
    """The volumes of these roles, in the order of `VolumeRole`, and those that are excluded.

    Raises no Error but for a bug.
    """
    roots = find_candidates(contents, terms) if VolumeRole.ROOT in roles else ()
    for role in VolumeRole:
        if role not in roles:
            continue
        if role is VolumeRole.ROOT:
            yield from _roots(disk, contents, roots)
        elif role is VolumeRole.MEDIUM:
            yield from _medium(disk, contents)
        else:
            yield from _boot_partitions(disk, contents, role, {each.data.path for each in roots})


def newest_first(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """By the versions in their labels; earlier ones win where these do not compare."""

    def compare(first: Candidate, second: Candidate) -> int:
        return compare_versions(second.label, first.label)

    return tuple(sorted(candidates, key=cmp_to_key(compare)))


def root_volume(disk: Device, contents: Contents, candidate: Candidate, device: Device) -> BootVolume:
    """A root as a volume with entries, read from `device`: what the caller has opened of it.

    Raises FormatError, FileSystemError, DeviceError.
    """
    return _volume(_root_source(contents, candidate), name_root(disk, contents, candidate), device)


def _boot_partitions(
    disk: Device, contents: Contents, role: VolumeRole, roots: Collection[str]
) -> Iterator[BootVolume | Excluded]:
    """The boot partitions of the disk's own table; partitions inside volumes are of another machine's disk.

    One that is among the `roots` is left to them.
    """
    taken = None
    for node in _of_role(contents, role):
        if node.path in roots:
            continue
        source = EntrySource(role, node.location)
        aside = set_aside(node)
        if aside is None and taken is not None:
            aside = VolumeReason.SECOND_OF_ITS_ROLE(taken.path, role.value)
        if aside is not None:
            yield Excluded(source, aside)
            continue
        taken = node
        try:
            volume = _volume(source, RootAddress(name_partition(node)), open_node(disk, contents, node.path))
        except Error as error:
            yield Excluded(source, VolumeReason.UNREADABLE(error))
        else:
            yield volume


def _of_role(contents: Contents, role: VolumeRole) -> Sequence[Node]:
    """The partitions that are for this."""
    children = contents.root.children
    found = [node for node in children if node.designator is not None and _DESIGNATORS.get(node.designator) is role]
    if found or role is not VolumeRole.ESP or contents.root.mbr is None:
        return found
    # U-Boot, doc/develop/distro: the partitions that are bootable, else the first; a Raspberry Pi: the first FAT.
    fats = [node for node in children if node.designator is None and node.content and node.content.kind == "vfat"]
    return [node for node in fats if "bootable" in node.flags][:1] or fats[:1]


def _medium(disk: Device, contents: Contents) -> Iterator[BootVolume | Excluded]:
    """The file system of an optical medium, which nothing names to a kernel."""
    node = contents.root
    for each in node.superblocks if is_medium(node) else ():
        source = EntrySource(VolumeRole.MEDIUM, node.location, format=each.kind)
        try:
            volume = BootVolume(source, open_files(disk, each.kind), None, each) if each.kind in READERS else None
        except Error as error:
            yield Excluded(source, VolumeReason.UNREADABLE(error))
        else:
            yield volume or Excluded(source, VolumeReason.NOT_READ(each.kind))


def _roots(disk: Device, contents: Contents, candidates: Iterable[Candidate]) -> Iterator[BootVolume | Excluded]:
    """Every candidate for the root, that of slot A and that of slot B; one that is excluded is not opened."""
    for candidate in newest_first(candidates):
        if candidate.designator is not Designator.ROOT:
            continue
        source = _root_source(contents, candidate)
        if candidate.excluded is not None:
            yield Excluded(source, candidate.excluded)
            continue
        try:
            device = open_root_device(disk, contents, candidate)
            volume = root_volume(disk, contents, candidate, device)
        except Error as error:
            yield Excluded(source, VolumeReason.UNREADABLE(error))
        else:
            yield volume


def _root_source(contents: Contents, candidate: Candidate) -> EntrySource:
    layers = []
    above = contents.node(candidate.data.parent_path) if candidate.data.kind is NodeKind.PARTITION else None
    place = candidate.data if above is None else above  # a partition of the disk image in a volume
    if place.kind is NodeKind.LOGICAL_VOLUME:
        layers.append("lvm " + "/".join(place.path.split("/")[-2:]))
    elif place.kind is NodeKind.UBI_VOLUME:
        layers.append(f"ubi {place.name}")
    if candidate.hashes is not None and candidate.root_hash is not None:
        layers.append(f"verity {candidate.root_hash.hex()}")
    return EntrySource(VolumeRole.ROOT, candidate.data.location, tuple(layers))


def _volume(source: EntrySource, address: RootAddress | None, device: Device) -> BootVolume:
    files = open_files(device)
    return BootVolume(replace(source, format=files.format), files, address)
