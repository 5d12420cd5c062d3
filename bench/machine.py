"""What a preload costs and saves in a real boot: the same image, booted with each kind of preload, in one run.

    python -m bench.machine [--rounds 3] [--big DISK]

The kinds take turns (plan, prefix, full, plan, …) and the medians are shown. Seconds count from the loader's first
step, on the host's clock. The physical disk is there from the start. The small root of the tests is built anew; `--big`
is a live image with a large Linux in it, which is booted once with each kind, and with 1 GiB as the prefix.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bench.page import put_section
from bootpath.block.leaves.file import FileDevice
from bootpath.boot.redox.machine import LiveMachine, MachineSetup
from bootpath.boot.redox.machinerun import MachineRun
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.report.units import format_bytes
from bootpath.vm.accelerator import choose_accelerator
from bootpath.vm.config import Accelerator

MIB = 1 << 20
HEADING = "## In a machine"
EXPLANATION = (
    "`bootpath boot` to a login prompt with each kind of preload, in turn, medians. *Before the root* is what had "
    "to come from the disk until the root was mounted, by lived's count; *from the disk* is all that the machine read "
    "until the login, by QEMU's count, with the MiB by which lived knows the disk again. *Memory* is what the system "
    "gave up for the preload."
)


def kinds(disk: Path, prefix_bytes: int) -> dict[str, PreloadChoice]:
    """The preloads to compare."""
    with closing(FileDevice.open(disk)) as device:
        plan = plan_boot(device).plan
    return {
        "plan": PreloadChoice(PreloadKind.PLAN, plan=plan),
        f"prefix {format_bytes(prefix_bytes)}": PreloadChoice(PreloadKind.PREFIX, prefix_bytes=prefix_bytes),
        "full": PreloadChoice(PreloadKind.FULL),
    }


def boot(disk: Path, preload: PreloadChoice, memory_bytes: int, accelerator: Accelerator) -> MachineRun:
    """One boot. Raises what failed."""
    machine = LiveMachine(disk, MachineSetup(preload, memory_bytes=memory_bytes), accelerator=accelerator)
    run = machine.boot(timeout_seconds=1500)
    if run.failure is not None:
        raise run.failure
    return run


def compare(disk: Path, *, prefix_bytes: int, rounds: int, memory_bytes: int) -> Iterator[str]:
    """The table, line by line."""
    accelerator = choose_accelerator().accelerator
    runs: dict[str, list[MachineRun]] = {}
    preloads = kinds(disk, prefix_bytes)
    for _ in range(rounds):
        for name, preload in preloads.items():
            runs.setdefault(name, []).append(boot(disk, preload, memory_bytes, accelerator))
    boots = "one boot" if rounds == 1 else f"{rounds} boots"
    yield f"{disk.name}, {format_bytes(disk.stat().st_size)}, QEMU with {accelerator.value}, {boots} each."
    yield ""
    yield "| preload | preloaded | memory | root mounted, s | login, s | before the root | from the disk |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, each in runs.items():
        yield row(name, each)


def row(name: str, runs: list[MachineRun]) -> str:
    """One kind's line."""
    last = runs[-1]
    assert last.handover is not None
    assert last.memory is not None
    assert last.fallback is not None
    mounted = statistics.median(run.seconds_to_root or 0.0 for run in runs)
    ended = statistics.median(run.seconds_to_end or 0.0 for run in runs)
    read = statistics.median(run.disk.read_bytes if run.disk is not None else 0 for run in runs)
    cells = (
        name,
        format_bytes(last.handover.preload_bytes),
        format_bytes(last.memory.reserved_bytes),
        f"{mounted:.1f}",
        f"{ended:.1f}",
        f"{last.fallback['disk_reads']} reads, {format_bytes(last.fallback['disk_bytes'])}",
        format_bytes(int(read)),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--big", type=Path, metavar="DISK", help="a large live image, too, if there is one")
    parser.add_argument("--page", type=Path, metavar="F", help="renew the section of this page")
    arguments = parser.parse_args()
    tables = []
    with tempfile.TemporaryDirectory() as directory:
        contests = [(small_image(Path(directory)), 32 * MIB, arguments.rounds, 512 * MIB)]
        if arguments.big is not None and arguments.big.exists():
            contests.append((arguments.big, 1024 * MIB, 1, 1024 * MIB))
        for disk, prefix_bytes, rounds, memory_bytes in contests:
            lines = []
            for text in compare(disk, prefix_bytes=prefix_bytes, rounds=rounds, memory_bytes=memory_bytes):
                print(text, flush=True)
                lines.append(text)
            tables.append("\n".join(lines))
    if arguments.page is not None:
        put_section(arguments.page, HEADING, EXPLANATION, *tables)


def small_image(directory: Path) -> Path:
    """The tests' Linux, in a directory."""
    from tests.support.linuxroot import make_initramfs, make_linux_image

    return make_linux_image(directory, make_initramfs(directory / "initramfs"), "busybox.img").path


if __name__ == "__main__":
    main()
