from __future__ import annotations

import random
import subprocess
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.formats.entries.vercmp import compare_versions, split_version, version_key
from tests.support.tools import tool

# UAPI.10 "Examples", all of them, in its order.
EXAMPLES = [
    ("11", "==", "11"),
    ("systemd-123", "==", "systemd-123"),
    ("bar-123", "<", "foo-123"),
    ("123a", ">", "123"),
    ("123.a", ">", "123"),
    ("123.a", "<", "123.b"),
    ("123a", ">", "123.a"),
    ("11α", "==", "11β"),
    ("B", "<", "a"),
    ("", "<", "0"),
    ("0.", ">", "0"),
    ("0.0", ">", "0"),
    ("0", ">", "~"),
    ("", ">", "~"),
    ("1_", "==", "1"),
    ("_1", "==", "1"),
    ("1_", "<", "1.2"),
    ("1_2_3", ">", "1.3.3"),
    ("1+", "==", "1"),
    ("+1", "==", "1"),
    ("1+", "<", "1.2"),
    ("1+2+3", ">", "1.3.3"),
]
# "each entry compares smaller than every entry to its right and equal only to itself"
ASCENDING = [
    *("122.1", "123~rc1-1", "123", "123-a", "123-a.1", "123-1"),
    *("123-1.1", "123^post1", "123.a-1", "123.1-1", "123a-1", "124-1"),
]
SIGNS = {"<": -1, "==": 0, ">": 1}
VERSIONS = st.text(alphabet="0019aAbZ.-~^_+αé:", max_size=12)


@pytest.mark.parametrize(("first", "sign", "second"), EXAMPLES)
def test_examples(first: str, sign: str, second: str) -> None:
    assert compare_versions(first, second) == SIGNS[sign]
    assert compare_versions(second, first) == -SIGNS[sign]


def test_the_ascending_example() -> None:
    for (i, first), (j, second) in product(enumerate(ASCENDING), repeat=2):
        assert compare_versions(first, second) == (i > j) - (i < j), (first, second)
    shuffled = ASCENDING.copy()
    random.Random(1).shuffle(shuffled)
    assert sorted(shuffled, key=version_key) == ASCENDING


@given(VERSIONS, VERSIONS)
def test_order(first: str, second: str) -> None:
    assert compare_versions(first, first) == 0
    assert compare_versions(first, second) == -compare_versions(second, first)


@given(st.lists(VERSIONS, max_size=8))
def test_sorting_gives_an_ascending_row(versions: list[str]) -> None:
    assert all(compare_versions(older, newer) <= 0 for older, newer in pairwise(sorted(versions, key=version_key)))


def test_long_numbers() -> None:
    """Longer than any integer conversion allows, and than any machine word."""
    assert compare_versions("1" * 10_000, "2" * 9_999) == 1
    assert compare_versions("0" * 10_000 + "7", "7") == 0


def test_as_systemd_compares() -> None:
    """Random pairs, and the examples; no 0 stands alone, where systemd does not follow the text (see below)."""
    generator, pieces = random.Random(7), ["1", "01", "10", "9", "a", "B", *".-~^_+"]
    pairs = [(first, second) for first, _, second in EXAMPLES]
    pairs += list(pairwise(ASCENDING))
    pairs += [
        ("".join(generator.choices(pieces, k=generator.randrange(1, 9))), "".join(generator.choices(pieces, k=5)))
        for _ in range(150)
    ]
    program = tool("systemd-analyze")
    script = 'while IFS="\t" read -r a b; do "$0" compare-versions -- "${a#x}" lt "${b#x}"; l=$?; '
    script += '"$0" compare-versions -- "${a#x}" gt "${b#x}"; echo "$l $?"; done'
    lines = "".join(f"x{first}\tx{second}\n" for first, second in pairs)
    output = subprocess.run(
        ["bash", "-c", script, program], input=lines, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    signs = {"0 1": -1, "1 0": 1, "1 1": 0}
    assert [compare_versions(*pair) for pair in pairs] == [signs[line] for line in output]


@pytest.mark.parametrize(
    ("first", "second", "expected", "of_systemd"),
    [
        ("1.0", "1.a", -1, 1),
        ("123..0", "123.0", 1, -1),
        ("1.0", "1.-1", -1, 1),
        ("1.0", "1.^1", -1, 1),
        ("1.0", "1.", 0, 1),
        ("1.00", "1..0", -1, 1),
        # Where what follows decides in the same way, they agree.
        ("1.0", "1.~1", 1, 1),
        ("a0", "a", 1, 1),
        ("1.1", "1.a", 1, 1),
        ("1.1", "1..1", 1, 1),
    ],
)
def test_a_zero_that_meets_no_number(first: str, second: str, expected: int, of_systemd: int) -> None:
    """ "If one of the prefixes is empty, it evaluates as 0": equal numbers, and then what follows decides."""
    assert compare_versions(first, second) == expected
    program = tool("systemd-analyze")
    codes = [
        subprocess.run([program, "compare-versions", "--", first, operator, second], check=False).returncode
        for operator in ("lt", "eq", "gt")
    ]
    assert codes.index(0) - 1 == of_systemd


@pytest.mark.parametrize(
    ("label", "expected"),
    [("fooOS_2021.4", ("fooOS", "2021.4")), ("my_os_1.2", ("my_os", "1.2")), ("root", ("root", "")), ("", ("", ""))],
)
def test_labels(label: str, expected: tuple[str, str]) -> None:
    assert split_version(label) == expected
