"""Boot entries: what is packed is parsed again, and the order is one."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from bootpath.formats.entries.bls import BlsEntry, pack_bls, parse_bls
from bootpath.formats.entries.entry import BootEntry, EntryKind, compare_entries, sort_entries
from bootpath.formats.entries.extlinux import ExtlinuxLabel, ExtlinuxMenu, pack_extlinux, parse_extlinux
from bootpath.formats.entries.raspberrypi import PiConfig, PiSetting, pack_pi_config, parse_pi_config
from bootpath.formats.entries.tries import BootCounter, EntryName, counted_name, pack_entry_name, parse_entry_name

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), max_size=12)
WORD = TEXT.filter(lambda text: not text.startswith("#"))
SOME = WORD.filter(bool)
FILES = st.lists(SOME.filter(lambda text: "," not in text), max_size=3).map(tuple)
PLAIN = SOME.filter(lambda text: "#" not in text)

BLS = st.builds(
    BlsEntry,
    **dict.fromkeys(("title", "version", "machine_id", "sort_key", "architecture", "linux", "efi", "uki"), TEXT),
    initrds=st.lists(TEXT.filter(bool), max_size=3).map(tuple),
    options=st.lists(st.lists(TEXT.filter(bool), min_size=1, max_size=3).map(" ".join), max_size=3).map(tuple),
    devicetree=TEXT,
    devicetree_overlays=st.lists(TEXT.filter(bool), max_size=3).map(tuple),
    profile=st.none() | st.integers(0, 999),
    append_root=st.none() | st.booleans(),
    unknown=st.lists(st.tuples(SOME.map(lambda key: f"x-{key}"), TEXT.filter(bool)), max_size=2).map(tuple),
)

LABEL = st.builds(
    ExtlinuxLabel,
    SOME,
    title=WORD.filter(lambda text: "^" not in text),
    kernel=PLAIN,
    configuration=st.just("") | PLAIN,
    initrds=FILES,
    append=st.none() | st.lists(SOME, max_size=3).map(" ".join).filter(lambda text: text != "-"),
    devicetree=WORD,
    devicetree_directory=WORD,
    devicetree_overlays=st.lists(SOME, max_size=2).map(tuple),
    local=st.booleans(),
)
MENU = st.builds(
    ExtlinuxMenu,
    st.lists(LABEL, max_size=3).map(tuple),
    default=WORD,
    title=WORD,
    timeout_tenths=st.integers(0, 35996),
    prompt=st.booleans(),
    append=WORD.filter(lambda text: text != "-"),
)

PI_NAME = st.text("abc_", min_size=1, max_size=6)
PI_CONFIG = st.builds(
    PiConfig,
    st.lists(
        st.builds(
            PiSetting,
            PI_NAME | st.sampled_from(["kernel", "initramfs", "dtoverlay"]),
            WORD.filter(lambda text: len(text) < 80),
            st.just("") | PI_NAME.filter(lambda text: text not in ("all", "none")),
        ),
        max_size=6,
    ).map(tuple),
)

SHORT = st.text("ab01.-~", max_size=3)
ENTRY = st.builds(
    BootEntry,
    st.sampled_from(EntryKind),
    st.text("ab01-+", min_size=1, max_size=3),
    version=SHORT,
    machine_id=st.text("ab", max_size=1),
    sort_key=st.text("ab", max_size=1),
    counter=st.none() | st.builds(BootCounter, st.integers(0, 2), st.integers(0, 2)),
    profile=st.none() | st.integers(0, 2),
    rank=st.integers(0, 2),
)


@given(BLS)
def test_entries_of_type_1(entry: BlsEntry) -> None:
    assert parse_bls(pack_bls(entry)) == entry


@given(MENU)
def test_menus(menu: ExtlinuxMenu) -> None:
    assert parse_extlinux(pack_extlinux(menu)) == menu


@given(PI_CONFIG)
def test_settings_of_a_raspberry_pi(config: PiConfig) -> None:
    assert parse_pi_config(pack_pi_config(config)) == config


@given(
    st.from_regex(r"[A-Za-z0-9._-]{1,9}", fullmatch=True),
    st.integers(0, 120),
    st.integers(0, 120),
    st.integers(1, 4),
    st.integers(0, 4),
)
def test_counters(stem: str, left: int, done: int, left_digits: int, done_digits: int) -> None:
    left_digits = max(left_digits, len(str(left)))
    done_digits = max(done_digits, len(str(done))) if done_digits else 0
    counter = BootCounter(left, done if done_digits else 0, left_digits, done_digits)
    name = pack_entry_name(EntryName(stem, ".conf", counter))
    assert parse_entry_name(name).counter == counter
    after = parse_entry_name(counted_name(name)).counter
    assert after is not None
    assert after.tries_left == max(0, left - 1)
    assert len(counted_name(name)) == len(name) or not done_digits


@given(ENTRY, ENTRY, ENTRY)
@settings(max_examples=500)
def test_the_order_is_a_total_preorder(a: BootEntry, b: BootEntry, c: BootEntry) -> None:
    assert compare_entries(a, a) == 0
    assert compare_entries(a, b) == -compare_entries(b, a)
    if compare_entries(a, b) <= 0 and compare_entries(b, c) <= 0:
        assert compare_entries(a, c) <= 0


@given(st.lists(ENTRY, min_size=2, max_size=4))
def test_the_order_does_not_depend_on_where_one_starts(entries: list[BootEntry]) -> None:
    expected = sort_entries(entries)
    assert [entry.bad for entry in expected] == sorted(entry.bad for entry in expected)
    for other in permutations(entries):
        again = sort_entries(other)
        assert all(compare_entries(one, same) == 0 for one, same in zip(expected, again, strict=True))
