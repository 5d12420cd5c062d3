"""The live path in a real kernel: preload in its memory, lived before any driver, a RedoxFS root, a login prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import jsonschema
import pytest
from PIL import Image

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.machine.watched import LOGIN_PATTERN
from bootpath.boot.protocol.events import parse_event
from bootpath.boot.protocol.settings import Settings
from bootpath.boot.redox.machine import DISK_NAME, LiveMachine, MachineSetup
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.redox.simulation import SimulationMode, SimulationSetup, simulate
from bootpath.cli.main import main
from bootpath.core.errors import BootError
from bootpath.core.extents import Extent
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.image.redox.discovery import find_redoxfs, place_device
from tests.support.images import PASSWORD, digest
from tests.support.linuxroot import FAR_BYTES, FAR_FILE, MIB, LinuxImage, make_initramfs, make_linux_image
from tests.support.tools import tool
from tests.support.tree import schema

pytestmark = pytest.mark.live_boot

SECONDS = 240.0
RING_ONLY = PreloadChoice(PreloadKind.PREFIX, prefix_bytes=MIB)
SCHEMA = schema("machine")
DROP_CACHES = "sync; echo 3 > /proc/sys/vm/drop_caches"
NOTHING = {"disk_reads": 0, "disk_bytes": 0, "disk_waits": 0, "disk_failures": 0}


@dataclass(frozen=True)
class Images:
    plain: LinuxImage
    encrypted: LinuxImage


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The small root, plain and encrypted; both have Debian's or Ubuntu's kernel and our initramfs inside."""
    tool("setpriv")
    tool("qemu-system-x86_64")
    pytest.importorskip("elftools")
    pytest.importorskip("zstandard")
    directory = tmp_path_factory.mktemp("live")
    initramfs = make_initramfs(directory / "initramfs")
    other = UUID("6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c005")
    return Images(
        make_linux_image(directory, initramfs),
        make_linux_image(directory, initramfs, "encrypted.img", uuid=other, password=PASSWORD),
    )


def plan_of(image: LinuxImage) -> PreloadChoice:
    with closing(FileDevice.open(image.path)) as disk:
        return PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk).plan)


@contextmanager
def booted(image: LinuxImage, setup: MachineSetup) -> Iterator[LiveMachine]:
    """The machine; whatever happens in it, the image stays as it is."""
    before = digest(image.path)
    with LiveMachine(image.path, setup, binary=tool("qemu-system-x86_64")) as live:
        yield live
    assert digest(image.path) == before


def log_in(live: LiveMachine) -> None:
    live.wait_for(LOGIN_PATTERN, SECONDS)
    live.machine.console.send_line("root")
    live.wait_for("live# $", SECONDS)


def run(live: LiveMachine, command: str) -> str:
    """What a command at the prompt prints. The marks are computed, so that the echo of the line is not one."""
    live.machine.console.send_line(f"echo :$((1+1)):; {command}; echo :$((1+2)):")
    match = live.wait_for(r"(?s::2:\n(?P<out>.*?):3:\n)", SECONDS)
    return "".join(f"{line}\n" for line in match["out"].splitlines() if parse_event(line) is None)


def read_far(live: LiveMachine) -> str:
    return run(live, f"sha256sum {FAR_FILE}").split()[0]


def test_a_plan_boot_needs_no_disk_before_the_login(images: Images) -> None:
    image = images.plain
    with booted(image, MachineSetup(plan_of(image), disk_delay_seconds=None)) as live:
        assert live.wait_event("50_rootfs", "mounted", SECONDS).counts == NOTHING
        log_in(live)
        assert run(live, "ls /dev/vda 2>&1").strip().endswith("No such file or directory")

        live.plug()
        assert "REDOX" in live.wait_event("40_drivers", "disk accepted", SECONDS).detail
        assert read_far(live) == image.far_digest
        run(live, "echo kept > /root/note")
        assert run(live, f"{DROP_CACHES}; cat /root/note") == "kept\n"

        result = live.finish()
        assert result.fallback == NOTHING
        assert result.disk is not None
        assert result.disk.read_bytes > FAR_BYTES
        assert result.disk.written_bytes == 0
        order = [(step.actor, step.what) for step in result.steps]
        wanted = [
            ("loader", "preload plan"),
            ("kernel", "start"),
            ("10_lived", "started"),
            ("40_drivers.target", "reached"),
            ("50_rootfs", "mounting"),
            ("50_rootfs", "mounted"),
            ("system", "started"),
            ("40_drivers", "disk accepted"),
        ]
        assert [step for step in order if step in wanted] == wanted
        live.machine.power_cut()


