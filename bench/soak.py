"""A soak: clients that verify what they wrote, a disk that comes and goes, and one client that misbehaves.

    python -m bench.soak --minutes 10

Eight clients write blocks that say who wrote them, where and when, and read them back; every client has its own part of
the disk, so that each knows what must be there. Behind the preload is a disk that a driver serves and that flaps. Data
that differs is a corruption and ends the soak with 1; an EIO while the disk is away is not. Memory is sampled.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bootpath.block.leaves.open import open_device
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError

MIB = 1 << 20
BLOCK = 4096
DISK_BYTES = 512 * MIB
CLIENTS = 8
SERVE = "import sys; from bootpath.cli.main import main; sys.exit(main())"


def content(block: int, generation: int) -> bytes:
    """A block that says where it belongs and which write it is; generation 0 is what the disk held."""
    return f"{block:016x}{generation:016x}".encode() * (BLOCK // 32)


def serve(*arguments: str | Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "serve", *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("serving")
    return process


class Counts:
    """What happened, from all threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts = {"reads": 0, "writes": 0, "errors": 0, "corruptions": 0, "hostile": 0, "flaps": 0}

    def add(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1


def client(index: int, uri: str, counts: Counts, stop: threading.Event) -> None:
    """Write and verify in one eighth of the disk."""
    rng = random.Random(index)
    blocks = DISK_BYTES // BLOCK // CLIENTS
    generations: dict[int, int] = {}
    with closing(open_device(uri, writable=True)) as device:
        while not stop.is_set():
            block = index * blocks + rng.randrange(blocks)
            try:
                if rng.random() < 0.3:
                    device.write(block * BLOCK, content(block, generations.get(block, 0) + 1), fua=rng.random() < 0.1)
                    generations[block] = generations.get(block, 0) + 1
                    counts.add("writes")
                else:
                    found = read_bytes(device, block * BLOCK, BLOCK)
                    counts.add("reads")
                    if found != content(block, generations.get(block, 0)):
                        counts.add("corruptions")
                        print(f"block {block}: found {found[:32]!r}, expected generation {generations.get(block, 0)}")
            except DeviceError:
                counts.add("errors")


def hostile(path: Path, counts: Counts, stop: threading.Event) -> None:
    """Garbage, half a handshake, and connections that just stay."""
    rng = random.Random(99)
    held: list[socket.socket] = []
    while not stop.wait(0.05):
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(str(path))
            connected.sendall(rng.randbytes(rng.randrange(1, 5000)))
            counts.add("hostile")
        except OSError:
            pass
        held.append(connected)
        if len(held) > 20:
            held.pop(rng.randrange(len(held))).close()
    for connected in held:
        connected.close()


def flap(start: Callable[[], subprocess.Popen[str]], counts: Counts, stop: threading.Event) -> None:
    """The disk's driver: killed, gone for a while, back."""
    while not stop.is_set():
        driver = start()
        stop.wait(4)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        counts.add("flaps")
        stop.wait(0.5)


def resident_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * BLOCK


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    counts, stop = Counts(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        directory = Path(name)
        disk, path, driver_path = directory / "disk.img", directory / "live", directory / "driver"
        with disk.open("wb") as file:
            for block in range(DISK_BYTES // BLOCK):
                file.write(content(block, 0))

        def driver() -> subprocess.Popen[str]:
            driver_path.unlink(missing_ok=True)
            return serve(disk, "--read-only", "--socket", driver_path)

        late = f"nbd+unix:///?socket={driver_path}"
        server = serve(disk, "--preload", "64MiB", "--disk", late, "--deadline", "3s", "--socket", path)
        uri = f"nbd+unix:///?socket={path}"
        threads = [threading.Thread(target=client, args=(index, uri, counts, stop)) for index in range(CLIENTS)]
        threads.append(threading.Thread(target=hostile, args=(path, counts, stop)))
        threads.append(threading.Thread(target=flap, args=(driver, counts, stop)))
        for thread in threads:
            thread.start()
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end and server.poll() is None:
            time.sleep(min(30, max(end - time.monotonic(), 0)))
            print(f"{resident_bytes(server.pid) / MIB:7.1f} MiB resident  {counts.counts}", flush=True)
        survived = server.poll() is None
        stop.set()
        for thread in threads:
            thread.join()
        server.terminate()
        code = server.wait()
    good = survived and code == 0 and counts.counts["corruptions"] == 0
    print(f"{'good' if good else 'BAD'}: server ended with {code}, {counts.counts}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
