"""A volume as the line of a device-mapper table that maps it."""

from __future__ import annotations

from bootpath.core.device import SECTOR_BYTES
from bootpath.core.errors import FormatError
from bootpath.formats.dm.table import TableLine
from bootpath.formats.dm.verity import VerityFec, VerityTarget
from bootpath.image.verity.volume import VerityVolume


def volume_line(
    volume: VerityVolume, data: str, hashes: str, *, fec: str | None = None, options: tuple[str, ...] = ()
) -> TableLine:
    """The line, with the names of its devices. Raises FormatError when a line cannot say where the FEC data begins."""
    parameters, found = volume.area.parameters, None
    if volume.fec is not None and fec is not None:
        offset, size = volume.fec.offset_bytes, volume.fec.parameters.block_size
        if offset % size:
            raise FormatError(
                "a table cannot express where the FEC data begins",
                where="verity",
                found=offset,
                expected=f"a multiple of {size} bytes",
            )
        found = VerityFec(fec, volume.fec.parameters, offset // size)
    target = VerityTarget(data, hashes, parameters, volume.area.start_block, volume.root_hash, options, found)
    return TableLine(0, parameters.data_bytes // SECTOR_BYTES, "verity", target.pack())
