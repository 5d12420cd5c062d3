"""Serving a disk beside tuned peers: fio's nbd engine over a Unix socket, in turns, as ratios.

    python -m bench.serve [--rounds 3] [--seconds 3] [--work build/bench]

All servers run at the same time and idle while another is measured; every job visits them in turn (A B C, A B C, …),
and a ratio is taken inside one round, so that a machine whose speed drifts does not decide. Peers are what their
documentation offers at best: nbdkit's memory plugin, and its cow filter with one thread and 4 KiB blocks. The image is
in the page cache, and the written region was written before (warm), for everybody.

Beside the rate stands the processor time that the server spent on one operation, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootpath.block import FileDevice, MemoryDevice, Overlay
from bootpath.core import Device, checked
from bootpath.serve import Export, Server

HEADING = "## Serving"
EXPLANATION = (
    "fio's nbd engine over a Unix socket, every server on the same jobs in turn, medians; the ratio is the median of "
    "the rounds' ratios to the best peer of each round, first for our memory, then for our overlay over a file."
)
IMAGE_BYTES = 1 << 30
WARM_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """A fio job; `unit` is what its number means."""

    name: str
    options: tuple[str, ...]
    unit: str = "kIOPS"


JOBS = (
    Job("read 4k QD1", ("rw=randread", "bs=4k", "iodepth=1")),
    Job("read 4k QD16", ("rw=randread", "bs=4k", "iodepth=16")),
    Job("read 4k QD16, 4 clients", ("rw=randread", "bs=4k", "iodepth=16", "numjobs=4")),
    Job("write 4k QD16, warm", ("rw=randwrite", "bs=4k", "iodepth=16", f"size={WARM_BYTES}")),
    Job("70/30 4k QD16", ("rw=randrw", "rwmixread=70", "bs=4k", "iodepth=16", f"size={WARM_BYTES}")),
    Job("read 1M QD4", ("rw=read", "bs=1m", "iodepth=4"), unit="MiB/s"),
    Job("write 1M QD4, warm", ("rw=write", "bs=1m", "iodepth=4", f"size={WARM_BYTES}"), unit="MiB/s"),
)

# The name, how it is started, and whether it can be written. {image} and {socket} are filled in.
OURS = "bootpath "
SERVERS: dict[str, list[str]] = {
    "bootpath memory": [sys.executable, "-m", "bench.serve", "--serve", "memory", "{image}", "{socket}"],
    "bootpath overlay over file": [sys.executable, "-m", "bench.serve", "--serve", "overlay", "{image}", "{socket}"],
    "nbdkit memory": ["nbdkit", "-f", "-U", "{socket}", "memory", "1G"],
    "nbdkit file cow tuned": [
        *("nbdkit", "-f", "-t", "1", "-U", "{socket}", "--filter=cow"),
        *("file", "{image}", "cow-block-size=4096"),
    ],
}


def serve(kind: str, image: Path, socket: str) -> None:
    """One of our servers, until SIGTERM."""
    base: Device = MemoryDevice(image.read_bytes()) if kind == "memory" else FileDevice.open(image)
    server = Server({"": Export("", checked(Overlay(base)))})
    server.listen_unix(socket)
    signal.signal(signal.SIGTERM, lambda number, frame: server.stop(1))
    server.run()


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    uri: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time so far, user and system (proc(5), /proc/pid/stat)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run gave: thousands of operations, or MiB, a second, and microseconds of the server's per operation."""

    rate: float
    cpu_us: float


@contextmanager
def running(command: list[str], image: Path, socket: Path) -> Iterator[Running]:
    """The server, once it listens."""
    with subprocess.Popen([part.format(image=image, socket=socket) for part in command]) as process:
        try:
            while not socket.exists():
                assert process.poll() is None, f"{command[0]} ended before it listened"
                time.sleep(0.01)
            yield Running(f"nbd+unix:///?socket={socket}", process.pid)
        finally:
            process.terminate()


