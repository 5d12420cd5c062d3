from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.boot.protocol.events import Event, parse_event

UNITS = st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True)
WHATS = st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,3}", fullmatch=True)
DETAILS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"))).filter(
    lambda text: "bootpath: @" not in text
)


@given(st.integers(0, 10**9), UNITS, WHATS, DETAILS, st.text().filter(lambda text: "\n" not in text))
def test_what_is_told_is_heard(thousandths: int, unit: str, what: str, detail: str, before: str) -> None:
    event = Event(thousandths / 1000, unit, what, detail)
    assert parse_event(before + str(event)) == event


@given(st.text())
def test_any_line_is_an_event_or_none(line: str) -> None:
    for text in (line, f"bootpath: @{line}", f"bootpath: @1.000 {line}"):
        event = parse_event(text)
        assert event is None or parse_event(str(event)) == Event(
            event.seconds, event.unit, event.what, " ".join(event.detail.split())
        )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "login: ",
        "bootpath: @1.5 unit what",
        "bootpath: @1.500 unit What",
        "bootpath: 1.500 unit what",
        "bootpath: @1.500 unit",
    ],
)
def test_lines_that_are_none(line: str) -> None:
    assert parse_event(line) is None


def test_counts_and_lines_in_a_detail() -> None:
    event = Event(12.3456, "50_rootfs", "mounted", "disk_reads=3\n disk_bytes=12288 x=-1 name=a")
    assert str(event) == "bootpath: @12.346 50_rootfs mounted: disk_reads=3 disk_bytes=12288 x=-1 name=a"
    assert event.counts == {"disk_reads": 3, "disk_bytes": 12288}
