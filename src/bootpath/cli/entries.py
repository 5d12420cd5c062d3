"""``bootpath entries``: the boot entries of a disk, in the order of a menu."""

from __future__ import annotations

import argparse
from typing import Any

from bootpath.cli.arguments import (
    add_certificates,
    add_disk,
    add_json,
    add_policy,
    architecture,
    read_certificates,
    words,
)
from bootpath.cli.disks import Disks, add_verbose

PLACES = ("xbootldr", "esp", "root")
DEFAULT_PLACES = "esp,xbootldr"

HELP = "list what a boot loader could choose from on a disk"
EPILOG = """\
DISK is a file, a block device, or an nbd:// or https:// URI; nothing is mounted. Entries are files of /loader/entries
(Boot Loader Specification), unified kernel images of /EFI/Linux, and labels of extlinux.conf. --look-in says in which
places they are looked for. esp and xbootldr are the partitions of the specification; root means the root file systems
of all slots, also behind dm-verity and LVM2.

examples:
  bootpath entries disk.img
  bootpath entries --look-in root --architecture aa64 https://example.org/board.img
  bootpath entries --look-in root --disk-name /dev/vda disk.img
  bootpath entries --look-in root --certificate vendor.pem disk.img
  bootpath entries --all --json disk.img

exit codes: 0 there is something to boot, 1 it cannot be read, 2 usage, 3 there is nothing to boot
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    parser.add_argument(
        "--look-in",
        type=places,
        default=places(DEFAULT_PLACES),
        metavar="PLACES",
        help=f"where entries are looked for: any of {', '.join(PLACES)}, with commas (default: {DEFAULT_PLACES})",
    )
    parser.add_argument("--all", action="store_true", help="look into the other places too, and show what is excluded")
    parser.add_argument(
        "--architecture",
        type=architecture,
        metavar="ARCH",
        help="the architecture that counts (default: any)",
    )
    parser.add_argument(
        "--no-efi", action="store_true", help="for a machine without EFI: exclude UKIs and EFI programs"
    )
    group = parser.add_argument_group("which roots are eligible")
    add_certificates(group)
    add_policy(group)
    group = parser.add_argument_group("how a root is named, for entries with linux-appendroot")
    group.add_argument(
        "--disk-name",
        metavar="NAME",
        type=words,
        help="what the kernel calls the disk, for example /dev/vda (default: by PARTUUID)",
    )
    group.add_argument(
        "--assembly",
        choices=("initramfs", "bootpath", "kernel"),
        default="initramfs",
        help="who assembles verity and LVM2: any initramfs, that of bootpath, or the kernel by dm-mod.create "
        "(default: initramfs)",
    )
    add_verbose(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def places(text: str) -> frozenset[str]:
    """Places with commas."""
    words = frozenset(word for word in text.lower().split(",") if word)
    if not words or not words <= set(PLACES):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a place to look in: write any of {', '.join(PLACES)}, with commas"
        )
    return words


def run(options: argparse.Namespace) -> int:
    """List; 0 when there is something to boot, 3 when not."""
    from bootpath.cli.console import note, show_result
    from bootpath.formats.cmdline.address import Assembly, RootStyle
    from bootpath.formats.entries.uki import EfiArchitecture
    from bootpath.image.entries.find import find_entries
    from bootpath.image.entries.menu import VolumeRole
    from bootpath.image.roots.candidates import Terms
    from bootpath.image.roots.choice import effective_policy
    from bootpath.report.bootentries import entries_json, render_entries

    certificates = read_certificates(options.certificate)
    terms = Terms(effective_policy(options.policy, certificates), certificates)
    style = RootStyle(options.disk_name, Assembly(options.assembly))
    with Disks(verbose=options.verbose) as disks:
        menu = find_entries(
            disks.open(options.disk),
            roles=[VolumeRole(word) for word in sorted(options.look_in)],
            shown_roles=tuple(VolumeRole) if options.all else (),
            architecture=None if options.architecture is None else EfiArchitecture.named(options.architecture.value),
            efi=not options.no_efi,
            terms=terms,
        )
        show_result(options, lambda: entries_json(menu, style), lambda: render_entries(menu, style))
    disks.report()
    if not menu.boots and not options.all and "root" not in options.look_in:
        note("bootpath: root file systems were not searched; to search them, use --look-in root")
    return 0 if menu.boots else 3
