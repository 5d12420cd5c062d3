"""``bootpath build initramfs``: the first root file system of a guest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bootpath.cli.arguments import add_json, add_output, named, path
from bootpath.cli.failures import UsageError

HELP = "build an initramfs: busybox, kernel modules with their dependencies, and the programs or the Python you ask for"
EPILOG = """\
--with live has the part of bootpath that runs in a guest, and the Python it needs. --with disk has the part that mounts
the RedoxFS of the physical disk, for images with a loader of their own. --with shell ends in a shell on the console.
--with none starts the file given with --init. --with lvm,verity,ubi,ubifs, or any of these, has no Python: it finds the
root that the kernel parameters name, on a partition or a volume of LVM2 or UBI, opens dm-verity over it, and switches
to it; see docs/reference/kernel-command-line.md. ubifs has ubi in it, and the file system itself.

The directory --sysroot has the kernel's modules, a static busybox (with lvm, verity or ubi it may be shared),
and the programs lvm, dmsetup, keyctl, ubiattach and ubiblock. Python, and the libraries of programs that are added,
come from this machine. Needs bootpath[initramfs].

The same inputs give the same bytes. All times are 1970, or SOURCE_DATE_EPOCH where that is in the environment.

examples:
  bootpath build initramfs -o live.img --sysroot guest/
  bootpath build initramfs -o shell.img --sysroot guest/ --with shell --kernel-modules nbd,virtio_blk
  bootpath build initramfs -o test.img --sysroot guest/ --with none --init init.sh --add fio:/bin/fio --compression gzip
  bootpath build initramfs -o tiny.img --with verity
  bootpath build initramfs -o tiny.img --sysroot guest/ --with lvm,verity,ubi
  bootpath build initramfs -o flash.img --sysroot guest/ --with ubifs
  bootpath build initramfs --list --with shell --kernel-release 6.1.0-56-amd64
"""
# As RECIPES and Compression have them: the parser starts without importing either.
KINDS = ("live", "disk", "shell", "none", "lvm", "verity", "ubi", "ubifs")
TOGETHER = ("lvm", "verity", "ubi", "ubifs")
COMMAND = "bootpath build initramfs"
COMPRESSIONS = ("zstd", "gzip", "xz", "none")


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name for name in text.split(",") if name)


def recipe(text: str) -> tuple[str, ...]:
    """A kind of initramfs that stands alone, or several that go together."""
    kinds = names(text)
    if not kinds or any(kind not in KINDS for kind in kinds) or (len(kinds) > 1 and set(kinds) - set(TOGETHER)):
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(KINDS)}; {','.join(TOGETHER)} go together")
    return kinds


def addition(text: str) -> tuple[Path, str]:
    """A file here and its path in the guest: ``SRC:DST``."""
    source, _, path = text.rpartition(":")
    if not source or not path.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is not SRC:DST: write a file, a colon, and its absolute path")
    return Path(source), path


def configure(kinds: Any, name: str) -> None:
    """Add the kind to the parser of ``bootpath build``."""
    parser = kinds.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_output(parser, "archive to write; replaced when it exists")
    parser.add_argument(
        "--with",
        dest="recipe",
        metavar="KIND",
        type=recipe,
        default=("live",),
        help="what is in it: live, disk, shell, none, or any of lvm,verity,ubi,ubifs (default: live)",
    )
    parser.add_argument(
        "--sysroot",
        metavar="DIR",
        type=path,
        default=Path("/"),
        help="directory with lib/modules and bin/busybox (default: /)",
    )
    parser.add_argument(
        "--kernel-release", metavar="R", type=named, help="directory in lib/modules (default: the only one)"
    )
    parser.add_argument(
        "--kernel-modules",
        metavar="M,M",
        type=names,
        default=(),
        help="more kernel modules; each must exist or be built in",
    )
    parser.add_argument("--init", metavar="F", type=path, help="file to start as /init, instead of the usual one")
    parser.add_argument("--busybox", metavar="F", type=path, help="static busybox (default: the one in --sysroot)")
    parser.add_argument("--python", metavar="F", type=path, help="interpreter for the guest (default: this one)")
    parser.add_argument("--python-modules", metavar="M,M", type=names, default=(), help="more Python modules")
    parser.add_argument(
        "--add",
        metavar="SRC:DST",
        type=addition,
        action="append",
        default=[],
        help="a file or directory to add, at an absolute path; programs bring their libraries; repeatable",
    )
    parser.add_argument(
        "--compression",
        metavar="NAME",
        choices=COMPRESSIONS,
        help="zstd, gzip, xz or none (default: zstd; xz for lvm, verity, ubi and ubifs)",
    )
    parser.add_argument(
        "--list", action="store_true", help="list every entry, and the part it belongs to; -o is optional then"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build, or only list."""
    from bootpath.cli.console import show_result
    from bootpath.core.errors import Error
    from bootpath.core.extras import pip_install
    from bootpath.report.initramfs import initramfs_json, render_initramfs

    try:
        from bootpath.boot.initramfs.build import build_initramfs, plan_initramfs
    except ModuleNotFoundError as fault:
        raise Error(f"the Python package {fault.name} is not installed", hint=pip_install("initramfs")) from fault

    if options.recipe == ("none",) and options.init is None:
        raise UsageError("--with none needs --init", where=COMMAND)
    if options.output is None and not options.list:
        raise UsageError("give -o, or --list", where=COMMAND)
    spec = _spec(options)
    built = None if options.output is None else build_initramfs(spec, options.output)
    plan = plan_initramfs(spec) if built is None else built.plan
    show_result(
        options,
        lambda: initramfs_json(plan, built, entries=options.list),
        lambda: render_initramfs(plan, built, entries=options.list),
    )
    return 0


def _spec(options: argparse.Namespace) -> Any:
    import os

    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.boot.initramfs.build import Added, InitramfsSpec, PythonGuest, combine_recipes
    from bootpath.boot.initramfs.compression import Compression
    from bootpath.image.epoch import source_date_epoch

    recipe = combine_recipes(options.recipe)
    python_modules = (*recipe.python_modules, *options.python_modules)
    python = PythonGuest(python_modules) if options.python is None else PythonGuest(python_modules, options.python)
    init = recipe.init if options.init is None else read_whole(options.init, "program_bytes")
    assert init is not None
    return InitramfsSpec(
        root=options.sysroot,
        init=init,
        release=options.kernel_release,
        modules=(*recipe.modules, *options.kernel_modules),
        wanted_modules=recipe.wanted_modules,
        python=python if python_modules else None,
        programs=recipe.programs,
        stubs=recipe.stubs,
        files=recipe.files(),
        added=tuple(Added(source, path) for source, path in options.add),
        busybox=options.busybox,
        mtime_seconds=source_date_epoch(os.environ) or 0,
        compression=recipe.compression if options.compression is None else Compression(options.compression),
    )