def measure(server: Running, job: Job, seconds: float, work: Path) -> Sample:
    """Run the job once."""
    lines = ["[global]", "ioengine=nbd", "thread=1", f"uri={server.uri}", "time_based=1", f"runtime={seconds:g}"]
    options = [*lines, "randrepeat=0", "group_reporting=1", f"[{job.name}]", f"size={IMAGE_BYTES}", *job.options]
    path = work / "job.fio"
    path.write_text("\n".join(options) + "\n")
    before = server.cpu_seconds()
    result = subprocess.run(
        ["fio", "--output-format=json", path], check=True, stdout=subprocess.PIPE, text=True, cwd=work
    )
    spent = server.cpu_seconds() - before
    start = result.stdout.index("{")  # a warning may come first
    report = json.loads(result.stdout[start:])["jobs"][0]
    iops = float(report["read"]["iops"] + report["write"]["iops"])
    operations = report["read"]["total_ios"] + report["write"]["total_ios"]
    return Sample(iops if job.unit == "MiB/s" else iops / 1000, 1e6 * spent / operations)


def warm(uri: str, work: Path) -> None:
    """Write the region that the writing jobs use."""
    path = work / "warm.fio"
    path.write_text(f"[warm]\nioengine=nbd\nuri={uri}\nrw=write\nbs=1m\niodepth=4\nsize={WARM_BYTES}\n")
    subprocess.run(["fio", path], check=True, stdout=subprocess.DEVNULL, cwd=work)


def ratios(mine: list[Sample], peers: list[list[Sample]]) -> str:
    """The medians, round by round, of my rate to the best peer's and of the best peer's processor time to mine."""
    rate = [one.rate / max(peer[index].rate for peer in peers) for index, one in enumerate(mine)]
    cpu = [min(peer[index].cpu_us for peer in peers) / one.cpu_us for index, one in enumerate(mine)]
    return f"{statistics.median(rate):.2f} (CPU {statistics.median(cpu):.2f})"


def compare(jobs: list[Job], work: Path, *, rounds: int, seconds: float) -> Iterator[str]:
    """The table, a line a job."""
    image = work / "image.raw"
    if not image.exists() or image.stat().st_size != IMAGE_BYTES:
        with image.open("wb") as file, open("/dev/urandom", "rb") as source:
            for _ in range(IMAGE_BYTES >> 20):
                file.write(source.read(1 << 20))
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        servers = {
            name: stack.enter_context(running(command, image, Path(directory) / f"{index}.sock"))
            for index, (name, command) in enumerate(SERVERS.items())
        }
        for server in servers.values():
            warm(server.uri, work)
        yield "| job | " + " | ".join(f"{name} (CPU us)" for name in servers) + " | ours to the best peer |"
        yield "|---" * (len(servers) + 2) + "|"
        for job in jobs:
            samples: dict[str, list[Sample]] = {name: [] for name in servers}
            for _ in range(rounds):
                for name, server in servers.items():
                    samples[name].append(measure(server, job, seconds, work))
            peers = [samples[name] for name in servers if not name.startswith(OURS)]
            found = [ratios(samples[name], peers) for name in servers if name.startswith(OURS)]
            cells = [
                f"{statistics.median(one.rate for one in each):.0f}"
                f" ({statistics.median(one.cpu_us for one in each):.1f})"
                for each in samples.values()
            ]
            yield f"| {job.name}, {job.unit} | " + " | ".join(cells) + " | " + " / ".join(found) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("--append", type=Path, metavar="PAGE", help="put the table at the end of this page")
    parser.add_argument("--only", default="", help="jobs whose name contains this")
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "IMAGE", "SOCKET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        kind, image, socket = arguments.serve
        serve(kind, Path(image), socket)
        return
    for program in ("fio", "nbdkit"):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    jobs = [job for job in JOBS if arguments.only in job.name]
    lines = []
    for line in compare(jobs, work, rounds=arguments.rounds, seconds=arguments.seconds):
        print(line, flush=True)
        lines.append(line)
    if arguments.append is not None:
        before = arguments.append.read_text().partition(HEADING)[0].rstrip()
        arguments.append.write_text("\n\n".join((before, HEADING, EXPLANATION, "\n".join(lines))) + "\n")


if __name__ == "__main__":
    main()
