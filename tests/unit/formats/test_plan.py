from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import pytest

from bootpath.core.errors import FormatError, LimitError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.core.limits import limits_raised
from bootpath.formats.plan import Plan, PlanExtent, pack_plan, parse_plan

PLAN = Plan(
    uuid=UUID("6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d"),
    generation=7,
    size_bytes=1 << 30,
    offset_bytes=2 << 20,
    extents=(
        PlanExtent(0, 1 << 20, "header ring", "open"),
        PlanExtent(0x3000_0000, 4096, "allocation log", "open"),
        PlanExtent(1 << 20, 8192, 'file "kernel" ❄', "load kernel"),
    ),
)

TEXT = """\
{
  "format": "bootpath.plan",
  "version": 1,
  "file_system": {"uuid": "6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d", "generation": 7, \
"size_bytes": 1073741824, "offset_bytes": 2097152},
  "extents": [
    {"offset": 0, "length": 1048576, "why": "header ring", "step": "open"},
    {"offset": 805306368, "length": 4096, "why": "allocation log", "step": "open"},
    {"offset": 1048576, "length": 8192, "why": "file \\"kernel\\" \\u2744", "step": "load kernel"}
  ]
}
"""


def edited(**changes: object) -> bytes:
    """The plan with members changed or, for ..., removed; a double underscore goes one level down."""
    document = json.loads(TEXT)
    for path, value in changes.items():
        *places, name = (int(place) if place.isdigit() else place for place in path.split("__"))
        target = document
        for place in places:
            target = target[place]
        if value is ...:
            del target[name]
        else:
            target[name] = value
    return json.dumps(document).encode()


def fault(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_plan(data)
    return str(caught.value)


def test_text() -> None:
    assert pack_plan(PLAN).decode() == TEXT
    assert parse_plan(TEXT.encode()) == PLAN


def test_plan_without_extents() -> None:
    plan = replace(PLAN, extents=())
    assert b'"extents": []' in pack_plan(plan)
    assert parse_plan(pack_plan(plan)) == plan
    assert plan.total_bytes == 0


def test_totals() -> None:
    assert PLAN.total_bytes == (1 << 20) + 4096 + 8192
    assert PLAN.extent_set() == ExtentSet([Extent(0, (1 << 20) + 8192), Extent(0x3000_0000, 4096)])
    assert PLAN.extents[1].extent == Extent(0x3000_0000, 4096)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": "bootpath.trace"},
            "plan: the value of format is not valid; expected 'bootpath.plan', found 'bootpath.trace'",
        ),
        ({"format": ...}, "plan: the member 'format' is missing"),
        ({"version": 2}, "plan: the value of version is not valid; expected 1, found 2"),
        ({"version": True}, "plan: the value of version is not valid; expected 1, found True"),
        ({"more": 1}, "plan: the member 'more' is not known"),
        ({"file_system": []}, "plan: file_system: the value is not an object; expected an object, found []"),
        ({"file_system__more": 1}, "plan: file_system: the member 'more' is not known"),
        ({"file_system__uuid": "x"}, "plan: file_system: the value of uuid is not valid"),
        ({"file_system__generation": -1}, "plan: file_system: the value of generation is not valid"),
        ({"file_system__generation": True}, "plan: file_system: the value of generation is not valid"),
        ({"file_system__generation": "7"}, "plan: file_system: the value of generation is not valid"),
        ({"file_system__size_bytes": 2**64 - 1}, "plan: the end of the file system is out of range"),
        ({"file_system__size_bytes": ...}, "plan: file_system: the member 'size_bytes' is missing"),
        ({"extents": {}}, "plan: the value of extents is not valid; expected an array, found {}"),
        ({"extents__1": 5}, "plan: extent 1: the value is not an object; expected an object, found 5"),
        ({"extents__1__more": 5}, "plan: extent 1: the member 'more' is not known"),
        ({"extents__1__why": None}, "plan: extent 1: the value of why is not valid; expected a string, found None"),
        ({"extents__1__why": "\ud800"}, "plan: extent 1: the string '\\ud800' holds a lone surrogate"),
        ({"extents__1__step": ...}, "plan: extent 1: the member 'step' is missing"),
        (
            {"extents__1__offset": 4095},
            "plan: extent 1 is empty or not on blocks; expected multiples of 4096, found (4095, 4096)",
        ),
        (
            {"extents__1__length": 1},
            "plan: extent 1 is empty or not on blocks; expected multiples of 4096, found (805306368, 1)",
        ),
        (
            {"extents__1__length": 0},
            "plan: extent 1 is empty or not on blocks; expected multiples of 4096, found (805306368, 0)",
        ),
        (
            {"extents__1__length": 1 << 30},
            "plan: extent 1 is past the end; expected an end",
        ),
        ({"extents__1__offset": 0}, "plan: extents 0 and 1 overlap"),
        ({"extents__2__offset": 4096}, "plan: extents 0 and 2 overlap"),
    ],
    ids=str,
)
def test_refusal(changes: dict[str, object], message: str) -> None:
    assert fault(edited(**changes)).startswith(message)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"805306368", b"8.0e8"),
        (b"805306368", b"NaN"),
        (b"805306368", b"8" * 5000),
        (b'"version": 1', b'"version": 1, "version": 1'),
        (b'"version": 1', b'"version": 1.0'),
        (b'"why": "header ring"', b'"why": "a", "why": "b"'),
        (b"}\n", b""),
        (b'"bootpath.plan"', b"[" * 100_000),
    ],
)
def test_hostile_text(old: bytes, new: bytes) -> None:
    data = TEXT.encode()
    assert old in data
    fault(data.replace(old, new))


def test_text_too_long() -> None:
    with limits_raised(plan_bytes=1 << 20):
        assert "the plan is too long; expected at most 1 MiB" in fault(bytes((1 << 20) + 1))


def test_plan_too_long_to_pack() -> None:
    with limits_raised(plan_bytes=len(TEXT) - 1), pytest.raises(LimitError, match="the plan is too long"):
        pack_plan(PLAN)


@pytest.mark.parametrize(
    "changes", [{"generation": -1}, {"generation": 2**64}, {"size_bytes": -1}, {"offset_bytes": -1}], ids=str
)
def test_value_out_of_range(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError):
        replace(PLAN, **changes)  # type: ignore[arg-type]  # all are integers


@pytest.mark.parametrize("extent", [PlanExtent(-4096, 4096, "", ""), PlanExtent(0, -4096, "", "")])
def test_negative_extent(extent: PlanExtent) -> None:
    with pytest.raises(FormatError, match="multiples of 4096"):
        replace(PLAN, extents=(extent,))


def test_surrogate_cannot_be_packed() -> None:
    with pytest.raises(FormatError, match="lone surrogate"):
        pack_plan(replace(PLAN, extents=(PlanExtent(0, 4096, "\ud800", ""),)))
