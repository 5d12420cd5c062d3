from __future__ import annotations

from bootpath.core.limits import limits_raised
from bootpath.formats.systemdboot.loaderconf import LOADER_CONF_MAX_BYTES, LoaderConf, MenuMode
from bootpath.formats.systemdboot.loadervariables import LoaderVariables
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.bootvolumes import BootVolume
from bootpath.image.entries.costs import EntryCosts
from bootpath.image.entries.find import menu_of
from bootpath.image.entries.menu import BootMenu, EntrySource, VolumeRole
from bootpath.image.entries.rules import NO_RULES, MenuRules, loader_conf_warnings
from tests.support.bootfiles import memory_files

CONF = "/loader/loader.conf"


def menu(content: dict[VolumeRole, bytes | str], roles: tuple[VolumeRole, ...] = tuple(VolumeRole)) -> BootMenu:
    volumes = [
        BootVolume(EntrySource(role, Location(role.value)), memory_files({CONF: data}, fold_case=True), None)
        for role, data in content.items()
    ]
    return menu_of("disk", volumes, roles=roles, variables=LoaderVariables(timeout=3, ignored=("x",)))


def test_only_the_one_on_the_efi_partition_counts() -> None:
    found = menu(dict.fromkeys((VolumeRole.XBOOTLDR, VolumeRole.ESP, VolumeRole.ROOT), b"default a\ntimout 3\n"))
    assert found.rules.conf == LoaderConf("a")
    assert found.warnings == (
        "xbootldr: loader.conf is passed over: systemd-boot reads only the one on the EFI partition",
        "esp: loader.conf: passed over: 'timout', which is not known",
        "EFI variables: passed over: x",
    )
    assert menu({VolumeRole.ESP: b"default a\n"}, roles=(VolumeRole.XBOOTLDR,)).rules.conf is None


def test_one_that_cannot_be_read_is_a_warning() -> None:
    assert menu({VolumeRole.ESP: "elsewhere"}).rules.conf is None
    assert "is a symbolic link, which is not allowed" in menu({VolumeRole.ESP: "elsewhere"}).warnings[0]
    assert "file too large" in menu({VolumeRole.ESP: b"#" * (LOADER_CONF_MAX_BYTES + 1)}).warnings[0]
    files = memory_files({CONF: b"default a\n"})
    with limits_raised(entry_text_bytes=3):
        conf, (warning,) = loader_conf_warnings(files, EntryCosts(), is_esp=True)
    assert conf is None
    assert "the boot entries are too long together" in warning


def test_which_timeout_counts() -> None:
    assert NO_RULES.timeout is None
    assert MenuRules(LoaderConf(timeout=5)).timeout == 5
    assert MenuRules(LoaderConf(timeout=5), LoaderVariables(timeout=0)).timeout == 0
    once = LoaderVariables(timeout=0, timeout_one_shot=MenuMode.FORCE)
    assert MenuRules(LoaderConf(timeout=5), once).timeout is MenuMode.FORCE
