"""``bootpath build``: one module for each kind of image."""

from __future__ import annotations

import argparse
from typing import Any

from bootpath.cli.build import image, initramfs, live

__all__ = ["configure"]

HELP = "build a live disk, a discoverable disk image, or an initramfs"


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=HELP, description=HELP)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    live.configure(kinds, "live")
    image.configure(kinds, "image")
    initramfs.configure(kinds, "initramfs")
