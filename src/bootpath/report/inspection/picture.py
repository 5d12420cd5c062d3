"""A picture of what is on a disk: a bar for the disk and for each container in it, and a line of text for each place.

Widths follow sizes, with a least width so that an 8 KiB partition can be seen; what lies between partitions is grey.
What would be mounted has a thick outline; what is damaged is red.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from bootpath.boot.inspection.values import Inspection, LinuxInspection, LiveInspection
from bootpath.formats.partitions.dps import Designator
from bootpath.image.contents.nodes import VOLUME_KINDS, Node, NodeKind
from bootpath.report.canvas import Canvas
from bootpath.report.inspection.contents import describe_content, describe_type, verdict_lines
from bootpath.report.inspection.live import live_verdict
from bootpath.report.units import format_bytes, format_offset

_WIDTH, _LEFT, _SPAN = 1240, 40, 1160
_TOP, _BAR, _GAP, _LINE = 96, 44, 34, 22
_LEAST = 14
_LONGEST = 96
_INK, _SOFT, _EMPTY, _BAD, _CHOSEN, _OTHER = "#263238", "#607d8b", "#eceff1", "#ef9a9a", "#1b5e20", "#cfd8dc"
_VOLUME = "#b39ddb"
_Piece: TypeAlias = "tuple[Node | None, int]"
_COLOURS = {
    Designator.ROOT: "#90caf9",
    Designator.USR: "#80deea",
    Designator.ROOT_VERITY: "#a5d6a7",
    Designator.USR_VERITY: "#a5d6a7",
    Designator.ROOT_VERITY_SIG: "#fff59d",
    Designator.USR_VERITY_SIG: "#fff59d",
    Designator.ESP: "#ffcc80",
    Designator.XBOOTLDR: "#ffcc80",
    Designator.SWAP: "#bcaaa4",
    Designator.HOME: "#ce93d8",
    Designator.SRV: "#ce93d8",
    Designator.VAR: "#ce93d8",
    Designator.TMP: "#ce93d8",
    Designator.LINUX_GENERIC: "#9fa8da",
}


def draw_contents(inspection: Inspection) -> Canvas:
    """The disk, its containers, and the verdict."""
    root = inspection.contents.root
    bars = list(_bars(root))
    lines = [node for node in root.walk() if node is not root]
    verdict = _verdict(inspection)
    chosen = _chosen(inspection)
    height = _TOP + len(bars) * (_BAR + _GAP) + 16 + (len(lines) + len(verdict) + 2) * _LINE
    canvas = Canvas(_WIDTH, height)
    canvas.text(_LEFT, 36, f"{inspection.name}: {format_bytes(inspection.size_bytes)}", size=22)
    if root.gpt is not None:
        canvas.text(_LEFT, 58, f"GPT, disk {root.gpt.disk_guid}: {root.gpt.verdict.value}", fill=_SOFT)
    elif root.mbr is not None:
        canvas.text(_LEFT, 58, f"MBR, disk {root.mbr.signature}", fill=_SOFT)
    y = float(_TOP)
    for title, pieces in bars:
        _draw_bar(canvas, title, pieces, y, chosen)
        y += _BAR + _GAP
    y += 16
    for node in lines:
        _draw_line(canvas, node, y, chosen)
        y += _LINE
    y += _LINE
    for text in verdict:
        canvas.text(_LEFT, y, _cut(text, 150), size=15, fill="#d50000" if inspection.problems else _CHOSEN)
        y += _LINE
    return canvas


def _verdict(inspection: Inspection) -> list[str]:
    return live_verdict(inspection) if isinstance(inspection, LiveInspection) else verdict_lines(inspection)


def _chosen(inspection: Inspection) -> frozenset[str]:
    """The paths of what would be mounted."""
    if inspection.problems:
        return frozenset()
    if isinstance(inspection, LinuxInspection):
        return frozenset(candidate.data.path for candidate in inspection.choice.chosen)
    found = inspection.chosen
    if found is None:
        return frozenset()
    return frozenset({"" if found.partition is None else str(found.partition.number)})


def _colour(node: Node) -> str:
    if node.fault is not None:
        return _BAD
    if node.designator is None:
        return _VOLUME if node.kind in VOLUME_KINDS else _OTHER
    return _COLOURS.get(node.designator, _OTHER)


def _bars(root: Node) -> Iterator[tuple[str, list[_Piece]]]:
    """The title and the pieces of each bar: the disk first, then the volumes and partitions of what is in it."""
    for node in root.walk():
        title = f"{node.path or 'disk'}: {format_bytes(node.size_bytes)}"
        if node is root or node.partition_table is not None:
            yield title, list(_pieces(node))
        volumes = [child for child in node.children if child.kind in VOLUME_KINDS]
        if volumes:
            yield f"volumes of {node.path or 'the disk'}", [(child, child.size_bytes) for child in volumes]


def _pieces(container: Node) -> Iterator[_Piece]:
    """What lies on a place, and what nothing claims there."""
    placed = sorted((node for node in container.children if _is_placed(node)), key=_offset)
    if not placed:
        yield container, container.size_bytes
        return
    end = 0
    for node in placed:
        if _offset(node) > end:
            yield None, _offset(node) - end
        yield node, node.size_bytes
        end = max(end, _offset(node) + node.size_bytes)
    if container.size_bytes > end:
        yield None, container.size_bytes - end


def _is_placed(node: Node) -> bool:
    """True for a partition with a size. An extended one is where its logical partitions are, which are drawn."""
    extended = node.record is not None and node.record.extended
    return node.kind is NodeKind.PARTITION and node.size_bytes > 0 and not extended


def _offset(node: Node) -> int:
    return node.offset_bytes or 0


def _shares(sizes: Sequence[int]) -> list[float]:
    """Widths that add up to the whole, none smaller than the least as far as there is room."""
    least = min(_LEAST, _SPAN / len(sizes))
    free, total = _SPAN - least * len(sizes), max(sum(sizes), 1)
    return [least + free * size / total for size in sizes]


def _draw_bar(canvas: Canvas, title: str, pieces: list[_Piece], y: float, chosen: frozenset[str]) -> None:
    canvas.text(_LEFT, y - 6, title, size=12, fill=_SOFT)
    x = float(_LEFT)
    for (node, _), width in zip(pieces, _shares([size for _, size in pieces]), strict=True):
        if node is None:
            canvas.rect(x, y, width - 1, _BAR, fill=_EMPTY)
        else:
            taken = node.path in chosen
            canvas.rect(
                x,
                y,
                width - 1,
                _BAR,
                fill=_colour(node),
                stroke=_CHOSEN if taken else None,
                stroke_width=3 if taken else 1,
            )
            label = node.path.rsplit("/", 1)[-1] or "disk"
            if len(label) * 8 < width:
                canvas.text(x + width / 2, y + _BAR / 2 + 5, label, anchor="middle", fill=_INK)
        x += width


def _draw_line(canvas: Canvas, node: Node, y: float, chosen: frozenset[str]) -> None:
    taken = node.path in chosen
    canvas.rect(
        _LEFT, y - 11, 12, 12, fill=_colour(node), stroke=_CHOSEN if taken else None, stroke_width=2 if taken else 1
    )
    offset = "" if node.offset_bytes is None else format_offset(node.offset_bytes)
    canvas.text(_LEFT + 22, y, _cut(f"{node.path}  {node.name}", 34))
    canvas.text(_LEFT + 350, y, offset, anchor="end", fill=_SOFT)
    canvas.text(_LEFT + 440, y, format_bytes(node.size_bytes), anchor="end", fill=_SOFT)
    canvas.text(_LEFT + 456, y, _cut(f"{describe_type(node)}  {describe_content(node)}", _LONGEST), fill=_INK)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
