"""dm-verity beside veritysetup and beside plain hashing, in turns, as ratios.

    python -m bench.verity [--size 4GiB] [--rounds 3] [--page docs/benchmarks.md]

The data is in the page cache for both. The bound is what OpenSSL hashes on all processors. Parity is made of the first
512 MiB, since veritysetup takes a minute and more for 4 GiB. Memory is the highest VmHWM that a look every 5 ms finds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.page import put_section
from bootpath.block.leaves.file import FileDevice
from bootpath.block.targets.verity.verity import Verity
from bootpath.cli.arguments import size
from bootpath.core.device import Device
from bootpath.formats.verity.fec import FecParameters
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.verity.fec import build_fec
from bootpath.image.verity.tree import build_tree, check_tree

HEADING = "## Verity"
_MIB = 1 << 20
_READ_BYTES = 1 << 30
_FEC_BYTES = 512 << 20
_ROOTS = 2
_SALT = bytes(32)


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def veritysetup(*arguments: str | Path) -> str:
    """What it prints."""
    return subprocess.run(["veritysetup", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def peak_bytes(command: list[str | Path]) -> int:
    """The most memory that a program has resident at a time, as far as looking often can tell."""
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
            peak = max(peak, int(found[1]) << 10 if found else 0)
            time.sleep(0.005)
    assert process.returncode == 0, command
    return peak


def openssl_bytes_per_second() -> float:
    """What all processors hash together, in blocks of 4096 bytes."""
    output = subprocess.run(
        ["openssl", "speed", "-evp", "sha256", "-bytes", "4096", "-seconds", "2", "-multi", str(os.cpu_count())],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"^(?:evp|sha256)\s+([\d.]+)k", output, re.MULTILINE | re.IGNORECASE)
    assert found is not None, output
    return float(found[1]) * 1000


def read_all(device: Device, total: int) -> None:
    """Read in pieces of 1 MiB."""
    for offset in range(0, total, _MIB):
        device.read(offset, min(_MIB, total - offset))


def read_and_hash(device: Device, total: int) -> None:
    """The same, and hash every block of 4 KiB."""
    seed = hashlib.sha256(_SALT)
    for offset in range(0, total, _MIB):
        view = memoryview(b"".join(device.read(offset, min(_MIB, total - offset))))
        for start in range(0, len(view), 4096):
            state = seed.copy()
            state.update(view[start : start + 4096])
            state.digest()


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds, ours and beside it, and the bound in bytes a second; memory in bytes."""

    format: tuple[float, float]
    parity: tuple[float, float]
    peak: tuple[float, float]
    verify: tuple[float, float]
    read: tuple[float, float]
    bound: float


def turn(data: Path, theirs: Path, ours: Path, parameters: VerityParameters) -> Turn:
    """Everything once."""
    with closing(FileDevice.open(data)) as disk, closing(FileDevice.open(ours, writable=True)) as tree:
        root_hash = build_tree(disk, tree, parameters, start_block=1)  # the file's pages are there for both
        made = (
            seconds_of(lambda: build_tree(disk, tree, parameters, start_block=1)),
            seconds_of(lambda: veritysetup("format", data, theirs, "--salt", _SALT.hex())),
        )
        checked = (
            seconds_of(lambda: check_tree(disk, tree, parameters, root_hash, start_block=1)),
            seconds_of(lambda: veritysetup("verify", data, theirs, root_hash.hex())),
        )
        part = min(parameters.data_bytes, _READ_BYTES)
        device = Verity(disk, tree, parameters, root_hash, start_block=1)
        read = (seconds_of(lambda: read_all(device, part)), seconds_of(lambda: read_and_hash(disk, part)))
        parity = parity_turn(disk, data, theirs.with_name("parity"), min(parameters.data_bytes, _FEC_BYTES))
    peak = (
        peak_bytes([sys.executable, "-m", "bootpath", "verity", "format", data, ours]),
        peak_bytes(["veritysetup", "format", data, theirs]),
    )
    return Turn(made, parity, peak, checked, read, openssl_bytes_per_second())


