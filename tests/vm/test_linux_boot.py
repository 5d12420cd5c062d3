"""Image-based Linux systems, loaded through verity by our loader, in QEMU: on partitions, LVM2 and raw flash."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, NextCandidate
from bootpath.boot.linux.machine import LinuxMachine, LinuxRun, LinuxSetup, boot_linux
from bootpath.core.errors import BootError
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.report.linuxboot import linux_run_json, render_linux_run
from bootpath.report.page import page
from tests.support.ddi import Signer
from tests.support.images import digest
from tests.support.linuximage import find_in, flip, make_linux_disk
from tests.support.linuxsystem import (
    LinuxSystem,
    make_ddi,
    make_flash,
    make_initrd,
    make_logical_volumes,
    make_system,
    make_ubifs_flash,
)
from tests.support.tools import tool
from tests.support.tree import schema

SECONDS = 240.0
MIB = 1 << 20
SCHEMA = schema("linuxboot")
Look = Callable[[LinuxMachine], None]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> LinuxSystem:
    tool("qemu-system-x86_64")
    tool("setpriv")
    directory = tmp_path_factory.mktemp("system")
    initrd = make_initrd(directory / "initrd", "lvm", "verity", "ubi", "ubifs")
    return make_system(directory, initrd, Signer.make(directory))


@pytest.fixture(scope="module")
def newer(system: LinuxSystem, tmp_path_factory: pytest.TempPathFactory) -> LinuxSystem:
    """The same in another version, which calls itself two."""
    return make_system(tmp_path_factory.mktemp("newer"), system.directory / "initrd", system.signer, "two")


def boot(path: Path, system: LinuxSystem, look: Look | None = None, **request: object) -> LinuxRun:
    asked = LinuxRequest(certificates=system.certificates, **request)  # type: ignore[arg-type]
    setup = LinuxSetup(asked, memory_bytes=384 * MIB)
    return boot_linux(lambda setup: LinuxMachine(path, setup), setup, timeout_seconds=SECONDS, at_end=look)


def log_in(machine: LinuxMachine) -> None:
    machine.machine.console.send_line("root")
    machine.machine.console.wait_for("live# ", SECONDS)


def says(machine: LinuxMachine, command: str) -> str:
    machine.machine.console.send_line(f"echo :$((1+1)):; {command}; echo :$((1+2)):")
    machine.machine.console.wait_for(":2:\n", SECONDS)
    return machine.machine.console.wait_for(re.compile(r"(?s)(.*):3:\n"), SECONDS)[1]


def booted(run: LinuxRun) -> LinuxRun:
    assert run.failure is None, run.failure
    assert run.boot is not None
    assert run.boot.verdict is LinuxVerdict.VERIFIED
    assert run.pivot is not None
    assert run.seconds_to_pivot is not None
    assert run.seconds_to_end is not None
    assert run.seconds_to_pivot <= run.seconds_to_end
    jsonschema.validate(json.loads(json.dumps(page(linux_run_json("disk", run)))), SCHEMA)
    return run


def test_a_discoverable_image(system: LinuxSystem, tmp_path: Path) -> None:
    path = make_ddi(system, tmp_path / "os.img")
    before = digest(path)
    seen: list[str] = []

    def look(machine: LinuxMachine) -> None:
        log_in(machine)
        seen.extend((says(machine, "cat /proc/cmdline"), says(machine, "grep ' / ' /proc/mounts")))

    run = booted(boot(path, system, look))
    assert run.boot is not None
    assert run.boot.loaded is not None
    assert run.boot.plan is not None
    assert seen[0].strip() == run.boot.plan.command_line
    assert seen[1].startswith("/dev/mapper/root / erofs ro")
    slot = run.boot.contents.node("2")
    assert slot is not None
    assert f"bootpath.slot={slot.location.disk_id}:2:{slot.location.first_lba}" in seen[0]
    areas = {area.name: area for area in run.reads}
    assert areas["one_1"].distinct_bytes > len(run.boot.loaded.kernel) + len(run.boot.loaded.initrd)
    assert "esp" not in areas or areas["esp"].distinct_bytes < MIB, "nothing is loaded from there"
    assert run.loader_bytes > len(run.boot.loaded.kernel)
    assert 0 < run.guest_bytes < 32 * MIB
    assert digest(path) == before
    said = render_linux_run("os.img", run)
    assert "Boots, verified" in said
    assert "Root mounted after" in said


def test_a_logical_volume_by_its_uuid(system: LinuxSystem, tmp_path: Path) -> None:
    volumes = make_logical_volumes(system, tmp_path / "pv.img")
    run = booted(boot(volumes.path, system))
    assert run.boot is not None
    assert run.boot.loaded is not None
    assert run.boot.plan is not None
    assert f"systemd.verity_root_data=LV={volumes['root']}" in run.boot.plan.command_line


@pytest.mark.parametrize("root_type", ["dynamic", "static"])
def test_a_volume_of_raw_flash(system: LinuxSystem, tmp_path: Path, root_type: str) -> None:
    seen: list[str] = []

    def look(machine: LinuxMachine) -> None:
        log_in(machine)
        seen.append(says(machine, "cat /sys/block/dm-0/slaves/*/dev /sys/class/ubi/ubi0_0/name"))

    run = booted(boot(make_flash(system, tmp_path / "flash.img", root_type=root_type), system, look))
    assert run.boot is not None
    assert run.boot.loaded is not None
    assert run.boot.plan is not None
    assert "systemd.verity_root_data=UBI=0:root" in run.boot.plan.command_line
    assert seen[0].split()[-1] == "root"


def test_a_ubifs_on_raw_flash(system: LinuxSystem, tmp_path: Path) -> None:
    """Kernel, initramfs and entry are read out of the UBIFS; Linux mounts it."""
    seen: list[str] = []

    def look(machine: LinuxMachine) -> None:
        log_in(machine)
        seen.append(says(machine, "grep ' / ' /proc/mounts"))

    run = boot(
        make_ubifs_flash(system, tmp_path / "flash.img"), system, look, policy=parse_image_policy("root=unprotected")
    )
    assert run.failure is None, run.failure
    assert run.boot is not None
    assert run.boot.verdict is LinuxVerdict.UNVERIFIED
    assert run.boot.plan is not None
    assert "root=UBI=0:rootfs rootfstype=ubifs" in run.boot.plan.command_line
    assert "ubifs ro" in seen[0]


def test_fixed_names(system: LinuxSystem, tmp_path: Path) -> None:
    disk = make_linux_disk(tmp_path / "disk.img", [("one_1", system.volume)])
    run = booted(boot(disk.path, system, fixed=True))
    assert run.boot is not None
    assert run.boot.loaded is not None
    assert run.boot.plan is not None
    assert "systemd.verity_root_data=/dev/vda1" in run.boot.plan.command_line


@pytest.mark.parametrize("next_candidate", NextCandidate)
def test_data_that_only_the_kernel_reads(
    system: LinuxSystem, newer: LinuxSystem, tmp_path: Path, next_candidate: NextCandidate
) -> None:
    """The newer root's busybox has a flipped bit: the loader cannot know, the guest does, and says so."""
    disk = make_linux_disk(tmp_path / "disk.img", [("one_1", system.volume), ("one_2", newer.volume)])
    flip(disk.path, find_in(disk.path, b"BusyBox v1", disk.offsets[4]))
    seen: list[str] = []

    def look(machine: LinuxMachine) -> None:
        log_in(machine)
        seen.append(says(machine, "hostname").strip())

    run = boot(disk.path, system, look, next_candidate=next_candidate)
    reason = "does not match its root hash"
    if next_candidate is NextCandidate.NEVER:
        assert isinstance(run.failure, BootError)
        assert run.failure.where == "guest: verity"
        assert reason in str(run.failure)
        assert run.ended_in_guest
        assert run.pivot is None
        assert seen == []
        return
    assert reason in run.earlier[0]
    assert seen == ["one"]
    booted(run)
    assert run.boot is not None
    assert run.boot.attempts[0].failure is not None
    assert reason in str(run.boot.attempts[0].failure)


