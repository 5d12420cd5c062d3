"""``lived``: the daemon of the boot path. It takes the loader's handoff and serves the live disk.

It starts before any disk driver: what the preload holds is answered at once, everything else waits for the physical
disk, which is opened when it appears and taken only when it is the disk that the loader read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from bootpath import __version__
from bootpath.cli.arguments import DEADLINE_HELP, duration, named, path, read_stdin, room
from bootpath.cli.failures import Parser
from bootpath.cli.main import run_command
from bootpath.cli.renamed import check_spelling
from bootpath.cli.serve.serving import add_listening, serve, serve_settings

HELP = "serve the live disk that a boot loader's handoff describes"
EPILOG = """\
Exports: the default one and disk.live, both the live disk at its full size.

examples:
  lived --env /proc/self/environ --preload-memory /dev/pmem0 --disk /dev/vda --socket /run/lived.sock
  lived --env handoff --preload-memory preload.bin --disk nbd+unix:///?socket=/run/driver.sock --socket /run/lived.sock
  lived --env - --preload-memory preload.bin --no-disk --workers 4 --socket /run/lived.sock < handoff

BOOTPATH_LIMITS="NAME=VALUE …" in its environment raises limits of what is read.

exit codes: 0 stopped, 1 failed, 2 usage, 3 the environment is not that of a live boot; with --run that of the command
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of the daemon."""
    parser = Parser(prog="lived", description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"lived {__version__}")
    parser.add_argument(
        "--env", metavar="FILE|-", type=named, required=True, help="file with the environment block, - for stdin"
    )
    parser.add_argument(
        "--preload-memory",
        metavar="F",
        type=path,
        required=True,
        help="file or device that begins with the preload",
    )
    disks = parser.add_mutually_exclusive_group(required=True)
    disks.add_argument(
        "--disk",
        dest="physical",
        metavar="D",
        type=named,
        help="the physical disk behind the preload, which may appear later",
    )
    disks.add_argument("--no-disk", action="store_true", help="no physical disk appears")
    parser.add_argument(
        "--deadline",
        type=duration,
        default=30.0,
        metavar="S",
        help=DEADLINE_HELP,
    )
    parser.add_argument(
        "--overlay-size", type=room, metavar="N", help="keep at most this many bytes of writes, then ENOSPC"
    )
    parser.add_argument(
        "--block-size", type=int, choices=(512, 4096), default=4096, help="logical block size (default: 4096)"
    )
    add_listening(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; the exit code."""
    words = sys.argv[1:] if arguments is None else arguments

    def make_parser() -> argparse.ArgumentParser:
        check_spelling(words, "lived")
        return build_parser()

    return run_command(make_parser, _run, words)


def _run(options: argparse.Namespace) -> int:
    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.boot.redox.livedservice import LivedSettings, open_lived

    settings = serve_settings(options, "lived")
    lived = LivedSettings(
        environment=read_stdin() if options.env == "-" else read_whole(options.env),
        memory=options.preload_memory,
        disk=options.physical,
        deadline_seconds=options.deadline,
        block_bytes=options.block_size,
        overlay_bytes=options.overlay_size,
        forks=options.workers > 1,
    )
    return serve(options, settings, partial(open_lived, lived))
