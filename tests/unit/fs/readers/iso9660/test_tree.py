"""ISO 9660 in its corners: whose names count, files in pieces, directories that were moved, and media that lie.

What xorriso writes is in tests/golden.
"""

from __future__ import annotations

import errno

import pytest

from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import Extent
from bootpath.fs.readers.files import FileKind
from bootpath.fs.readers.iso9660.tree import open_iso9660
from bootpath.fs.readers.open import open_files
from tests.support.isofiles import ER, SECTOR, SP, both, descriptor, device, directory, disc, record

ROOT = SP + ER
FILE_MODE, DIRECTORY_MODE = 0o100644, 0o40755


def name(text: bytes) -> bytes:
    return b"NM" + bytes((5 + len(text), 1, 0)) + text


def mode(value: int) -> bytes:
    return b"PX\x24\x01" + both(value) + both(1) + both(0) + both(0)


def names_of(image: bytes) -> list[str]:
    return [entry.name for entry in open_iso9660(device(image)).list("/")]


def test_plain_names_are_those_that_linux_shows() -> None:
    records = [record(text, 25, 4) for text in (b"README.;1", b"A.TXT;1", b"B;2", b"C/D.;1", b"\xe9.;1")]
    image = disc(directory(24, *records), b"text")
    assert names_of(image) == ["a.txt", "b.2", "c.d", "readme", "é"]
    files = open_files(device(image))
    assert files.read_file("/ReadMe", 10) == b"text", "without case, as by boot loaders"
    assert (files.lookup("readme").mode, files.lookup("/").mode) == (0o100555, 0o40555)
    assert files.lookup("readme").mtime_ns == 1_700_000_000 * 10**9


def test_joliet_counts_where_there_is_no_rock_ridge() -> None:
    wide = [record(text.encode("utf-16-be"), 26, 4) for text in ("Read Me.txt;1", "dots...", "日本")]
    joliet = descriptor(2, record(b"\0", 25, SECTOR, 2), 30, escapes=b"%/E")
    plain = directory(24, record(b"READ_ME.TXT;1", 26, 4))
    assert names_of(disc(plain, directory(25, *wide), b"text", extra=[joliet])) == ["Read Me.txt", "dots", "日本"]
    rocky = directory(24, record(b"READ_ME.TXT;1", 26, 4, 0, name(b"read me") + mode(FILE_MODE)), area=ROOT)
    assert names_of(disc(rocky, directory(25, *wide), b"text", extra=[joliet])) == ["read me"]


def test_rock_ridge_without_a_name_is_a_plain_one() -> None:
    image = disc(directory(24, record(b"PLAIN.;1", 25, 4, 0, mode(FILE_MODE)), area=ROOT), b"text")
    assert names_of(image) == ["plain"]
    assert not open_iso9660(device(image)).exists("PLAIN"), "with case"


def test_bytes_before_the_area_are_skipped() -> None:
    skipping = SP[:6] + bytes((14,)) + ER
    image = disc(directory(24, record(b"X", 25, 4, 0, bytes(14) + name(b"named")), area=skipping), b"text")
    assert names_of(image) == ["named"]


def test_a_file_in_several_extents() -> None:
    pieces = (record(b"BIG", 25, SECTOR, 0x80), record(b"BIG", 28, SECTOR, 0x80), record(b"BIG", 26, 100))
    files = open_iso9660(device(disc(directory(24, *pieces), b"a" * SECTOR, b"c" * SECTOR, b"?", b"b" * SECTOR)))
    assert files.list("/")[0].name == "big"
    content = b"a" * SECTOR + b"b" * SECTOR + b"c" * 100
    assert files.read_file("big", 10_000) == content
    for offset, length in ((0, 1), (SECTOR - 1, 2), (SECTOR + 5, SECTOR), (2 * SECTOR - 1, 101), (5, 9999)):
        assert files.read("big", offset, length) == content[offset : offset + length]
    assert files.extents("big") == [Extent(25 * SECTOR, SECTOR), Extent(28 * SECTOR, SECTOR), Extent(26 * SECTOR, 100)]


def test_a_file_whose_last_extent_is_missing() -> None:
    with pytest.raises(FormatError, match="disc: iso9660: corrupt: the last extent of a file is missing"):
        names_of(disc(directory(24, record(b"BIG", 25, SECTOR, 0x80)), b"a"))


