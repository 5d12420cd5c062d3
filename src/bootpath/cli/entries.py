"""``bootpath entries``: the boot entries of a disk, in the order of a menu."""

from __future__ import annotations

import argparse
from typing import Any

from bootpath.cli.arguments import add_disk, add_json, words
from bootpath.cli.boot.decision import ASSEMBLIES, ASSEMBLY_HELP, add_decision, linux_request
from bootpath.cli.disks import Disks, add_verbose

HELP = "list what a boot loader can choose from on a disk, and say what it would choose"
EPILOG = """\
DISK is a file, a block device, or an nbd:// or https:// URI; nothing is mounted. Entries are files of /loader/entries
(Boot Loader Specification), unified kernel images of /EFI/Linux, labels of extlinux.conf and syslinux.cfg, what the
firmware of a Raspberry Pi loads, and on an ISO 9660 also entries of isolinux.cfg and grub.cfg. The verdict is the one
of bootpath boot and inspect. All places are looked in, unless --look-in names some: esp and xbootldr are the partitions
of the specification; root means the root file systems of all slots, also behind dm-verity, LVM2 and UBI; iso is the
file system of an optical medium.

examples:
  bootpath entries disk.img
  bootpath entries --look-in esp,xbootldr disk.img
  bootpath entries --architecture aa64 https://example.org/board.img
  bootpath entries --disk-name /dev/vda disk.img
  bootpath entries --assembly initramfs disk.img
  bootpath entries --certificate vendor.pem disk.img
  bootpath entries --efi-vars OVMF_VARS.fd disk.img
  bootpath entries --all --json disk.img

exit codes: 0 it boots, 1 it cannot be read, 2 usage, 3 it does not boot
"""

ALL_HELP = "look into the places that --look-in leaves out, too, and show what is excluded"


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    add_decision(parser.add_argument_group("which root and which entry are booted"))
    parser.add_argument("--all", action="store_true", help=ALL_HELP)
    group = parser.add_argument_group("how the root is named to the kernel")
    group.add_argument(
        "--disk-name",
        metavar="NAME",
        type=words,
        help="what the kernel calls the disk, for example /dev/mmcblk0: devices are named by it, instead of by UUIDs",
    )
    group.add_argument("--assembly", choices=ASSEMBLIES, default=ASSEMBLIES[0], help=ASSEMBLY_HELP)
    add_verbose(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List; 0 when something boots, 3 when not."""
    from bootpath.boot.inspection.inspect import inspect_disk
    from bootpath.boot.inspection.values import InspectionRequest, LinuxInspection
    from bootpath.boot.linux.listing import list_entries
    from bootpath.cli.console import show_result
    from bootpath.formats.cmdline.address import Assembly
    from bootpath.image.entries.menu import VolumeRole
    from bootpath.report.bootentries import entries_json, render_entries

    naming = {} if options.disk_name is None else {"disk_name": options.disk_name, "fixed": True}
    request = linux_request(options, assembly=Assembly(options.assembly), **naming)
    with Disks(options, verbose=options.verbose) as disks:
        disk = disks.open(options.disk)
        inspection = inspect_disk(disk, InspectionRequest(request))
        listing = None
        if isinstance(inspection, LinuxInspection):
            shown = tuple(VolumeRole) if options.all else ()
            listing = list_entries(disk, inspection.boot, shown_roles=shown)
        show_result(options, lambda: entries_json(inspection, listing), lambda: render_entries(inspection, listing))
    disks.report()
    return 0 if inspection.boots else 3
