from __future__ import annotations

import gzip
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.linux.choice import LinuxRequest, NextCandidate
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.machine import (
    LinuxMachine,
    LinuxRun,
    LinuxSetup,
    boot_linux,
    fitting_tree,
    linux_config,
    machine_parameters,
)
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.look import look_at
from bootpath.boot.timeline import Timeline
from bootpath.core.errors import BootError, MachineError
from bootpath.formats.partitions.dps import Architecture, Designator
from bootpath.report.linuxboot import linux_run_json, render_linux_run
from bootpath.vm.boards import PC, board_of
from bootpath.vm.disks import Interface
from tests.support.bootdisk import boot_part, fat
from tests.support.bootfiles import AA64, pe_image
from tests.support.ddi import make_disk
from tests.support.fitimage import Node, pack_devicetree
from tests.support.kernels import make_image
from tests.support.linuximage import (
    ENTRY,
    KERNEL_PATH,
    RootTree,
    fake_initrd,
    fake_kernel,
    make_linux_disk,
    make_volume,
)

MIB = 1 << 20
KERNEL = make_image(body_bytes=100_000)
BOARD = pack_devicetree(Node("", {"compatible": b"vendor,board\0vendor,chip\0"}))


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("disk")
    old = make_volume(directory / "1", RootTree.demo(1), None)
    new = make_volume(directory / "2", RootTree.demo(2), None)
    return make_linux_disk(directory / "disk.img", [("demo_1", old), ("demo_2", new)]).path


def load(path: Path, request: LinuxRequest) -> LinuxBoot:
    with closing(FileDevice.open(path)) as device:
        return load_linux(device, request, Timeline(time.monotonic), machine_parameters=machine_parameters)


