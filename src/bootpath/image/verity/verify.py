"""Verifying a whole volume, and what FEC changes about the verdict.

A volume is verified when every block matches the root hash, or when FEC can repair every block that does not. Nothing
is written: a repaired block is repaired each time that it is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.image.verity.tree import Mismatch, Progress
from bootpath.image.verity.volume import VerityVolume


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `mismatches` are the first blocks that do not match by themselves.

    `repaired_blocks` is how many FEC could repair: None where nothing was to be repaired, or not all of it can be.
    `fault` is why the volume is not verified, None when it is.
    """

    mismatches: tuple[Mismatch, ...] = ()
    repaired_blocks: int | None = None
    fault: DeviceError | None = None

    @property
    def verified(self) -> bool:
        """True when every block matches, or can be repaired."""
        return self.fault is None


def verify_volume(volume: VerityVolume, progress: Progress | None = None) -> Verification:
    """Read and check everything; read it again through FEC where something does not match.

    Raises DeviceError for what cannot be read. `progress` is called with the bytes of data done so far in each pass.
    """
    found = tuple(volume.check(progress))
    if not found:
        return Verification()
    fault: DeviceError = IntegrityError(f"{found[0]} does not match the root hash", where=volume.data.identity.name)
    if volume.fec is None:
        return Verification(found, fault=fault)
    try:
        return Verification(found, volume.repair(progress))
    except DeviceError as error:
        return Verification(found, fault=error)
