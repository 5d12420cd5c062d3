"""RedoxFS through its upstream crate: open, read, write, archive, mount, and the ring of headers."""

from bootpath.fs.redox.mounting import Mount
from bootpath.fs.redox.redoxfs import Progress, RedoxFS, measure
from bootpath.fs.redox.ring import Ring, probe_redoxfs, scan_ring
from bootpath.fs.redox.values import BLOCK_BYTES, RING_BYTES, RING_SLOTS, Entry, Header, HostTree, Node, Piece

__all__ = [
    "BLOCK_BYTES",
    "RING_BYTES",
    "RING_SLOTS",
    "Entry",
    "Header",
    "HostTree",
    "Mount",
    "Node",
    "Piece",
    "Progress",
    "RedoxFS",
    "Ring",
    "measure",
    "probe_redoxfs",
    "scan_ring",
]
