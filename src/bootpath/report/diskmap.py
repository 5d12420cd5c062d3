"""A file system as a map: used, preloaded, touched, and the first read the classic daemon cannot answer.

Every cell of the map is an equal share of the file system, left to right and top to bottom. What a boot touches is a
few thousandths of the disk, so a cell with any touched byte in it takes the colour of what was touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.boot.redox.planning import BootPlan, Miss
from bootpath.boot.timeline import LOADER
from bootpath.core.extents import Extent, ExtentSet
from bootpath.report.canvas import Canvas
from bootpath.report.units import format_bytes, format_offset, plural

_COLUMNS = 64
_MAX_CELLS = 4096
_MIB = 1 << 20
_WIDTH = 1240
_MAP_X, _MAP_Y = 84, 96
_MAP_WIDTH = 768
_CELL_WIDTH = _MAP_WIDTH / _COLUMNS
_SIDE_X = _MAP_X + _MAP_WIDTH + 32

_FREE, _USED, _PRELOADED_FREE, _PRELOADED_USED = "#eef1f3", "#b7c3ca", "#dcebfa", "#90bdea"
_MISS = "#d50000"
_INK, _SOFT = "#263238", "#607d8b"
_WHY = {
    "ring": "#1a237e",
    "allocator log": "#e65100",
    "release list": "#f9a825",
    "tree": "#00695c",
    "node": "#00897b",
    "directory": "#2e7d32",
    "kernel": "#6a1b9a",
    "initfs": "#ad1457",
}
_OTHER = "#4e342e"


def why_colour(why: str) -> str:
    """The colour of a reason; one for everything that is a file of the root."""
    return _WHY.get(why, _OTHER)


@dataclass(frozen=True, slots=True)
class _Grid:
    size_bytes: int
    cell_bytes: int
    rows: int
    cell_height: float

    @classmethod
    def of(cls, size_bytes: int) -> _Grid:
        cell_bytes = 4096
        while cell_bytes < _MIB and -(-size_bytes // cell_bytes) > _MAX_CELLS // 4:
            cell_bytes *= 2
        while -(-size_bytes // cell_bytes) > _MAX_CELLS:
            cell_bytes *= 2
        rows = -(-size_bytes // (cell_bytes * _COLUMNS))
        return cls(size_bytes, cell_bytes, rows, min(_CELL_WIDTH, 720 / rows))

    def place(self, cell: int) -> tuple[float, float]:
        row, column = divmod(cell, _COLUMNS)
        return _MAP_X + column * _CELL_WIDTH, _MAP_Y + row * self.cell_height

    def cells(self, extent: Extent) -> range:
        return range(extent.offset // self.cell_bytes, -(-extent.end // self.cell_bytes))


def draw_plan(name: str, planned: BootPlan, *, preload_bytes: int | None) -> Canvas:
    """The map of `planned`; with `preload_bytes` also that prefix, and the classic daemon's first miss."""
    plan = planned.plan
    grid = _Grid.of(plan.size_bytes)
    height = round(_MAP_Y + max(grid.rows * grid.cell_height, 560) + 84)
    canvas = Canvas(_WIDTH, height)
    miss = planned.classic_miss(preload_bytes) if preload_bytes is not None else None
    canvas.text(_MAP_X, 36, f"{name}: what a boot reads", size=22)
    canvas.text(
        _MAP_X,
        60,
        f"RedoxFS {plan.uuid}, {format_bytes(plan.size_bytes)}, {format_bytes(planned.file_system.used_bytes)} used. "
        f"One cell is {format_bytes(grid.cell_bytes)}.",
        fill=_SOFT,
    )
    _draw_cells(canvas, grid, planned, preload_bytes or 0)
    if miss is not None:
        _draw_miss(canvas, grid, miss)
    _draw_side(canvas, planned, preload_bytes, miss)
    _draw_verdict(canvas, height, planned, preload_bytes, miss)
    return canvas


