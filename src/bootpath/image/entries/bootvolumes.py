"""Where a disk may have boot entries: XBOOTLDR, the ESP, and the roots; each with its files and with its name.

Source: UAPI.1 "The Partitions": `$BOOT` is XBOOTLDR where there is one, else the ESP, which is read too; with an MBR
the partition of type 0xEA. "Each partition type mentioned above can be present only once on the same disk": a second
one is left out. Roots are what `image.roots.candidates` finds, slots A and B alike; one with a hash tree is read
through it, so that nothing unchecked is believed. The newest version comes first: where the entries of two roots are
called the same, that is what puts them in order.

A place knows how a kernel is told where it is (`RootAddress`): by its partition, its volume, its hashes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cmp_to_key

from bootpath.block.table.stack import open_table
from bootpath.block.targets.linear import Linear
from bootpath.core.device import SECTOR_BYTES, Device, Identity, checked, read_bytes
from bootpath.core.errors import Error, FormatError
from bootpath.formats.cmdline.address import (
    DeviceAddress,
    DiskAddress,
    LogicalVolumeAddress,
    PartitionAddress,
    RootAddress,
    RootVerity,
    UbiAddress,
)
from bootpath.formats.cmdline.devices import Slot
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.dm.targets import device_names
from bootpath.formats.dm.verity import VerityTarget
from bootpath.formats.entries.vercmp import compare_versions
from bootpath.formats.lvm2.label import read_lvm2
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.imagepolicy import ImagePolicy
from bootpath.formats.partitions.mbr import BOOT_PARTITION_TYPE, MbrPartition, parse_mbr_partitions
from bootpath.formats.ubi.attach import read_ubi
from bootpath.fs.readers.files import Files
from bootpath.fs.readers.open import open_files
from bootpath.image.contents.nodes import Contents, Location, Node, NodeKind
from bootpath.image.contents.read import open_node
from bootpath.image.entries.menu import EntrySource, Excluded, PlaceRole
from bootpath.image.entries.reasons import VolumeReason
from bootpath.image.roots.candidates import Candidate, Terms, find_candidates, set_aside

_DESIGNATORS = {Designator.XBOOTLDR: PlaceRole.XBOOTLDR, Designator.ESP: PlaceRole.ESP}


@dataclass(frozen=True, slots=True)
class BootPlace:
    """A file system with entries in it. `root` names it to a kernel, None where nothing can."""

    source: EntrySource
    files: Files
    root: RootAddress | None

    @property
    def follows_links(self) -> bool:
        """True where symbolic links may stand: not on a boot partition."""
        return self.source.role is PlaceRole.ROOT


def find_places(
    disk: Device, contents: Contents, roles: Collection[PlaceRole], terms: Terms
) -> Iterator[BootPlace | Excluded]:
    """The places of these roles, in the order of `PlaceRole`, and those that are out. Raises no Error but for a bug."""
    finder = _Finder(disk, contents, terms)
    for role in PlaceRole:
        if role in roles:
            yield from finder.roots() if role is PlaceRole.ROOT else finder.partitions(role)


def newest_first(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """By the versions in their labels; earlier places win where these do not compare."""

    def compare(first: Candidate, second: Candidate) -> int:
        return compare_versions(second.label, first.label)

    return tuple(sorted(candidates, key=cmp_to_key(compare)))


def chosen_place(disk: Device, contents: Contents, candidate: Candidate, device: Device) -> BootPlace:
    """The root that was chosen, as a place with entries, read from `device`: what the caller has opened of it.

    Raises FormatError, FileSystemError, DeviceError.
    """
    source = EntrySource(PlaceRole.ROOT, candidate.data.location, _Finder._layers(candidate))
    return _place(source, name_root(disk, contents, candidate), open_files(device))


def name_root(disk: Device, contents: Contents, candidate: Candidate) -> RootAddress | None:
    """How a kernel is told of a root, None when nothing names it. Raises FormatError, DeviceError."""
    return _Finder(disk, contents, Terms(ImagePolicy({})))._root_place(candidate)


def name_signature(disk: Device, contents: Contents, candidate: Candidate) -> DeviceAddress | None:
    """How a kernel is told of the place of a root's signature, None where there is none. Raises as `name_root`."""
    if candidate.signature is None:
        return None
    return _Finder(disk, contents, Terms(ImagePolicy({})))._device_address(candidate.signature)


