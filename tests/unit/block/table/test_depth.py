"""Devices that stand on each other: a few do, thousands are refused, and none ends in a recursion."""

from __future__ import annotations

import pytest

from bootpath.block.table.devicenames import DeviceNames
from bootpath.core.errors import LimitError, TableError
from bootpath.core.limits import limits_raised
from bootpath.formats.dm.listing import ListedTable, parse_listing
from bootpath.report.dmtable import render_listing
from tests.support.errors import raises

LEVELS = 3000


def chain(levels: int) -> tuple[ListedTable, ...]:
    lines = [f"d{number}: 0 8 linear d{number + 1} 0" for number in range(levels)]
    return parse_listing("\n".join([*lines, f"d{levels}: 0 8 zero"]))


def opened(listed: tuple[ListedTable, ...]) -> int:
    names = DeviceNames(lambda name: pytest.fail(name), tables={each.name: each.table for each in listed})
    try:
        return names("d0").size_bytes
    finally:
        names.close()


def test_a_few_devices_stand_on_each_other() -> None:
    assert opened(chain(20)) == 4096
    assert render_listing(chain(20)).count("\n") == 41


def test_thousands_do_not() -> None:
    hint = "allow more with BOOTPATH_LIMITS=table_depth=N"
    with raises(TableError, what="too many devices stand on each other", expected="at most 32", hint=hint):
        opened(chain(LEVELS))
    with raises(LimitError, what="too many devices stand on each other", hint=hint):
        render_listing(chain(LEVELS))


def test_a_device_that_is_shown_below_each_that_stands_on_it() -> None:
    lines = [f"d{level}: {half * 8} 8 linear d{level + 1} 0" for level in range(30) for half in range(2)]
    doubled = parse_listing("\n".join([*lines, "d30: 0 16 zero"]))
    with limits_raised(table_lines=100), raises(LimitError, what="the tables would be shown with too many lines"):
        render_listing(doubled)
