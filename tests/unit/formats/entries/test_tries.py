from __future__ import annotations

from itertools import pairwise

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.tries import (
    Assessment,
    BootCounter,
    EntryName,
    blessed_name,
    counted_name,
    pack_entry_name,
    parse_entry_name,
)


@pytest.mark.parametrize(
    ("name", "stem", "counter"),
    [
        ("a.conf", "a", None),
        ("a.CONF", "a", None),
        ("6a98-3.8.0-2.fc19.x86_64.conf", "6a98-3.8.0-2.fc19.x86_64", None),
        ("a+3.conf", "a", BootCounter(3)),
        ("a+3-0.efi", "a", BootCounter(3, 0, 1, 1)),
        ("a+03-00.conf", "a", BootCounter(3, 0, 2, 2)),
        ("a+1+3.conf", "a+1", BootCounter(3)),
        ("a+b.conf", "a+b", None),
        ("a+.conf", "a+", None),
        ("a+3-.conf", "a+3-", None),
        ("a+3-1-2.conf", "a+3-1-2", None),
        ("a+2147483647-2147483647.conf", "a", BootCounter(2147483647, 2147483647, 10, 10)),
        ("a+2147483648.conf", "a+2147483648", None),  # as for systemd
        ("a+3-99999999999.efi", "a+3-99999999999", None),
        (f"a+{'9' * 200}.efi", f"a+{'9' * 200}", None),
        ("+3.conf", "+3", None),  # without an id there is nothing to count for
    ],
)
def test_names(name: str, stem: str, counter: BootCounter | None) -> None:
    parts = parse_entry_name(name)
    assert (parts.id, parts.counter) == (stem, counter)
    assert pack_entry_name(parts) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".conf",
        "a",
        "a.txt",
        "a b.conf",
        "a/b.conf",
        "ä.conf",
        "a" * 251 + ".conf",
        "a\n.conf",
        "a\0.efi",
        "a\\b.efi",
    ],
)
def test_names_that_none_may_have(name: str) -> None:
    with pytest.raises(FormatError, match=r"UAPI\.1"):
        parse_entry_name(name)


def test_the_longest_name() -> None:
    assert parse_entry_name("a" * 250 + ".conf").id == "a" * 250


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("a.conf", "a.conf"),
        ("a+3-0.conf", "a+2-1.conf"),
        ("a+10.conf", "a+09-1.conf"),  # "+10 becomes +09 instead of +9"
        ("a+3-99.conf", "a+2-99.conf"),  # "capped at the maximum representable value (e.g. -99 for two digits)"
        ("a+3-0009.conf", "a+2-0010.conf"),
        ("a+1-2.efi", "a+0-3.efi"),
        ("a+0-3.efi", "a+0-3.efi"),
        ("a+00-03.efi", "a+00-03.efi"),
    ],
)
def test_the_next_count(name: str, after: str) -> None:
    assert counted_name(name) == after


def test_a_counter_never_becomes_more_than_a_counter_can_be() -> None:
    assert counted_name("a+3-2147483647.conf") == "a+2-2147483647.conf"


def test_counting_down_keeps_the_length_and_ends() -> None:
    names = ["x+12-00.conf"]
    while (after := counted_name(names[-1])) != names[-1]:
        names.append(after)
    assert (names[-1], len(names), {len(name) for name in names}) == ("x+00-12.conf", 13, {12})
    counters = [parse_entry_name(name).counter for name in names]
    assert all(one and other and one.tries_left - 1 == other.tries_left for one, other in pairwise(counters))


@pytest.mark.parametrize(
    ("name", "assessment"),
    [("a.conf", Assessment.GOOD), ("a+1.conf", Assessment.INDETERMINATE), ("a+00-3.conf", Assessment.BAD)],
)
def test_assessment_and_blessing(name: str, assessment: Assessment) -> None:
    assert parse_entry_name(name).assessment is assessment
    assert blessed_name(name) == "a.conf"


def test_a_name_that_would_be_read_as_another_is_not_packed() -> None:
    with pytest.raises(FormatError):
        pack_entry_name(EntryName("a+3", ".conf"))
    with pytest.raises(FormatError):
        pack_entry_name(EntryName("a", ".conf", BootCounter(10, left_digits=1)))
