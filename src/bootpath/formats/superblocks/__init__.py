"""Who uses a device, by superblock: file systems, swap, encryption, volume managers; all that match, none preferred."""

from bootpath.formats.superblocks.btrfs import BtrfsSuperblock
from bootpath.formats.superblocks.erofs import ErofsSuperblock
from bootpath.formats.superblocks.exfat import ExfatSuperblock
from bootpath.formats.superblocks.ext import ExtSuperblock
from bootpath.formats.superblocks.fat import FatSuperblock
from bootpath.formats.superblocks.luks import Luks1Header, Luks2Header
from bootpath.formats.superblocks.lukssegments import LuksMetadata, LuksSegment, parse_luks_metadata
from bootpath.formats.superblocks.registry import (
    PROBERS,
    Prober,
    Superblocks,
    probe_superblocks,
    scan_superblocks,
)
from bootpath.formats.superblocks.squashfs import SquashfsSuperblock
from bootpath.formats.superblocks.swap import SwapHeader
from bootpath.formats.superblocks.value import Checksum, Superblock
from bootpath.formats.superblocks.xfs import XfsSuperblock

__all__ = [
    "PROBERS",
    "BtrfsSuperblock",
    "Checksum",
    "ErofsSuperblock",
    "ExfatSuperblock",
    "ExtSuperblock",
    "FatSuperblock",
    "Luks1Header",
    "Luks2Header",
    "LuksMetadata",
    "LuksSegment",
    "Prober",
    "SquashfsSuperblock",
    "Superblock",
    "Superblocks",
    "SwapHeader",
    "XfsSuperblock",
    "parse_luks_metadata",
    "probe_superblocks",
    "scan_superblocks",
]
