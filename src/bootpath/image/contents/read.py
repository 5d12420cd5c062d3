"""Reading what is on a disk: the tree of `image.contents.nodes`, from whatever device it is on.

Nothing is chosen and nothing silently passed over: what is damaged stays in the tree with its fault. Only what is
needed is read, and each block once (`block.targets.readonce`): the partition tables, the first 72 KiB of each place, a
verity tree's root block, signatures, and the metadata of LVM2 and UBI.

What may hold what: a disk and every volume may hold a partition table, LVM2, UBI or a file system; a partition the
same, but of partition tables only the primary copy of a GPT. Nesting ends at `MAX_DEPTH`, and all of it where
`core.limits` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bootpath.block.table.stack import open_table
from bootpath.block.targets.linear import Linear
from bootpath.block.targets.readonce import ReadOnce
from bootpath.core.device import Device, Identity, read_bytes
from bootpath.core.diskimage import disk_images
from bootpath.core.errors import DeviceError, Error, FormatError, LimitError, TableError
from bootpath.core.limits import check_limit, limits, spending
from bootpath.formats.iso9660.descriptors import DESCRIPTORS_OFFSET
from bootpath.formats.named import name_contents
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.region import Region
from bootpath.formats.superblocks.registry import scan_superblocks
from bootpath.formats.verity.signature import VERITY_SIGNATURE_MAX_BYTES, VeritySignature, parse_verity_signature
from bootpath.formats.verity.tree import BlockHasher, VeritySuperblock, parse_verity_superblock
from bootpath.fs.readers.open import open_files
from bootpath.image.contents.nodes import Contents, FoundHashTree, Location, Node, NodeKind, is_signature_volume
from bootpath.image.contents.partitions import partition_device, partition_nodes, with_gpt, with_mbr, with_medium
from bootpath.image.contents.probes import IMAGE_PROBERS
from bootpath.image.contents.useas import UseAs, use_of
from bootpath.image.contents.volumes import FoundVolume, logical_volumes, path_of, ubi_volumes

MAX_DEPTH = 4
_MAX_LONE_DIGESTS = 256
_MAX_USES = 64
_ROOTS_WITHOUT_TYPE = (None, Designator.LINUX_GENERIC, Designator.XBOOTLDR)
_UNIX_KINDS = frozenset({"ext2", "ext3", "ext4", "erofs", "squashfs", "ubifs"})
"""The file systems that a root may be on and whose files are read."""
_SIGNATURES = (Designator.ROOT_VERITY_SIG, Designator.USR_VERITY_SIG)
_TREES = (Designator.ROOT_VERITY, Designator.USR_VERITY)
_CONTAINERS = frozenset({"LVM2_member", "ubi", "crypto_LUKS", "DM_verity_hash"})


def read_contents(disk: Device, *, max_depth: int = MAX_DEPTH, in_parts: bool = False) -> Contents:
    """Everything on the disk. Raises DeviceError only: damage is in the tree.

    With `in_parts` a place that cannot be read is refused, and the others are looked at all the same: to be shown, not
    to be chosen from.
    """
    explorer = _Explorer(ReadOnce(disk), max_depth, in_parts=in_parts)
    with spending():
        root = explorer.explore(Node("", NodeKind.DISK, disk.identity.name, disk.size_bytes, Location("")), 0)
    root = explorer.with_lone_hashes(_with_duplicates(root))
    _forget_frames(root)
    if explorer.unread is not None:
        return Contents(
            disk.identity.name,
            root,
            FormatError(f"not all of the disk can be read: {explorer.unread}"),
            explorer.unread,
            disk_images(disk),
        )
    incomplete: FormatError | None = None
    try:
        check_limit("places", explorer.places, "the disk has too many partitions and volumes", where=disk.identity.name)
    except LimitError as fault:
        incomplete = fault
    return Contents(disk.identity.name, root, incomplete, disk_images=disk_images(disk))


def open_node(disk: Device, contents: Contents, path: str) -> Device:
    """The device of a node, on the disk that `contents` was read from; the disk stays the caller's.

    Raises DeviceError (EINVAL) when the node cannot be opened, ValueError when there is none with this path.
    """
    node = contents.node(path)
    if node is None:
        raise ValueError(f"there is no {path!r} in {contents.name}")
    if node.refusal is not None:
        raise DeviceError(str(node.refusal), where=f"{contents.name}: {path}")
    if node.kind is NodeKind.DISK:
        return disk
    if node.kind is NodeKind.PARTITION:
        return partition_device(open_node(disk, contents, node.parent_path), node)
    assert node.table is not None
    identity = Identity(f"{contents.name}: {path}")
    return open_table(node.table, lambda name: kept_open(open_node(disk, contents, path_of(name))), identity=identity)


def kept_open(device: Device) -> Device:
    """The device, for a table that closes what it stands on: this one stays open."""
    return Linear(device, 0, device.size_bytes, identity=device.identity)


class _Explorer:
    """Reads one disk; `devices` are those of the nodes that could be opened, by path."""

    def __init__(self, disk: Device, max_depth: int, *, in_parts: bool) -> None:
        self.in_parts = in_parts
        self.unread: DeviceError | None = None
        self.devices: dict[str, Device] = {"": disk}
        self.max_depth = max_depth
        self.places = 1  # that there are, as far as was looked; no more of them than the limit are
        self.lone_left = _MAX_LONE_DIGESTS
        self.uses_left = _MAX_USES

    def _admitted(self, count: int) -> int:
        """How many of `count` more places are looked at."""
        allowed = min(count, max(limits().places - self.places, 0))
        self.places += count
        return allowed

    def _explore_part(self, node: Node, depth: int) -> Node:
        """As `explore`; a part that cannot be read does not keep us from the others, when that is wanted."""
        try:
            return self.explore(node, depth)
        except DeviceError as fault:
            if not self.in_parts:
                raise
            self.unread = self.unread or fault
            return replace(node, refusal=fault)

    def explore(self, node: Node, depth: int) -> Node:
        """The node with everything that is in it. Raises DeviceError."""
        device = self.devices[node.path]
        if depth < self.max_depth:
            node = with_gpt(node, device)
        if node.gpt is None:
            node = self._probe(node, device)
            if depth < self.max_depth:
                node = with_mbr(node, device)
        elif node.kind is NodeKind.DISK:
            node = with_medium(node, device)
        parts = partition_nodes(node, device)
        parts = parts[: self._admitted(len(parts))]
        return self._with_volumes(node, [self._partition(part, device, depth) for part in parts], depth)

    def _partition(self, part: Node, lower: Device, depth: int) -> Node:
        """What is in a partition; nothing is looked for in an extended one, whose partitions are beside it."""
        if part.refusal is not None or (part.record is not None and part.record.extended):
            return part
        self.devices[part.path] = partition_device(lower, part)
        return part if part.empty else self._explore_part(part, depth + 1)

    def _probe(self, node: Node, device: Device) -> Node:
        """What stands at the beginning of a place."""
        faults = list(node.faults)
        if node.designator in _SIGNATURES or is_signature_volume(node):
            return self._signature(node, device)
        result = scan_superblocks(device, probers=IMAGE_PROBERS)
        faults += result.faults
        tree = None
        # The prober of superblocks has reported a damaged one already.
        if any(each.kind == "DM_verity_hash" for each in result.found) or (node.designator in _TREES and not faults):
            try:
                tree = _read_tree(device)
            except FormatError as fault:
                faults.append(fault)
        faults += [
            FormatError(
                f"the {each.kind} has {each.size_bytes} bytes, more than the {device.size_bytes} that hold it",
                hint="is the image truncated?",
            )
            for each in result.found
            if each.size_bytes > device.size_bytes and each.kind not in _CONTAINERS
        ]
        known = bool(result.found or faults or node.gpt or node.mbr)
        named = name_contents(Region(device), known=known)
        node = replace(node, superblocks=result.found, tree=tree, faults=tuple(faults), named=named)
        return replace(node, use=self._use(node, device))

    def _use(self, node: Node, device: Device) -> UseAs | None:
        """What a file system can be used as, where only its files say it; of so many, so that a disk has an end."""
        kind = None if node.content is None else node.content.kind
        if kind not in _UNIX_KINDS or node.faults or node.designator not in _ROOTS_WITHOUT_TYPE or not self.uses_left:
            return None
        self.uses_left -= 1
        try:
            use = use_of(open_files(device, kind))
        except DeviceError:
            raise
        except Error as error:
            return UseAs(faults=(error.as_value(),))
        for fault in use.faults:
            if isinstance(fault, DeviceError):
                raise fault
        return use

    def _signature(self, node: Node, device: Device) -> Node:
        signature: VeritySignature | None = None
        faults: tuple[FormatError, ...] = ()
        try:
            # One byte more than is allowed is enough to be refused.
            length = min(device.size_bytes, VERITY_SIGNATURE_MAX_BYTES + device.block_bytes)
            signature = parse_verity_signature(read_bytes(device, 0, length))
        except FormatError as fault:
            faults = (fault,)
        return replace(node, signature=signature, faults=faults)

    def _with_volumes(self, node: Node, children: list[Node], depth: int) -> Node:
        """The node with its children, and with the volumes that are on them or on itself."""
        # A partition's physical volume belongs to the disk's volume groups: they may span several.
        here = children if node.gpt is not None else [] if node.kind is NodeKind.PARTITION else [node, *children]
        warnings: list[str] = []
        if depth < self.max_depth:
            members = [each for each in here if any(one.kind == "LVM2_member" for one in each.superblocks)]
            volumes: list[FoundVolume] = []
            if members:
                found = logical_volumes({each.path: self.devices[each.path] for each in members}, node.path)
                volumes += found.volumes
                warnings += found.warnings
            if node.gpt is None and any(each.kind == "ubi" for each in node.superblocks):
                try:
                    found = ubi_volumes(self.devices[node.path], node.path)
                    volumes += found.volumes
                    warnings += found.warnings
                except FormatError as fault:
                    node = replace(node, faults=(*node.faults, fault))
            volumes = volumes[: self._admitted(len(volumes))]
            children = [*children, *(self._volume(volume, depth) for volume in volumes)]
        return replace(node, children=tuple(children), warnings=(*node.warnings, *warnings))

    def _volume(self, volume: FoundVolume, depth: int) -> Node:
        kind = NodeKind.LOGICAL_VOLUME if volume.logical else NodeKind.UBI_VOLUME
        node = Node(volume.path, kind, volume.name, volume.size_bytes, Location(volume.path), table=volume.table)
        if volume.table is None:
            return replace(node, refusal=volume.refusal)
        identity = Identity(f"{self.devices[''].identity.name}: {volume.path}")
        try:
            self.devices[volume.path] = open_table(
                volume.table, lambda name: kept_open(self.devices[path_of(name)]), identity=identity
            )
        except TableError as fault:  # it does not fit what it stands on
            return replace(node, table=None, refusal=fault)
        return self._explore_part(node, depth + 1)

    def with_lone_hashes(self, root: Node) -> Node:
        """The nodes, where a hash tree has no root block with the digests of what it could protect."""
        data = [node for node in root.walk() if node.designator in (Designator.ROOT, Designator.USR)]

        def fill(node: Node) -> Node:
            tree = node.tree
            if tree is not None and tree.root_hash is None:
                tree = replace(tree, lone=tuple(self._lone(node, tree.superblock, data)))
            return replace(node, tree=tree, children=tuple(fill(child) for child in node.children))

        return fill(root)

    def _lone(self, node: Node, superblock: VeritySuperblock, data: Iterable[Node]) -> Iterator[tuple[str, bytes]]:
        parameters = superblock.parameters
        for each in data:
            device = self.devices.get(each.path)
            beside = each.parent_path == node.parent_path
            if device is None or not beside or device.size_bytes < parameters.data_block_size or not self.lone_left:
                continue
            self.lone_left -= 1
            block = Region(device).read(0, parameters.data_block_size)
            yield each.path, BlockHasher(parameters).digest(block)


def _read_tree(device: Device) -> FoundHashTree:
    """The hash area at the beginning of a device. Raises FormatError."""
    region = Region(device)
    superblock = parse_verity_superblock(region.read(0, 512, "verity superblock"))
    parameters = superblock.parameters
    start = superblock.tree_start(0)
    levels = parameters.levels(start)
    end = parameters.tree_end(start)
    if end > device.size_bytes:
        raise FormatError(
            "the hash tree ends beyond the device", found=f"byte {end}", expected=f"at most byte {device.size_bytes}"
        )
    if not levels:
        return FoundHashTree(superblock, None)
    block = region.read(levels[-1].start * parameters.hash_block_size, parameters.hash_block_size, "root block")
    return FoundHashTree(superblock, BlockHasher(parameters).digest(block))


def _forget_frames(root: Node) -> None:
    """Faults are values here: a traceback would keep alive what the parsers had read, a thousand times over."""
    for node in root.walk():
        copies = () if node.gpt is None else (node.gpt.primary_fault, node.gpt.backup_fault)
        for fault in (*node.faults, node.gpt_fault, node.refusal, *copies):
            if fault is not None:
                fault.as_value()


def _with_duplicates(root: Node) -> Node:
    """The disk's node with a warning for each file system UUID that appears twice."""
    seen: dict[tuple[str, str], str] = {}
    warnings: list[str] = []
    for node in root.walk():
        for each in node.superblocks:
            if each.uuid is not None and each.kind != "DM_verity_hash":
                first = seen.setdefault((each.kind, each.uuid), node.path)
                # A partition that begins where its disk does is the same medium.
                inside = first == node.parent_path and (node.offset_bytes or 0) <= DESCRIPTORS_OFFSET
                if first != node.path and not inside:
                    warnings.append(f"{first} and {node.path} hold {each.kind} with the same UUID {each.uuid}")
    return replace(root, warnings=(*root.warnings, *warnings))
