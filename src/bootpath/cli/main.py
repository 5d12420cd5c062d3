"""The command line: parse, call one command, turn errors into one line and an exit code.

Exit codes: 0 good, 1 failed, 2 usage, 3 the verdict is bad (does not boot, is not verified), 4 what boots is not
verified, and that is allowed. A command is imported when it is named, and imports what it needs when it runs, so that
the command line stays quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from bootpath import __version__

FAILED, USAGE, BAD_VERDICT, INTERRUPTED = 1, 2, 3, 130

COMMANDS = ("build", "image", "inspect", "entries", "plan", "boot", "serve", "overlay", "verity", "dm", "completion")
"""In the order of ``--help``; each is the module of that name beside this one."""

EXAMPLES = """\
examples:
  bootpath build live tree/ -o disk.img --size 4093MiB --kernel kernel --initfs initfs
  bootpath inspect disk.img
  bootpath plan disk.img --preload 1024MiB --picture plan.png
  bootpath boot disk.img --disk-delay 2s
  bootpath boot disk.img --classic --preload 1024MiB
  bootpath serve disk.img --preload plan --socket /run/disk.sock
"""


def build_parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, of all commands or of these; the reference pages are made from it."""
    parser = argparse.ArgumentParser(
        prog="bootpath",
        description="Follow a disk image from its partition table to a mounted root.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bootpath {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        import_module(f"bootpath.cli.{name}").configure(commands, name)
    return parser


def _named(words: Sequence[str]) -> Iterable[str]:
    """The commands that the parser of these words needs: the one that is named, or all."""
    first = words[0] if words else ""
    return (first,) if first in COMMANDS else () if first == "--version" else COMMANDS


def _report(fault: BaseException) -> int:
    """One line a fault on stderr; the exit code it deserves."""
    from bootpath.core import BootError, Error, IntegrityError, SignatureError

    if isinstance(fault, BaseExceptionGroup):
        return max(_report(part) for part in fault.exceptions)
    if isinstance(fault, Error):
        verdict = isinstance(fault, BootError | IntegrityError | SignatureError)
        text, code = str(fault), BAD_VERDICT if verdict else FAILED
    elif isinstance(fault, OSError):
        text, code = f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault), FAILED
    else:
        raise fault
    print(f"bootpath: {' '.join(text.splitlines())}", file=sys.stderr)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Usage errors leave through SystemExit(2), as argparse does."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_command(build_parser(_named(words)), lambda options: options.run(options), words)


def run_command(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], arguments: Sequence[str] | None
) -> int:
    """Parse, run, and turn what goes wrong into one line on stderr and an exit code."""
    options = parser.parse_args(arguments)
    try:
        code = run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print("bootpath: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as fault:  # noqa: BLE001 - the border: one line for what we know, a traceback for what we do not
        return _report(fault)