def parity_turn(disk: Device, data: Path, place: Path, total: int) -> tuple[float, float]:
    """The tree and the parity of the first `total` bytes: seconds, ours and veritysetup's; the bytes are the same."""
    parameters = VerityParameters(total // 4096, salt=_SALT)
    shape = FecParameters(parameters.data_blocks + parameters.tree_blocks(), 4096, _ROOTS)
    tree, ours = place.with_suffix(".tree"), place.with_suffix(".ours")
    for path, size_bytes in ((tree, (1 + parameters.tree_blocks()) * 4096), (ours, shape.parity_bytes)):
        path.unlink(missing_ok=True)
        path.touch()
        os.truncate(path, size_bytes)
    with closing(FileDevice.open(tree, writable=True)) as hashes, closing(FileDevice.open(ours, writable=True)) as fec:

        def make() -> None:
            build_tree(disk, hashes, parameters, start_block=1)
            build_fec(disk, hashes, fec, shape, data_blocks=parameters.data_blocks, start_block=1)

        mine = seconds_of(make)
    their_tree, theirs = place.with_suffix(".their-tree"), place.with_suffix(".theirs")
    for path in (their_tree, theirs):
        path.unlink(missing_ok=True)
        path.touch()
    options = ("--salt", _SALT.hex(), "--data-blocks", str(parameters.data_blocks), "--fec-roots", str(_ROOTS))
    peer = seconds_of(lambda: veritysetup("format", data, their_tree, *options, "--fec-device", theirs))
    assert ours.read_bytes() == theirs.read_bytes()
    return mine, peer


def measurements(directory: Path, total: int, rounds: int) -> Iterator[str]:
    """The table, a line a measurement."""
    data, theirs, ours = directory / "data", directory / "theirs", directory / "ours"
    with data.open("wb") as file:
        for _ in range(total // _MIB):
            file.write(os.urandom(_MIB))
        file.flush()
        os.fsync(file.fileno())  # or it is written to the disk while others are timed
    theirs.touch()
    parameters = VerityParameters(total // 4096, salt=_SALT)
    with ours.open("wb") as file:
        file.truncate((1 + parameters.tree_blocks()) * 4096)
    turns = [turn(data, theirs, ours, parameters) for _ in range(rounds)]
    yield f"| {total >> 20} MiB, sha256, blocks of 4096 | bootpath | beside it | ratio | floor |"
    yield "|---|---|---|---|---|"
    for name, pairs, peer_name, floor in (
        ("format", [each.format for each in turns], "veritysetup", "2"),
        ("verify", [each.verify for each in turns], "veritysetup", "2"),
        ("read through the target, 1 MiB at a time", [each.read for each in turns], "plain reading and hashing", "0.8"),
    ):
        mine = statistics.median(pair[0] for pair in pairs)
        peer = statistics.median(pair[1] for pair in pairs)
        ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
        yield f"| {name} | {mine:.2f} s | {peer_name}: {peer:.2f} s | {ratio:.2f} | {floor} |"
    name = f"format with parity (FEC, {_ROOTS} roots), of {min(total, _FEC_BYTES) >> 20} MiB"
    mine, peer = (statistics.median(each.parity[side] for each in turns) for side in (0, 1))
    ratio = statistics.median(each.parity[1] / each.parity[0] for each in turns)
    yield f"| {name} | {mine:.2f} s | veritysetup: {peer:.2f} s | {ratio:.2f} | 2 |"
    mine, peer = (statistics.median(each.peak[side] for each in turns) for side in (0, 1))
    yield f"| format, most memory | {mine / _MIB:.0f} MiB | veritysetup: {peer / _MIB:.0f} MiB | {peer / mine:.2f} | |"
    share = statistics.median(total / each.format[0] / each.bound for each in turns)
    yield f"| format, of what `openssl speed` hashes on all processors | | | {share:.2f} | 0.9 |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size, default=4 << 30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    parser.add_argument("--page", type=Path, metavar="F", help="renew the section of this page")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    lines = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as directory:
        for line in measurements(Path(directory), arguments.size, arguments.rounds):
            print(line, flush=True)
            lines.append(line)
    if arguments.page is not None:
        put_section(arguments.page, HEADING, "\n".join(lines))


if __name__ == "__main__":
    main()
