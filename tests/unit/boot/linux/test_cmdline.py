from __future__ import annotations

from dataclasses import replace

import pytest

from bootpath.boot.linux.cmdline import (
    Flash,
    ParameterReason,
    ParameterSource,
    RootNaming,
    command_line_of,
    decide_command_line,
    read_root,
)
from bootpath.core.errors import BootError
from bootpath.formats.cmdline.address import (
    Assembly,
    DiskAddress,
    PartitionAddress,
    RootAddress,
    RootVerity,
    UbiAddress,
)
from bootpath.formats.cmdline.devices import parse_slot
from bootpath.formats.cmdline.parameters import split_parameters
from bootpath.formats.ubi.attach import Ubi, read_ubi
from bootpath.formats.verity.tree import VerityParameters
from tests.support.ubiimage import Flash as FlashImage
from tests.support.ubiimage import record

PARTUUID = "11111111-2222-4333-8444-555555555555"
SLOT = "0fd1c4d2-1b1a-4f4f-9d3c-6a3f4a0c0de0:2:2048"
PARTITION = RootAddress(PartitionAddress(PARTUUID, 2, parse_slot(SLOT)))
NAMING = RootNaming(PARTITION, "/dev/vda")
MACHINE = split_parameters("console=ttyS0 panic=-1")
HASH = bytes(range(32))
VERITY = RootVerity(PartitionAddress(PARTUUID, 3), HASH, VerityParameters(8))


def ubi() -> Ubi:
    flash = FlashImage({0: record("root", 3)}).layout()
    return read_ubi(flash.device())


def test_every_parameter_says_who_put_it_there() -> None:
    placed = decide_command_line("quiet", NAMING, append_root=True, machine=MACHINE, append="debug")
    assert [(each.text, each.source, each.reason) for each in placed] == [
        ("quiet", ParameterSource.ENTRY, None),
        (f"root=PARTUUID={PARTUUID}", ParameterSource.LOADER, ParameterReason.ENTRY_ASKS),
        (f"bootpath.slot={SLOT}", ParameterSource.LOADER, ParameterReason.SLOT),
        ("console=ttyS0", ParameterSource.MACHINE, ParameterReason.MACHINE),
        ("panic=-1", ParameterSource.MACHINE, ParameterReason.MACHINE),
        ("debug", ParameterSource.CALLER, ParameterReason.CALLER),
    ]


def test_linux_is_told_to_believe_a_damaged_table() -> None:
    """Whoever names the root, and once."""
    naming = replace(NAMING, address=replace(PARTITION, force_gpt=True))
    for options, expected in (("root=UUID=1", "root=UUID=1 gpt"), ("gpt root=UUID=1", "gpt root=UUID=1")):
        assert command_line_of(decide_command_line(options, naming, append_root=False)) == expected
    placed = decide_command_line("quiet", naming, append_root=True)
    assert (placed[1].text, placed[1].reason) == ("gpt", ParameterReason.FORCE_GPT)


def test_a_signature_is_handed_over_by_its_place() -> None:
    naming = replace(NAMING, address=replace(PARTITION, verity=VERITY), signature=PartitionAddress(PARTUUID, 4))
    option = "systemd.verity_root_options=root-hash-signature="
    for each, device in (
        (naming, f"PARTUUID={PARTUUID}"),
        (replace(naming, fixed=True), "/dev/vda4"),
        (replace(naming, signature=UbiAddress("sig", 3)), "UBI=0:sig"),
    ):
        placed = decide_command_line("roothash=00", each, append_root=False)
        assert [(added.text, added.reason) for added in placed[1:]] == [(option + device, ParameterReason.SIGNATURE)]
    with pytest.raises(BootError, match="only the initramfs of bootpath hands a signature to the kernel"):
        decide_command_line("", replace(naming, assembly=Assembly.INITRAMFS), append_root=True)


def test_an_entry_that_names_another_root_gets_no_slot() -> None:
    placed = decide_command_line("root=UUID=1234", NAMING, append_root=False)
    assert command_line_of(placed) == "root=UUID=1234"


@pytest.mark.parametrize("name", [f"PARTUUID={PARTUUID}", f"PARTUUID={PARTUUID.upper()}", "/dev/vda2"])
def test_an_entry_that_names_the_root_itself_is_told_the_slot(name: str) -> None:
    placed = decide_command_line(f"root={name} ro", NAMING, append_root=False)
    assert command_line_of(placed) == f"root={name} ro bootpath.slot={SLOT}"


