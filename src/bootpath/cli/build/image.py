"""``bootpath build image``: discoverable disk images, from definitions as those of repart.d or from a few options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_json, add_output, add_signing_key, architecture, path, room, uuid, whole, words

if TYPE_CHECKING:
    from bootpath.formats.partitions.dps import Architecture
    from bootpath.formats.repart.definition import RepartDefinition
    from bootpath.image.ddi.draft import DdiImage, SigningKey
    from bootpath.image.ddi.shortform import ShortForm

HELP = "build a discoverable disk image: root, verity, signature, EFI partition"
EPILOG = """\
SOURCE is a directory of definitions (*.conf, see repart.d(5)), or else the root: a directory, or an image of a file
system. With --seed, and SOURCE_DATE_EPOCH in the environment, the same input gives the same bytes.

examples:
  bootpath build image tree/ -o os.img --verity --esp esp/
  bootpath build image --root tree/ --file-system squashfs --key os.key --key-certificate os.crt -o os.img
  bootpath build image repart.d/ -o os.img --key os.key --key-certificate os.crt
  bootpath build image tree/ -o os.img --verity --slots 2 --root-size 512MiB --split
  bootpath build image tree/ --verity --dry-run --definitions repart.d/
"""


def configure(kinds: Any, name: str) -> None:
    """Add the kind to the parser of ``bootpath build``."""
    parser = kinds.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_output(parser, "image to write; replaced when it exists")
    parser.add_argument("--split", action="store_true", help="also write every partition to a file beside the image")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="write no image: show offsets, sizes, UUIDs and root hashes (contents are made and thrown away)",
    )
    parser.add_argument(
        "--definitions",
        metavar="DIR",
        type=path,
        help="with --dry-run: write the definitions that these options stand for into this new directory",
    )
    _add_image(parser)
    add_json(parser)
    parser.set_defaults(run=run, parser=parser)


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", nargs="?", type=path, help="definitions, or the root")
    parser.add_argument(
        "--architecture",
        metavar="ARCH",
        type=architecture,
        help="the architecture of root and usr (default: this machine's)",
    )
    parser.add_argument(
        "--seed", type=uuid, metavar="UUID", help="what UUIDs and salts are derived from (default: random)"
    )
    parser.add_argument("--size", type=room, metavar="SIZE", help="size of the image (default: as small as can be)")
    parser.add_argument(
        "--align", type=room, metavar="SIZE", default=1 << 20, help="alignment of partitions (default: 1MiB)"
    )
    parser.add_argument(
        "--slots",
        type=whole(1, 64),
        default=1,
        metavar="N",
        help="how many sets of root and /usr, for updates (default: 1)",
    )
    parser.add_argument(
        "--fill",
        choices=("empty", "both"),
        default="empty",
        help="leave further slots empty, or fill them too (default: empty)",
    )
    parser.add_argument("--all-root", action="store_true", help="make root the owner of every file")
    add_signing_key(parser)
    files = parser.add_argument_group("with definitions")
    files.add_argument(
        "--copy-source",
        type=path,
        metavar="DIR",
        default=Path("/"),
        help="directory that their paths are relative to (default: /)",
    )
    files.add_argument("--image-id", metavar="ID", type=words, help="value of the specifier %%M")
    files.add_argument("--image-version", metavar="V", type=words, help="value of the specifier %%A")
    short = parser.add_argument_group("without definitions")
    short.add_argument("--root", type=path, metavar="PATH", help="the root, when SOURCE would be taken for definitions")
    short.add_argument(
        "--file-system", choices=("erofs", "squashfs", "ext4"), help="file system of the root (default: erofs)"
    )
    short.add_argument(
        "--compression",
        metavar="NAME",
        help="compression of the root; erofs: lz4, lz4hc, lzma, deflate, zstd; squashfs: gzip, lzo, xz, lz4, zstd",
    )
    short.add_argument("--root-size", type=room, metavar="SIZE", help="minimum size of the root partition")
    short.add_argument(
        "--label",
        metavar="NAME",
        type=words,
        help="label of the root partition; the labels of its verity partitions begin with it",
    )
    short.add_argument("--verity", action="store_true", help="protect the root with dm-verity (implied by --key)")
    short.add_argument("--esp", type=path, metavar="DIR", help="directory whose content goes to the EFI partition")
    short.add_argument(
        "--esp-size", type=room, metavar="SIZE", help="size of the EFI partition (default: at least 64MiB)"
    )
    short.add_argument("--efi-loader", type=path, metavar="F", help="program that UEFI starts; it is put at EFI/BOOT")
    short.add_argument(
        "--uki",
        type=path,
        metavar="F",
        action="append",
        default=[],
        help="unified kernel image to put at EFI/Linux; repeatable",
    )
    short.add_argument(
        "--xbootldr",
        type=path,
        metavar="DIR",
        help="directory whose content goes to the extended boot loader partition",
    )


def run(options: argparse.Namespace) -> int:
    """Plan, and build when that was asked for."""
    import os

    from bootpath.cli.console import note, progress_bar, show_result
    from bootpath.image.ddi.build import build_ddi, plan_ddi
    from bootpath.image.ddi.definitions import write_definitions
    from bootpath.image.filesystems.programs import HostPrograms
    from bootpath.report.ddi import ddi_json, render_ddi

    if options.output is None and not options.dry_run:
        options.parser.error("give -o, or --dry-run")
    if options.definitions is not None and not options.dry_run:
        options.parser.error("--definitions goes with --dry-run")
    image = _image(options)
    programs = HostPrograms(path=os.environ.get("PATH", os.defpath))
    built = None
    with progress_bar("image") as progress:
        if not options.dry_run:
            built = build_ddi(image, options.output, programs=programs, split=options.split, progress=progress)
            plan = built.plan
        else:
            plan = plan_ddi(image, programs=programs, progress=progress)
    if options.definitions is not None:
        write_definitions(image.definitions, options.definitions)
    for warning in plan.warnings:
        note(f"bootpath: warning: {warning}")
    show_result(options, lambda: ddi_json(plan, built), lambda: render_ddi(plan, built))
    return 0


def _image(options: argparse.Namespace) -> DdiImage:
    """The image that was asked for."""
    import os
    from uuid import uuid4

    from bootpath.image.ddi.draft import DdiImage, SlotFill
    from bootpath.image.epoch import source_date_epoch

    architecture = _architecture(options)
    definitions, short = _definitions(options, architecture)
    return DdiImage(
        definitions,
        seed=options.seed or uuid4(),
        architecture=architecture,
        copy_source=Path("/") if short is not None else options.copy_source,
        size_bytes=options.size,
        alignment_bytes=options.align,
        signing=_signing(options),
        epoch=source_date_epoch(os.environ),
        all_root=options.all_root,
        slots=options.slots,
        fill=SlotFill(options.fill),
        warnings=() if short is None else short.warnings(),
    )


_SHORT = (
    "file_system",
    "compression",
    "root_size",
    "label",
    "verity",
    "esp",
    "esp_size",
    "efi_loader",
    "uki",
    "xbootldr",
)


def _definitions(
    options: argparse.Namespace, architecture: Architecture
) -> tuple[tuple[RepartDefinition, ...], ShortForm | None]:
    """The definitions, and the short form when they are its. Leaves with a usage error for a mixture."""
    from bootpath.formats.repart.definition import FileSystemFormat
    from bootpath.image.ddi.definitions import holds_definitions, read_definitions
    from bootpath.image.ddi.shortform import ShortForm

    if options.source is not None and options.root is not None:
        options.parser.error("SOURCE and --root are the same thing: give one")
    if options.source is not None and holds_definitions(options.source):
        mixed = [name for name in _SHORT if getattr(options, name)]
        if mixed:
            options.parser.error(
                f"{options.source} holds definitions, which say what --{mixed[0].replace('_', '-')} would;"
                " name a root that holds files *.conf with --root"
            )
        specifiers = {"a": architecture.value, "M": options.image_id, "A": options.image_version}
        known = {letter: value for letter, value in specifiers.items() if value is not None}
        return read_definitions(options.source, architecture, known), None
    root = options.root or options.source
    short = ShortForm(
        root=root,
        format=FileSystemFormat(options.file_system or "erofs"),
        compression=options.compression,
        verity=options.verity,
        signed=options.key is not None,
        root_bytes=options.root_size,
        name=options.label,
        esp=options.esp,
        esp_bytes=options.esp_size,
        loader=options.efi_loader,
        ukis=tuple(options.uki),
        xbootldr=options.xbootldr,
    )
    found = short.definitions(architecture)
    if not found:
        options.parser.error("give SOURCE, or --root, --esp and so on")
    return found, short


def _architecture(options: argparse.Namespace) -> Architecture:
    import os

    from bootpath.core.errors import Error
    from bootpath.formats.partitions.dps import Architecture

    found: Architecture | None = options.architecture or Architecture.of_machine(os.uname().machine)
    if found is None:
        raise Error(
            "this machine's architecture has no partition types",
            found=os.uname().machine,
            hint="give --architecture",
        )
    return found


def _signing(options: argparse.Namespace) -> SigningKey | None:
    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.cli.arguments import read_password
    from bootpath.image.ddi.draft import SigningKey

    key, certificate = options.key, options.key_certificate
    if (key is None) != (certificate is None):
        options.parser.error("--key and --key-certificate go together: give both")
    if key is None:
        return None
    return SigningKey(read_whole(key), read_whole(certificate), read_password(options.key_password_file))
