"""Boots by the image's own loader, from a disk that we serve: BIOS with a boot sector, UEFI with a Linux."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

import bootpath
from bootpath.block.leaves.file import FileDevice
from bootpath.boot.initramfs.build import RECIPES, InitramfsSpec, PythonGuest, build_initramfs
from bootpath.boot.machine.diskreads import TABLE
from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareSetup
from bootpath.boot.redox.planning import plan_boot
from bootpath.cli.main import main
from bootpath.core.errors import BootError
from bootpath.formats.trace import parse_trace
from bootpath.image.redox.build import LiveImage, build_live
from bootpath.vm.accelerator import AcceleratorChoice
from bootpath.vm.bootsector import serial_boot_sector
from bootpath.vm.config import Accelerator
from tests.support.images import digest
from tests.support.linuxroot import CREATED_NS, FAR_BYTES, FAR_FILE, FS_UUID, MIB, make_root
from tests.support.tools import guest_files, guest_kernel, stored, tool
from tests.support.tree import ROOT, schema

SECONDS = 240.0
WORD = "loaded from the served disk"
SCHEMA = schema("firmware")
UKI = ROOT / "demo/debian/uki.sh"
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")


@pytest.fixture
def bios_image(tmp_path: Path) -> Path:
    """A live disk whose first sector says a word."""
    tool("qemu-system-x86_64")
    tool("setpriv")
    (tmp_path / "tree").mkdir()
    loader = tmp_path / "loader.bin"
    loader.write_bytes(serial_boot_sector(WORD.encode() + b"\n"))
    image = LiveImage(tmp_path / "tree", FS_UUID, CREATED_NS, size_bytes=16 * MIB, bios_loader=loader)
    return build_live(image, tmp_path / "bios.img").path


def test_the_bios_boots_the_served_disk_and_its_reads_are_told(
    bios_image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = AcceleratorChoice(Accelerator.TCG, "the same everywhere", 0.0)
    monkeypatch.setattr("bootpath.vm.choose_accelerator", lambda: translator)
    before = digest(bios_image)
    trace = tmp_path / "boot.trace"
    options = ["--firmware", "bios", "--memory", "64MiB", "--until", WORD, "--record", str(trace), "--json"]
    assert main(["boot", str(bios_image), *options]) == 0
    report = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, SCHEMA)
    assert report["booted"]
    assert {"area": TABLE, "operations": 2, "bytes": 1024, "distinct_bytes": 512} in report["reads"]
    recorded = parse_trace(trace.read_bytes())
    assert recorded.uuid == FS_UUID
    assert recorded.records == ()  # a boot sector reads no file system
    assert digest(bios_image) == before


def test_an_image_without_a_loader_does_not_boot_and_the_screen_says_so(bios_image: Path, tmp_path: Path) -> None:
    image = LiveImage(tmp_path / "tree", FS_UUID, CREATED_NS, size_bytes=16 * MIB)
    build_live(image, bios_image)
    setup = FirmwareSetup(Firmware.UEFI, memory_bytes=256 * MIB)
    result = FirmwareMachine(bios_image, setup).boot(until=WORD, timeout_seconds=SECONDS)
    assert isinstance(result.failure, BootError)
    assert "has the image a loader for this firmware?" in str(result.failure)
    assert "EFI" in {area.name for area in result.reads}


@pytest.mark.full
def test_a_linux_on_the_efi_partition_mounts_the_served_disk(tmp_path: Path) -> None:
    tool("qemu-system-x86_64")
    tool("objcopy")
    disk = RECIPES["disk"]
    assert disk.init is not None
    spec = InitramfsSpec(
        guest_files(),
        disk.init,
        modules=disk.modules,
        wanted_modules=disk.wanted_modules,
        python=PythonGuest(disk.python_modules, search_path=(Path(bootpath.__file__).parents[1],)),
    )
    initramfs = build_initramfs(spec, tmp_path / "initramfs").path
    loader = tmp_path / "boot.efi"
    words = "console=ttyS0 quiet panic=-1"
    subprocess.run([UKI, stored(STUB), guest_kernel(), initramfs, words, loader], check=True)
    far = make_root(tmp_path / "tree")
    image = LiveImage(
        tmp_path / "tree", FS_UUID, CREATED_NS, size_bytes=160 * MIB, efi_bytes=32 * MIB, efi_loader=loader
    )
    path = build_live(image, tmp_path / "uefi.img").path
    before = digest(path)

    def look(machine: FirmwareMachine) -> None:
        console = machine.machine.console
        console.send_line("root")
        console.wait_for("live# ", SECONDS)
        console.send_line(f"sha256sum {FAR_FILE}; echo kept > /etc/new; sync; cat /etc/new")
        console.wait_for(far, SECONDS)
        console.wait_for("kept\n", SECONDS)
        console.send_line("poweroff")
        console.wait_for("50_rootfs unmounted", SECONDS)

    setup = FirmwareSetup(Firmware.UEFI, memory_bytes=384 * MIB)
    machine = FirmwareMachine(path, setup)
    result = machine.boot(timeout_seconds=SECONDS, at_end=look)
    assert result.failure is None, result.failure
    areas = {area.name: area for area in result.reads}
    assert areas["EFI"].distinct_bytes > 10 * MIB
    assert areas["REDOX"].distinct_bytes >= FAR_BYTES
    assert result.written_bytes > 0
    assert digest(path) == before
    assert result.trace is not None
    with closing(FileDevice.open(path)) as opened:
        plan = plan_boot(opened, recorded=result.trace)
    assert plan.system_bytes >= FAR_BYTES
