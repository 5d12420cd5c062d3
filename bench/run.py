"""Measure beside the peers, in one run, and print ratios.

    python -m bench.run --demo build/demo --upstream build/upstream/bin [--page docs/benchmarks.md]

Every pair is measured in turn (A B A B ...), the table gives medians and the median of the ratios pair by pair, so
that a machine whose speed drifts does not decide. Files are in the page cache for both sides: one round comes first
and is not counted.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.page import put_section
from bench.sides import boot_seconds, fuse_cat, read_all
from bootpath.block.leaves.file import FileDevice
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.report.units import format_bytes, format_seconds

HEADING = "# Benchmarks"
EXPLANATION = (
    "Made by `make bench`, which measures both sides of each row in turn in one run. Medians; the ratio is the median "
    "of the ratios pair by pair. Everything is in the page cache for both sides."
)
Side = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: seconds of ours and of the peer, and how many times faster ours is."""

    what: str
    ours: str
    peer: str
    ratio: str
    floor: str


def pairs(ours: Side, peer: Side, rounds: int) -> tuple[float, float, float]:
    """(median of ours, median of the peer's, median of peer / ours) in seconds."""
    ours()
    peer()
    measured = [(ours(), peer()) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in measured),
        statistics.median(b for _, b in measured),
        statistics.median(b / a for a, b in measured),
    )


def compare(what: str, ours: Side, peer: Side, *, names: tuple[str, str], floor: str, rounds: int) -> Row:
    mine, theirs, ratio = pairs(ours, peer, rounds)
    row = Row(
        what,
        f"{names[0]}: {format_seconds(mine)}",
        f"{names[1]}: {format_seconds(theirs)}",
        f"{ratio:.1f} times" if ratio < 100 else f"{ratio:.0f} times",
        floor,
    )
    print(" | ".join((row.what, row.ours, row.peer, row.ratio, row.floor)), file=sys.stderr)
    return row


def command_seconds(command: Sequence[str | Path]) -> Side:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    return run


def absolute(what: str, side: Side, floor: str, rounds: int) -> Row:
    side()
    row = Row(what, format_seconds(statistics.median(side() for _ in range(rounds))), "", "", floor)
    print(" | ".join((row.what, row.ours, row.floor)), file=sys.stderr)
    return row


def boots(image: Path) -> list[Row]:
    with closing(FileDevice.open(image)) as disk:
        planned = plan_boot(disk)
    plan = PreloadChoice(PreloadKind.PLAN, plan=planned.plan)
    prefix = PreloadChoice(PreloadKind.PREFIX, prefix_bytes=1 << 30)
    full = PreloadChoice(PreloadKind.FULL)
    share = 100 * planned.system_bytes / planned.plan.size_bytes
    return [
        compare(
            "start to mounted root, 4093 MiB image",
            lambda: boot_seconds(image, plan),
            lambda: boot_seconds(image, full),
            names=("plan", "full preload"),
            floor="50 times",
            rounds=5,
        ),
        compare(
            "start to mounted root, 4093 MiB image",
            lambda: boot_seconds(image, plan),
            lambda: boot_seconds(image, prefix),
            names=("plan", "1024 MiB prefix"),
            floor="",
            rounds=5,
        ),
        Row(
            "bytes preloaded",
            f"plan: {format_bytes(planned.system_bytes)}, {share:.2f} % of the file system",
            f"full preload: {format_bytes(planned.plan.size_bytes)}",
            f"{planned.plan.size_bytes / planned.system_bytes:.0f} times less",
            "under 0.5 % plus kernel and initfs",
        ),
    ]


def builds(tree: Path, upstream: Path, scratch: Path) -> Row:
    ours, theirs = scratch / "ours.img", scratch / "theirs.img"

    def peer() -> float:
        theirs.unlink(missing_ok=True)
        with theirs.open("wb") as file:
            file.truncate(4090 << 20)
        return command_seconds([upstream / "redoxfs-ar", theirs, tree])()

    return compare(
        "build a 4093 MiB image from 3 GiB",
        command_seconds([Path(sys.prefix) / "bin/bootpath", "build", "live", tree, "-o", ours, "--size", "4093MiB"]),
        peer,
        names=("bootpath build live", "redoxfs-ar"),
        floor="1 time",
        rounds=3,
    )


def measure(demo: Path, upstream: Path) -> list[Row]:
    image = demo / "big.img"
    bootpath = Path(sys.prefix) / "bin/bootpath"
    rows = boots(image)
    with tempfile.TemporaryDirectory(dir=demo) as name:
        scratch = Path(name)
        rows.append(builds(demo / "tree", upstream, scratch))
        partition = scratch / "mini.redoxfs"
        with closing(FileDevice.open(demo / "mini.img")) as disk:
            offset = plan_boot(disk).plan.offset_bytes
        subprocess.run(
            [
                "dd",
                f"if={demo / 'mini.img'}",
                f"of={partition}",
                "bs=1M",
                f"skip={offset >> 20}",
                "conv=sparse",
                "status=none",
            ],
            check=True,
        )
        rows.append(
            compare(
                "read every file of a 640 MiB tree",
                lambda: read_all(partition),
                lambda: fuse_cat(partition, upstream / "redoxfs", scratch / "mount"),
                names=("binding", "redoxfs FUSE and cat"),
                floor="1 time",
                rounds=5,
            )
        )
        rows.append(
            compare(
                "read every file of a 640 MiB tree",
                lambda: read_all(partition),
                lambda: read_all(partition, direct=False),
                names=("image read from Rust", "image read through Python"),
                floor="",
                rounds=5,
            )
        )
    rows.append(absolute("bootpath --version", command_seconds([bootpath, "--version"]), "under 150 ms", 11))
    rows.append(
        absolute("bootpath inspect, 4093 MiB image", command_seconds([bootpath, "inspect", image]), "under 0.5 s", 11)
    )
    return rows


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | ours | beside it | ratio | floor |", "|---|---|---|---|---|"]
    lines += [f"| {row.what} | {row.ours} | {row.peer} | {row.ratio} | {row.floor} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--upstream", type=Path, required=True)
    parser.add_argument("--page", type=Path, metavar="F", help="renew the first section of this page")
    options = parser.parse_args()
    for program in ("dd", "find", "fusermount3"):
        if shutil.which(program) is None:
            parser.error(f"{program} is not installed")
    rows = measure(options.demo, options.upstream)
    print(table(rows))
    if options.page is not None:
        put_section(options.page, HEADING, EXPLANATION, table(rows))


if __name__ == "__main__":
    main()
