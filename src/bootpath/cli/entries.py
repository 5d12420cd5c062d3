"""``bootpath entries``: the boot entries of a disk, in the order of a menu."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_certificates, add_json, image_policy, read_certificates
from bootpath.cli.disks import Disks, add_verbose

if TYPE_CHECKING:
    from bootpath.formats.entries.uki import EfiArchitecture

PLACES = ("xbootldr", "esp", "root")
DEFAULT_POLICY = "esp,xbootldr"

HELP = "list what a boot loader could choose from on a disk"
EPILOG = """\
DISK is a file, a block device, or an nbd:// or https:// URI; nothing is mounted. Entries are files of /loader/entries
(Boot Loader Specification), unified kernel images of /EFI/Linux, and labels of extlinux.conf. The policy says in which
places they are looked for; the specification knows the EFI and the XBOOTLDR partition, root are the root file systems
of all slots, through dm-verity and LVM2 where they are behind it.

examples:
  bootpath entries disk.img
  bootpath entries --policy root --architecture aa64 https://example.org/board.img
  bootpath entries --policy root --fixed /dev/vda disk.img
  bootpath entries --policy root --certificate vendor.pem disk.img
  bootpath entries --all --json disk.img

exit codes: 0 there is something to boot, 1 it cannot be read, 2 usage, 3 there is nothing to boot
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    argument = parser.add_argument("disk", metavar="DISK", help="disk image, block device, or URI")
    argument.complete = {"bash": "_shtab_compgen_files", "zsh": "_files"}
    parser.add_argument(
        "--policy",
        type=places,
        default=places(DEFAULT_POLICY),
        metavar="PLACES",
        help=f"where entries may be: any of {', '.join(PLACES)}, with commas (default: {DEFAULT_POLICY})",
    )
    parser.add_argument("--all", action="store_true", help="look into the other places too, and say what is left out")
    parser.add_argument(
        "--architecture",
        type=architecture,
        metavar="NAME",
        help="only what this machine boots: x64, aa64 and so on, or as uname -m says it (default: any)",
    )
    parser.add_argument("--no-efi", action="store_true", help="for a machine without EFI: no UKIs, no EFI programs")
    group = parser.add_argument_group("what a root must be, for its entries to count")
    add_certificates(
        group, "certificate (PEM or DER) whose signatures count; without --image-policy, roots must then be signed"
    )
    group.add_argument("--image-policy", metavar="P", type=image_policy, help="as systemd.image-policy(7)")
    group = parser.add_argument_group("how a root is named, for entries with linux-appendroot")
    group.add_argument(
        "--fixed", metavar="NAME", help="what the kernel calls the disk, for example /dev/vda (default: by PARTUUID)"
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
    """A policy: words with commas."""
    words = frozenset(word for word in text.lower().split(",") if word)
    if not words or not words <= set(PLACES):
        raise argparse.ArgumentTypeError(f"{text!r} is not a policy: write any of {', '.join(PLACES)}, with commas")
    return words


def architecture(text: str) -> EfiArchitecture:
    """An architecture by any of its names."""
    from bootpath.formats.entries.uki import EfiArchitecture

    found = EfiArchitecture.named(text)
    if found is None:
        names = " ".join(each.value for each in EfiArchitecture)
        raise argparse.ArgumentTypeError(f"{text!r} is not an architecture: {names}")
    return found


def run(options: argparse.Namespace) -> int:
    """List; 0 when there is something to boot, 3 when not."""
    from bootpath.cli.console import emit, emit_json, note
    from bootpath.formats.cmdline.appendroot import Assembly, RootStyle
    from bootpath.image.entries.find import find_entries
    from bootpath.image.entries.menu import VolumeRole
    from bootpath.image.roots.candidates import Terms
    from bootpath.image.roots.choice import effective_policy
    from bootpath.report.bootentries import entries_json, render_entries

    certificates = read_certificates(options.certificate)
    terms = Terms(effective_policy(options.image_policy, certificates), certificates)
    style = RootStyle(options.fixed, Assembly(options.assembly))
    with Disks(verbose=options.verbose) as disks:
        menu = find_entries(
            disks.open(options.disk),
            roles=[VolumeRole(word) for word in sorted(options.policy)],
            shown_roles=tuple(VolumeRole) if options.all else (),
            architecture=options.architecture,
            efi=not options.no_efi,
            terms=terms,
        )
        if options.json:
            emit_json(entries_json(menu, style))
        else:
            emit(render_entries(menu, style))
    disks.report()
    if not menu.boots and not options.all and "root" not in options.policy:
        note("bootpath: entries inside root file systems were not looked for: --policy root does")
    return 0 if menu.boots else 3