def test_the_machine_gets_what_was_loaded(disk: Path, tmp_path: Path) -> None:
    setup = LinuxSetup(LinuxRequest(fixed=True), memory_bytes=64 * MIB, interface=Interface.AHCI)
    plan = load(disk, setup.asked()).plan
    assert plan is not None
    config = linux_config(setup, plan, None, "nbd+unix:///?socket=/s", tmp_path)
    assert config.board is PC
    assert config.kernel is not None
    assert config.initrd is not None
    assert config.kernel.read_bytes() == fake_kernel(2)
    assert config.initrd.read_bytes() == fake_initrd(2)
    assert config.cmdline == plan.command_line
    assert "systemd.verity_root_data=/dev/sda3" in config.cmdline
    assert config.cmdline.endswith("console=ttyS0 panic=-1")
    assert config.disks[0].interface is Interface.AHCI
    assert config.extra == ()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root for arm64, with a kernel in gzip, and the device tree of a board."""
    directory = tmp_path_factory.mktemp("foreign")
    tree = RootTree.demo(entry=f"{ENTRY}devicetree /board.dtb\n")
    tree.files[KERNEL_PATH] = gzip.compress(KERNEL)
    tree.files["/board.dtb"] = BOARD
    volume = make_volume(directory / "volume", tree, None)
    parts = volume.parts("demo_1", architecture=Architecture.ARM64, serial=1)
    return make_disk(directory / "disk.img", parts).path


def test_a_machine_for_the_root_s_architecture(foreign: Path, tmp_path: Path) -> None:
    plan = load(foreign, LinuxRequest()).plan
    assert plan is not None
    assert plan.loaded is not None
    assert plan.architecture is Architecture.ARM64
    assert plan.command_line.endswith("console=ttyAMA0 panic=-1")
    config = linux_config(LinuxSetup(), plan, None, "nbd+unix:///?socket=/s", tmp_path)
    assert config.board is board_of(Architecture.ARM64)
    assert config.kernel is not None
    assert config.kernel.read_bytes() == KERNEL, "unpacked, as that machine wants it"
    refused = load(foreign, LinuxRequest(architecture=Architecture.X86_64))
    assert "it is for arm64" in str(refused.refusal)


def test_a_disk_whose_kernel_alone_says_the_architecture(tmp_path: Path) -> None:
    """No partition, so no type: an Image for arm64, and with --architecture it has to be one for that."""
    tree = RootTree({**RootTree.demo().files, KERNEL_PATH: KERNEL})
    (tmp_path / "disk.img").write_bytes(make_volume(tmp_path / "volume", tree, None).data)
    plan = load(tmp_path / "disk.img", LinuxRequest()).plan
    assert plan is not None
    assert plan.architecture is Architecture.ARM64
    assert "console=ttyAMA0" in plan.command_line
    refused = load(tmp_path / "disk.img", LinuxRequest(architecture=Architecture.X86_64)).refusal
    assert "it is for aa64" in str(refused)


def test_a_uki_for_another_machine(tmp_path: Path) -> None:
    """The kernel in it is what is started."""
    uki = pe_image([(".linux", KERNEL), (".osrel", b"ID=os\nVERSION_ID=3\n")], machine=AA64)
    root = make_volume(tmp_path / "volume", RootTree.demo(), None)
    esp = boot_part(Designator.ESP, fat(tmp_path, {"EFI/Linux/os_3.efi": uki}), 9)
    parts = root.parts("demo_1", architecture=Architecture.ARM64, serial=1)
    boot = load(make_disk(tmp_path / "disk.img", [esp, *parts]).path, LinuxRequest(entry="os_3"))
    plan = boot.plan
    assert plan is not None, boot.refusal
    assert plan.loaded is not None
    assert (plan.loaded.kernel, plan.architecture) == (KERNEL, Architecture.ARM64)


def test_a_board_s_device_tree_is_not_for_a_virtual_machine(foreign: Path, tmp_path: Path) -> None:
    plan = load(foreign, LinuxRequest()).plan
    assert plan is not None
    assert plan.loaded is not None
    assert plan.loaded.devicetree == BOARD
    virt = board_of(Architecture.ARM64)
    assert fitting_tree(BOARD, virt) == (
        None,
        "it is for vendor,board, vendor,chip; QEMU makes one for its linux,dummy-virt",
    )
    assert fitting_tree(BOARD, PC) == (None, "it is for vendor,board, vendor,chip; the machine is a PC, which has none")
    assert fitting_tree(None, virt) == (None, "")
    fits = pack_devicetree(Node("", {"compatible": b"my,variant\0linux,dummy-virt\0"}))
    assert fitting_tree(fits, virt) == (fits, "")
    config = linux_config(LinuxSetup(), plan, fits, "nbd+unix:///?socket=/s", tmp_path)
    assert config.extra == ("-dtb", str(tmp_path / "devicetree"))


def test_a_qemu_that_is_missing_is_missed_first(foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with closing(FileDevice.open(foreign)) as device:
        look = look_at(device)
    with pytest.raises(MachineError, match="qemu-system-aarch64 is not installed; apt install qemu-system-arm"):
        LinuxMachine(foreign, LinuxSetup(look=look)).boot()


class Scripted(LinuxMachine):
    """A machine without QEMU, whose kernels end as the script says."""

    def __init__(self, disk: Path, setup: LinuxSetup, script: Sequence[str | None]) -> None:
        super().__init__(disk, setup)
        boot = load(disk, setup.request)
        self.run.boot = boot
        self.fault = script[len(setup.request.skipped)]

    def __enter__(self) -> Scripted:
        if self.run.boot is not None and self.run.boot.loaded is None:
            raise BootError(f"refused: {self.run.boot.refusal}")
        if self.fault is not None:
            self.run.ended_in_guest = self.fault != "the machine ended"
            raise BootError(self.fault)
        raise BootError("nothing more is scripted")


def boot(disk: Path, script: Sequence[str | None], next_candidate: NextCandidate) -> LinuxRun:
    setup = LinuxSetup(LinuxRequest(next_candidate=next_candidate))
    return boot_linux(lambda setup: Scripted(disk, setup, script), setup)


def test_a_guest_that_finds_no_root_gets_the_next_candidate(disk: Path) -> None:
    run = boot(disk, ["no root", "the machine ended"], NextCandidate.POLICY)
    assert [failure.partition(": ")[2] for failure in run.earlier] == ["no root"]
    assert str(run.failure) == "the machine ended"
    assert run.boot is not None
    assert run.boot.chosen is not None
    assert run.boot.chosen.data.path == "1"


def test_every_candidate_is_tried_once(disk: Path) -> None:
    run = boot(disk, ["first", "second", None], NextCandidate.POLICY)
    assert len(run.earlier) == 2
    assert "refused: 3 (" in str(run.failure)
    assert "first" in str(run.failure)
    assert "second" in str(run.failure)
    said = render_linux_run("disk.img", run)
    assert said.count("Before: ") == 2
    assert linux_run_json("disk.img", run)["run"]["earlier"] == list(run.earlier)


@pytest.mark.parametrize(
    ("script", "next_candidate"),
    [(["no root"], NextCandidate.NEVER), (["the machine ended"], NextCandidate.POLICY)],
)
def test_no_second_try_unless_the_guest_said_so_and_it_is_allowed(
    disk: Path, script: Sequence[str], next_candidate: NextCandidate
) -> None:
    run = boot(disk, script, next_candidate)
    assert run.earlier == ()
    assert str(run.failure) == script[0]
