from __future__ import annotations

import pytest

from bootpath.boot.linuxchoice import HASHED_POLICY, LinuxRequest, choose_entry, may_use
from bootpath.core import BootError
from bootpath.formats.bootentry import BootEntry, EntryKind
from bootpath.formats.dps import Designator
from bootpath.formats.imagepolicy import Protection, parse_image_policy
from bootpath.fs.readers import Files
from bootpath.image.bootmenu import BootMenu, EntryFiles, EntrySource, Excluded, FoundEntry, PlaceRole
from bootpath.image.entryfiles import Piece
from bootpath.image.nodes import Location


def found(name: str) -> FoundEntry:
    source = EntrySource(PlaceRole.ROOT, Location("2"), path=f"/loader/entries/{name}.conf")
    entry = BootEntry(EntryKind.TYPE_1, name, linux="/k")
    files: Files = None  # type: ignore[assignment]  # nothing is read
    return FoundEntry(entry, source, EntryFiles(Piece("/k", size_bytes=1)), None, files)


def test_the_first_entry_or_the_one_that_is_named() -> None:
    menu = BootMenu("disk", (found("b"), found("a")))
    assert choose_entry(menu, None).entry.id == "b"
    assert choose_entry(menu, "a").entry.id == "a"
    with pytest.raises(BootError, match=r"there is no entry 'c'; there is b, a"):
        choose_entry(menu, "c")


def test_an_entry_that_is_out_is_refused_with_its_reason() -> None:
    out = found("a")
    menu = BootMenu("disk", (), (Excluded(out.source, "the kernel /k is missing", out.entry),))
    with pytest.raises(BootError, match="the entry 'a' is out: the kernel /k is missing"):
        choose_entry(menu, "a")
    with pytest.raises(BootError, match=r"there is no boot entry; /loader/entries/a\.conf: the kernel /k is missing"):
        choose_entry(menu, None)


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (LinuxRequest(), True),
        (LinuxRequest(certificates=(b"",)), True),
        (LinuxRequest(certificates=(b"",), policy=parse_image_policy("root=signed:esp=unprotected:=ignore")), True),
        (LinuxRequest(policy=parse_image_policy("root=signed:=ignore")), False),
    ],
)
def test_boot_partitions_count_only_where_the_policy_lets_them(request_: LinuxRequest, allowed: bool) -> None:
    assert may_use(request_, PlaceRole.ESP) is allowed


def test_what_is_trusted_makes_the_policy() -> None:
    assert LinuxRequest(certificates=(b"",)).strict
    assert LinuxRequest(root_hash=bytes(32)).strict
    assert not LinuxRequest().strict
    assert not LinuxRequest(certificates=(b"",), policy=parse_image_policy("*")).strict
    signed = LinuxRequest(certificates=(b"",)).boot_policy
    assert signed.judge(Designator.ROOT, Protection.VERITY).protection is None
    hashed = LinuxRequest(root_hash=bytes(32)).boot_policy
    assert hashed == parse_image_policy(HASHED_POLICY)
    assert hashed.judge(Designator.ROOT, Protection.VERITY).protection is Protection.VERITY
    assert hashed.judge(Designator.ROOT, Protection.UNPROTECTED).refused is not None
    assert LinuxRequest().boot_policy.judge(Designator.ROOT, Protection.UNPROTECTED).protection is not None
