"""Everything that may stand on a device, asked in turn: all that answer are reported, none is preferred.

A stale signature of an earlier use (a swap area below a new ext4) is an ambiguity that only its owner can resolve;
whoever chooses among several does so with all of them in hand.

To add a format: write its prober and name it in `PROBERS`. Formats of higher layers join at the call:
``scan_superblocks(device, probers={**PROBERS, "redoxfs": probe})``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bootpath.core.device import Device
from bootpath.core.errors import FormatError
from bootpath.formats.region import HEAD_BYTES, Region
from bootpath.formats.superblocks.btrfs import probe_btrfs
from bootpath.formats.superblocks.containers import (
    probe_damaged_ubi_image,
    probe_lvm_member,
    probe_ubi_image,
    probe_verity_hashes,
)
from bootpath.formats.superblocks.erofs import probe_erofs
from bootpath.formats.superblocks.exfat import probe_exfat
from bootpath.formats.superblocks.ext import probe_ext
from bootpath.formats.superblocks.fat import probe_fat
from bootpath.formats.superblocks.iso9660 import probe_iso9660
from bootpath.formats.superblocks.luks import probe_luks
from bootpath.formats.superblocks.squashfs import probe_squashfs
from bootpath.formats.superblocks.swap import probe_swap
from bootpath.formats.superblocks.ubifs import probe_ubifs
from bootpath.formats.superblocks.udf import probe_udf
from bootpath.formats.superblocks.value import Superblock
from bootpath.formats.superblocks.xfs import probe_xfs

Prober: TypeAlias = Callable[[Region], Superblock | None]
"""None: nothing of this format is here. FormatError: it is, and it is damaged. DeviceError passes."""

PROBERS: Mapping[str, Prober] = {
    "ext": probe_ext,
    "erofs": probe_erofs,
    "squashfs": probe_squashfs,
    "btrfs": probe_btrfs,
    "xfs": probe_xfs,
    "vfat": probe_fat,
    "exfat": probe_exfat,
    "iso9660": probe_iso9660,
    "udf": probe_udf,
    "swap": probe_swap,
    "luks": probe_luks,
    "lvm2": probe_lvm_member,
    "ubi": probe_ubi_image,
    "ubifs": probe_ubifs,
    "verity": probe_verity_hashes,
}
DAMAGED_PROBERS: Mapping[str, Prober] = {"ubi": probe_damaged_ubi_image}
"""Those of formats that are known without their beginning: asked where no prober answers, since they read more."""


@dataclass(frozen=True, slots=True)
class Superblocks:
    """All that was found in one place, and what claims to be something and is damaged, in the order of the probers."""

    found: tuple[Superblock, ...]
    faults: tuple[FormatError, ...]

    @property
    def ambiguous(self) -> bool:
        """True when more than one format claims the device, sound or damaged."""
        return len(self.found) + len(self.faults) > 1


def scan_superblocks(
    device: Device,
    offset_bytes: int = 0,
    size_bytes: int | None = None,
    *,
    probers: Mapping[str, Prober] = PROBERS,
    head_bytes: int = HEAD_BYTES,
) -> Superblocks:
    """Everything on `size_bytes` (None: all) of the device from byte `offset_bytes`. Raises DeviceError only.

    `head_bytes` are read at once (`Region`): less is for probers that look at few places.
    """
    region = Region(device, offset_bytes, size_bytes, head_bytes=head_bytes)
    found: list[Superblock] = []
    faults: list[FormatError] = []
    late = [probe for kind, probe in DAMAGED_PROBERS.items() if kind in probers]
    for probe in (*probers.values(), *late):
        if probe in late and (found or faults):
            break
        try:
            superblock = probe(region)
        except FormatError as error:
            faults.append(error.as_value())
        else:
            if superblock is not None:
                found.append(superblock)
    return Superblocks(tuple(found), tuple(faults))


def probe_superblocks(
    device: Device,
    offset_bytes: int = 0,
    size_bytes: int | None = None,
    *,
    probers: Mapping[str, Prober] = PROBERS,
) -> tuple[Superblock, ...]:
    """The same, when nothing there is damaged. Raises FormatError with every fault, DeviceError."""
    result = scan_superblocks(device, offset_bytes, size_bytes, probers=probers)
    if not result.faults:
        return result.found
    first, *rest = result.faults
    if rest:
        first.add_note("\n".join(f"also: {fault}" for fault in rest))
    raise first.at(device.identity.name)
