"""Pictures of a machine's screen, as PNG.

QEMU writes PNG by itself when it was built with it (``screendump format=png``, since 7.1), else only PPM, which is
converted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bootpath.core.errors import MachineError


class Execute(Protocol):
    """Runs a monitor command."""

    def __call__(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        """Return its result; raises MachineError when it is refused."""


def screendump(execute: Execute, path: Path) -> None:
    """Write the screen to `path`. Raises MachineError when the machine has no screen or the file cannot be written."""
    try:
        execute("screendump", {"filename": str(path), "format": "png"})
    except MachineError as refused:
        if "format" not in refused.what and "png" not in refused.what.lower():
            raise
    else:
        return
    picture = path.with_name(path.name + ".ppm")
    try:
        execute("screendump", {"filename": str(picture)})
        convert(picture, path)
    finally:
        picture.unlink(missing_ok=True)


def convert(source: Path, target: Path) -> None:
    """Turn a PPM picture into a PNG."""
    from PIL import Image  # imported only when it is needed

    with Image.open(source) as image:
        image.save(target, format="PNG")
