"""``bootpath completion``: the shell completion script, made from the parser."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "print the completion script for a shell"
EPILOG = """\
examples:
  bootpath completion bash > ~/.local/share/bash-completion/completions/bootpath
  bootpath completion zsh > "${fpath[1]}/_bootpath"
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from bootpath.cli.console import emit_data
    from bootpath.cli.main import build_parser

    emit_data(shtab.complete(build_parser(), shell=options.shell) + "\n")
    return 0