def _draw_cells(canvas: Canvas, grid: _Grid, planned: BootPlan, preload_bytes: int) -> None:
    used = planned.file_system.used
    touched: dict[int, str] = {}
    for part in planned.plan.extents:
        for cell in grid.cells(part.extent):
            touched.setdefault(cell, part.why)
    prefix = ExtentSet([Extent(0, preload_bytes)])
    for cell in range(-(-grid.size_bytes // grid.cell_bytes)):
        extent = Extent(cell * grid.cell_bytes, min(grid.cell_bytes, grid.size_bytes - cell * grid.cell_bytes))
        in_use = bool(used.intersect(extent))
        shades = (_PRELOADED_FREE, _PRELOADED_USED) if prefix.covers(extent) else (_FREE, _USED)
        fill = shades[in_use]
        x, y = grid.place(cell)
        canvas.rect(
            x, y, _CELL_WIDTH - 1, grid.cell_height - 1, fill=why_colour(touched[cell]) if cell in touched else fill
        )
    step = max(grid.rows // 16, 1)
    for row in range(0, grid.rows, step):
        y = _MAP_Y + (row + 0.5) * grid.cell_height + 4
        canvas.text(_MAP_X - 8, y, format_offset(row * _COLUMNS * grid.cell_bytes), size=11, fill=_SOFT, anchor="end")


def _draw_miss(canvas: Canvas, grid: _Grid, miss: Miss) -> None:
    x, y = grid.place(miss.offset // grid.cell_bytes)
    canvas.rect(x - 3, y - 3, _CELL_WIDTH + 5, grid.cell_height + 5, stroke=_MISS, stroke_width=2.5)
    label = f"first {miss.operation} beyond the preload: {format_offset(miss.offset)}"
    left = x > _MAP_X + _MAP_WIDTH / 2
    text_x = x - 12 if left else x + _CELL_WIDTH + 12
    width = 6.3 * len(label)
    canvas.rect(text_x - width - 4 if left else text_x - 4, y - 6, width + 8, 20, fill="#ffffff", stroke=_MISS)
    canvas.text(text_x, y + 8, label, fill=_MISS, anchor="end" if left else "start")


def _draw_side(canvas: Canvas, planned: BootPlan, preload_bytes: int | None, miss: Miss | None) -> None:
    plan = planned.plan
    y = _MAP_Y + 10.0
    rows: list[tuple[str, str, str]] = [(_FREE, "free", format_bytes(planned.file_system.free_bytes))]
    rows.append((_USED, "used", format_bytes(planned.file_system.used_bytes)))
    if preload_bytes is not None:
        rows.append((_PRELOADED_USED, "prefix preload", format_bytes(min(preload_bytes, plan.size_bytes))))
    for colour, label, value in rows:
        _legend_row(canvas, y, colour, label, value)
        y += 22
    y += 16
    canvas.text(_SIDE_X, y, "Touched by a boot", size=15)
    y += 24
    totals: dict[str, int] = {}
    for part in plan.extents:
        why = part.why if part.why in _WHY else "files of the root"
        totals[why] = totals.get(why, 0) + part.length
    for why, length in totals.items():
        _legend_row(canvas, y, why_colour(why), why, format_bytes(length))
        y += 22
    _legend_row(canvas, y, None, plural(len(plan.extents), "extent") + " in all", format_bytes(plan.total_bytes))
    y += 38
    canvas.text(_SIDE_X, y, "In the order of first touch", size=15)
    y += 22
    shown = plan.extents[:10]
    for part in shown:
        canvas.rect(_SIDE_X, y - 10, 10, 10, fill=why_colour(part.why))
        canvas.text(_SIDE_X + 18, y, f"{format_offset(part.offset)}  +{format_bytes(part.length)}", size=12)
        canvas.text(
            _SIDE_X + 176, y, f"{part.why[:26]}{' (loader)' if part.step == LOADER else ''}", size=12, fill=_SOFT
        )
        y += 18
    if len(plan.extents) > len(shown):
        canvas.text(_SIDE_X + 18, y, f"and {len(plan.extents) - len(shown)} more", size=12, fill=_SOFT)
    if miss is not None:
        y += 30
        canvas.rect(_SIDE_X, y - 11, 12, 12, stroke=_MISS, stroke_width=2)
        canvas.text(_SIDE_X + 20, y, f"{miss.error} at {format_offset(miss.offset)} in {miss.step}", fill=_MISS)


def _legend_row(canvas: Canvas, y: float, colour: str | None, label: str, value: str) -> None:
    if colour is not None:
        canvas.rect(_SIDE_X, y - 11, 12, 12, fill=colour)
    canvas.text(_SIDE_X + 20, y, label)
    canvas.text(_WIDTH - 28, y, value, anchor="end", fill=_SOFT)


def _draw_verdict(canvas: Canvas, height: int, planned: BootPlan, preload_bytes: int | None, miss: Miss | None) -> None:
    if preload_bytes is not None:
        prefix = format_bytes(preload_bytes)
        text = (
            f"Prefix of {prefix}: the classic daemon mounts the root."
            if miss is None
            else f"Prefix of {prefix}: the classic daemon fails; it needs {format_bytes(planned.prefix_bytes)}."
        )
        canvas.text(_MAP_X, height - 44, text, size=15, fill=_INK if miss is None else _MISS)
    system = format_bytes(planned.system_bytes)
    canvas.text(
        _MAP_X, height - 20, f"Plan: {system} in RAM are enough; the disk may come later.", size=15, fill="#1b5e20"
    )
