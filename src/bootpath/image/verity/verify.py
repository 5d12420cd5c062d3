"""Verifying a whole volume: whether it is good as it is, can be corrected, or is bad.

A volume is good when every block matches the root hash, and repairable when FEC can correct every block that does not:
a target with the FEC data reads it without an error, one without does not. Nothing is written. What FEC data there is
of a good volume is compared with what it should be, too: parity that is wrong is noticed before it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.image.verity.correction import Corrected, correct_volume
from bootpath.image.verity.fec import wrong_parity
from bootpath.image.verity.tree import Mismatch, Progress
from bootpath.image.verity.volume import VerityVolume


class VolumeState(Enum):
    """What a volume is."""

    GOOD = "good"
    REPAIRABLE = "repairable"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `mismatches` are the first blocks that do not match by themselves.

    `corrected` is how many blocks FEC can correct: None where nothing is to be corrected, or not all of it can be.
    `fault` is why the volume is bad, None when it is not. `wrong_parity_blocks` is how many blocks of FEC data are not
    the parity of a volume that is good; None when that was not looked at.
    """

    mismatches: tuple[Mismatch, ...] = ()
    corrected: Corrected | None = None
    fault: DeviceError | None = None
    wrong_parity_blocks: int | None = None

    @property
    def verdict(self) -> VolumeState:
        """What all that comes to."""
        if self.fault is not None:
            return VolumeState.BAD
        return VolumeState.GOOD if self.corrected is None else VolumeState.REPAIRABLE

    @property
    def verified(self) -> bool:
        """True when every block matches, or can be corrected."""
        return self.verdict is not VolumeState.BAD


def verify_volume(volume: VerityVolume, progress: Progress | None = None) -> Verification:
    """Read and check everything, as far as the verdict needs it.

    Raises DeviceError for what cannot be read, unless there is FEC data, which may correct that too. `progress` is
    called with the bytes of data done so far in each of up to three passes.
    """
    unreadable = False
    if volume.fec is not None:
        volume.device()  # what is too short for the target is refused, and is not taken for blocks that cannot be read
    try:
        found = tuple(volume.check(progress))
    except DeviceError:
        if volume.fec is None:
            raise
        found, unreadable = (), True
    if not found and not unreadable:
        return Verification(wrong_parity_blocks=_wrong_parity(volume))
    if volume.fec is None:
        fault = IntegrityError(f"{found[0]} does not match the root hash", where=volume.data.identity.name)
        return Verification(found, fault=fault)
    try:
        corrected = correct_volume(
            volume.data,
            volume.hashes,
            volume.area.parameters,
            volume.root_hash,
            volume.fec,
            start_block=volume.area.start_block,
            progress=progress,
        )
    except IntegrityError as error:
        return Verification(found, fault=error.as_value())
    return Verification(found, corrected)


def _wrong_parity(volume: VerityVolume) -> int | None:
    """How many blocks of FEC data are not what they should be; None without any."""
    if volume.fec is None:
        return None
    return wrong_parity(
        volume.data,
        volume.hashes,
        volume.fec,
        data_blocks=volume.area.parameters.data_blocks,
        start_block=volume.area.start_block,
    )
