"""The whole of it, on a big system: a Debian root of 4093 MiB, by our loader and by its own.

``make test-full`` makes the image and runs this. A boot takes some minutes under the translator.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from PIL import Image, ImageStat

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareSetup
from bootpath.boot.machine.watched import LOGIN_PATTERN
from bootpath.boot.redox.machine import LiveMachine, MachineSetup
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.formats.trace import pack_trace, parse_trace
from bootpath.image.redox.discovery import find_redoxfs
from bootpath.report.firmware import firmware_json
from bootpath.report.page import page
from bootpath.vm.config import Display
from bootpath.vm.qemu import QEMU
from tests.support.tools import demo_image, tool
from tests.support.tree import schema

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

MIB = 1 << 20
MEMORY_BYTES = 1024 * MIB
IMAGE_BYTES = 4093 * MIB
SECONDS = 1500.0
GREETER_SAID = "The greeter is on the screen."
PROMPT = re.compile(r"root@debian-live:~# $")
SCHEMA = schema("firmware")


@dataclass(frozen=True)
class Booted:
    """A Debian that somebody has logged in to, and what its screen showed once the greeter was up."""

    live: LiveMachine
    screenshot: Path


@pytest.fixture(scope="module")
def image() -> Path:
    tool("qemu-system-x86_64")
    return demo_image("debian.img")


@pytest.fixture(scope="module")
def debian(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Debian by our loader: a plan preload, the disk plugged in later, a login on serial, the greeter on virtio-gpu."""
    directory = tmp_path_factory.mktemp("debian")
    with closing(FileDevice.open(image)) as disk:
        preload = PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk).plan)
    setup = MachineSetup(preload, memory_bytes=MEMORY_BYTES, disk_delay_seconds=5.0, display=Display.VIRTIO_GPU)
    with LiveMachine(image, setup, transcript=directory / "console") as live:
        live.wait_for(LOGIN_PATTERN, SECONDS)
        log_in(live.machine)
        run(live.machine, "until [ -e /run/greeter-ready ]; do sleep 5; done")
        screenshot = directory / "greeter.png"
        live.machine.screendump(screenshot)
        yield Booted(live, screenshot)


def log_in(machine: QEMU) -> None:
    machine.console.send_line("")
    machine.console.wait_for("login: ", SECONDS)
    machine.console.send_line("root")
    machine.console.wait_for("Password: ", SECONDS)
    machine.console.send_line("bootpath")
    machine.console.wait_for(PROMPT, SECONDS)


def run(machine: QEMU, command: str) -> str:
    """What a command at the prompt prints."""
    machine.console.send_line(f"echo :$((1+1)):; {command}; echo :$((1+2)):")
    machine.console.wait_for(":2:\n", SECONDS)
    return machine.console.wait_for(re.compile(r"(?s)(.*):3:\n"), SECONDS)[1]


def text_on(screenshot: Path) -> str:
    """What an OCR program reads."""
    program = [tool("tesseract"), str(screenshot), "-", "--psm", "11"]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout


def test_the_image_is_as_big_as_it_should_be(image: Path) -> None:
    assert image.stat().st_size == IMAGE_BYTES
    with closing(FileDevice.open(image)) as disk:
        (place,) = find_redoxfs(disk).places
    assert place.ring.newest is not None
    assert place.ring.newest.size_bytes > 4000 * MIB


def test_the_root_is_mounted_without_the_disk(debian: Booted) -> None:
    run_ = debian.live.finish()
    assert run_.mounted
    assert run_.fallback is not None
    assert run_.fallback["disk_reads"] == 0


def test_df_shows_the_full_file_system(debian: Booted) -> None:
    line = run(debian.live.machine, "df --block-size=1M --output=fstype,size,used,target /run/redoxfs | tail -n 1")
    kind, size, used, target = line.split()
    assert (kind, target) == ("fuse", "/run/redoxfs")
    assert 4000 < int(size) <= 4093
    assert 2800 < int(used) < 3400


def test_it_is_debian_on_systemd_and_nothing_failed(debian: Booted) -> None:
    machine = debian.live.machine
    assert "bookworm" in run(machine, "cat /etc/os-release")
    assert run(machine, "cat /proc/1/comm").strip() == "systemd"
    assert run(machine, "systemctl --failed --no-legend --plain --no-pager | cat").strip() == ""


def test_the_greeter_is_on_the_screen(debian: Booted) -> None:
    assert any(GREETER_SAID in line.text for line in debian.live.machine.console.lines)
    with Image.open(debian.screenshot) as picture:
        spread = ImageStat.Stat(picture.convert("L"))
        assert picture.width >= 640
        assert picture.height >= 480
    assert spread.stddev[0] > 5, "the screen is blank"
    words = text_on(debian.screenshot)
    assert re.search(r"Log In|Username|debian-live|Password", words), words


def test_by_its_own_loader_under_uefi_from_a_served_disk(image: Path, tmp_path: Path) -> None:
    stamp = image.stat().st_mtime_ns
    setup = FirmwareSetup(Firmware.UEFI, memory_bytes=MEMORY_BYTES)
    seen: list[str] = []

    def look(machine: FirmwareMachine) -> None:
        log_in(machine.machine)
        seen.append(run(machine.machine, "df --output=fstype /run/redoxfs | tail -n 1").strip())

    machine = FirmwareMachine(image, setup, transcript=tmp_path / "console")
    result = machine.boot(timeout_seconds=SECONDS, at_end=look)
    assert result.failure is None, result.failure
    assert seen == ["fuse"]
    assert result.seconds_to_end is not None
    jsonschema.validate(json.loads(json.dumps(page(firmware_json(str(image), result)))), SCHEMA)

    areas = {area.name: area for area in result.reads}
    loader = areas["EFI"]
    assert loader.distinct_bytes > 10 * MIB, "kernel and initramfs came from the EFI partition"
    assert areas["REDOX"].bytes > 10 * MIB
    assert result.written_bytes > 0
    assert image.stat().st_mtime_ns == stamp

    # What was read makes the plan for the next boot, by our loader.
    assert result.trace is not None
    trace = parse_trace(pack_trace(result.trace))
    with closing(FileDevice.open(image)) as disk:
        small, recorded = plan_boot(disk), plan_boot(disk, recorded=trace)
    assert recorded.system_bytes > small.system_bytes
