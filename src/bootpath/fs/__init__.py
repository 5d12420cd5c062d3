"""RedoxFS through its upstream crate: open, read, write, archive, mount, and the ring of headers."""

from bootpath.fs.mounting import Mount
from bootpath.fs.redoxfs import Progress, RedoxFS, measure
from bootpath.fs.ring import Ring, probe_redoxfs, scan_ring
from bootpath.fs.values import BLOCK_BYTES, RING_BYTES, RING_SLOTS, Entry, Header, HostTree, Node, Piece

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
