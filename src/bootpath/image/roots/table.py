"""The root that was chosen, as a table and as a device: verified where it has a hash tree, as it is where it has none.

The table names nodes by their paths ("." for the disk), so it says where the root is and never what it holds. The
device reads through `block.targets.verity`: what is not what the root hash promises is an error, never data.
"""

from __future__ import annotations

from bootpath.block.table.stack import Stack, open_table
from bootpath.core.device import Device, Identity
from bootpath.formats.dm.table import SECTOR_BYTES, Table, TableLine
from bootpath.formats.dm.verity import VerityTarget
from bootpath.formats.partitions.imagepolicy import Protection
from bootpath.image.contents.nodes import Contents
from bootpath.image.contents.read import kept_open, open_node
from bootpath.image.contents.volumes import argument_of, path_of
from bootpath.image.roots.candidates import Candidate


def root_table(candidate: Candidate) -> Table:
    """One line: `verity`, or `linear` for a candidate used without. Raises ValueError for an excluded candidate."""
    if candidate.excluded is not None:
        raise ValueError(f"{candidate.data.location}: {candidate.excluded}")
    data = argument_of(candidate.data.path)
    if candidate.protection not in (Protection.SIGNED, Protection.VERITY):
        return Table((TableLine(0, candidate.data.size_bytes // SECTOR_BYTES, "linear", (data, "0")),))
    assert candidate.hashes is not None
    assert candidate.hashes.tree is not None
    assert candidate.root_hash is not None
    superblock = candidate.hashes.tree.superblock
    target = VerityTarget(
        data,
        argument_of(candidate.hashes.path),
        superblock.parameters,
        superblock.tree_start(0),
        candidate.root_hash,
    )
    return Table((TableLine(0, superblock.parameters.data_bytes // SECTOR_BYTES, "verity", target.pack()),))


def open_root_device(disk: Device, contents: Contents, candidate: Candidate) -> Stack:
    """The root as a device, on the disk that `contents` was read from; the disk stays the caller's.

    Raises DeviceError, TableError, ValueError for a candidate that is excluded.
    """
    return open_table(
        root_table(candidate),
        lambda name: kept_open(open_node(disk, contents, path_of(name))),
        identity=Identity(f"{contents.name}: {candidate.designator.value}"),
    )