def test_what_is_not_listed() -> None:
    records = record(b"FORK", 25, 4, 4), record(b"MOVED", 25, 4, 2, b"RE\x04\x01"), record(b"HIDDEN", 25, 4, 1)
    assert names_of(disc(directory(24, *records, area=ROOT), b"text")) == ["hidden"]


def test_a_directory_that_was_moved() -> None:
    child = record(b"D", 99, SECTOR, 0, name(b"deep") + b"CL\x0c\x01" + both(25))
    moved = directory(25, record(b"F", 26, 4, 0, name(b"file")), area=mode(DIRECTORY_MODE))
    files = open_iso9660(device(disc(directory(24, child, area=ROOT), moved, b"text")))
    assert files.list("/")[0].kind is FileKind.DIRECTORY
    assert files.lookup("deep").mode == DIRECTORY_MODE
    assert files.read_file("deep/file", 10) == b"text"
    broken = disc(directory(24, child, area=ROOT), b"no directory")
    with pytest.raises(FormatError):
        names_of(broken)


def test_a_directory_in_itself() -> None:
    for area in (b"", b"CL\x0c\x01" + both(24)):
        loop = record(b"LOOP", 24, SECTOR, 0 if area else 2, area)
        files = open_iso9660(device(disc(directory(24, loop, area=ROOT))))
        assert files.exists("loop/loop/loop")
        with pytest.raises(FormatError, match="the directory '/loop' is reached twice"):
            list(files.walk("/"))


def continuation(block: int, offset: int, length: int) -> bytes:
    return b"CE\x1c\x01" + both(block) + both(offset) + both(length)


def test_an_area_goes_on_elsewhere() -> None:
    more = bytes(100) + b"NM\x0a\x01\1long " + continuation(26, 0, 9)
    first = record(b"X", 27, 4, 0, continuation(25, 100, len(more) - 100))
    image = disc(directory(24, first, area=ROOT), more, name(b"name"), b"text")
    assert names_of(image) == ["long name"]


def test_an_area_that_never_ends() -> None:
    again = record(b"X", 25, 4, 0, continuation(25, 0, 28))
    with pytest.raises(FormatError, match="a system use area goes on too often; expected at most 32 times"):
        names_of(disc(directory(24, again, area=ROOT), continuation(25, 0, 28)))


def test_an_area_that_goes_past_its_block() -> None:
    past = record(b"X", 25, 4, 0, continuation(25, 2040, 28))
    with pytest.raises(FormatError, match="goes past its block; expected at most 2048, found 28 bytes at 2040"):
        names_of(disc(directory(24, past, area=ROOT), bytes(4096)))


def test_files_that_are_not_read() -> None:
    odd = record(b"ODD", 25, 4, 0, unit=1)
    new = record(b"NEW", 25, 4, 0, b"ZF\x10\x01PZ\x04\x0f" + both(100))
    files = open_iso9660(device(disc(directory(24, new, odd, area=ROOT), b"text")))
    for path, why in (("odd", "its blocks are interleaved with others"), ("new", "its compression is not known")):
        with pytest.raises(FileSystemError, match=f"disc: iso9660: the file cannot be read: {why}") as caught:
            files.extents(path)
        assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (disc(b"no directory"), "the name goes past the end of its directory record"),
        (disc(directory(24), root_bytes=17 << 20), "the directory is too large|are not on the device"),
        (disc(directory(24, record(b"L", 25, 0, 0, mode(0o40755)), area=ROOT)), "the mode of a record is that of"),
        (disc(directory(24, record(b"L", 25, 0, 0, mode(0o30777)), area=ROOT)), "the mode of a record is that of"),
        (disc(directory(24, record(b"L", 25, 0, 0, name(b"a/b")), area=ROOT)), "an entry with a wrong name"),
        (disc(directory(24, record(b"L", 25, 0, 0, name(b"..")), area=ROOT)), "an entry with a wrong name"),
    ],
)
def test_media_that_lie(image: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        names_of(image)


def test_no_descriptor() -> None:
    with pytest.raises(FormatError, match="disc: iso9660: there is no volume descriptor in sector 16"):
        open_iso9660(device(bytes(64 << 10)))


def test_a_file_past_the_end_can_be_listed_and_not_read() -> None:
    files = open_iso9660(device(disc(directory(24, record(b"FAR", 1 << 30, 9)))))
    assert files.lookup("far").size_bytes == 9
    with pytest.raises(FormatError, match="are not on the device"):
        files.read_file("far", 10)
