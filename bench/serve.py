"""Serving a disk beside tuned peers: fio's nbd engine over a Unix socket, in turns, as ratios.

    python -m bench.serve [--rounds 3] [--seconds 3] [--work build/bench]

All servers run at the same time and idle while another is measured; every job visits them in turn (A B C, A B C, …),
and a ratio is taken inside one round, so that a machine whose speed drifts does not decide. Peers are what their
documentation offers at best. The image is in the page cache, and the region that the warm jobs write was written
before, for everybody; the cold job meets blocks that nobody has written.

Beside the rate stands the processor time that the server spent on one operation, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import mmap
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.fio import Job, Sample, measure, running, write_all
from bench.livecost import live_costs
from bench.page import put_section

HEADING = "## Serving"
EXPLANATION = (
    "fio's nbd engine over a Unix socket, every server on the same jobs in turn, medians; the ratio is the median of "
    "the rounds' ratios to the best peer of each round: first `bootpath serve --preload full`, then `bootpath serve` "
    "of the file, then the first with `--workers 2`, all with an overlay in RAM. In brackets: microseconds of the "
    "server's processor time for one operation, and the best peer's over ours. nbdkit's file plugin has no overlay "
    "and takes part in reading only."
)
IMAGE_BYTES = 1 << 30
WARM_BYTES = 256 << 20
COLD_BYTES = 128 << 20
BACKED_BYTES = 8 << 30

JOBS = (
    Job("read 4k QD1", ("rw=randread", "bs=4k", "iodepth=1"), floor=0.95),
    Job("read 4k QD16", ("rw=randread", "bs=4k", "iodepth=16"), floor=1.6),
    Job("read 4k QD16, 4 clients", ("rw=randread", "bs=4k", "iodepth=16", "numjobs=4"), floor=2.0),
    Job("write 4k QD16, warm", ("rw=randwrite", "bs=4k", "iodepth=16"), floor=1.4, writes=True),
    Job("write 4k QD16, cold", ("rw=randwrite", "bs=4k", "iodepth=16"), floor=1.0, writes=True, timed=False),
    Job("70/30 4k QD16", ("rw=randrw", "rwmixread=70", "bs=4k", "iodepth=16"), floor=1.5, writes=True),
    Job("read 1M QD4", ("rw=read", "bs=1m", "iodepth=4"), unit="MiB/s", floor=1.8),
    Job("write 1M QD4, warm", ("rw=write", "bs=1m", "iodepth=4"), unit="MiB/s", writes=True),
)


@dataclass(frozen=True, slots=True)
class Contender:
    """A server: how it is started, with {image}, {overlay} and {socket} to fill in."""

    name: str
    command: tuple[str, ...]
    ours: bool = False
    reads_only: bool = False
    only: str = ""  # jobs whose name contains this

    def takes(self, job: Job) -> bool:
        """True when it can do the job, and is asked to."""
        return self.only in job.name and not (job.writes and self.reads_only)


CONTENDERS = (
    Contender(
        "bootpath, preloaded",
        (sys.executable, "-m", "bootpath", "serve", "{image}", "--preload", "full", "--socket", "{socket}"),
        ours=True,
    ),
    Contender(
        "bootpath, file", (sys.executable, "-m", "bootpath", "serve", "{image}", "--socket", "{socket}"), ours=True
    ),
    Contender(
        "bootpath, preloaded, 2 workers",
        (
            *(sys.executable, "-m", "bootpath", "serve", "{image}", "--preload", "full", "--workers", "2"),
            *("--socket", "{socket}"),
        ),
        ours=True,
        only="4 clients",
    ),
    Contender("nbdkit memory", ("nbdkit", "-f", "-U", "{socket}", "memory", "1G")),
    Contender("nbdkit file", ("nbdkit", "-f", "-r", "-U", "{socket}", "file", "{image}"), reads_only=True),
    Contender(
        "nbdkit cow tuned",
        ("nbdkit", "-f", "-t", "1", "-U", "{socket}", "--filter=cow", "file", "{image}", "cow-block-size=4096"),
    ),
    Contender(
        "qcow2 tuned",
        (
            *("qemu-nbd", "-t", "-e", "8", "-f", "qcow2", "--aio=io_uring", "--cache=writeback"),
            *("-k", "{socket}", "{overlay}"),
        ),
    ),
)


def best_ratio(mine: Sequence[Sample], peers: Sequence[Sequence[Sample]]) -> tuple[float, float]:
    """The medians, round by round, of my rate to the best peer's and of the best peer's processor time to mine."""
    rate = [one.rate / max(peer[index].rate for peer in peers) for index, one in enumerate(mine)]
    cpu = [min(peer[index].cpu_us for peer in peers) / one.cpu_us for index, one in enumerate(mine)]
    return statistics.median(rate), statistics.median(cpu)


def prepare(work: Path) -> tuple[Path, Path]:
    """The image, in the page cache, and a fresh qcow2 overlay over it."""
    image, overlay = work / "image.raw", work / "overlay.qcow2"
    if not image.exists() or image.stat().st_size != IMAGE_BYTES:
        with image.open("wb") as file, open("/dev/urandom", "rb") as source:
            for _ in range(IMAGE_BYTES >> 20):
                file.write(source.read(1 << 20))
    overlay.unlink(missing_ok=True)
    options = "extended_l2=on,cluster_size=128k"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image, "-o", options, overlay], check=True
    )
    with image.open("rb") as file:
        while file.read(1 << 20):
            pass
    return image, overlay


def back_memory(size_bytes: int) -> None:
    """Touch memory and give it back: a virtual machine's host takes its time when a page is touched for the first time.

    Without this a job that touches new memory would measure whose turn it is to meet such pages.
    """
    with mmap.mmap(-1, size_bytes) as memory:
        for offset in range(0, size_bytes, mmap.PAGESIZE):
            memory[offset] = 1


def place(job: Job, turn: int) -> tuple[int, tuple[str, ...]]:
    """How many bytes a job works on, and where; a cold job in a region of its own each time."""
    if not job.timed:
        return COLD_BYTES, (f"offset={WARM_BYTES + turn * COLD_BYTES}",)
    return (WARM_BYTES if job.writes else IMAGE_BYTES), ()


def compare(jobs: Sequence[Job], work: Path, *, rounds: int, seconds: float) -> Iterator[str]:
    """The table, a line a job."""
    image, overlay = prepare(work)
    back_memory(BACKED_BYTES)
    assert WARM_BYTES + rounds * COLD_BYTES <= IMAGE_BYTES, "too many rounds for the image"
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        servers = {}
        for index, contender in enumerate(CONTENDERS):
            socket = Path(directory) / f"{index}.sock"
            command = [part.format(image=image, overlay=overlay, socket=socket) for part in contender.command]
            servers[contender] = stack.enter_context(running(command, socket))
            if not contender.reads_only:
                write_all(servers[contender], WARM_BYTES, work)
        yield "| job | " + " | ".join(contender.name for contender in servers) + " | ratio | floor |"
        yield "|---" * (len(servers) + 3) + "|"
        for job in jobs:
            samples: dict[Contender, list[Sample]] = {}
            for turn in range(rounds):
                size_bytes, extra = place(job, turn)
                for contender, server in servers.items():
                    if contender.takes(job):
                        sample = measure(server, job, work, seconds=seconds, size_bytes=size_bytes, extra=extra)
                        samples.setdefault(contender, []).append(sample)
            yield line(job, samples)
        memory = {contender.name: server.resident_bytes() >> 20 for contender, server in servers.items()}
        yield ""
        yield "Memory at the end, MiB: " + ", ".join(f"{name} {mib}" for name, mib in memory.items()) + "."


def line(job: Job, samples: dict[Contender, list[Sample]]) -> str:
    """One row of the table."""
    peers = [each for contender, each in samples.items() if not contender.ours]
    ratios = [best_ratio(each, peers) for contender, each in samples.items() if contender.ours]
    cells = []
    for contender in CONTENDERS:
        each = samples.get(contender)
        if each is None:
            cells.append("–")
        else:
            rate, cpu = statistics.median(one.rate for one in each), statistics.median(one.cpu_us for one in each)
            cells.append(f"{rate:.0f} ({cpu:.1f})")
    found = " / ".join(f"{rate:.2f} ({cpu:.2f})" for rate, cpu in ratios)
    return f"| {job.name}, {job.unit} | " + " | ".join(cells) + f" | {found} | {job.floor or ''} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("--page", type=Path, metavar="F", help="renew the section of this page")
    parser.add_argument("--only", default=None, help="jobs whose name contains this; nothing else is measured")
    arguments = parser.parse_args()
    for program in ("fio", "nbdkit", "qemu-nbd"):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    jobs = [job for job in JOBS if arguments.only is None or arguments.only in job.name]
    lines = []
    for text in compare(jobs, work, rounds=arguments.rounds, seconds=arguments.seconds):
        print(text, flush=True)
        lines.append(text)
    if arguments.only is None:
        lines.append("")
        for text in live_costs(work, seconds=arguments.seconds):
            print(text, flush=True)
            lines.append(text)
    if arguments.page is not None:
        put_section(arguments.page, HEADING, EXPLANATION, "\n".join(lines))


if __name__ == "__main__":
    main()
