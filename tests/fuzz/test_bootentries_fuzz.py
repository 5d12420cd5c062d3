"""What boot entries are made of: a value or FormatError; and hostile trees: an entry or a reason, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.bls import pack_bls, parse_bls
from bootpath.formats.bootcount import blessed_name, counted_name, pack_entry_name, parse_entry_name
from bootpath.formats.bootentry import bls_entry, extlinux_entry, sort_entries, uki_entries
from bootpath.formats.bootpaths import entry_path, menu_path
from bootpath.formats.extlinux import pack_extlinux, parse_extlinux
from bootpath.formats.mbrtable import parse_mbr_partitions
from bootpath.formats.osrelease import parse_os_release
from bootpath.formats.uki import read_uki, read_uki_addon
from bootpath.image.bootmenu import EntrySource, Excluded, PlaceRole
from bootpath.image.bootplaces import BootPlace
from bootpath.image.nodes import Location
from bootpath.image.placeentries import read_place
from tests.fuzz.mutation import mutate, mutations
from tests.support.bootfiles import memory_files, pe_image, read_at

CORPUS = Path(__file__).parent / "corpus"
ROUNDS = 4000


def _safe(path: str) -> None:
    assert path.startswith("/")
    assert not {"", ".", ".."} & set(path[1:].split("/"))
    assert "\\" not in path


def _bls(data: bytes) -> None:
    value = parse_bls(data)
    assert parse_bls(pack_bls(value)) == value
    entry = bls_entry("a.conf", value)
    for path in filter(None, (entry.linux, entry.efi, entry.uki, *entry.initrds, *entry.extras)):
        _safe(path)


def _extlinux(data: bytes) -> None:
    menu = parse_extlinux(data)
    entries = []
    for label in menu.labels:
        try:
            entries.append(extlinux_entry(menu, label, "/boot/extlinux"))
        except FormatError as error:
            str(error).encode()
    for entry in sort_entries(entries):
        _safe(entry.linux)
    assert parse_extlinux(pack_extlinux(menu)) == menu


def _uki(data: bytes) -> None:
    try:
        addon = read_uki_addon(read_at(data), len(data))
    except FormatError as error:
        str(error).encode()
    else:
        assert ".linux" not in addon.sections
        return
    uki = read_uki(read_at(data), len(data))
    for profile in uki.profiles:
        for sections in profile.sections.values():
            assert all(0 <= each.offset <= each.offset + each.size_bytes <= len(data) for each in sections)
    assert len(uki_entries("a.efi", "/a.efi", uki)) == len(uki.profiles) > 0


def _os_release(data: bytes) -> None:
    assert all(isinstance(value, str) for value in parse_os_release(data).values())


def _entry_name(data: bytes) -> None:
    name = data.decode("utf-8", "surrogateescape")
    parts = parse_entry_name(name)
    assert pack_entry_name(parts) == name
    after = parse_entry_name(counted_name(name))
    assert (after.id, after.suffix) == (parts.id, parts.suffix)
    blessed_name(name)


def _mbr_partitions(data: bytes) -> None:
    assert all(each.sectors > 0 for each in parse_mbr_partitions(data))


PARSERS: dict[str, Callable[[bytes], None]] = {
    "bls": _bls,
    "extlinux": _extlinux,
    "uki": _uki,
    "os_release": _os_release,
    "entry_name": _entry_name,
    "mbr_partitions": _mbr_partitions,
}
FORMATS = pytest.mark.parametrize("name", PARSERS)


def samples(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


def value_or_format_error(name: str, data: bytes) -> bool:
    try:
        PARSERS[name](data)
    except FormatError as error:
        str(error).encode()  # the message can be shown anywhere
        return False
    return True


@FORMATS
def test_corpus(name: str) -> None:
    verdicts = {file: value_or_format_error(name, data) for file, data in samples(name).items()}
    assert verdicts == {file: file.startswith("good") for file in verdicts}
    assert set(verdicts.values()) == {True, False}


@FORMATS
def test_mutants(name: str) -> None:
    verdicts = [
        value_or_format_error(name, mutant) for mutant in mutations(list(samples(name).values()), seed=11, count=ROUNDS)
    ]
    assert True in verdicts
    assert False in verdicts


def test_paths_never_leave() -> None:
    random = Random(3)
    alphabet = ("..", ".", "", "a", "\\", "..a", "\0", " ", "ä", "...")
    for _ in range(ROUNDS):
        text = "/".join(random.choice(alphabet) for _ in range(random.randint(1, 7)))
        for path in (entry_path, lambda text: menu_path(text, "/boot/extlinux")):
            try:
                _safe(path(text))
            except FormatError as error:
                str(error).encode()


def test_hostile_trees_give_entries_or_reasons() -> None:
    """Every file of a boot partition is mutated, links lead anywhere: nothing is raised."""
    random = Random(5)
    image = pe_image([(".linux", b"k"), (".cmdline", b"x")], align=16)
    for _ in range(300):
        content: dict[str, bytes | str] = {
            "/k": b"kernel",
            "/loader/entries/a+3-0.conf": mutate(b"title A\nlinux /k\ninitrd /k\noptions x\n", random),
            f"/loader/entries/{random.choice(('ä', 'x y', 'b', '..', '.'))}.conf": mutate(
                b"uki /EFI/Linux/u.efi\n", random
            ),
            "/EFI/Linux/u.efi": mutate(image, random),
            "/EFI/Linux/u.efi.extra.d/1.addon.efi": mutate(pe_image([(".cmdline", b"y")], align=16), random),
            "/boot/extlinux/extlinux.conf": mutate(b"include x\nlabel a\nkernel ../../k\ninitrd /l\n", random),
            "/boot/extlinux/x": mutate(b"include ../extlinux/x\nlabel b\nkernel /m/k\n", random),
            "/l": random.choice(("/k", "k", "l", "../../k", "m/m/m/k", "\\k")),
            "/m": random.choice((".", "m", "..", "boot", "/")),
            "/loader/addons": random.choice((b"", "m", "nowhere")),
        }
        for role in PlaceRole:
            source = EntrySource(role, Location("1"))
            place = BootPlace(source, memory_files(content, fold_case=role is not PlaceRole.ROOT), None)
            for each in read_place(place):
                if isinstance(each, Excluded):
                    each.reason.encode("utf-8", "surrogateescape")
                else:
                    assert each.read_kernel()
