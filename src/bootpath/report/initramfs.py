"""An initramfs as text and as JSON: sizes by part, and on request every entry."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from bootpath.core.printable import Printable, printable_lines
from bootpath.report.units import format_bytes

if TYPE_CHECKING:  # its libraries are an extra, and a report needs only the values
    from bootpath.boot.initramfs.build import Initramfs, InitramfsPlan, Item


def initramfs_json(plan: InitramfsPlan, built: Initramfs | None, *, entries: bool) -> dict[str, Any]:
    """``bootpath build initramfs --json`` (docs/schemas/initramfs.json). `built` is None when it was only planned."""
    value: dict[str, Any] = {
        "output": None if built is None else str(built.path),
        "compression": None if built is None else built.compression.value,
        "archive_bytes": len(plan.archive()) if built is None else built.archive_bytes,
        "size_bytes": None if built is None else built.size_bytes,
        "release": plan.release,
        "modules": list(plan.modules),
        "absent": list(plan.absent),
        "python": plan.python_version,
        "stubs": list(plan.stubs),
        "parts": [
            {"part": part.value, "entries": count, "bytes": size} for part, (count, size) in plan.sizes().items()
        ],
    }
    if entries:
        value["entries"] = [
            {
                "path": item.entry.path,
                "kind": item.entry.kind,
                "mode": f"{stat.S_IMODE(item.entry.mode):04o}",
                "bytes": len(item.entry.data),
                "part": item.part.value,
            }
            for item in plan.items
        ]
    return value


def render_initramfs(plan: InitramfsPlan, built: Initramfs | None, *, entries: bool) -> Printable:
    """The same as text."""
    lines = [_line(item) for item in plan.items] + [""] if entries else []
    archive = len(plan.archive()) if built is None else built.archive_bytes
    if built is None:
        lines.append(f"not written; {len(plan.items)} entries")
    else:
        lines.append(f"{built.path}: {format_bytes(built.size_bytes)}, {built.compression.value}")
    lines.append(f"  archive         {format_bytes(archive)}, Linux {plan.release}")
    for part, (_, size) in plan.sizes().items():
        if size:
            lines.append(f"  {part.value:<15} {format_bytes(size)}")
    lines.append(f"  modules         {' '.join(plan.modules) or 'none'}")
    if plan.absent:
        lines.append(f"  not in Linux    {' '.join(plan.absent)}")
    if plan.stubs:
        lines.append(f"  stubs for       {' '.join(plan.stubs)}")
    if plan.python_version is not None:
        lines.append(f"  Python          {plan.python_version}")
    return printable_lines(lines)


def _line(item: Item) -> str:
    entry = item.entry
    target = f" -> {entry.data.decode(errors='replace')}" if entry.kind == "symlink" else ""
    return f"{stat.filemode(entry.mode)} {len(entry.data):>9} {item.part.value:<14} /{entry.path}{target}"
