"""The command line: parse, call one command, turn errors into one line and an exit code.

Exit codes: 0 good, 1 failed, 2 usage, 3 the verdict is bad (does not boot, is not verified, is damaged), 4 what boots
is not verified, and that is allowed. A command is imported when it is named, and imports what it needs when it runs, so
that the command line stays quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from bootpath import __version__
from bootpath.cli.arguments import limits_of
from bootpath.cli.endings import Terminated, abandon, flush_stdout, prepare_streams, terminated_tidily
from bootpath.cli.failures import (
    FAILED,
    Parser,
    Reported,
    UsageError,
    loose_ends_caught,
    report,
    report_usage,
    say,
    show_traceback,
)
from bootpath.cli.renamed import check_spelling
from bootpath.core.printable import printable

INTERRUPTED = 130
SIGNALLED = 128
"""And the number of the signal, as a shell counts."""

COMMANDS = (
    *("build", "inspect", "entries", "plan", "simulate", "boot"),
    *("serve", "overlay", "repair", "verity", "dm", "completion"),
)
"""In the order of ``--help``; each is the module of that name beside this one."""

EXAMPLES = """\
examples:
  bootpath build live tree/ -o disk.img --size 4093MiB --kernel kernel --initfs initfs
  bootpath inspect disk.img
  bootpath entries disk.img
  bootpath boot os.img --dry-run --certificate os.crt
  bootpath plan disk.img --preload 1024MiB --picture plan.png
  bootpath simulate disk.img --disk-delay 2s
  bootpath simulate disk.img --classic --preload 1024MiB
  bootpath boot disk.img
  bootpath serve disk.img --preload plan --socket /run/disk.sock

What an image may cost is limited; an error that says so names the limit, which is raised in the environment:
  BOOTPATH_LIMITS="initrd_bytes=4GiB boot_entries=5000" bootpath boot disk.img
"""


def build_parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line, of all commands or of these; the reference pages are made from it."""
    parser = Parser(
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Usage errors of the parser leave through SystemExit(2), as argparse does."""
    words = sys.argv[1:] if arguments is None else arguments

    def make_parser() -> argparse.ArgumentParser:
        check_spelling(words)
        return build_parser(_named(words))

    return run_command(make_parser, lambda options: options.run(options), words)


def run_command(
    make_parser: Callable[[], argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str] | None,
) -> int:
    """Parse, run, and turn what goes wrong into one line on stderr, an object on stdout, and an exit code."""
    prepare_streams()
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        with terminated_tidily(), loose_ends_caught(), limits_of(os.environ.get("BOOTPATH_LIMITS", "")):
            code = run(_parse(make_parser(), arguments))
        flush_stdout()
        return code
    except BrokenPipeError:
        abandon(sys.stdout)
        return FAILED
    except KeyboardInterrupt as end:
        show_traceback(end)
        say(printable("bootpath: interrupted"))
        return INTERRUPTED
    except Terminated as end:
        show_traceback(end)
        say(printable(f"bootpath: terminated by {end}"))
        return SIGNALLED + end.number
    except UsageError as fault:
        code = report_usage(fault, as_json=as_json)
        if fault.usage is not None:
            raise SystemExit(code) from None
        return code
    except Reported as failed:
        return report(failed.fault, as_json=False)
    except Exception as fault:  # noqa: BLE001 - the border: one line for whatever it is
        return report(fault, as_json=as_json)


def _parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. An unknown option is an error of the command that was named, with a similar one."""
    for word in arguments or ():
        if "\0" in word:  # no shell gives one, and no file has such a name
            raise UsageError(f"an argument has a NUL character: {word!r}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        from difflib import get_close_matches

        parser = _innermost(parser, options)
        known = [name for action in parser._actions for name in action.option_strings]
        similar = get_close_matches(unknown[0].partition("=")[0], known, n=1)
        hint = f"; did you mean {similar[0]}?" if similar else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


def _innermost(parser: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the command that was named, and of its action."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return _innermost(action.choices[getattr(options, action.dest)], options)
    return parser
