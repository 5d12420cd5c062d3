"""fio's nbd engine against a server, and what the server spent on it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """A fio job; `unit` is what its number means, `floor` what ours is to reach beside the best peer."""

    name: str
    options: tuple[str, ...]
    unit: str = "kIOPS"
    floor: float | None = None
    writes: bool = False
    timed: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    uri: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time so far, user and system, its children's included (proc(5), /proc/pid/stat)."""
        return sum(_ticks(pid) for pid in (self.pid, *_children(self.pid))) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Memory of its own and shared memory it has mapped, without files (proc(5), /proc/pid/status)."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return 1024 * sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem"))


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run gave: thousands of operations, or MiB, a second, and microseconds of the server's per operation."""

    rate: float
    cpu_us: float


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _children(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [each for child in children for each in _children(child)]


@contextmanager
def running(command: Sequence[str], socket: Path) -> Iterator[Running]:
    """The server, once it listens."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not socket.exists():
                assert process.poll() is None, f"{command[0]} ended before it listened"
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.01)
            yield Running(f"nbd+unix:///?socket={socket}", process.pid)
        finally:
            process.terminate()


def measure(
    server: Running, job: Job, work: Path, *, seconds: float, size_bytes: int, extra: Sequence[str] = ()
) -> Sample:
    """Run the job once."""
    lines = ["[global]", "ioengine=nbd", "thread=1", f"uri={server.uri}", "randrepeat=0", "group_reporting=1"]
    if job.timed:
        lines += ["time_based=1", f"runtime={seconds:g}"]
    path = work / "job.fio"
    path.write_text("\n".join([*lines, f"[{job.name}]", f"size={size_bytes}", *job.options, *extra]) + "\n")
    before = server.cpu_seconds()
    result = subprocess.run(
        ["fio", "--output-format=json", path], check=True, stdout=subprocess.PIPE, text=True, cwd=work
    )
    spent = server.cpu_seconds() - before
    report = json.loads(result.stdout[result.stdout.index("{") :])["jobs"][0]  # a warning may come first
    iops = float(report["read"]["iops"] + report["write"]["iops"])
    operations = report["read"]["total_ios"] + report["write"]["total_ios"]
    return Sample(iops if job.unit == "MiB/s" else iops / 1000, 1e6 * spent / operations)


def write_all(server: Running, size_bytes: int, work: Path) -> None:
    """Write the first `size_bytes` once."""
    job = Job("warm", ("rw=write", "bs=1m", "iodepth=4"), timed=False)
    measure(server, job, work, seconds=0, size_bytes=size_bytes)
