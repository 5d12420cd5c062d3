"""``bootpath image``: discoverable disk images, from definitions in the manner of repart.d or from a few options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_json, size, uuid

if TYPE_CHECKING:
    from bootpath.formats.partitions.dps import Architecture
    from bootpath.formats.repart.definition import RepartDefinition
    from bootpath.image.ddi.draft import DdiImage, SigningKey
    from bootpath.image.ddi.shortform import ShortForm

HELP = "build discoverable disk images: root, verity, signature, EFI partition"
EPILOG = """\
SOURCE is a directory of definitions (*.conf, see repart.d(5)), or else the root: a directory, or an image of a file
system. With --seed, and SOURCE_DATE_EPOCH in the environment, the same input gives the same bytes.

examples:
  bootpath image build tree/ -o os.img --verity --esp esp/
  bootpath image build --root tree/ --format squashfs --sign os.key os.crt --uki os.efi --loader boot.efi -o os.img
  bootpath image build repart.d/ -o os.img --key os.key --certificate os.crt
  bootpath image build tree/ -o os.img --verity --slots 2 --root-size 512MiB --split
  bootpath image plan tree/ --verity --definitions repart.d/
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="write an image", description="Write an image.")
    plan = actions.add_parser(
        "plan",
        help="show what would be written",
        description="Show what would be written: places, sizes, UUIDs, root hashes. Contents are made and thrown away.",
    )
    build.add_argument(
        "-o", "--output", metavar="F", type=Path, required=True, help="image to write; replaced when it exists"
    )
    build.add_argument("--split", action="store_true", help="also write every partition to a file beside the image")
    plan.add_argument(
        "--definitions",
        metavar="DIR",
        type=Path,
        help="write the definitions of the short form into this new directory",
    )
    for action in (build, plan):
        _add_image(action)
        add_json(action)
        action.set_defaults(run=run, parser=action)


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", nargs="?", type=Path, help="definitions, or the root")
    parser.add_argument("--architecture", metavar="ARCH", help="what root and usr are for (default: this machine's)")
    parser.add_argument("--seed", type=uuid, metavar="UUID", help="where UUIDs and salts come from (default: random)")
    parser.add_argument("--size", type=size, metavar="SIZE", help="size of the image (default: as small as can be)")
    parser.add_argument(
        "--align", type=size, metavar="SIZE", default=1 << 20, help="where partitions may begin (default: 1MiB)"
    )
    parser.add_argument(
        "--slots", type=int, default=1, metavar="N", help="sets of root or usr, for updates (default: 1)"
    )
    parser.add_argument(
        "--fill", choices=("empty", "both"), default="empty", help="what further slots hold (default: empty)"
    )
    parser.add_argument("--all-root", action="store_true", help="make root the owner of every file")
    parser.add_argument("--key", type=Path, metavar="F", help="private key (PEM or DER) for signature partitions")
    parser.add_argument("--certificate", type=Path, metavar="F", help="the key's certificate")
    parser.add_argument("--key-password-file", metavar="F", help="file with the password of the key")
    files = parser.add_argument_group("with definitions")
    files.add_argument(
        "--copy-source",
        type=Path,
        metavar="DIR",
        default=Path("/"),
        help="where the paths they name begin (default: /)",
    )
    files.add_argument("--image-id", metavar="ID", help="what %%M stands for")
    files.add_argument("--image-version", metavar="V", help="what %%A stands for")
    short = parser.add_argument_group("without")
    short.add_argument("--root", type=Path, metavar="PATH", help="the same as SOURCE, when it is the root")
    short.add_argument(
        "--format", choices=("erofs", "squashfs", "ext4"), help="file system of the root (default: erofs)"
    )
    short.add_argument(
        "--compression", metavar="NAME", help="of the root: lz4, lz4hc (erofs), gzip, xz, zstd (squashfs)"
    )
    short.add_argument("--root-size", type=size, metavar="SIZE", help="least size of the root's partition")
    short.add_argument("--label", metavar="NAME", help="label of the root; those of verity add to it")
    short.add_argument("--verity", action="store_true", help="protect the root with dm-verity")
    short.add_argument("--sign", nargs=2, type=Path, metavar=("KEY", "CERT"), help="protect it and sign its root hash")
    short.add_argument("--esp", type=Path, metavar="DIR", help="what the EFI partition holds")
    short.add_argument("--esp-size", type=size, metavar="SIZE", help="its size (default: at least 64MiB)")
    short.add_argument("--loader", type=Path, metavar="F", help="what firmware starts: EFI/BOOT/BOOTX64.EFI, and so on")
    short.add_argument(
        "--uki", type=Path, metavar="F", action="append", default=[], help="unified kernel image for EFI/Linux"
    )
    short.add_argument("--xbootldr", type=Path, metavar="DIR", help="what an extended boot loader partition holds")


