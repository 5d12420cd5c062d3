from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.bls import BlsEntry, parse_bls
from bootpath.formats.entries.entry import (
    BootEntry,
    EntryKind,
    bls_entry,
    compare_entries,
    extlinux_entry,
    sort_entries,
    uki_entries,
)
from bootpath.formats.entries.extlinux import parse_extlinux
from bootpath.formats.entries.uki import read_uki
from tests.support.bootfiles import pe_image, read_at
from tests.unit.formats.entries.test_bls import FEDORA, PLACE
from tests.unit.formats.entries.test_uki import PROFILES


def entry(name: str, **fields: str) -> BootEntry:
    return bls_entry(f"{name}.conf", BlsEntry(linux="/k", **fields))  # type: ignore[arg-type]


def uki(name: str, *sections: tuple[str, bytes]) -> tuple[BootEntry, ...]:
    data = pe_image([(".linux", b"k"), *sections])
    return uki_entries(name, f"/EFI/Linux/{name}", read_uki(read_at(data), len(data)))


def test_an_entry_of_type_1() -> None:
    found = bls_entry("6a98+3-0.conf", parse_bls(FEDORA))
    assert (found.kind, found.id, found.title) == (EntryKind.TYPE_1, "6a98", "Fedora 19 (Rawhide)")
    assert (found.linux, found.initrds, found.architecture) == (f"{PLACE}/linux", (f"{PLACE}/initrd",), "x64")
    assert (found.bad, found.needs_efi, found.append_root) == (False, False, False)
    assert found.options == "root=UUID=6d3376e4-fc93-4509-95ec-a21d68011da2 quiet"


@pytest.mark.parametrize(
    ("bls", "what"),
    [
        (BlsEntry(title="x"), "none of them"),
        (BlsEntry(linux="/k", efi="/e"), "linux and efi"),
        (BlsEntry(uki_url="https://example.org/x.efi"), "network"),
        (BlsEntry(linux="/../k"), "path"),
        (BlsEntry(linux="/k", initrds=("/a/../../i",)), "path"),
        (BlsEntry(linux="/k", devicetree="a\\b"), "path"),
        (BlsEntry(linux="/k", extras=("..",)), "path"),
    ],
)
def test_entries_that_cannot_be(bls: BlsEntry, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        bls_entry("a.conf", bls)


def test_a_name_must_be_that_of_its_kind() -> None:
    with pytest.raises(FormatError):
        bls_entry("a.efi", BlsEntry(linux="/k"))
    with pytest.raises(FormatError):
        uki("a.conf")


def test_the_options_of_a_uki_are_its_own_unless_the_entry_has_some() -> None:
    assert bls_entry("a.conf", BlsEntry(uki="/u.efi")).options is None
    assert bls_entry("a.conf", BlsEntry(uki="/u.efi", options=("x",))).options == "x"
    assert bls_entry("a.conf", BlsEntry(linux="/k")).options == ""


def test_a_uki_is_called_by_its_os_release() -> None:
    release = b'NAME=n\nPRETTY_NAME="P"\nID=i\nIMAGE_ID=im\nVERSION=v\nVERSION_ID=vi\nIMAGE_VERSION=iv\n'
    (found,) = uki("a+2-1.efi", (".osrel", release))
    assert (found.id, found.title, found.version, found.sort_key) == ("a", "P", "iv", "im")
    assert (found.counter is not None, found.needs_efi, found.profile, found.architecture) == (True, True, None, "x64")
    (found,) = uki("a.efi", (".osrel", b"ID=i\nVERSION_ID=vi\n"))
    assert (found.title, found.version, found.sort_key) == ("i", "vi", "i")
    (found,) = uki("a_1.efi", (".uname", b"6.9\n"))
    assert (found.title, found.version, found.sort_key) == ("a_1", "6.9", "")


def test_each_profile_is_an_entry() -> None:
    data = pe_image(PROFILES)
    found = uki_entries("a.efi", "/EFI/Linux/a.efi", read_uki(read_at(data), len(data)))
    assert [(each.id, each.profile) for each in found] == [("a", 0), ("a@1", 1), ("a@2", 2)]
    assert found[2].title == "Foo 1 (Boot into Storage Target Mode)"
    assert sort_entries(reversed(found)) == list(found)


def test_labels() -> None:
    menu = parse_extlinux(
        b"default b\nlabel a\nkernel ../k\ninitrd i\nfdt /d.dtb\nfdtdir dtbs\n"
        b"label b\nmenu label Bee\nlinux /k\nappend x\n"
    )
    a, b = (extlinux_entry(menu, place, "/boot/extlinux") for place in range(2))
    assert (a.linux, a.initrds, a.devicetree) == ("/boot/k", ("/boot/extlinux/i",), "/d.dtb")
    assert (a.devicetree_directory, a.title, a.rank) == ("/boot/extlinux/dtbs", "a", 1)
    assert (b.title, b.options, b.rank) == ("Bee", "x", 0)
    assert sort_entries([a, b]) == [b, a]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("localboot 1", "next disk"),
        ("append x", "no kernel"),
        ("kernel a#b", "FIT"),
        ("kernel ../../../k", "path"),
        ("kernel menu.c32", "a program of syslinux and no kernel"),
    ],
)
def test_labels_that_cannot_be(text: str, what: str) -> None:
    menu = parse_extlinux(f"label a\n{text}\n".encode())
    with pytest.raises(FormatError, match=what):
        extlinux_entry(menu, 0, "/boot/extlinux")


