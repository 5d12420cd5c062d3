"""Serving a disk beside tuned peers: fio's nbd engine over a Unix socket, in turns, as ratios.

    python -m bench.serve [--rounds 3] [--seconds 3] [--work build/bench]

All servers run at the same time and idle while another is measured; every job visits them in turn (A B C, A B C, …),
and a ratio is taken inside one round, so that a machine whose speed drifts does not decide. Peers are what their
documentation offers at best: nbdkit's memory plugin, and its cow filter with one thread and 4 KiB blocks. The image is
in the page cache, and the written region was written before (warm), for everybody.
"""

from __future__ import annotations

import argparse
import json
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
    writes: bool = False


JOBS = (
    Job("read 4k QD1", ("rw=randread", "bs=4k", "iodepth=1")),
    Job("read 4k QD16", ("rw=randread", "bs=4k", "iodepth=16")),
    Job("read 4k QD16, 4 clients", ("rw=randread", "bs=4k", "iodepth=16", "numjobs=4")),
    Job("write 4k QD16, warm", ("rw=randwrite", "bs=4k", "iodepth=16", f"size={WARM_BYTES}"), writes=True),
    Job("70/30 4k QD16", ("rw=randrw", "rwmixread=70", "bs=4k", "iodepth=16", f"size={WARM_BYTES}"), writes=True),
    Job("read 1M QD4", ("rw=read", "bs=1m", "iodepth=4"), unit="MiB/s"),
    Job("write 1M QD4, warm", ("rw=write", "bs=1m", "iodepth=4", f"size={WARM_BYTES}"), unit="MiB/s", writes=True),
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


@contextmanager
def running(command: list[str], image: Path, socket: Path) -> Iterator[str]:
    """The server's URI, once it listens."""
    with subprocess.Popen([part.format(image=image, socket=socket) for part in command]) as process:
        try:
            while not socket.exists():
                assert process.poll() is None, f"{command[0]} ended before it listened"
                time.sleep(0.01)
            yield f"nbd+unix:///?socket={socket}"
        finally:
            process.terminate()


def measure(uri: str, job: Job, seconds: float, work: Path) -> float:
    """Run the job once: thousands of operations a second, or MiB a second."""
    lines = [
        "[global]",
        "ioengine=nbd",
        "thread=1",
        f"uri={uri}",
        "time_based=1",
        f"runtime={seconds:g}",
        "randrepeat=0",
    ]
    options = [*lines, "group_reporting=1", f"[{job.name}]", f"size={IMAGE_BYTES}", *job.options]
    path = work / "job.fio"
    path.write_text("\n".join(options) + "\n")
    result = subprocess.run(
        ["fio", "--output-format=json", path], check=True, stdout=subprocess.PIPE, text=True, cwd=work
    )
    start = result.stdout.index("{")  # a warning may come first
    report = json.loads(result.stdout[start:])["jobs"][0]
    iops = float(report["read"]["iops"] + report["write"]["iops"])
    return iops if job.unit == "MiB/s" else iops / 1000


def warm(uri: str, work: Path) -> None:
    """Write the region that the writing jobs use."""
    path = work / "warm.fio"
    path.write_text(f"[warm]\nioengine=nbd\nuri={uri}\nrw=write\nbs=1m\niodepth=4\nsize={WARM_BYTES}\n")
    subprocess.run(["fio", path], check=True, stdout=subprocess.DEVNULL, cwd=work)


def ratios(mine: list[float], peers: list[list[float]]) -> float:
    """The median, round by round, of mine to the best peer's."""
    return statistics.median(value / max(peer[index] for peer in peers) for index, value in enumerate(mine))


def compare(jobs: list[Job], work: Path, *, rounds: int, seconds: float) -> Iterator[str]:
    """The table, a line a job."""
    image = work / "image.raw"
    if not image.exists() or image.stat().st_size != IMAGE_BYTES:
        with image.open("wb") as file, open("/dev/urandom", "rb") as source:
            for _ in range(IMAGE_BYTES >> 20):
                file.write(source.read(1 << 20))
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        uris = {
            name: stack.enter_context(running(command, image, Path(directory) / f"{index}.sock"))
            for index, (name, command) in enumerate(SERVERS.items())
        }
        for uri in uris.values():
            warm(uri, work)
        yield "| job | " + " | ".join(uris) + " | ours to the best peer |"
        yield "|---" * (len(uris) + 2) + "|"
        for job in jobs:
            values: dict[str, list[float]] = {name: [] for name in uris}
            for _ in range(rounds):
                for name, uri in uris.items():
                    values[name].append(measure(uri, job, seconds, work))
            peers = [values[name] for name in uris if not name.startswith(OURS)]
            found = [f"{ratios(values[name], peers):.2f}" for name in uris if name.startswith(OURS)]
            cells = [f"{statistics.median(each):.0f}" for each in values.values()]
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
