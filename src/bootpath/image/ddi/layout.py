"""Where the partitions of a new image go: one after the other, aligned, in the order they are named.

Source: systemd-repart(8) and what it does: partitions start at 1 MiB, the backup table has the last 20 KiB, sizes are
multiples of 4096. With an alignment of 4096 the places are systemd-repart's; with 1 MiB, as here by default, the ones
that partitioning tools have advised since disks lie about their block size.

Invariants: offsets are multiples of the alignment and ascend; nothing overlaps; a table for 128 entries fits before the
first and behind the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.core.errors import Error
from bootpath.formats.repart.values import GRAIN_BYTES

MIB = 1 << 20
FIRST_OFFSET_BYTES = MIB
FOOTER_BYTES = 20 << 10
MAX_PARTITIONS = 128


@dataclass(frozen=True, slots=True)
class DdiLayout:
    """The offset of every partition, and the size of the image, in bytes."""

    offsets: tuple[int, ...]
    size_bytes: int


def lay_out(sizes: Sequence[int], *, alignment_bytes: int = MIB, size_bytes: int | None = None) -> DdiLayout:
    """Places for partitions of these sizes (multiples of 4096), in an image as small as can be or of `size_bytes`.

    Raises Error when they do not fit, or when the alignment or the size is no multiple of 4096.
    """
    if alignment_bytes < GRAIN_BYTES or alignment_bytes % GRAIN_BYTES:
        raise Error(
            "the alignment is not valid",
            where="layout",
            found=f"{alignment_bytes} bytes",
            expected=f"a multiple of {GRAIN_BYTES} bytes",
        )
    if len(sizes) > MAX_PARTITIONS:
        raise Error(
            "there are too many partitions",
            where="layout",
            found=f"{len(sizes)} partitions",
            expected=f"at most {MAX_PARTITIONS}",
        )
    offsets: list[int] = []
    end = FIRST_OFFSET_BYTES
    for size in sizes:
        offsets.append(-(-end // alignment_bytes) * alignment_bytes)
        end = offsets[-1] + size
    needed = end + FOOTER_BYTES
    if size_bytes is None:
        return DdiLayout(tuple(offsets), needed)
    if size_bytes % GRAIN_BYTES or size_bytes < needed:
        raise Error(
            "the requested size is not possible",
            where="layout",
            found=f"{size_bytes} bytes",
            expected=f"at least {needed} bytes, and a multiple of {GRAIN_BYTES}",
            hint="omit --size for the smallest size",
        )
    return DdiLayout(tuple(offsets), size_bytes)
