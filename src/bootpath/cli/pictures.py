"""``--picture``: a drawing of the result in a file, PNG or SVG by its name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootpath.report.canvas import Canvas

_SUFFIXES = (".png", ".svg")


def add_picture(parser: argparse.ArgumentParser, what: str) -> None:
    """``--picture``."""
    parser.add_argument("--picture", metavar="F", type=_picture, help=f"{what} to this file: .png or .svg")


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in _SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text}: expected a name that ends in .png or .svg")
    return path


def write_picture(path: Path, canvas: Canvas) -> None:
    """Write it whole, or not at all. Raises Error."""
    from bootpath.image.output import write_whole

    svg = path.suffix.lower() == ".svg"
    write_whole([(path, canvas.to_svg().encode() if svg else canvas.to_png())])
