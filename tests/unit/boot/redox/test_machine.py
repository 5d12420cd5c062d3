"""What a machine is started with, without starting one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.protocol.settings import Settings, environment_block, parse_settings
from bootpath.boot.redox.machine import DISK_NAME, LiveMachine, MachineSetup
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.core.errors import BootError, DeviceError
from bootpath.formats.handoff import parse_handoff
from bootpath.vm.config import Display
from bootpath.vm.disks import Interface
from tests.support.images import MIB, PASSWORD, digest, make_image, make_tree, write

KERNEL = bytes(0x202) + b"HdrS" + bytes(100_000)
INITRAMFS = b"070701" + bytes(50_000)
PREFIX = PreloadChoice(PreloadKind.PREFIX, prefix_bytes=MIB)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linux_image(tmp_path_factory.mktemp("linux"))


def linux_image(directory: Path, *, initramfs: bytes = INITRAMFS, password: bytes | None = None) -> Path:
    tree = make_tree(directory / "tree")
    write(tree / "usr/lib/boot/kernel", KERNEL)
    write(tree / "usr/lib/boot/initfs", initramfs)
    return make_image(directory, tree=tree, password=password)


def test_kernel_initramfs_preload_and_words(image: Path, tmp_path: Path) -> None:
    before = digest(image)
    with closing(FileDevice.open(image)) as disk:
        planned = plan_boot(disk)
        plan = planned.plan
    assert planned.has_boot_files
    setup = MachineSetup(
        PreloadChoice(PreloadKind.PLAN, plan=plan), settings=Settings(deadline=7.0), command_line="loglevel=3"
    )
    live = LiveMachine(image, setup)
    config = live.prepare(tmp_path)
    assert config.kernel is not None
    assert config.initrd is not None
    assert config.kernel.read_bytes() == KERNEL
    assert config.initrd.read_bytes() == INITRAMFS

    words = config.cmdline.split()
    (blob,) = config.blobs
    assert f"memmap=2M!{blob.address:#x}" in words
    assert parse_settings(config.cmdline) == setup.settings
    assert "loglevel=3" in words
    memory = blob.path.read_bytes()

    def read(address: int, length: int, what: str) -> bytes:
        return memory[address - blob.address : address - blob.address + length]

    variables = dict(word.split("=", 1) for word in words if word.partition("=")[0].isupper() or "_" in word)
    handoff = parse_handoff(environment_block(variables, read))
    assert handoff.live_addr == blob.address
    assert handoff.live_partial
    with closing(FileDevice.open(image)) as disk:
        position = 0
        for extent in handoff.preload_extents:
            there = b"".join(disk.read(2 * MIB + extent.offset, extent.length))
            assert memory[position : position + extent.length] == there
            position += extent.length

    (physical,) = config.disks
    assert physical.name == DISK_NAME
    assert physical.read_only
    assert digest(image) == before


def test_a_preload_that_is_too_large_for_one_read_comes_in_pieces(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    setup = MachineSetup(PreloadChoice(PreloadKind.FULL))
    (whole,) = LiveMachine(image, setup).prepare(tmp_path / "whole").blobs
    content = whole.path.read_bytes()
    monkeypatch.setattr("bootpath.boot.redox.machine.PIECE_BYTES", 4 * MIB + 4096)
    pieces = LiveMachine(image, setup).prepare(tmp_path).blobs
    assert len(pieces) > 3
    assert b"".join(piece.path.read_bytes() for piece in pieces) == content
    for before, after in pairwise(pieces):
        assert after.address == before.address + before.path.stat().st_size


def test_the_disk_that_comes_later_or_never_is_not_there(image: Path, tmp_path: Path) -> None:
    for delay in (3.0, None):
        config = LiveMachine(image, MachineSetup(PREFIX, disk_delay_seconds=delay)).prepare(tmp_path)
        assert config.disks == ()
        assert config.hotplug_ports > 0


def test_an_ahci_disk_keeps_what_is_written_apart(image: Path, tmp_path: Path) -> None:
    setup = MachineSetup(PREFIX, interface=Interface.AHCI, display=Display.STD)
    config = LiveMachine(image, setup).prepare(tmp_path)
    assert config.disks[0].snapshot
    assert config.cmdline.startswith("console=tty0 console=ttyS0 ")


def test_a_password_lies_behind_the_preload(tmp_path: Path) -> None:
    path = linux_image(tmp_path, password=PASSWORD)
    config = LiveMachine(path, MachineSetup(PREFIX, password=PASSWORD)).prepare(tmp_path)
    (blob,) = config.blobs
    assert f"REDOXFS_PASSWORD_ADDR={blob.address + MIB:016x}" in config.cmdline.split()
    assert blob.path.read_bytes()[MIB:] == PASSWORD


def test_files_of_this_machine_instead(tmp_path: Path) -> None:
    path = make_image(tmp_path)
    with pytest.raises(BootError, match="the kernel has the wrong magic"):
        LiveMachine(path, MachineSetup(PREFIX)).prepare(tmp_path)
    write(tmp_path / "vmlinuz", KERNEL)
    write(tmp_path / "initrd", INITRAMFS)
    setup = MachineSetup(PREFIX, kernel=tmp_path / "vmlinuz", initrd=tmp_path / "initrd")
    config = LiveMachine(path, setup).prepare(tmp_path)
    assert config.kernel == tmp_path / "vmlinuz"


def test_an_initramfs_that_is_none(tmp_path: Path) -> None:
    path = linux_image(tmp_path, initramfs=b"nothing")
    with pytest.raises(BootError, match="the initfs has the wrong magic") as caught:
        LiveMachine(path, MachineSetup(PREFIX)).prepare(tmp_path)
    assert str(caught.value.found).startswith("6e6f74")
    assert "303730373031 or 1f8b or" in str(caught.value.expected)


def test_a_command_line_that_linux_would_cut(image: Path, tmp_path: Path) -> None:
    setup = replace(MachineSetup(PREFIX), command_line="x" * 2000)
    with pytest.raises(BootError, match="command line has"):
        LiveMachine(image, setup).prepare(tmp_path)


def test_a_disk_that_is_to_appear_has_to_be_there(image: Path, tmp_path: Path) -> None:
    setup = MachineSetup(PREFIX, disk_delay_seconds=5, appears=tmp_path / "other.img")
    with pytest.raises(DeviceError, match=r"other\.img: the file cannot be opened: No such file"):
        LiveMachine(image, setup).prepare(tmp_path)