def test_a_refusal_starts_no_machine(system: LinuxSystem, tmp_path: Path) -> None:
    disk = make_linux_disk(tmp_path / "disk.img", [("one_1", system.volume)])
    flip(disk.path, find_in(disk.path, b"title Demo"))
    run = boot(disk.path, system)
    assert isinstance(run.failure, BootError)
    assert "refused: 1 (" in str(run.failure)
    assert run.seconds_to_kernel is None
    assert run.loader_bytes > 0
    assert "Verdict: does not boot" in render_linux_run("disk", run)


def test_a_signature_that_the_kernel_has_no_key_for(system: LinuxSystem, tmp_path: Path) -> None:
    """It was handed over, then: with the key of the machine's owner it is good (test_tiny_initramfs)."""
    disk = make_linux_disk(tmp_path / "disk.img", [("one_1", system.volume)])
    run = boot(disk.path, system, kernel_signature=True)
    assert isinstance(run.failure, BootError)
    assert str(run.failure).startswith("guest: verity: the kernel refuses the root hash: ")


def test_a_kernel_that_finds_no_root(system: LinuxSystem, tmp_path: Path) -> None:
    disk = make_linux_disk(tmp_path / "disk.img", [("one_1", system.volume)])
    run = boot(disk.path, system, append="init=/no/such")
    assert isinstance(run.failure, BootError)
    assert "there is no /no/such in the root" in str(run.failure)
