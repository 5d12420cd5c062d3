"""The boot by the image's own loader: what of it needs no machine."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.nbdclient import open_nbd
from bootpath.boot.machine.firmware import (
    Firmware,
    FirmwareMachine,
    FirmwareSetup,
    ServedImage,
    firmware_config,
    medium_interface,
)
from bootpath.cli.boot.options import OPTIONS
from bootpath.cli.main import main
from bootpath.core.errors import DeviceError, MachineError
from bootpath.formats.partitions.dps import Architecture
from bootpath.vm.boards import board_of
from bootpath.vm.config import Display, Uefi
from bootpath.vm.disks import Interface
from tests.support import isofiles

MIB = 1 << 20
URI = "nbd+unix:///?socket=/run/disk.sock"


def test_the_bios_machine_talks_on_serial_and_boots_the_served_disk() -> None:
    config = firmware_config(FirmwareSetup(Firmware.BIOS, memory_bytes=64 * MIB), URI, None)
    (disk,) = config.disks
    assert (disk.source, disk.boot_index, disk.read_only) == (URI, 0, False)
    assert config.bios_on_serial
    assert config.firmware is None
    assert config.memory_bytes == 64 * MIB


def test_the_uefi_machine_has_its_firmware_and_its_card() -> None:
    uefi = Uefi(Path("code.fd"), Path("variables.fd"))
    setup = FirmwareSetup(Firmware.UEFI, interface=Interface.AHCI, display=Display.VIRTIO_GPU)
    config = firmware_config(setup, URI, uefi)
    assert (config.firmware, config.display, config.disks[0].interface) == (uefi, Display.VIRTIO_GPU, Interface.AHCI)
    assert not config.bios_on_serial


def test_another_architecture(tmp_path: Path) -> None:
    board = board_of(Architecture.ARM64)
    uefi = Uefi(Path("code.fd"), Path("variables.fd"))
    assert firmware_config(FirmwareSetup(Firmware.UEFI, board), URI, uefi).board is board
    (tmp_path / "disk.img").touch()
    machine = FirmwareMachine(tmp_path / "disk.img", FirmwareSetup(Firmware.BIOS, board))
    with pytest.raises(MachineError, match="a machine for arm64 has no BIOS; use --firmware uefi"), machine:
        pass


def test_what_is_read_is_logged_and_what_is_written_stays_in_ram(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    content = bytes(range(256)) * 4096
    image.write_bytes(content)
    with ServedImage(image, tmp_path / "disk.sock") as served:
        with closing(open_nbd(served.uri, writable=True)) as client:
            assert b"".join(client.read(8192, 4096)) == content[8192:12288]
            client.write(16384, b"\1" * 4096)
            client.flush()
            assert b"".join(client.read(16384, 4096)) == b"\1" * 4096
        assert [(read.offset, read.length) for read in served.reads] == [(8192, 4096)]
        assert served.written_bytes == 4096
    assert image.read_bytes() == content
    assert not (tmp_path / "disk.sock").exists()


def test_an_image_that_somebody_else_serves(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"word" * 1024)
    with (
        ServedImage(image, tmp_path / "first.sock") as first,
        ServedImage(first.uri, tmp_path / "second.sock") as second,
        closing(open_nbd(second.uri)) as client,
    ):
        assert b"".join(client.read(0, 4096)) == b"word" * 1024
        assert [(read.offset, read.length) for read in second.reads] == [(0, 4096)]


def test_a_missing_image_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DeviceError), FirmwareMachine(tmp_path / "none.img", FirmwareSetup(Firmware.BIOS)):
        pass


def test_the_parser_knows_every_firmware() -> None:
    (choices,) = [option.choices for option in OPTIONS if option.flag == "--firmware"]
    assert choices == tuple(firmware.value for firmware in Firmware)


def test_an_unknown_firmware_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        main(["boot", "disk.img", "--firmware", "coreboot"])
    capsys.readouterr()


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(MIB))
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    with pytest.raises(MachineError, match=r"expected at most 107, .*set TMPDIR to a shorter one"):
        ServedImage(tmp_path / "disk.img", directory / "disk.sock").__enter__()


def test_a_medium_that_is_only_a_disc_is_put_into_a_drive() -> None:
    entries = isofiles.boot_entry(26), isofiles.boot_section(0xEF, isofiles.boot_entry(99))
    disc = isofiles.disc(
        isofiles.directory(24), isofiles.catalog(*entries), b"loader", extra=[isofiles.boot_record(25)]
    )
    assert medium_interface(isofiles.device(disc), Firmware.BIOS) is Interface.OPTICAL
    assert medium_interface(isofiles.device(disc), Firmware.UEFI) is Interface.VIRTIO, "its image is not there"
    hybrid = bytearray(disc)
    hybrid[0], hybrid[510:512] = 0xFA, b"\x55\xaa"
    assert medium_interface(isofiles.device(bytes(hybrid)), Firmware.BIOS) is Interface.VIRTIO
    (disk,) = firmware_config(FirmwareSetup(Firmware.BIOS, interface=Interface.OPTICAL), URI, None).disks
    assert (disk.interface, disk.read_only) == (Interface.OPTICAL, True)
