from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.linux.choice import LinuxRequest, NextCandidate
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.machine import MACHINE_PARAMETERS, LinuxMachine, LinuxRun, LinuxSetup, boot_linux, linux_config
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from bootpath.core.errors import BootError
from bootpath.report.linuxboot import linux_run_json, render_linux_run
from bootpath.vm.disks import Interface
from tests.support.linuximage import RootTree, fake_initrd, fake_kernel, make_linux_disk, make_volume

MIB = 1 << 20


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("disk")
    old = make_volume(directory / "1", RootTree.demo(1), None)
    new = make_volume(directory / "2", RootTree.demo(2), None)
    return make_linux_disk(directory / "disk.img", [("demo_1", old), ("demo_2", new)]).path


def load(path: Path, request: LinuxRequest) -> LinuxBoot:
    with closing(FileDevice.open(path)) as device:
        return load_linux(device, request, Timeline(time.monotonic), machine_parameters=MACHINE_PARAMETERS)


def test_the_machine_gets_what_was_loaded(disk: Path, tmp_path: Path) -> None:
    setup = LinuxSetup(LinuxRequest(fixed=True), memory_bytes=64 * MIB, interface=Interface.AHCI)
    plan = load(disk, setup.asked()).plan
    assert plan is not None
    loaded = plan.loaded
    assert loaded is not None
    config = linux_config(setup, loaded, plan.command_line, "nbd+unix:///?socket=/s", tmp_path)
    assert config.kernel is not None
    assert config.initrd is not None
    assert config.kernel.read_bytes() == fake_kernel(2)
    assert config.initrd.read_bytes() == fake_initrd(2)
    assert config.cmdline == plan.command_line
    assert "systemd.verity_root_data=/dev/sda3" in config.cmdline
    assert config.cmdline.endswith("console=ttyS0 panic=-1")
    assert config.disks[0].interface is Interface.AHCI
    assert config.extra == ()


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