def run(options: argparse.Namespace) -> int:
    """Plan, and build when that was asked for."""
    import os

    from bootpath.cli.console import emit, emit_json, note, progress_bar
    from bootpath.image.ddi.build import build_ddi, plan_ddi
    from bootpath.image.ddi.definitions import write_definitions
    from bootpath.image.filesystems.programs import HostPrograms
    from bootpath.report.ddi import ddi_json, render_ddi

    image = _image(options)
    programs = HostPrograms(path=os.environ.get("PATH", os.defpath))
    built = None
    with progress_bar("image") as progress:
        if options.action == "build":
            built = build_ddi(image, options.output, programs=programs, split=options.split, progress=progress)
            plan = built.plan
        else:
            plan = plan_ddi(image, programs=programs, progress=progress)
    if options.action == "plan" and options.definitions is not None:
        write_definitions(image.definitions, options.definitions)
    for warning in plan.warnings:
        note(f"bootpath: warning: {warning}")
    if options.json:
        emit_json(ddi_json(plan, built))
    else:
        emit(render_ddi(plan, built))
    return 0


def _image(options: argparse.Namespace) -> DdiImage:
    """The image that was asked for."""
    import os
    from uuid import uuid4

    from bootpath.cli.arguments import source_date_epoch
    from bootpath.image.ddi.draft import DdiImage, SlotFill

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
    "format",
    "compression",
    "root_size",
    "label",
    "verity",
    "sign",
    "esp",
    "esp_size",
    "loader",
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
        format=FileSystemFormat(options.format or "erofs"),
        compression=options.compression,
        verity=options.verity,
        signed=options.sign is not None,
        root_bytes=options.root_size,
        name=options.label,
        esp=options.esp,
        esp_bytes=options.esp_size,
        loader=options.loader,
        ukis=tuple(options.uki),
        xbootldr=options.xbootldr,
    )
    found = short.definitions(architecture)
    if not found:
        options.parser.error("give SOURCE, or --root, --esp and so on")
    return found, short


def _architecture(options: argparse.Namespace) -> Architecture:
    import os

    from bootpath.formats.partitions.dps import Architecture

    name = options.architecture or os.uname().machine
    found = Architecture.of_machine(name)
    if found is None:
        options.parser.error(f"--architecture: {name!r} is none of {', '.join(each.value for each in Architecture)}")
        raise AssertionError  # error() does not return
    return found


def _signing(options: argparse.Namespace) -> SigningKey | None:
    from bootpath.cli.arguments import read_password
    from bootpath.image.ddi.draft import SigningKey

    key, certificate = options.sign or (options.key, options.certificate)
    if options.sign is not None and (options.key is not None or options.certificate is not None):
        options.parser.error("--sign and --key with --certificate are the same thing: give one")
    if (key is None) != (certificate is None):
        options.parser.error("--key and --certificate go together")
    if key is None:
        return None
    return SigningKey(key.read_bytes(), certificate.read_bytes(), read_password(options.key_password_file))
