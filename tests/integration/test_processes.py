"""The live path as real processes: lived and the disk's driver, killed, stalled, replaced."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.targets.log import Log
from bootpath.boot.redox.loader import Handover
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.redox.processes import DaemonPrograms, LivePath
from bootpath.boot.redox.simulation import Root, Simulation, SimulationSetup, simulate
from bootpath.boot.timeline import Timeline
from bootpath.cli.main import main
from bootpath.core.device import checked
from bootpath.core.errors import BootError, DeviceError
from bootpath.core.iolog import Read, Record
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.images import FAR_FILE, MIB, digest, make_image
from tests.support.tools import tool

SECONDS = 60.0
RUN = "import sys; from bootpath.cli.{} import main; sys.exit(main())"
PROGRAMS = DaemonPrograms(
    lived=(sys.executable, "-c", RUN.format("lived")), driver=(sys.executable, "-c", RUN.format("main"), "serve")
)


@pytest.fixture(autouse=True)
def needs() -> None:
    tool("setpriv")


def boot(image: Path, path: LivePath, *, start: Callable[..., Root] | None = None, **options: object) -> Simulation:
    before = digest(image)
    with closing(FileDevice.open(image)) as disk:
        plan = PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk).plan)
        setup = replace(SimulationSetup(plan, [], deadline_seconds=SECONDS), **options)  # type: ignore[arg-type]
        result = simulate(disk, setup, clock=time.monotonic, pause=time.sleep, start_live=start or path.start)
    assert digest(image) == before
    return result


@contextmanager
def root_of(result: Simulation) -> Iterator[RedoxFS]:
    assert result.failure is None, result.failure
    assert result.root_device is not None
    with RedoxFS.open(result.root_device) as fs:
        yield fs


def test_it_boots_from_the_preload_and_reads_the_rest_from_the_driver(image: Path) -> None:
    with LivePath(PROGRAMS, image) as path:
        result = boot(image, path, touches=(FAR_FILE,))
        assert result.failure is None
        assert result.reads["preload"].bytes > 0
        assert result.reads["disk"].bytes >= 6 * MIB
        assert result.overlay_bytes > 0
        lived, driver = path.lived, path.driver
        assert lived is not None
        assert driver is not None
        assert lived.running
        assert driver.running
    assert not lived.running
    assert not driver.running


def test_nothing_waits_for_a_late_driver_but_what_needs_it(image: Path) -> None:
    with LivePath(PROGRAMS, image) as path, root_of(boot(image, path, disk_delay_seconds=3600)) as fs:
        assert fs.read("/etc/passwd").startswith(b"root;")
        assert path.driver is None
        path.start_driver()
        assert len(fs.read(FAR_FILE)) == 6 * MIB


def test_without_a_disk(image: Path) -> None:
    with LivePath(PROGRAMS, None) as path:
        result = boot(image, path, touches=(FAR_FILE,))
        assert result.mounted
        assert result.failed_access is not None
        assert result.failed_access.error == "EIO"


def test_the_driver_is_killed_and_started_again(image: Path) -> None:
    with LivePath(PROGRAMS, image) as path, root_of(boot(image, path)) as fs:
        path.start_driver()
        assert len(fs.read(FAR_FILE, 0, MIB)) == MIB
        assert path.driver is not None
        path.driver.kill()
        assert fs.read("/etc/passwd").startswith(b"root;")
        path.start_driver()
        assert len(fs.read(FAR_FILE, 3 * MIB, MIB)) == MIB


def test_a_driver_that_stays_away_is_eio_and_lived_goes_on(image: Path) -> None:
    with LivePath(PROGRAMS, image) as path, root_of(boot(image, path, deadline_seconds=0.2)) as fs:
        path.start_driver()
        path.stop_driver()
        with pytest.raises(DeviceError, match="error 5"):
            fs.read(FAR_FILE, 0, MIB)
        assert fs.read("/etc/passwd").startswith(b"root;")
        path.start_driver()
        assert len(fs.read(FAR_FILE, 0, MIB)) == MIB


def test_a_driver_that_stalls(image: Path) -> None:
    with LivePath(PROGRAMS, image) as path, root_of(boot(image, path, deadline_seconds=0.5)) as fs:
        path.start_driver()
        assert len(fs.read(FAR_FILE, 0, MIB)) == MIB
        assert path.driver is not None
        path.driver.pause()
        with pytest.raises(DeviceError, match="error 5"):
            fs.read(FAR_FILE, 2 * MIB, MIB)
        assert fs.read("/etc/passwd").startswith(b"root;")
        path.driver.resume()
        assert len(fs.read(FAR_FILE, 2 * MIB, MIB)) == MIB
        assert path.driver.running


def test_lived_is_killed_in_the_middle_of_the_boot(image: Path) -> None:
    with LivePath(PROGRAMS, image) as path:

        def start(setup: SimulationSetup, handover: Handover, timeline: Timeline) -> Root:
            root = path.start(setup, handover, timeline)
            reads = 0

            def count(record: Record) -> None:
                nonlocal reads
                reads += isinstance(record, Read)
                if reads == 5:
                    assert path.lived is not None
                    path.lived.kill()

            return replace(root, device=checked(Log(root.device, count)))

        result = boot(image, path, start=start)
        assert isinstance(result.failure, BootError)
        assert "failed with EIO" in str(result.failure)
        assert "the connection is lost" in str(result.failure)
        assert "\n" not in str(result.failure)
        assert result.overlay_bytes == 0


def test_another_disk_behind_the_driver_is_refused(image: Path, tmp_path: Path) -> None:
    other = make_image(tmp_path, "other.img", uuid=UUID(int=5))
    with LivePath(PROGRAMS, other) as path:
        result = boot(image, path, touches=(FAR_FILE,))
        assert result.mounted
        assert "the disk is refused" in str(result.failure)


def test_a_disk_that_fails(image: Path) -> None:
    with LivePath(PROGRAMS, image, rules="read:error") as path:
        result = boot(image, path, touches=(FAR_FILE,), deadline_seconds=0.5)
        assert result.mounted
        assert "EIO" in str(result.failure)


def test_what_lived_says_when_it_does_not_start(image: Path, tmp_path: Path) -> None:
    programs = DaemonPrograms(("sh", "-c", "echo bootpath: out of luck >&2; exit 3"), PROGRAMS.driver)
    with LivePath(programs, image) as path:
        result = boot(image, path)
    assert isinstance(result.failure, BootError)
    failure = result.failure
    assert failure is not None
    assert (failure.where, failure.found, failure.hint) == ("10_lived", "exit code 3", "out of luck")
    assert failure.what == "the process ended before it served"


def test_what_the_driver_says_when_it_does_not_start(image: Path, tmp_path: Path) -> None:
    gone = r"40_drivers: the process ended before it served.*none\.img"
    with LivePath(PROGRAMS, tmp_path / "none.img") as path, pytest.raises(BootError, match=gone):
        path.start_driver()


PARENT = """
import sys, time
from pathlib import Path
from contextlib import closing
from bootpath.block.leaves.file import FileDevice
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.redox.simulation import SimulationSetup, simulate
from bootpath.boot.redox.processes import LivePath
from tests.integration.test_processes import PROGRAMS
with LivePath(PROGRAMS, Path(sys.argv[1])) as path, closing(FileDevice.open(sys.argv[1])) as disk:
    setup = SimulationSetup(PreloadChoice(PreloadKind.PREFIX, 1 << 20), [])
    result = simulate(disk, setup, clock=time.monotonic, pause=time.sleep, start_live=path.start)
    path.start_driver()
    print(path.lived.pid, path.driver.pid, flush=True)
    sys.stdin.read()
"""


def test_no_orphans_after_kill_9_of_the_simulation(image: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(image)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        watches = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(watches) == 2
        os.kill(parent.pid, signal.SIGKILL)
    try:
        for watch in watches:
            assert select.select([watch], [], [], SECONDS)[0], "a daemon outlived its parent"
    finally:
        for watch in watches:
            os.close(watch)


# The command


def test_the_command(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(image), "--processes", "--touch", FAR_FILE]) == 0
    output = capsys.readouterr().out
    assert "; process " in output
    assert "from preload" in output
    assert "from disk" in output
    assert "Verdict: boots" in output


def test_the_command_with_a_disk_that_fails(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", str(image), "--processes", "--touch", FAR_FILE, "--deadline", "0.5s"]
    assert main([*arguments, "--fault", "read:error"]) == 3
    captured = capsys.readouterr()
    assert "mounted, but the boot fails" in captured.out
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--classic"], "simulated in this process"),
        (["--from-disk"], "nothing is live"),
        (["--disk", "a", "--disk", "b"], "one --disk"),
    ],
)
def test_usage(image: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], pattern: str) -> None:
    assert main(["simulate", str(image), "--processes", *arguments]) == 2
    assert pattern in capsys.readouterr().err
