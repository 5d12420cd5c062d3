from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio, parse_cpio
from tests.support.errors import raises
from tests.support.tools import guest_program, tool

ENTRIES = arrange_cpio(
    [
        CpioEntry.file("a/b/c", b"hello", 0o755),
        CpioEntry.symlink("bin/sh", "busybox"),
        CpioEntry.directory("tmp", 0o1777),
        CpioEntry.character_device("dev/console", 5, 1),
        CpioEntry.file("été\udcff", b""),
    ]
)
FIELDS = ("ino", "mode", "uid", "gid", "nlink", "mtime", "filesize", "maj", "min", "rmaj", "rmin", "namesize", "check")


def newc(name: bytes, data: bytes = b"", **fields: int) -> bytes:
    """An entry made from the specification alone, with any number in any field."""
    values = {"mode": 0o100644, "nlink": 1, "filesize": len(data), "namesize": len(name) + 1} | fields
    head = (b"070702" if "check" in fields else b"070701") + b"".join(b"%08x" % values.get(key, 0) for key in FIELDS)
    out = head + name + b"\0"
    out += bytes(-len(out) % 4) + data
    return out + bytes(-len(out) % 4)


TRAILER = newc(b"TRAILER!!!")


def test_parents_come_first_and_are_made() -> None:
    assert [entry.path for entry in ENTRIES] == [
        *("a", "a/b", "a/b/c"),
        *("bin", "bin/sh"),
        *("dev", "dev/console"),
        "tmp",
        "été\udcff",
    ]
    assert ENTRIES[1] == CpioEntry.directory("a/b")


def test_bytes_of_a_header() -> None:
    numbers = [1, 0o100644, 0, 0, 1, 0, 3, 0, 0, 0, 0, 2, 0]
    header = b"070701" + b"".join(b"%08X" % number for number in numbers)
    assert pack_cpio([CpioEntry.file("f", b"xyz")]).startswith(header + b"f\0xyz\0")
    assert len(header) == 110


def test_a_time_for_all() -> None:
    assert {entry.mtime_seconds for entry in arrange_cpio(ENTRIES, mtime_seconds=7)} == {7}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([CpioEntry.file("a", b"1"), CpioEntry.file("a", b"2")], "two different entries"),
        ([CpioEntry.file("a", b"1"), CpioEntry.file("a/b", b"2")], "this file cannot hold 'a/b'"),
        ([CpioEntry.symlink("a", "b"), CpioEntry.file("a/b/c", b"2")], "this symlink cannot hold"),
    ],
)
def test_conflicts(entries: list[CpioEntry], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        arrange_cpio(entries)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "./a", "a/../b", "..", "TRAILER!!!", "a\0b", "a" * 4096])
def test_names_that_cannot_be(path: str) -> None:
    with pytest.raises(FormatError):
        CpioEntry.file(path, b"")


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": 0o644},
        {"mode": 0o170644},
        {"mode": 0o100644, "uid": -1},
        {"mode": 0o100644, "mtime_seconds": 2**32},
        {"mode": 0o100644, "major": 1},
        {"mode": 0o040755, "data": b"x"},
        {"mode": 0o120777, "data": b""},
        {"mode": 0o120777, "data": b"a\0b"},
    ],
)
def test_entries_that_cannot_be(fields: dict[str, int]) -> None:
    with pytest.raises(FormatError):
        CpioEntry("a", **fields)  # type: ignore[arg-type]


def test_names_are_made_plain() -> None:
    archive = newc(b"./a") + newc(b"/b//c/") + newc(b".", mode=0o040755) + TRAILER
    assert [entry.path for entry in parse_cpio(archive)] == ["a", "b/c", "."]


def test_several_archives_zeros_between_and_no_trailer() -> None:
    archive = newc(b"a", b"1") + TRAILER + bytes(512) + newc(b"b", b"2") + TRAILER + newc(b"c", b"3")
    assert [(entry.path, entry.data) for entry in parse_cpio(archive)] == [("a", b"1"), ("b", b"2"), ("c", b"3")]
    assert parse_cpio(b"") == ()


