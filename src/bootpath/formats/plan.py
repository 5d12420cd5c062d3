"""The preload plan as a file: which ranges of a file system a boot needs in memory, why, and when.

JSON in UTF-8 (see `bootpath.formats.strictjson` for what is refused)::

    {"format": "bootpath.plan", "version": 1,
     "file_system": {"uuid": "…",            dashed, lower case
                     "generation": 7,        of the header the plan was made for
                     "size_bytes": 1073741824,
                     "offset_bytes": 2097152},  where it begins on the disk; informative
     "extents": [{"offset": 0, "length": 4096, "why": "header ring", "step": "open"}, …]}

Offsets and lengths are bytes from the start of the file system. Invariants, held by every `Plan`: extents are multiples
of 4096, not empty, disjoint, inside the file system, and ordered by their first touch: a loader that stops early has
loaded what is needed first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from reprlib import repr as brief
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.core.limits import check_limit, limits
from bootpath.formats.strictjson import U64_MAX, JsonValue, Members, parse_json, quoted

PLAN_FORMAT = "bootpath.plan"
PLAN_VERSION = 1
BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PlanExtent:
    """A range to preload, why it is needed, and the step of the boot that touches it first."""

    offset: int
    length: int
    why: str
    step: str

    @property
    def extent(self) -> Extent:
        """The range alone."""
        return Extent(self.offset, self.length)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to preload of one generation of one file system. Raises FormatError when the invariants do not hold."""

    uuid: UUID
    generation: int
    size_bytes: int
    offset_bytes: int
    extents: tuple[PlanExtent, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.generation <= U64_MAX:
            raise _fault("the generation is out of range", self.generation, "an unsigned 64-bit number")
        if self.size_bytes < 0 or self.offset_bytes < 0 or self.offset_bytes + self.size_bytes > U64_MAX:
            raise _fault(
                "the end of the file system is out of range", self.offset_bytes + self.size_bytes, "an end below 2^64"
            )
        for index, extent in enumerate(self.extents):
            _check_extent(f"extent {index}", extent, self.size_bytes)
        order = sorted(range(len(self.extents)), key=lambda index: self.extents[index].offset)
        for before, after in pairwise(order):
            if self.extents[before].extent.overlaps(self.extents[after].extent):
                raise _fault(
                    f"extents {before} and {after} overlap", f"byte {self.extents[after].offset} in both", "no overlap"
                )

    @property
    def total_bytes(self) -> int:
        """How much memory the preload takes."""
        return sum(extent.length for extent in self.extents)

    def extent_set(self) -> ExtentSet:
        """The ranges as a set, without order and reasons."""
        return ExtentSet(extent.extent for extent in sorted(self.extents, key=lambda extent: extent.offset))


def parse_plan(data: bytes) -> Plan:
    """The plan in a file's bytes. Raises FormatError."""
    check_limit("plan_bytes", len(data), "the plan is too long", where="plan")
    document = Members(parse_json(data, where="plan", max_bytes=limits().plan_bytes), where="plan")
    document.constant("format", PLAN_FORMAT)
    document.constant("version", PLAN_VERSION)
    file_system = document.members("file_system")
    extents = document.array("extents")
    document.done()
    plan = Plan(
        uuid=file_system.uuid("uuid"),
        generation=file_system.number("generation"),
        size_bytes=file_system.number("size_bytes"),
        offset_bytes=file_system.number("offset_bytes"),
        extents=tuple(_parse_extent(index, value) for index, value in enumerate(extents)),
    )
    file_system.done()
    return plan


def pack_plan(plan: Plan) -> bytes:
    """The plan as a file's bytes: one line a range, so that it can be read and compared by people."""
    lines = [
        f'    {{"offset": {extent.offset}, "length": {extent.length}, '
        f'"why": {quoted(extent.why)}, "step": {quoted(extent.step)}}}'
        for extent in plan.extents
    ]
    extents = "[\n" + ",\n".join(lines) + "\n  ]" if lines else "[]"
    data = (
        f'{{\n  "format": "{PLAN_FORMAT}",\n  "version": {PLAN_VERSION},\n'
        f'  "file_system": {{"uuid": "{plan.uuid}", "generation": {plan.generation}, '
        f'"size_bytes": {plan.size_bytes}, "offset_bytes": {plan.offset_bytes}}},\n'
        f'  "extents": {extents}\n}}\n'
    ).encode()
    check_limit("plan_bytes", len(data), "the plan is too long", where="plan")
    return data


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="plan", found=found, expected=expected)


def _parse_extent(index: int, value: JsonValue) -> PlanExtent:
    members = Members(value, where=f"plan: extent {index}")
    extent = PlanExtent(
        offset=members.number("offset"),
        length=members.number("length"),
        why=members.text("why"),
        step=members.text("step"),
    )
    members.done()
    return extent


def _check_extent(name: str, extent: PlanExtent, size_bytes: int) -> None:
    offset, length = extent.offset, extent.length
    shown = brief((offset, length))
    if offset < 0 or length <= 0 or offset % BLOCK_BYTES or length % BLOCK_BYTES:
        raise _fault(f"{name} is empty or not on blocks", shown, f"multiples of {BLOCK_BYTES}")
    if offset + length > size_bytes:
        raise _fault(f"{name} is past the end", shown, f"an end of at most {size_bytes}")