# Each list is in the order that the specification asks for, the best one first.
ORDERS = {
    "bad entries are last": ["b", "a", "z+0-3", "c+0"],
    "those on trial are not": ["b+1-2", "a"],
    "the file name, newest first": ["other-1", "os-10", "os-9.1", "os-9"],
    "the suffix is removed": ["a-2", "a-1.1", "a-1"],
    "the same name: good, then many tries, then few failures": ["a", "a+3", "a+2-1", "a+2-2"],
    "bad ones by their failures": ["a+0-1", "a+0-2"],
    "what versions do not compare still has an order": ["a+1+b", "a_1_b"],
}


@pytest.mark.parametrize("names", ORDERS.values(), ids=ORDERS)
def test_order_by_name(names: list[str]) -> None:
    expected = [entry(name) for name in names]
    assert sort_entries(reversed(expected)) == expected


FIELDS = {
    "the sort key, A to Z": [{"sort_key": "A"}, {"sort_key": "a"}, {"sort_key": "aa"}, {"sort_key": "b"}],
    "with a sort key earlier": [{"sort_key": "z"}, {"machine_id": "a", "version": "9"}],
    "then the machine": [
        {"sort_key": "a", "machine_id": ""},
        {"sort_key": "a", "machine_id": "1"},
        {"sort_key": "a", "machine_id": "2"},
    ],
    "then the version, newest first": [
        {"sort_key": "a", "machine_id": "1", "version": "10"},
        {"sort_key": "a", "machine_id": "1", "version": "9"},
        {"sort_key": "a", "machine_id": "1", "version": "9~rc1"},
        {"sort_key": "a", "machine_id": "2", "version": "11"},
    ],
    "without a version later": [{"sort_key": "a", "version": "0.1"}, {"sort_key": "a"}],
    "bytes, not letters": [{"sort_key": "z"}, {"sort_key": "ä"}, {"sort_key": "\uffff"}, {"sort_key": "\U00010000"}],
}


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_order_by_keys(fields: list[dict[str, str]]) -> None:
    expected = [entry("x", **each) for each in fields]
    assert sort_entries(reversed(expected)) == expected


def test_version_and_machine_count_only_below_a_sort_key() -> None:
    assert compare_entries(entry("b", version="1"), entry("a", version="2")) < 0


# "122.1 < 123~rc1-1 < 123 < 123-a < 123-a.1 < 123-1 < ..." of the version specification.
VERSIONS = [
    "122.1",
    "123~rc1-1",
    "123",
    "123-a",
    "123-a.1",
    "123-1",
    "123-1.1",
    "123^post1",
    "123.a-1",
    "123.1-1",
    "123a-1",
    "124-1",
]


def test_the_versions_of_the_specification() -> None:
    expected = [entry("x", sort_key="os", version=version) for version in VERSIONS[::-1]]
    assert sort_entries(reversed(expected)) == expected


def test_labels_come_after_entries_and_before_bad_ones() -> None:
    menu = parse_extlinux(b"label z\nkernel /k\n")
    label = extlinux_entry(menu, 0, "/extlinux")
    expected = [entry("a"), label, entry("b+0")]
    assert sort_entries(reversed(expected)) == expected
