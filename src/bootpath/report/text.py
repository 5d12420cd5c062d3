"""Results as text for a terminal: one idea a line, columns that line up, the verdict last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bootpath.boot.redox.planning import BootPlan
from bootpath.boot.redox.simulation import Simulation
from bootpath.boot.timeline import LOADER
from bootpath.core.printable import Printable, printable, printable_lines
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.mbr import Mbr
from bootpath.image.contents.nodes import Contents
from bootpath.image.redox.build import Built
from bootpath.report.units import format_bytes, format_offset, format_seconds, plural

_MAX_EXTENTS = 24


def columns(rows: Iterable[Sequence[str]], *, indent: str = "  ", right: frozenset[int] = frozenset()) -> list[str]:
    """Rows of cells as lines, every column as wide as its widest cell; `right` names right-aligned columns."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def container_lines(contents: Contents) -> list[str]:
    """What the disk is packed in, the file's own format first."""
    return [f"  container: {image}, {format_bytes(image.size_bytes)}" for image in contents.disk_images]


def gpt_heading(gpt: Gpt) -> list[str]:
    """Which table it is, and what is wrong with its copies."""
    lines = [f"GPT  disk {gpt.disk_guid}, blocks of {gpt.block_bytes}: {gpt.verdict.value}"]
    if gpt.primary_fault is not None or gpt.backup_fault is not None:
        lines += [f"  {fault}" for fault in (gpt.primary_fault, gpt.backup_fault) if fault is not None]
        if not gpt.missing_bytes:
            lines.append(f"  {gpt.verdict.advice} (bootpath repair)")
    if gpt.missing_bytes:
        missing = format_bytes(gpt.missing_bytes)
        lines.append(f"  The disk was cut short: at least {missing} are missing at its end. Get all of it first.")
    return lines


def mbr_heading(mbr: Mbr) -> str:
    """Which table it is."""
    kind = ", protective" if mbr.protective else ""
    return f"MBR  disk {mbr.signature}, blocks of {mbr.block_bytes}{kind}"


def render_plan(name: str, planned: BootPlan, preload_bytes: int | None) -> Printable:
    """``bootpath plan``."""
    plan = planned.plan
    lines = [f"{name}: RedoxFS {plan.uuid}, {format_bytes(plan.size_bytes)}, generation {plan.generation}"]
    lines.append(f"What a boot reads, in the order of first touch ({plural(len(plan.extents), 'extent')})")
    rows = [
        (format_offset(part.offset), str(part.offset), format_bytes(part.length), part.why, part.step)
        for part in plan.extents[:_MAX_EXTENTS]
    ]
    lines += columns(rows, right=frozenset({0, 1, 2}))
    if len(plan.extents) > _MAX_EXTENTS:
        lines.append(f"  and {len(plan.extents) - _MAX_EXTENTS} more: --json has them all")
    loader = sum(part.length for part in plan.extents if part.step == LOADER)
    share = 100 * planned.system_bytes / plan.size_bytes
    lines += columns(
        [
            ("in all", format_bytes(plan.total_bytes), f"{format_bytes(loader)} of it only for the loader"),
            ("preload", format_bytes(planned.system_bytes), f"{share:.2f} % of the file system"),
            ("as a prefix", format_bytes(planned.prefix_bytes), "the smallest prefix preload that does"),
        ],
        indent="",
        right=frozenset({1}),
    )
    if not planned.has_boot_files:
        lines.append("Warning: kernel or initfs is missing or wrong: see bootpath inspect")
    if preload_bytes is not None:
        miss = planned.classic_miss(preload_bytes)
        if miss is None:
            lines.append(f"Verdict: with {format_bytes(preload_bytes)} the classic daemon mounts the root")
        else:
            lines.append(
                f"Verdict: with {format_bytes(preload_bytes)} the classic daemon does not mount: "
                f"first {miss.operation} beyond it at {miss.offset} ({format_offset(miss.offset)}) "
                f"in {miss.step}, answered with {miss.error}"
            )
    return printable_lines(lines)


def render_simulation(name: str, simulation: Simulation, *, environment: bool = False) -> Printable:
    """``bootpath simulate``; `environment` is what the loader hands over, below the verdict."""
    lines = [name]
    lines += columns(
        [
            (
                f"{step.start_seconds * 1000:9.1f} ms",
                f"[{step.actor}]",
                step.what,
                format_bytes(step.bytes) if step.bytes else "",
                "FAILED" if step.failed else f"{step.seconds * 1000:.1f} ms" if step.seconds else "",
                step.detail,
            )
            for step in simulation.steps
        ],
        indent="",
        right=frozenset({3, 4}),
    )
    if simulation.reads:
        served = ", ".join(
            f"{plural(count.reads, 'read')} ({format_bytes(count.bytes)}) from {source}"
            for source, count in simulation.reads.items()
        )
        lines.append(f"The root's reads: {served}; {format_bytes(simulation.overlay_bytes)} written, kept in RAM")
    if simulation.mounted:
        assert simulation.handover is not None
        assert simulation.seconds_to_root is not None
        preload = format_bytes(simulation.handover.preload_bytes)
        lines.append(f"Root mounted after {format_seconds(simulation.seconds_to_root)}, {preload} preloaded")
    if simulation.failure is not None:
        lines.append(f"Verdict: {'mounted, but the boot fails' if simulation.mounted else 'does not boot'}")
    else:
        lines.append("Verdict: boots")
    if environment and simulation.handover is not None:
        lines += simulation.handover.environment.decode().splitlines()
    return printable_lines(lines)


def render_built(built: Built) -> Printable:
    """``bootpath build live``."""
    return printable(
        f"{built.path}: {format_bytes(built.size_bytes)} ({format_bytes(built.allocated_bytes)} on disk), "
        f"RedoxFS {built.uuid} at {format_offset(built.file_system_offset_bytes)}, "
        f"{format_bytes(built.used_bytes)} of {format_bytes(built.file_system_bytes)} used, "
        f"{plural(built.files, 'file')}"
    )
