from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.linux.choice import LinuxRequest
from bootpath.boot.linux.load import load_linux
from bootpath.boot.timeline import Timeline
from bootpath.core.errors import BootError
from bootpath.formats.cmdline.address import Assembly, PartitionAddress, RootAddress, RootStyle
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.image.entries.appendedroot import NO_CHOICE, ChosenRoot, appended_root
from bootpath.image.entries.find import find_entries
from bootpath.image.entries.menu import FoundEntry, VolumeRole
from bootpath.image.roots.candidates import Terms
from tests.support.bootdisk import boot_part, ext4, fat
from tests.support.ddi import Volume, make_disk
from tests.support.linuximage import ENTRY, INITRD_PATH, KERNEL_PATH, RootTree, fake_initrd, fake_kernel, make_volume

OWN, OTHER = (RootAddress(PartitionAddress(f"{digit * 8}-2222-3333-4444-555555555555", 2)) for digit in "12")
FILES = {KERNEL_PATH.lstrip("/"): fake_kernel(), INITRD_PATH.lstrip("/"): fake_initrd()}
ASKS = {**FILES, "loader/entries/asks.conf": ENTRY.encode()}
OURS = RootStyle(assembly=Assembly.BOOTPATH)


@pytest.mark.parametrize("chosen", [NO_CHOICE, ChosenRoot(OTHER), ChosenRoot(nothing_else=True)])
def test_an_entry_in_a_root_means_the_file_system_that_it_is_in(chosen: ChosenRoot) -> None:
    assert appended_root(OWN, chosen, in_root=True, file_system="erofs") == OWN


@pytest.mark.parametrize("file_system", ["vfat", "ext4"])
def test_an_entry_on_a_boot_partition_means_the_root_that_is_chosen(file_system: str) -> None:
    assert appended_root(OWN, ChosenRoot(OTHER), in_root=False, file_system=file_system) == OTHER


@pytest.mark.parametrize("file_system", ["vfat", "ext4"])
def test_where_none_is_chosen_nothing_is_appended(file_system: str) -> None:
    with pytest.raises(BootError, match="none is chosen: ambiguous"):
        appended_root(OWN, ChosenRoot(problem="ambiguous"), in_root=False, file_system=file_system)


def test_a_boot_partition_that_is_all_there_is_may_be_the_root() -> None:
    nothing = ChosenRoot(problem="nothing on it could be the root", nothing_else=True)
    assert appended_root(OWN, nothing, in_root=False, file_system="ext4") == OWN
    with pytest.raises(BootError, match="nothing on it could be the root"):
        appended_root(OWN, nothing, in_root=False, file_system="vfat")


def test_a_root_that_has_no_name() -> None:
    with pytest.raises(BootError, match="no kernel parameter can name the root of this entry"):
        appended_root(None, NO_CHOICE, in_root=True, file_system="ext4")


def plain_root(directory: Path, seed: int = 1) -> Volume:
    directory.mkdir(exist_ok=True)
    return make_volume(directory / f"root{seed}", RootTree({"/etc/os-release": b"ID=demo\n%d" % seed}), None)


def menu_and_boot(path: Path, **request: object) -> tuple[FoundEntry, str | None, str]:
    """The entry of the menu, its command line there, and what a loader would boot, or why it does not."""
    with closing(FileDevice.open(path)) as disk:
        (found,) = find_entries(disk, terms=Terms(parse_image_policy("*"))).entries
        try:
            line: str | None = found.command_line(OURS)
        except BootError as fault:
            line = str(fault)
        boot = load_linux(disk, LinuxRequest(**request), Timeline(time.monotonic))  # type: ignore[arg-type]
    return found, line, boot.plan.command_line if boot.plan else str(boot.refusal)


def test_the_menu_and_the_loader_say_the_same_of_an_entry_on_the_esp(tmp_path: Path) -> None:
    volume = plain_root(tmp_path)
    parts = [boot_part(Designator.ESP, fat(tmp_path, ASKS), 1), *volume.parts("root")]
    found, line, booted = menu_and_boot(make_disk(tmp_path / "disk.img", parts).path)
    assert found.source.role is VolumeRole.ESP
    assert line == booted
    assert f"roothash={volume.root_hash.hex()}" in booted
    assert "root=PARTUUID" not in booted


def test_both_say_that_twins_are_not_chosen_from(tmp_path: Path) -> None:
    volume = plain_root(tmp_path)
    parts = [boot_part(Designator.ESP, fat(tmp_path, ASKS), 1), *volume.parts("root"), *volume.parts("root", serial=2)]
    _, line, booted = menu_and_boot(make_disk(tmp_path / "disk.img", parts).path)
    assert line is not None
    assert "none is chosen: ambiguous: identical root partitions: 2 (" in line
    assert "ambiguous: identical root partitions: 2 (" in booted


def test_a_root_that_is_marked_as_a_boot_partition(tmp_path: Path) -> None:
    """Its entries are where every loader looks, and it is the root: kernel and root stay one image."""
    part = boot_part(Designator.XBOOTLDR, ext4(tmp_path, ASKS, 4 << 20), 2)
    found, line, booted = menu_and_boot(make_disk(tmp_path / "disk.img", [part]).path)
    assert found.source.role is VolumeRole.XBOOTLDR
    assert line == booted
    assert f"root=PARTUUID={part.guid}" in booted
    with closing(FileDevice.open(tmp_path / "disk.img")) as disk:
        both = find_entries(disk, roles=list(VolumeRole), terms=Terms(parse_image_policy("*")))
    assert [each.source.role for each in both.entries] == [VolumeRole.XBOOTLDR]


def test_it_is_no_root_where_there_is_another(tmp_path: Path) -> None:
    volume = plain_root(tmp_path)
    part = boot_part(Designator.XBOOTLDR, ext4(tmp_path, ASKS, 4 << 20), 2)
    path = make_disk(tmp_path / "disk.img", [part, *volume.parts("root")]).path
    _, line, booted = menu_and_boot(path)
    assert line == booted
    assert f"roothash={volume.root_hash.hex()}" in booted


def test_options_that_name_another_root_are_refused_by_both(tmp_path: Path) -> None:
    files = {**FILES, "loader/entries/asks.conf": ENTRY.replace("quiet", "quiet root=/dev/sda1").encode()}
    parts = [boot_part(Designator.ESP, fat(tmp_path, files), 1), *plain_root(tmp_path).parts("root")]
    _, line, booted = menu_and_boot(make_disk(tmp_path / "disk.img", parts).path)
    said = "the entry asks for its root (linux-appendroot), and names one itself: root=/dev/sda1"
    assert line is not None
    assert said in line
    assert said in booted


def test_what_the_user_names_at_the_prompt_counts(tmp_path: Path) -> None:
    parts = [boot_part(Designator.ESP, fat(tmp_path, ASKS), 1), *plain_root(tmp_path).parts("root")]
    _, _, booted = menu_and_boot(make_disk(tmp_path / "disk.img", parts).path, append="root=/dev/vdb")
    assert booted.endswith("quiet root=/dev/vdb")
