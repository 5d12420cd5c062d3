"""What the live stack costs when it holds nothing, holds much, or waits: against our own plain server.

python -m bench.livecost --plain IMAGE SOCKET        serve plain memory, for the comparison
python -m bench.livecost --stalled IMAGE SOCKET      serve the image, and beside it a disk that never answers
"""

from __future__ import annotations

import argparse
import signal
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from bench.fio import Job, Running, measure, running
from bootpath.block.leaves.constant import ZeroDevice
from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.leaves.open import open_device
from bootpath.core.device import Buffer, Device, checked, read_bytes
from bootpath.serve.export import Export
from bootpath.serve.server.server import Server

_MIB = 1 << 20
_READ = Job("read", ("rw=randread", "bs=4k", "iodepth=16"))


class Stalled(ZeroDevice):
    """A disk that does not answer before the server ends."""

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        threading.Event().wait()
        raise AssertionError

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return None


def serve(exports: dict[str, Device], path: str) -> None:
    """Serve until SIGTERM."""
    server = Server({name: Export(name, checked(device)) for name, device in exports.items()})
    server.listen_unix(path)
    signal.signal(signal.SIGTERM, lambda number, frame: server.stop(0.1))
    server.run()


def live_costs(work: Path, *, seconds: float) -> Iterator[str]:
    """The table, a line a measurement."""
    image = work / "image.raw"
    yield "| what the live stack costs | measured | floor |"
    yield "|---|---|---|"
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        yield from _preloaded(image, directory, seconds)
        yield from _stalled(image, directory)
        yield from _sparse(directory)
        yield from _curve(directory, seconds)


def _preloaded(image: Path, directory: Path, seconds: float) -> Iterator[str]:
    """A fully preloaded live disk, nothing written, beside plain memory."""
    live_socket, plain_socket = directory / "live", directory / "plain"
    live = [sys.executable, "-m", "bootpath", "serve", str(image), "--preload", "full", "--socket", str(live_socket)]
    plain = [sys.executable, "-m", "bench.livecost", "--plain", str(image), str(plain_socket)]
    with running(live, live_socket) as one, running(plain, plain_socket) as other:
        while one.resident_bytes() < image.stat().st_size:
            time.sleep(0.1)
        for job in (_READ, Job("read 1M", ("rw=read", "bs=1m", "iodepth=4"))):
            pairs = [
                tuple(
                    measure(server, job, directory, seconds=seconds, size_bytes=image.stat().st_size)
                    for server in (one, other)
                )
                for _ in range(5)
            ]
            rate = statistics.median(mine.rate / plain.rate for mine, plain in pairs)
            cpu = statistics.median(mine.cpu_us / plain.cpu_us for mine, plain in pairs)
            yield (
                f"| {job.options[1].removeprefix('bs=')} reads, fully preloaded over plain memory |"
                f" rate {rate:.2f}, processor {cpu:.2f} | 0.95 |"
            )


def _latencies(path: Path, count: int) -> list[float]:
    """Seconds of single reads, one after the other."""
    device = open_device(f"nbd+unix:///?socket={path}")
    with closing(device):
        found = []
        for index in range(count):
            start = time.perf_counter()
            read_bytes(device, index % 1024 * 4096, 4096)
            found.append(time.perf_counter() - start)
    return found


def _stalled(image: Path, directory: Path) -> Iterator[str]:
    """Reads beside sixteen that wait for a disk that does not answer."""
    path = directory / "stalled"
    with running([sys.executable, "-m", "bench.livecost", "--stalled", str(image), str(path)], path):
        _latencies(path, 500)
        calm = sorted(_latencies(path, 5000))
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(path))
            waiting.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 7) + b"stalled")  # EXPORT_NAME
            received = 0
            while received < 18 + 10:
                received += len(waiting.recv(64))
            for index in range(16):
                waiting.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, index, 4096 * index, 4096))
            time.sleep(0.2)
            beside = sorted(_latencies(path, 5000))
    tail = 5000 * 99 // 100
    yield (
        f"| p99 of single reads beside 16 that wait for a stalled disk | {1e3 * beside[tail]:.3f} ms, alone"
        f" {1e3 * calm[tail]:.3f} ms | less than 1 ms more |"
    )


def _sparse(directory: Path) -> Iterator[str]:
    """From the command's start until a client has read a block of 1 TiB."""
    disk, path = directory / "sparse.img", directory / "sparse"
    with disk.open("wb") as file:
        file.truncate(1 << 40)
    start = time.perf_counter()
    with running([sys.executable, "-m", "bootpath", "serve", str(disk), "--socket", str(path)], path) as server:
        _latencies(path, 1)
        seconds = time.perf_counter() - start
        yield (
            f"| 1 TiB sparse disk, command to first block | {seconds:.2f} s,"
            f" {server.resident_bytes() / _MIB:.0f} MiB | immediate |"
        )
    disk.unlink()


def _curve(directory: Path, seconds: float) -> Iterator[str]:
    """Processor time of a read, the more blocks are dirty."""
    disk, path = directory / "curve.img", directory / "curve"
    with disk.open("wb") as file:
        file.truncate(8 << 30)
    points = []
    with running([sys.executable, "-m", "bootpath", "serve", str(disk), "--socket", str(path)], path) as server:
        done = 0
        for blocks in (1_000, 10_000, 100_000, 1_000_000):
            _dirty(server, directory, done, blocks - done)
            done = blocks
            sample = measure(server, _READ, directory, seconds=seconds, size_bytes=8 << 30)
            points.append(f"{blocks // 1000}k: {sample.cpu_us:.1f}")
    disk.unlink()
    yield f"| microseconds of a 4k read by dirty blocks | {', '.join(points)} | flat |"


def _dirty(server: Running, directory: Path, first: int, count: int) -> None:
    """Write every second block of a region, so that each is a run of its own."""
    stride = Job("dirty", ("rw=write:4k", "bs=4k", "iodepth=16", f"io_size={count * 4096}"), timed=False)
    measure(server, stride, directory, seconds=0, size_bytes=2 * count * 4096, extra=(f"offset={2 * first * 4096}",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("socket")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--stalled", action="store_true")
    arguments = parser.parse_args()
    if arguments.plain:
        memory = MemoryDevice(arguments.image.stat().st_size)
        with closing(FileDevice.open(arguments.image)) as file:
            for offset in range(0, file.size_bytes, _MIB):
                memory.write(offset, read_bytes(file, offset, _MIB))
        serve({"": memory}, arguments.socket)
    else:
        serve({"": FileDevice.open(arguments.image), "stalled": Stalled(1 << 20)}, arguments.socket)


if __name__ == "__main__":
    main()
