"""Disks whose partition table is an MBR, or a GPT with one good copy, booted by a real kernel."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, NextCandidate
from bootpath.boot.linux.machine import LinuxMachine, LinuxRun, LinuxSetup, boot_linux
from tests.support.ddi import Signer
from tests.support.linuxsystem import LinuxSystem, make_initrd, make_system
from tests.support.tools import tool

SECONDS = 240.0
MIB = 1 << 20
ROOT_START = 4096


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> LinuxSystem:
    tool("qemu-system-x86_64")
    directory = tmp_path_factory.mktemp("system")
    return make_system(directory, make_initrd(directory / "initrd", "verity"), Signer.make(directory))


def make_mbr(system: LinuxSystem, path: Path) -> Path:
    """An MBR by sfdisk: the root is the second logical partition."""
    data = system.volume.data
    sectors = len(data) // 512
    path.write_bytes(bytes(ROOT_START * 512) + data + bytes(MIB))
    script = f"""label: dos
label-id: 0x5a0c3b5e
d1 : start=34, size=100, type=c, bootable
d2 : start=2048, size={ROOT_START - 2048 + sectors}, type=f
d5 : start=2049, size=100, type=82
d6 : start={ROOT_START}, size={sectors}, type=83
"""
    subprocess.run([tool("sfdisk"), "-q", path], input=script.encode(), check=True, capture_output=True)
    return path


def make_gpt(system: LinuxSystem, path: Path) -> Path:
    """A GPT by sgdisk: the root is partition 2."""
    data = system.volume.data
    path.write_bytes(bytes(ROOT_START * 512) + data + bytes(MIB))
    end = ROOT_START + len(data) // 512 - 1
    places = ("-n", "1:2048:3000", "-t", "1:8200", "-n", f"2:{ROOT_START}:{end}", "-t", "2:8304", "-c", "2:one_1")
    subprocess.run([tool("sgdisk"), "-a", "1", *places, path], check=True, capture_output=True)
    return path


def boot(path: Path, *commands: str) -> tuple[LinuxRun, list[str]]:
    """Boot to the login, and what the commands print there."""
    seen: list[str] = []

    def look(machine: LinuxMachine) -> None:
        console = machine.machine.console
        console.send_line("root")
        console.wait_for("live# ", SECONDS)
        for command in commands:
            console.send_line(f"echo :$((1+1)):; {command}; echo :$((1+2)):")
            console.wait_for(":2:\n", SECONDS)
            seen.append(console.wait_for(re.compile(r"(?s)(.*):3:\n"), SECONDS)[1])

    setup = LinuxSetup(LinuxRequest(next_candidate=NextCandidate.POLICY), memory_bytes=384 * MIB)
    run = boot_linux(lambda setup: LinuxMachine(path, setup), setup, timeout_seconds=SECONDS, at_end=look)
    assert run.failure is None, run.failure
    assert run.boot is not None
    assert run.boot.verdict is LinuxVerdict.UNVERIFIED
    return run, seen


def test_a_root_in_a_logical_partition(system: LinuxSystem, tmp_path: Path) -> None:
    """Linux, our initramfs and we count alike, and call the partition by the same PARTUUID."""
    run, seen = boot(make_mbr(system, tmp_path / "mbr.img"), "cat /proc/cmdline", "grep ' / ' /proc/mounts")
    assert f"root=PARTUUID=5a0c3b5e-06 bootpath.slot=5a0c3b5e:6:{ROOT_START}" in seen[0]
    assert seen[1].startswith("/dev/vda6 / squashfs ro")
    assert {area.name for area in run.reads} <= {
        "partition 6",
        "partition 1",
        "partition 5",
        "partition table",
        "outside partitions",
    }


@pytest.mark.parametrize(
    ("offset", "content"), [(512, bytes(512)), (1024 + 128, b"torn" * 64)], ids=["header", "entries"]
)
def test_a_gpt_with_one_good_copy(system: LinuxSystem, tmp_path: Path, offset: int, content: bytes) -> None:
    """Linux believes the copy at the end when it is told to, and our initramfs looks there too."""
    path = make_gpt(system, tmp_path / "gpt.img")
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    run, seen = boot(path, "cat /proc/cmdline", "grep ' / ' /proc/mounts")
    assert run.boot is not None
    assert run.boot.order.notes
    assert " gpt root=PARTUUID=" in f" {seen[0]}"
    assert seen[1].startswith("/dev/vda2 / squashfs ro")


def test_a_gpt_without_its_mbr(system: LinuxSystem, tmp_path: Path) -> None:
    path = make_gpt(system, tmp_path / "gpt.img")
    with path.open("r+b") as file:
        file.write(bytes(512))
    seen = boot(path, "cat /proc/cmdline")[1]
    assert " gpt root=PARTUUID=" in f" {seen[0]}"
