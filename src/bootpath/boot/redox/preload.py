"""What the loader preloads: the extents of a plan, a prefix of the file system, or all of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bootpath.boot.timeline import LOADER
from bootpath.core.errors import BootError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.plan import Plan
from bootpath.formats.trace import Trace
from bootpath.fs.redox.values import BLOCK_BYTES, RedoxHeader

MAX_PRELOAD_EXTENTS = 1024
"""So many fit the 64 KiB environment beside everything else; a plan with more has its smallest gaps preloaded too."""
CLASSIC_BYTES = 1 << 30
"""The old loader's preload: a prefix of 1 GiB."""


class PreloadKind(Enum):
    """How much of the file system goes to RAM before the system starts."""

    PLAN = "plan"
    PREFIX = "prefix"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class PreloadChoice:
    """What to preload: `plan` for PLAN, `prefix_bytes` for PREFIX."""

    kind: PreloadKind
    prefix_bytes: int = 0
    plan: Plan | None = None

    def extents(self, header: RedoxHeader) -> list[Extent]:
        """The extents to read, file-system-relative and disjoint.

        Raises BootError when the plan belongs to another image: it would preload the wrong blocks.
        """
        if self.kind is PreloadKind.FULL:
            return [Extent(0, header.size_bytes)]
        if self.kind is PreloadKind.PREFIX:
            length = min(self.prefix_bytes, header.size_bytes) // BLOCK_BYTES * BLOCK_BYTES
            return [Extent(0, length)] if length else []
        assert self.plan is not None
        check_belongs(self.plan, header, hint="make a new one with bootpath plan")
        needed = ExtentSet(Extent(part.offset, part.length) for part in self.plan.extents if part.step != LOADER)
        return list(needed.coalesced(MAX_PRELOAD_EXTENTS))


def check_belongs(made_for: Plan | Trace, header: RedoxHeader, *, hint: str) -> None:
    """Refuse a plan or trace of another image, or of this one before it changed. Raises BootError with `hint`."""
    kind = "plan" if isinstance(made_for, Plan) else "trace"
    for what, expected, found in (
        ("uuid", header.uuid, made_for.uuid),
        ("generation", header.generation, made_for.generation),
        ("size", header.size_bytes, made_for.size_bytes),
    ):
        if expected != found:
            raise BootError(
                f"the {kind} was made for another image",
                where=kind,
                expected=f"{what} {expected}",
                found=f"{what} {found}",
                hint=hint,
            )