@pytest.mark.parametrize("holder", [0, 1, 2])
def test_hard_links_share_the_data_of_any(holder: int) -> None:
    parts = [newc(b"%d" % index, b"data" if index == holder else b"", ino=9, nlink=3) for index in range(3)]
    assert [entry.data for entry in parse_cpio(b"".join(parts) + TRAILER)] == [b"data"] * 3


def test_hard_links_end_with_their_archive() -> None:
    archive = newc(b"a", b"data", ino=9, nlink=2) + TRAILER + newc(b"b", ino=9, nlink=2) + TRAILER
    assert [entry.data for entry in parse_cpio(archive)] == [b"data", b""]


def test_checksums() -> None:
    assert parse_cpio(newc(b"a", b"\1\2\xff", check=258))[0].data == b"\1\2\xff"
    with raises(FormatError, found="0x102", expected="0x101"):
        parse_cpio(newc(b"a", b"\1\2\xff", check=257))


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (newc(b"a", b"12345")[:-5], "in the middle of an entry"),
        (newc(b"a")[:100], "in the middle of an entry"),
        (newc(b"abcdefgh")[:112], "in the middle of an entry"),
        (b"\x1f\x8b\x08\x00" + bytes(200), "unpacked first"),
        (newc(b"a", b"1") + b"070707", "wrong magic"),
        (b"\0" + newc(b"a"), "multiple of four"),
        (newc(b"a").replace(b"000081a4", b" 0x81a4_"), "no hexadecimal digits"),
        (newc(b"a", namesize=1), "does not end where"),
        (newc(b"a\0b"), "does not end where"),
        (newc(b"a", namesize=0), "does not end where"),
        (newc(b"../a"), "not relative and plain"),
    ],
)
def test_damage(archive: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_cpio(archive)


def test_no_cut_invents_anything() -> None:
    archive = pack_cpio(ENTRIES)
    lengths = set()
    for end in range(len(archive)):
        try:
            parsed = parse_cpio(archive[:end])
        except FormatError:
            continue
        assert parsed == ENTRIES[: len(parsed)]
        lengths.add(len(parsed))
    assert lengths == set(range(len(ENTRIES) + 1))


@pytest.mark.parametrize("program", ["cpio", "bsdcpio", "busybox"])
def test_other_programs_read_it(program: str, tmp_path: Path) -> None:
    command = [guest_program(program), "cpio"] if program == "busybox" else [tool(program)]
    entries = [entry for entry in ENTRIES if entry.kind != "character device"]
    extract = subprocess.run([*command, "-i", "-d"], input=pack_cpio(entries), cwd=tmp_path, capture_output=True)
    assert extract.returncode == 0, extract.stderr
    assert (tmp_path / "a/b/c").read_bytes() == b"hello"
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
    listed = subprocess.run([*command, "-t"], input=pack_cpio(ENTRIES), capture_output=True, check=True)
    assert listed.stdout.split()[:7] == [entry.path.encode() for entry in ENTRIES[:7]]


@pytest.mark.parametrize("program", ["cpio", "bsdcpio"])
def test_archives_of_other_programs(program: str, tmp_path: Path) -> None:
    path = tool(program)
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d/f").write_bytes(b"content")
    (tree / "d/g").hardlink_to(tree / "d/f")
    (tree / "l").symlink_to("d/f")
    names = b".\n./d\n./d/f\n./d/g\n./l\n"
    made = subprocess.run([path, "-o", "-H", "newc"], input=names, cwd=tree, capture_output=True, check=True)
    entries = {entry.path: entry for entry in parse_cpio(made.stdout)}
    assert set(entries) == {".", "d", "d/f", "d/g", "l"}
    assert entries["d/f"].data == entries["d/g"].data == b"content"
    assert entries["l"].data == b"d/f"
    shutil.rmtree(tree)