def test_a_slot_that_is_said_is_not_said_again() -> None:
    placed = decide_command_line("", NAMING, append_root=True, append=f"bootpath.slot={SLOT}")
    assert command_line_of(placed) == f"root=PARTUUID={PARTUUID} bootpath.slot={SLOT}"


def test_an_entry_without_a_root_gets_the_one_that_was_chosen() -> None:
    placed = decide_command_line("quiet", NAMING, append_root=False)
    assert placed[1].reason is ParameterReason.ENTRY_NAMES_NONE


def test_parameters_of_the_machine_give_way_but_a_console_is_one_more() -> None:
    placed = decide_command_line("console=tty0 panic=10", NAMING, append_root=True, machine=MACHINE)
    assert command_line_of(placed).endswith(" console=ttyS0")
    assert "panic=-1" not in command_line_of(placed)
    placed = decide_command_line("console=ttyS0,115200", NAMING, append_root=True, machine=MACHINE)
    assert command_line_of(placed).count("ttyS0") == 1


def test_what_is_for_init_stays_behind() -> None:
    placed = decide_command_line("quiet -- single", NAMING, append_root=True, machine=MACHINE, append="debug")
    assert command_line_of(placed).endswith("panic=-1 debug -- single")


def test_a_disk_without_a_table_is_called_by_its_name() -> None:
    placed = decide_command_line("", RootNaming(RootAddress(DiskAddress()), "/dev/sda"), append_root=True)
    assert command_line_of(placed) == "root=/dev/sda"


def test_fixed_names_are_the_machines() -> None:
    placed = decide_command_line("", RootNaming(PARTITION, "/dev/nvme0n1", fixed=True), append_root=True)
    assert command_line_of(placed) == f"root=/dev/nvme0n1p2 bootpath.slot={SLOT}"


def test_flash_is_attached_first() -> None:
    naming = RootNaming(RootAddress(UbiAddress("root", 0)), "/dev/vda", flash=Flash(ubi(), 3))
    placed = decide_command_line("", naming, append_root=True)
    assert command_line_of(placed) == (
        f"block2mtd.block2mtd=/dev/vda3,{ubi().peb_bytes} ubi.mtd=0,{ubi().vid_offset} root=UBI=0:root"
    )
    assert read_root(placed).data_device == "UBI=0:root"


def test_flash_is_attached_once() -> None:
    """A second ubi.mtd= for the same flash would be an error of the module, which then is not loaded."""
    naming = RootNaming(
        RootAddress(UbiAddress("root", 0, ubifs=True)),
        "/dev/vda",
        assembly=Assembly.INITRAMFS,
        flash=Flash(ubi()),
    )
    assert command_line_of(decide_command_line("", naming, append_root=True)) == (
        f"block2mtd.block2mtd=/dev/vda,{ubi().peb_bytes} ubi.mtd=0,{ubi().vid_offset} root=ubi0:root rootfstype=ubifs"
    )


def test_a_root_that_nothing_names() -> None:
    with pytest.raises(BootError, match="no kernel parameter can name the root"):
        decide_command_line("", RootNaming(None, "/dev/vda"), append_root=True)
    assert (
        command_line_of(decide_command_line("root=/dev/vda7", RootNaming(None, "/dev/vda"), append_root=False))
        == "root=/dev/vda7"
    )


def test_the_kernel_alone_gets_the_slot_too() -> None:
    naming = RootNaming(PARTITION, "/dev/vda", assembly=Assembly.KERNEL)
    assert (
        command_line_of(decide_command_line("", naming, append_root=True))
        == f"root=PARTUUID={PARTUUID} bootpath.slot={SLOT}"
    )


def test_a_line_that_linux_would_cut_is_refused() -> None:
    with pytest.raises(BootError, match="the command line has"):
        command_line_of(decide_command_line("x" * 2040, NAMING, append_root=True))


@pytest.mark.parametrize("name", ["dm-mod.create", "dm_mod.create", "systemd.verity-root-data"])
def test_a_root_is_named_by_linux_rules(name: str) -> None:
    assert command_line_of(decide_command_line(f"{name}=x", NAMING, append_root=False)) == f"{name}=x"
