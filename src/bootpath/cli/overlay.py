"""``bootpath overlay``: what a persistent overlay holds, and what becomes of it."""

from __future__ import annotations

import argparse
from enum import Enum
from typing import Any

from bootpath.cli.arguments import add_json
from bootpath.core.printable import printable, printable_lines

HELP = "show, commit or discard a persistent overlay (bootpath serve --overlay FILE)"
EPILOG = """\
commit and discard only print what they would do; with --apply they do it. An interrupted commit can be run again.

examples:
  bootpath overlay info changes.overlay
  bootpath overlay commit changes.overlay disk.img --apply
  bootpath overlay discard changes.overlay --apply
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    info = actions.add_parser(
        "info", help="show what it holds, and its base", description="Show what an overlay holds."
    )
    commit = actions.add_parser(
        "commit",
        help="write it into its base, then empty it",
        description="Write an overlay into its base, then empty it.",
    )
    discard = actions.add_parser(
        "discard", help="drop all changes", description="Drop all changes that an overlay holds."
    )
    for action in (info, commit, discard):
        action.add_argument("overlay", metavar="OVERLAY", help="overlay file")
    commit.add_argument("base", metavar="BASE", help="the disk that it was made over")
    for action in (commit, discard):
        action.add_argument("--apply", action="store_true", help="do it (default: only print what would be done)")
    add_json(info)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show, commit or discard."""
    from dataclasses import asdict

    from bootpath.block.overlay.commit import commit_overlay, discard_overlay, overlay_info
    from bootpath.cli.console import emit, emit_json
    from bootpath.report.units import format_bytes

    info = overlay_info(options.overlay)
    held = format_bytes(info.dirty_bytes)
    if options.action == "info":
        fields = {name: value for name, value in asdict(info).items() if not isinstance(value, dict)}
        if options.json:
            emit_json({name: _plain(value) for name, value in fields.items()})
        else:
            emit(printable_lines(f"{name.replace('_', ' '):16} {_plain(value)}" for name, value in fields.items()))
        return 0
    what = (
        f"write {held} into {options.base}, then empty" if options.action == "commit" else f"drop {held} of changes in"
    )
    if not options.apply:
        emit(printable(f"would {what} {options.overlay}; use --apply to do it"))
        return 0
    if options.action == "commit":
        written = commit_overlay(options.overlay, options.base)
        emit(printable(f"{options.base}: {format_bytes(written)} written, {options.overlay} is empty"))
    else:
        dropped = discard_overlay(options.overlay)
        emit(printable(f"{options.overlay}: {format_bytes(dropped)} of changes dropped"))
    return 0


def _plain(value: object) -> object:
    """A field as JSON has it: an enum by its name, a UUID as text."""
    if isinstance(value, Enum):
        return value.name.lower().replace("_", "-")
    return value if isinstance(value, int | str | None) else str(value)
