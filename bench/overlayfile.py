"""What the checksums of an overlay file cost: the same work with and without them, in turns, as ratios.

    python -m bench.overlayfile [--rounds 5] [--seconds 2] [--page docs/benchmarks.md]

The files are in RAM (tmpfs), so that no disk hides what the processor does. In the process the device is called;
through the server fio's nbd engine asks, 16 requests at a time.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from random import Random

from bench.fio import Job, measure, running, write_all
from bench.page import put_section
from bootpath.block.leaves.constant import ZeroDevice
from bootpath.block.overlay.file import OverlayFile
from bootpath.core.device import Checked, checked

HEADING = "## Checksums of overlay files"
EXPLANATION = (
    "The same work on an overlay file without and with a checksum of every block, in turns, medians; a ratio is the "
    "median of the rounds' ratios, above 1 where checksums cost. The files are in RAM, all blocks are held, offsets "
    "are random. In the process: processor time of one call. Through `bootpath serve`: fio's nbd engine over a Unix "
    "socket, 16 requests at a time; the ratio of times, and in brackets of the server's processor time."
)
HELD_BYTES = 256 << 20
SIZES = {"4k": 4 << 10, "64k": 64 << 10, "1M": 1 << 20}
TURN_BYTES = 128 << 20
TURN_CALLS = 4096
VARIANTS = (False, True)  # whether there are checksums


def seconds_of(work: Callable[[], object]) -> float:
    """Processor time that it takes, which a busy machine disturbs less than the clock on the wall."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compared(rows: list[tuple[float, float]], unit: float) -> tuple[str, str]:
    """(medians without and with, the median of the ratios)."""
    without, with_ = (statistics.median(column) / unit for column in zip(*rows, strict=True))
    ratio = statistics.median(with_ / without for without, with_ in rows)
    return f"{without:.1f} | {with_:.1f}", f"{ratio:.2f}"


def calls(device: Checked, kind: str, size: int, random: Random) -> Callable[[], None]:
    """One turn of reads or writes of so many bytes."""
    count = min(TURN_CALLS, TURN_BYTES // size)
    offsets = [random.randrange(HELD_BYTES // size) * size for _ in range(count)]
    data = random.randbytes(size)

    def read() -> None:
        for offset in offsets:
            device.read(offset, size)

    def write() -> None:
        for offset in offsets:
            device.write(offset, data)

    return read if kind == "read" else write


def in_process(folder: Path, rounds: int) -> dict[str, tuple[str, str]]:
    """The cells of each job, by its name."""
    random = Random(1)
    cells = {}
    with ExitStack() as stack:
        devices = []
        for checksums in VARIANTS:
            overlay = OverlayFile.create(folder / f"process-{checksums}", ZeroDevice(HELD_BYTES), checksums=checksums)
            devices.append(stack.enter_context(closing(checked(overlay))))
            for offset in range(0, HELD_BYTES, 1 << 20):
                devices[-1].write(offset, random.randbytes(1 << 20))
        for kind in ("read", "write"):
            for name, size in SIZES.items():
                rows = []
                for turn in range(rounds):
                    seconds = [seconds_of(calls(device, kind, size, Random(turn))) for device in devices]
                    rows.append((seconds[0], seconds[1]))
                    for device in devices:
                        device.flush()
                cells[f"{kind} {name}"] = compared(rows, min(TURN_CALLS, TURN_BYTES // size) * 1e-6)
    rows = []
    for _ in range(rounds):
        seconds = [seconds_of(partial(reopen, folder / f"process-{checksums}")) for checksums in VARIANTS]
        rows.append((seconds[0], seconds[1]))
    cells[f"open, {HELD_BYTES >> 20} MiB held"] = compared(rows, 1e-6)
    return cells


def reopen(path: Path) -> None:
    """Open the file and close it again."""
    OverlayFile.open(path, ZeroDevice(HELD_BYTES)).close()


def through_server(folder: Path, rounds: int, seconds: float) -> dict[str, str]:
    """The ratio of each job, by its name."""
    image = folder / "image.raw"
    with image.open("wb") as file:
        file.truncate(HELD_BYTES)
    cells = {}
    with ExitStack() as stack:
        servers = []
        for checksums in VARIANTS:
            socket, overlay = folder / f"{checksums}.sock", folder / f"server-{checksums}"
            options = () if checksums else ("--no-overlay-checksums",)
            words = ("serve", str(image), "--overlay", str(overlay), *options, "--socket", str(socket))
            servers.append(stack.enter_context(running((sys.executable, "-m", "bootpath", *words), socket)))
            write_all(servers[-1], HELD_BYTES, folder)
        for kind in ("read", "write"):
            for name in SIZES:
                job = Job(f"{kind} {name}", (f"rw=rand{kind}", f"bs={name}", "iodepth=16"))
                rates, costs = [], []
                for _ in range(rounds):
                    without, with_ = (
                        measure(server, job, folder, seconds=seconds, size_bytes=HELD_BYTES) for server in servers
                    )
                    rates.append(without.rate / with_.rate)
                    costs.append(with_.cpu_us / without.cpu_us)
                cells[job.name] = f"{statistics.median(rates):.2f} ({statistics.median(costs):.2f})"
    return cells


def table(folder: Path, *, rounds: int, seconds: float) -> Iterator[str]:
    """The lines, one a job."""
    yield "| | without, µs | with, µs | ratio | through the server |"
    yield "|---|---:|---:|---:|---:|"
    served = through_server(folder, rounds, seconds)
    for name, (medians, ratio) in in_process(folder, rounds).items():
        yield f"| {name} | {medians} | {ratio} | {served.get(name, '–')} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--page", type=Path, metavar="F", help="renew the section of this page")
    arguments = parser.parse_args()
    if shutil.which("fio") is None:
        parser.error("fio is not installed")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        lines = list(table(Path(folder), rounds=arguments.rounds, seconds=arguments.seconds))
    print("\n".join(lines))
    if arguments.page is not None:
        put_section(arguments.page, HEADING, EXPLANATION, "\n".join(lines))


if __name__ == "__main__":
    main()
