from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.bls import BLS_MAX_BYTES, BlsEntry, pack_bls, parse_bls

# The example of the specification.
FEDORA = b"""\
# /boot/loader/entries/6a9857a393724b7a981ebb5b8495b9ea-3.8.0-2.fc19.x86_64.conf
title        Fedora 19 (Rawhide)
sort-key     fedora
machine-id   6a9857a393724b7a981ebb5b8495b9ea
version      3.8.0-2.fc19.x86_64
options      root=UUID=6d3376e4-fc93-4509-95ec-a21d68011da2 quiet
architecture x64
linux        /6a9857a393724b7a981ebb5b8495b9ea/3.8.0-2.fc19.x86_64/linux
initrd       /6a9857a393724b7a981ebb5b8495b9ea/3.8.0-2.fc19.x86_64/initrd
extra        /6a9857a393724b7a981ebb5b8495b9ea/3.8.0-2.fc19.x86_64/somedata.cred
extra        /6a9857a393724b7a981ebb5b8495b9ea/3.8.0-2.fc19.x86_64/somethingelse.cred
"""
PLACE = "/6a9857a393724b7a981ebb5b8495b9ea/3.8.0-2.fc19.x86_64"


def test_the_example_of_the_specification() -> None:
    entry = parse_bls(FEDORA)
    assert entry == BlsEntry(
        title="Fedora 19 (Rawhide)",
        version="3.8.0-2.fc19.x86_64",
        machine_id="6a9857a393724b7a981ebb5b8495b9ea",
        sort_key="fedora",
        architecture="x64",
        linux=f"{PLACE}/linux",
        initrds=(f"{PLACE}/initrd",),
        options=("root=UUID=6d3376e4-fc93-4509-95ec-a21d68011da2 quiet",),
        extras=(f"{PLACE}/somedata.cred", f"{PLACE}/somethingelse.cred"),
    )
    assert parse_bls(pack_bls(entry)) == entry


def test_what_may_come_more_than_once_is_kept_in_order() -> None:
    entry = parse_bls(b"linux /k\ninitrd /a\noptions one  two\ninitrd /b\noptions three\ndevicetree-overlay /x  /y\n")
    assert (entry.initrds, entry.command_line) == (("/a", "/b"), "one  two three")
    assert entry.devicetree_overlays == ("/x", "/y")


def test_the_last_of_the_others_counts_and_is_named() -> None:
    entry = parse_bls(b"title one\ntitle two\nlinux /a\n")
    assert (entry.title, entry.repeated) == ("two", ("title",))


def test_blanks_comments_ends_of_lines_and_strange_keys() -> None:
    entry = parse_bls(b"\xef\xbb\xbftitle no\n  title\t a b \r\n#title c\n\nlinux\nlinux \n grub_users $x\nefi /e")
    assert (entry.title, entry.linux, entry.efi) == ("a b", "", "/e")
    assert entry.unknown == (("\N{ZERO WIDTH NO-BREAK SPACE}title", "no"), ("grub_users", "$x"))
    assert entry.marked_key == "title"
    assert parse_bls(b"grub_users x\nlinux /a\n").marked_key == ""


@pytest.mark.parametrize("value", ["x", "-1", "1000", "²"])
def test_a_profile_that_is_no_number_is_passed_over(value: str) -> None:
    entry = parse_bls(f"profile 7\nprofile {value}\n".encode())
    assert (entry.profile, entry.unknown, entry.repeated) == (7, (("profile", value),), ())


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("ON", True), ("1", True), ("no", False), ("off", False)])
def test_booleans(word: str, value: bool) -> None:
    assert parse_bls(f"linux-appendroot {word}\n".encode()).append_root is value


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"linux-appendroot maybe\n", "linux-appendroot"),
        (b"title \xff\n", "UTF-8"),
        (b"title a\0b\n", "line 1"),
        (b"title \x1b[31m\n", "line 1"),
        (b"#" * (BLS_MAX_BYTES + 1), "bytes"),
    ],
)
def test_files_that_are_refused(data: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse_bls(data)


def test_the_largest_file_is_read() -> None:
    assert parse_bls(b"title x\n" + b"#" * (BLS_MAX_BYTES - 8)).title == "x"


@pytest.mark.parametrize(
    "entry",
    [
        BlsEntry(title=" a"),
        BlsEntry(title="a\nb"),
        BlsEntry(initrds=("",)),
        BlsEntry(devicetree_overlays=("a b",)),
        BlsEntry(unknown=(("title", "a"),)),
        BlsEntry(title="\ud800"),
    ],
)
def test_what_would_be_read_as_something_else_is_not_packed(entry: BlsEntry) -> None:
    with pytest.raises(FormatError):
        pack_bls(entry)