def test_disks_that_go_and_come_and_the_way_down(images: Images) -> None:
    image = images.plain
    setup = MachineSetup(plan_of(image), settings=Settings(deadline=2.0))
    with booted(image, setup) as live:
        live.wait_event("40_drivers", "disk accepted", SECONDS)
        log_in(live)
        # What an earlier machine wrote went with its power.
        assert "No such file" in run(live, "cat /root/note 2>&1")

        live.machine.detach(DISK_NAME, SECONDS)
        assert run(live, f"{DROP_CACHES}; cat /etc/hostname") == "live\n"
        assert "Input/output error" in run(live, f"sha256sum {FAR_FILE} 2>&1")
        assert any("no disk has appeared within 2 s" in heard.event.detail for heard in live.heard())

        live.plug(images.encrypted.path, "other")
        refused = live.wait_event("40_drivers", "disk refused", SECONDS)
        assert "the disk is another one: its uuid differs" in refused.detail
        assert "Input/output error" in run(live, f"sha256sum {FAR_FILE} 2>&1")
        assert run(live, f"{DROP_CACHES}; cat /etc/hostname") == "live\n"

        live.machine.detach("other", SECONDS)
        live.plug()
        live.wait_event("40_drivers", "disk accepted", SECONDS)
        assert read_far(live) == image.far_digest

        live.machine.console.send_line("poweroff")
        assert live.wait_event("system", "ended", SECONDS).detail == "power off"
        live.wait_event("50_rootfs", "unmounted", SECONDS)
        assert live.wait_event("10_lived", "stopped", SECONDS).counts["disk_failures"] > 0
        assert live.machine.wait_exit(SECONDS) == 0


def test_a_mount_that_waits_for_its_disk_and_an_encrypted_root(images: Images) -> None:
    image = images.encrypted
    setup = MachineSetup(RING_ONLY, disk_delay_seconds=None, settings=Settings(deadline=SECONDS), password=PASSWORD)
    with booted(image, setup) as live:
        live.wait_event("10_lived", "waits for the disk", SECONDS)
        live.plug(images.plain.path, "other")
        live.wait_event("40_drivers", "disk refused", SECONDS)
        live.machine.detach("other", SECONDS)
        live.plug()
        counts = live.wait_event("50_rootfs", "mounted", SECONDS).counts
        assert counts["disk_waits"] > 0
        assert counts["disk_failures"] == 0
        log_in(live)
        assert run(live, "cat /etc/hostname") == "live\n"

        live.machine.send_keys("ctrl", "alt", "delete")
        assert live.wait_event("system", "ended", SECONDS).detail == "restart"
        live.wait_event("50_rootfs", "unmounted", SECONDS)
        assert live.machine.wait_exit(SECONDS) == 0


def test_the_classic_daemon_fails_in_the_guest_as_in_the_simulation(
    images: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    path = images.plain.path
    with closing(FileDevice.open(path)) as disk:
        simulation = simulate(
            disk, SimulationSetup(RING_ONLY, [disk], SimulationMode.CLASSIC), clock=lambda: 0.0, pause=lambda _: None
        )
    assert isinstance(simulation.failure, BootError)
    assert "failed with EINVAL" in simulation.failure.what

    assert main(["boot", str(path), "--classic", "--preload", "1MiB", "--json"]) == 3
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, SCHEMA)
    assert not value["mounted"]
    assert not value["booted"]
    assert value["failure"]["where"] == "50_rootfs"
    assert value["failure"]["what"].startswith(simulation.failure.what)


def lucky_prefix(image: LinuxImage) -> PreloadChoice:
    """The shortest preload that has all that the file system uses, though not the whole disk: what mini images got."""
    with closing(FileDevice.open(image.path)) as disk:
        discovery = find_redoxfs(disk)
        (place,) = discovery.places
        with RedoxFS.open(place_device(disk, discovery, place)) as fs:
            free = fs.free_extents()
            used = free.gaps(Extent(0, fs.header.size_bytes))
        prefix = -(-(max(extent.end for extent in used)) // MIB) * MIB
        assert prefix < place.size_bytes
    return PreloadChoice(PreloadKind.PREFIX, prefix_bytes=prefix)


def test_a_small_image_boots_as_it_always_did(images: Images) -> None:
    image = images.plain
    with booted(image, MachineSetup(lucky_prefix(image), disk_delay_seconds=None)) as live:
        assert live.wait_event("50_rootfs", "mounted", SECONDS).counts == NOTHING
        log_in(live)
        assert read_far(live) == image.far_digest
        assert live.finish().fallback == NOTHING


def test_the_classic_daemon_boots_a_small_image_by_luck(
    images: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "screen.png"
    prefix = lucky_prefix(images.plain).prefix_bytes
    arguments = ["--classic", "--preload", str(prefix), "--ahci", "--json", "--screenshot", str(picture)]
    assert main(["boot", str(images.plain.path), *arguments]) == 0
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, SCHEMA)
    assert value["booted"]
    assert value["fallback"]["reads"] == 0
    assert value["reserved_bytes"] >= value["preload_bytes"] == prefix
    assert value["timeline"][-1]["actor"] == "login"
    with Image.open(picture) as screen:
        extrema = screen.convert("L").getextrema()
    assert extrema[0] != extrema[1]


def test_a_machine_without_a_boot(images: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", str(images.plain.path), "--memory", "64MiB"]) == 3
    assert "the machine has too little memory for Linux" in capsys.readouterr().err
