from __future__ import annotations

import pytest

from bootpath.formats.entries.entry import BootEntry, EntryKind
from bootpath.formats.entries.tries import BootCounter
from bootpath.formats.systemdboot.loaderconf import LoaderConf
from bootpath.formats.systemdboot.loadervariables import LoaderVariables
from bootpath.fs.readers.files import Files
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.default import DefaultReason, default_entry
from bootpath.image.entries.files import FilePart
from bootpath.image.entries.menu import BootMenu, EntryFiles, EntrySource, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.reasons import EntryReason
from bootpath.image.entries.rules import MenuRules

FILES: Files = None  # type: ignore[assignment]  # nothing is read


def found(
    name: str,
    *,
    role: VolumeRole = VolumeRole.ESP,
    kind: EntryKind = EntryKind.TYPE_1,
    tries_left: int | None = None,
    profile: int | None = None,
) -> FoundEntry:
    counter = None if tries_left is None else BootCounter(tries_left)
    loader_id = "" if kind is EntryKind.EXTLINUX else f"{name}.conf"
    entry = BootEntry(kind, name, counter=counter, linux="/k", profile=profile, loader_id=loader_id)
    source = EntrySource(role, Location("1"), path=f"/loader/entries/{name}{counter or ''}.conf")
    return FoundEntry(entry, source, EntryFiles(FilePart("/k", size_bytes=1)), None, FILES)


A, B, C, BAD = found("a"), found("b-1"), found("b-2"), found("bad", tries_left=0)
CONF = LoaderConf(default="b-*", preferred="bad.conf")


def choose(
    *entries: FoundEntry,
    conf: LoaderConf | None = None,
    variables: LoaderVariables | None = None,
    excluded: tuple[Excluded, ...] = (),
) -> tuple[str, str, tuple[str, ...]]:
    chosen = default_entry(BootMenu("disk", entries or (A, C, B, BAD), excluded, (), MenuRules(conf, variables)))
    assert chosen is not None
    return chosen.found.entry.id, chosen.why.code, chosen.warnings


def test_without_rules_it_is_the_first() -> None:
    assert choose() == ("a", "first", ())
    assert default_entry(BootMenu("disk", ())) is None


def test_the_first_that_matches_in_the_order_of_the_menu() -> None:
    chosen = default_entry(BootMenu("disk", (A, C, B), rules=MenuRules(LoaderConf(default="B-*"))))
    assert chosen is not None
    assert (chosen.found, chosen.why) == (C, DefaultReason.DEFAULT("B-*"))
    assert str(chosen.why) == "loader.conf says default B-*"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (LoaderVariables(), "b-2"),
        (LoaderVariables(default="b-1.conf"), "b-1"),
        (LoaderVariables(default="b-1.conf", preferred="a.conf"), "a"),
        (LoaderVariables(default="b-1.conf", preferred="bad.conf"), "b-1"),
        (LoaderVariables(default="b-1.conf", preferred="a.conf", one_shot="bad.conf"), "bad"),
        (LoaderVariables(default="none", one_shot="none"), "b-2"),
        (LoaderVariables(default="@saved", last_booted="a.conf"), "a"),
        (LoaderVariables(default="@saved"), "b-2"),
        (LoaderVariables(after_failure="a.conf"), "b-2"),
    ],
)
def test_who_comes_before_whom(variables: LoaderVariables, expected: str) -> None:
    assert choose(conf=CONF, variables=variables)[0] == expected


def test_what_was_booted_last() -> None:
    saved = LoaderConf(default="@Saved")
    assert choose(conf=saved, variables=LoaderVariables(last_booted="b-1.conf"))[:2] == ("b-1", "saved")
    assert choose(conf=saved, variables=LoaderVariables()) == ("a", "first", ())
    (warning,) = choose(conf=saved)[2]
    assert warning == (
        "loader.conf says default @Saved: what was booted last is in an EFI variable, and none were given"
    )


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("c*", "no entry has that name"),
        ("b-1", "no entry has that name; the name of an entry is that of its file without counters: b-1.conf"),
        ("bad+0.conf", "no entry has that name; the name of an entry is that of its file without counters: bad.conf"),
        ("auto-windows", "it is an entry that systemd-boot makes by itself, and such entries are not listed here"),
        ("out*", "/loader/entries/out+2.conf is excluded: the kernel /k is empty"),
        ("label", "no entry has that name"),
        ("root.conf", "no entry has that name"),
    ],
)
def test_a_rule_that_names_no_entry_is_said(pattern: str, why: str) -> None:
    source = EntrySource(VolumeRole.ESP, Location("1"), path="/loader/entries/out+2.conf")
    out = Excluded(source, EntryReason.KERNEL_EMPTY("/k"))
    others = (Excluded(EntrySource(VolumeRole.ROOT, Location("2"), path="/loader/entries/root.conf"), out.why), out)
    label, root = found("label", kind=EntryKind.EXTLINUX), found("root", role=VolumeRole.ROOT)
    chosen = choose(A, B, label, root, BAD, conf=LoaderConf(default=pattern), excluded=others)
    assert chosen == ("a", "first", (f"loader.conf says default {pattern}: {why}",))


def test_an_entry_whose_tries_are_used_up() -> None:
    """The default is booted all the same; the preferred one is not."""
    assert choose(conf=LoaderConf(default="bad.conf")) == (
        "bad",
        "default",
        ("loader.conf says default bad.conf: its tries are used up, and it is booted all the same",),
    )
    assert choose(conf=LoaderConf(preferred="bad.conf")) == (
        "a",
        "first",
        ("loader.conf says preferred bad.conf: the entries of that name have used up their tries",),
    )


def test_a_further_profile_is_never_the_first_by_itself() -> None:
    assert choose(found("a", profile=1), B)[0] == "b-1"
    assert choose(found("a", profile=0), B)[0] == "a"
    assert choose(found("a", profile=1))[0] == "a"
    assert choose(found("a", profile=1), B, conf=LoaderConf(default="a.conf"))[0] == "a"
