"""A picture of a table: above the device as a bar of its lines, below the devices it stands on, and lines between them.

Widths follow sizes, with a least width, so that a small line can be seen; text that does not fit is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootpath.core.units import format_bytes, plural
from bootpath.formats.dm.listing import ListedTable
from bootpath.formats.dm.table import TableLine
from bootpath.formats.dm.targets import TARGETS, device_names
from bootpath.report.canvas import Canvas

_WIDTH, _LEFT, _SPAN = 1240, 40, 1160
_BAR, _GAP, _STEP = 46, 74, 34
_LEAST = 12
_INK, _SOFT = "#263238", "#607d8b"
_COLOURS = {
    "linear": "#90caf9",
    "striped": "#80cbc4",
    "zero": "#eceff1",
    "error": "#ef9a9a",
    "delay": "#ffe082",
    "flakey": "#ffab91",
    "verity": "#a5d6a7",
    "crypt": "#ce93d8",
    "snapshot": "#fff59d",
    "snapshot-origin": "#e6ee9c",
    "overlay": "#ffcc80",
    "overlayfile": "#ffcc80",
    "live": "#b39ddb",
    "fault": "#ffab91",
}
_OTHER = "#cfd8dc"


def draw_listing(listed: Sequence[ListedTable]) -> Canvas:
    """The tables, one below the other. Raises FormatError for words that a line's target cannot have."""
    heights = [_height(each) for each in listed]
    canvas = Canvas(_WIDTH, 24 + sum(heights))
    top = 24.0
    for each, height in zip(listed, heights, strict=True):
        _draw_table(canvas, each, top)
        top += height
    return canvas


def _names(line: TableLine) -> tuple[str, ...]:
    return device_names(line) if line.target in TARGETS else ()


def _lower(each: ListedTable) -> list[str]:
    return list(dict.fromkeys(name for line in each.table.lines for name in _names(line)))


def _height(each: ListedTable) -> int:
    return 60 + _BAR + (_GAP + _STEP * len(_lower(each)) if _lower(each) else 30)


def _shares(sizes: Sequence[int]) -> list[float]:
    """Widths that add up to the whole, none smaller than the least as far as there is room."""
    least = min(_LEAST, _SPAN / len(sizes))
    free, total = _SPAN - least * len(sizes), sum(sizes)
    return [least + free * size / total for size in sizes]


def _draw_table(canvas: Canvas, each: ListedTable, top: float) -> None:
    lines = each.table.lines
    size = format_bytes(each.table.size_bytes)
    canvas.text(_LEFT, top + 18, each.name or "device", size=18, fill=_INK)
    canvas.text(_LEFT + _SPAN, top + 18, f"{size}, {plural(len(lines), 'line')}", fill=_SOFT, anchor="end")
    bar = top + 32
    lower = _lower(each)
    places = {name: bar + _BAR + _GAP + _STEP * index for index, name in enumerate(lower)}
    x = float(_LEFT)
    for line, width in zip(lines, _shares([line.num_sectors for line in lines]), strict=True):
        colour = _COLOURS.get(line.target, _OTHER)
        names = _names(line)
        for index, name in enumerate(dict.fromkeys(names)):
            middle = x + width * (index + 1) / (len(set(names)) + 1)
            canvas.rect(middle - 1, bar + _BAR, 2, places[name] - bar - _BAR, fill=colour)
            canvas.rect(middle - 4, places[name] - 4, 8, 8, fill=colour, stroke=_INK)
        canvas.rect(x, bar, width, _BAR, fill=colour, stroke="#ffffff", stroke_width=2)
        label = format_bytes(line.size_bytes)
        if width > 7.5 * max(len(line.target), len(label)):
            canvas.text(x + width / 2, bar + 20, line.target, anchor="middle")
            canvas.text(x + width / 2, bar + 37, label, size=11, fill=_SOFT, anchor="middle")
        x += width
    for name, y in places.items():
        label = name if len(name) <= 100 else f"{name[:60]}…{name[-36:]}"
        width = 7.2 * len(label) + 16
        canvas.rect(_LEFT, y - 13, _SPAN, 1, fill=_OTHER)
        canvas.rect(_LEFT, y - 12, width, 22, fill="#ffffff", stroke=_SOFT)
        canvas.text(_LEFT + 8, y + 4, label)
