"""The entries of boot entries: what they are made of, and a whole boot partition that is hostile."""

from __future__ import annotations

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.store import parse_variable_store
from bootpath.formats.entries.bls import pack_bls, parse_bls
from bootpath.formats.entries.entry import bls_entry, extlinux_entry, sort_entries, uki_entries
from bootpath.formats.entries.extlinux import pack_extlinux, parse_extlinux
from bootpath.formats.entries.osrelease import parse_os_release
from bootpath.formats.entries.raspberrypi import parse_pi_config, pi_boots
from bootpath.formats.entries.tries import blessed_name, counted_name, pack_entry_name, parse_entry_name
from bootpath.formats.entries.uki import read_uki, read_uki_addon
from bootpath.formats.systemdboot.loaderconf import parse_loader_conf
from bootpath.formats.systemdboot.loadervariables import loader_variables
from bootpath.formats.systemdboot.pattern import pattern_matcher
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.bootvolumes import BootVolume
from bootpath.image.entries.menu import EntrySource, Excluded, VolumeRole
from bootpath.image.entries.read import read_volume
from tests.fuzz.entry import Entry, comes_back
from tests.support.bootfiles import memory_files, pe_image, read_at


def check_path(path: str) -> None:
    """It is below the root, and everybody agrees where."""
    assert path.startswith("/")
    assert not {"", ".", ".."} & set(path[1:].split("/"))
    assert "\\" not in path


def _bls(data: bytes) -> None:
    value = parse_bls(data)
    comes_back(value, pack_bls, parse_bls)
    entry = bls_entry("a.conf", value)
    for path in filter(None, (entry.linux, entry.efi, entry.uki, *entry.initrds, *entry.extras)):
        check_path(path)


def _extlinux(data: bytes) -> None:
    menu = parse_extlinux(data)
    entries = []
    for place in range(len(menu.labels)):
        try:
            entries.append(extlinux_entry(menu, place, "/boot/extlinux"))
        except FormatError as error:
            str(error).encode()
    for entry in sort_entries(entries):
        check_path(entry.linux)
    comes_back(menu, pack_extlinux, parse_extlinux)


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


def _loader_conf(data: bytes) -> None:
    conf = parse_loader_conf(data)
    for pattern in (conf.default, conf.preferred, "".join(conf.ignored)):
        fits = pattern_matcher(pattern)
        assert fits("a.conf") is fits("A.CONF")
    assert parse_loader_conf(f"timeout {conf.timeout}\n".encode()).timeout in (conf.timeout, None)


def _efi_variables(data: bytes) -> None:
    variables = parse_variable_store(data)
    assert len({(each.guid, each.name) for each in variables}) == len(variables)
    assert sum(len(each.data) + len(each.name) for each in variables) <= len(data)
    loader_variables(variables)


BETWEEN_FILES = b"\xff--\xff"
SOUND_PLACE = (
    b"title A\nlinux /k\ninitrd /k\noptions x\n",
    b"uki /EFI/Linux/u.efi\n",
    b"b",
    pe_image([(".linux", b"k"), (".cmdline", b"x")], align=16),
    pe_image([(".cmdline", b"y")], align=16),
    b"include x\nlabel a\nkernel ../../k\ninitrd /l\n",
    b"include ../extlinux/x\nlabel b\nkernel /m/k\n",
    b"/k",
    b".",
    b"",
)


def _boot_place(data: bytes) -> None:
    """The contents of files, the name of one, and where links lead: entries or reasons, nothing is raised."""
    parts = data.split(BETWEEN_FILES, len(SOUND_PLACE) - 1)
    parts += [b""] * (len(SOUND_PLACE) - len(parts))
    entry, other, name, uki, addon, menu, included, first, second, addons = parts
    texts = (part.decode("utf-8", "surrogateescape") for part in (name, first, second, addons))
    other_name, first_target, second_target, addons_target = texts
    other_name = other_name.translate({0: None, ord("/"): None})
    content: dict[str, bytes | str] = {
        "/k": b"kernel",
        "/loader/entries/a+3-0.conf": entry,
        f"/loader/entries/{other_name}.conf": other,
        "/EFI/Linux/u.efi": uki,
        "/EFI/Linux/u.efi.extra.d/1.addon.efi": addon,
        "/boot/extlinux/extlinux.conf": menu,
        "/boot/extlinux/x": included,
        "/l": first_target or b"",
        "/m": second_target or b"",
        "/loader/addons": addons_target or b"",
    }
    for role in VolumeRole:
        source = EntrySource(role, Location("1"))
        place = BootVolume(source, memory_files(content, fold_case=role is not VolumeRole.ROOT), None)
        for each in read_volume(place):
            if isinstance(each, Excluded):
                str(each.why).encode("utf-8", "surrogateescape")
            else:
                assert each.read_kernel()


def _pi_config(data: bytes) -> None:
    config = parse_pi_config(data)
    boots = pi_boots(config, ["kernel8.img", "initramfs8"])
    assert len(boots) <= 1
    assert all(str(each) for each in config.undecided)


BOOT_FILES = (
    Entry("bls", _bls),
    Entry("extlinux", _extlinux),
    Entry("uki", _uki),
    Entry("os_release", _os_release),
    Entry("pi_config", _pi_config),
    Entry("entry_name", _entry_name, max_bytes=300),
    Entry("loader_conf", _loader_conf, refuses=False),
    Entry("efi_variables", _efi_variables),
)
BOOT_PLACE = Entry("boot_place", _boot_place, made=lambda: [BETWEEN_FILES.join(SOUND_PLACE)], refuses=False, rounds=300)