class _Finder:
    def __init__(self, disk: Device, contents: Contents, terms: Terms) -> None:
        self.disk = disk
        self.contents = contents
        self.terms = terms

    def partitions(self, role: PlaceRole) -> Iterator[BootPlace | Excluded]:
        """The boot partitions of the disk's own table; partitions inside volumes are of another machine's disk."""
        if self.contents.root.gpt is None:
            if role is PlaceRole.XBOOTLDR:
                yield from self._mbr_partitions()
            return
        taken = None
        for node in self.contents.root.children:
            if node.designator is None or _DESIGNATORS.get(node.designator) is not role:
                continue
            aside = set_aside(node)
            if aside is None and taken is not None:
                aside = VolumeReason.SECOND_OF_ITS_ROLE(taken.path, role.value)
            if aside is not None:
                yield Excluded(EntrySource(role, node.location), aside)
                continue
            taken = node
            yield self._open(EntrySource(role, node.location), RootAddress(_partition_address(node)), node)

    def roots(self) -> Iterator[BootPlace | Excluded]:
        """Every candidate for the root, that of slot A and that of slot B; one that is out is not opened."""
        for candidate in newest_first(find_candidates(self.contents, self.terms)):
            if candidate.designator is not Designator.ROOT:
                continue
            source = EntrySource(PlaceRole.ROOT, candidate.data.location, self._layers(candidate))
            if candidate.excluded is not None:
                yield Excluded(source, candidate.excluded)
                continue
            try:
                place = self._root_place(candidate)
            except Error as error:
                yield Excluded(source, VolumeReason.UNREADABLE(error))
                continue
            yield self._open(source, place, candidate.data, candidate)

    def _open(
        self, source: EntrySource, root: RootAddress | None, node: Node, candidate: Candidate | None = None
    ) -> BootPlace | Excluded:
        try:
            device = open_node(self.disk, self.contents, node.path)
            if candidate is not None and candidate.hashes is not None:
                device = self._verified(device, candidate)
            return _place(source, root, open_files(device))
        except Error as error:
            return Excluded(source, VolumeReason.UNREADABLE(error))

    def _verified(self, data: Device, candidate: Candidate) -> Device:
        verity = _verity_of(candidate, UbiAddress("hash", 0))
        assert candidate.hashes is not None
        assert verity is not None
        hashes = open_node(self.disk, self.contents, candidate.hashes.path)
        target = VerityTarget("data", "hash", verity.parameters, verity.start_block, verity.root_hash)
        table = Table((TableLine(0, verity.parameters.data_bytes // SECTOR_BYTES, "verity", target.pack()),))
        identity = Identity(f"{data.identity.name}: verity")
        return open_table(table, lambda name: data if name == "data" else hashes, identity=identity)

    def _mbr_partitions(self) -> Iterator[BootPlace | Excluded]:
        # A file system that fills the disk has the signature of an MBR in its boot sector, too.
        if self.contents.root.superblocks or self.disk.size_bytes < self.disk.block_bytes:
            return
        try:
            table = parse_mbr_partitions(read_bytes(self.disk, 0, max(self.disk.block_bytes, SECTOR_BYTES)))
        except FormatError:
            return
        boot = [partition for partition in table if partition.type == BOOT_PARTITION_TYPE]
        for index, partition in enumerate(boot):
            number = str(partition.number)
            location = Location(number, number=partition.number, first_lba=partition.first_sector)
            source = EntrySource(PlaceRole.XBOOTLDR, location)
            if index:
                yield Excluded(source, VolumeReason.SECOND_OF_ITS_ROLE(boot[0].number, PlaceRole.XBOOTLDR.value))
                continue
            yield self._open_mbr(source, partition)

    def _open_mbr(self, source: EntrySource, partition: MbrPartition) -> BootPlace | Excluded:
        end = partition.offset_bytes + partition.size_bytes
        if end > self.disk.size_bytes:
            return Excluded(source, VolumeReason.TRUNCATED(end, self.disk.size_bytes))
        root = RootAddress(PartitionAddress(partition.partuuid, partition.number))
        try:
            lower = Linear(self.disk, partition.offset_bytes, partition.size_bytes)
            return _place(source, root, open_files(checked(lower)))
        except Error as error:
            return Excluded(source, VolumeReason.UNREADABLE(error))

    def _root_place(self, candidate: Candidate) -> RootAddress | None:
        """How a kernel is told of a root. Raises FormatError, DeviceError."""
        data = self._device_address(candidate.data)
        if data is None:
            return None
        if candidate.hashes is None:
            return RootAddress(data)
        hashes = self._device_address(candidate.hashes)
        return None if hashes is None else RootAddress(data, _verity_of(candidate, hashes))

    def _device_address(self, node: Node) -> DeviceAddress | None:
        if node.kind is NodeKind.DISK:
            return DiskAddress()
        if node.kind is NodeKind.PARTITION:
            return None if node.parent_path else _partition_address(node)
        if node.parent_path:
            # A volume on a volume: only one whose carrier is a partition of the disk has a name.
            above = self.contents.node(node.parent_path)
            if node.kind is NodeKind.LOGICAL_VOLUME or above is None or above.parent_path:
                return None
        if node.kind is NodeKind.UBI_VOLUME:
            ubi = read_ubi(open_node(self.disk, self.contents, node.parent_path))
            return next((UbiAddress(each.name, each.number) for each in ubi.volumes if each.name == node.name), None)
        return self._logical_volume(node)

    def _logical_volume(self, node: Node) -> LogicalVolumeAddress:
        """A volume by its names, its UUIDs, and the partitions it is made of. Raises FormatError, DeviceError."""
        group_name, name = node.path.split("/")[-2:]
        lines = () if node.table is None else node.table.lines
        words = dict.fromkeys(word for line in lines for word in device_names(line))
        carriers = [(word, self.contents.node("" if word == "." else word)) for word in words]
        members: list[tuple[str, DiskAddress | PartitionAddress]] = []
        group_uuid = uuid = ""
        for word, carrier in carriers:
            # A physical volume inside another volume has no name that a kernel knows.
            if carrier is None or carrier.parent_path or carrier.table is not None:
                return LogicalVolumeAddress(group_name, name)
            members.append((word, DiskAddress() if carrier.kind is NodeKind.DISK else _partition_address(carrier)))
            group = read_lvm2(open_node(self.disk, self.contents, carrier.path)).group
            for volume in () if group is None or group.name != group_name else group.logical_volumes:
                if group is not None and volume.name == name:
                    group_uuid, uuid = group.uuid, volume.uuid
        return LogicalVolumeAddress(group_name, name, group_uuid, uuid, node.table, tuple(members))

    @staticmethod
    def _layers(candidate: Candidate) -> tuple[str, ...]:
        layers = []
        if candidate.data.kind is NodeKind.LOGICAL_VOLUME:
            layers.append("lvm " + "/".join(candidate.data.path.split("/")[-2:]))
        elif candidate.data.kind is NodeKind.UBI_VOLUME:
            layers.append(f"ubi {candidate.data.name}")
        if candidate.hashes is not None and candidate.root_hash is not None:
            layers.append(f"verity {candidate.root_hash.hex()}")
        return tuple(layers)


def _place(source: EntrySource, root: RootAddress | None, files: Files) -> BootPlace:
    return BootPlace(EntrySource(source.role, source.location, source.layers, files.format), files, root)


def _partition_address(node: Node) -> PartitionAddress:
    assert node.partition is not None
    location = node.location
    slot = None
    if location.disk_guid is not None and location.number is not None and location.first_lba is not None:
        slot = Slot(location.disk_guid, location.number, location.first_lba)
    return PartitionAddress(str(node.partition.guid), node.partition.number, slot)


def _verity_of(candidate: Candidate, hashes: DeviceAddress) -> RootVerity | None:
    if candidate.hashes is None or candidate.hashes.tree is None or candidate.root_hash is None:
        return None
    superblock = candidate.hashes.tree.superblock
    return RootVerity(hashes, candidate.root_hash, superblock.parameters, superblock.tree_start(0))
