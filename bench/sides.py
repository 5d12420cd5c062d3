"""What `bench.run` measures, each as a function that returns seconds."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.block.targets.log import Log
from bootpath.boot.redox.preload import PreloadChoice
from bootpath.boot.redox.simulation import SimulationSetup, simulate
from bootpath.core.device import Device, checked
from bootpath.fs.redox.redoxfs import RedoxFS


def boot_seconds(image: Path, preload: PreloadChoice) -> float:
    """From the loader's start to the mounted root."""
    with closing(FileDevice.open(image)) as disk:
        simulation = simulate(disk, SimulationSetup(preload, [disk]), clock=time.monotonic, pause=time.sleep)
        assert simulation.failure is None, simulation.failure
        assert simulation.seconds_to_root is not None
        return simulation.seconds_to_root


def read_all(partition: Path, *, direct: bool = True) -> float:
    """Open a bare file system and read every file; `direct` lets Rust read the image without calling Python."""
    start = time.perf_counter()
    with closing(FileDevice.open(partition)) as disk:
        device: Device = disk if direct else Log(disk, lambda record: None)
        with RedoxFS.open(checked(device)) as fs:
            for path, node in fs.walk():
                if node.is_file:
                    for offset in range(0, node.size_bytes, 1 << 20):
                        fs.read(path, offset, 1 << 20)
    return time.perf_counter() - start


def fuse_cat(partition: Path, program: Path, mountpoint: Path) -> float:
    """Mount with the upstream program and cat every file."""
    mountpoint.mkdir(exist_ok=True)
    start = time.perf_counter()
    with subprocess.Popen([program, "--no-daemon", partition, mountpoint], stderr=subprocess.DEVNULL) as daemon:
        while not mountpoint.is_mount():
            assert daemon.poll() is None, "redoxfs ended before it mounted"
            time.sleep(0.001)
        subprocess.run(
            ["find", mountpoint, "-type", "f", "-exec", "cat", "{}", "+"], stdout=subprocess.DEVNULL, check=True
        )
        seconds = time.perf_counter() - start
        subprocess.run(["fusermount3", "-u", mountpoint], check=True)
        daemon.wait()
    return seconds
