"""``bootpath verity``: dm-verity volumes, with veritysetup's names for everything."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import MAX_BYTES, add_images, add_json, named, path, refer_to_family, size, uuid, whole
from bootpath.cli.disks import Disks, add_verbose
from bootpath.cli.failures import Reported
from bootpath.cli.verity.open import add_opening, open_action
from bootpath.cli.verity.sign import add_signing, sign
from bootpath.cli.verity.volumes import (
    algorithm,
    block_size,
    fec_options,
    open_volume,
    parameters_of,
    root_hash_of,
    root_hash_text,
    salt,
)

if TYPE_CHECKING:
    from bootpath.image.verity.fec import FecArea
    from bootpath.image.verity.volume import HashArea

HELP = "make, check, sign and open dm-verity volumes, with veritysetup's names"
EPILOG = """\
The superblock, the hash tree, the FEC data and the root hash are those of veritysetup, byte for byte. DATA and HASH are
files or block devices, and where they are only read also nbd://, https:// and s3:// URIs; they may be the same, with
--hash-offset.
Where veritysetup hands a volume to the kernel, open serves it by NBD: every block is checked when it is read.

examples:
  bootpath verity format root.img root.verity --root-hash-file root.hash
  bootpath verity format root.img root.verity --fec-device root.fec --root-hash-file root.hash
  bootpath verity verify root.img root.verity --root-hash-file root.hash
  bootpath verity dump root.verity
  bootpath verity format disk.img disk.img --data-blocks 65536 --hash-offset 268435456
  bootpath verity sign --root-hash-file root.hash --key k.pem --key-certificate c.pem -o s.p7s
  bootpath verity open root.img root.verity --root-hash-file root.hash --run 'nbdcopy $uri copy.img'
  bootpath verity open root.img root.verity --root-hash-file root.hash --root-hash-signature s.p7s --certificate c.pem
  bootpath verity open root.img root.verity --root-hash-file root.hash --print-table

exit codes: 0 good (verify: or repairable, with --fec-device), 1 failed, 2 usage, 3 something does not match, or a
signature does not verify
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = actions.add_parser(
        "format",
        help="write a hash area",
        description="Write the hash area of DATA. What HASH and the file of --fec-device held is lost: a file not "
        "longer than what is made is replaced, anything else is overwritten in place.",
    )
    verify = actions.add_parser(
        "verify",
        help="check everything",
        description="Read and check a whole volume. The verdict is: verified, every block matches (exit code 0); "
        "repairable, with --fec-device, FEC can correct every block that does not (exit code 0, as of veritysetup; "
        "without --fec-device it is 3); or the first block that is wrong (exit code 3). Nothing is written.",
    )
    dump = actions.add_parser("dump", help="show a superblock", description="Show what a superblock says.")
    signing = actions.add_parser("sign", help="sign a root hash", description="Sign a root hash, as Linux wants it.")
    opening = actions.add_parser(
        "open",
        help="serve a volume, every block checked",
        description="Serve a volume to NBD clients. Nothing is served before the signature, if any, is checked.",
    )
    for action in (make, verify, opening):
        action.add_argument("data", metavar="DATA", type=named, help="data that the volume protects")
    for action in (make, verify, dump, opening):
        _add_areas(action)
    for action in (verify, signing, opening):
        action.add_argument(
            "root_hash", metavar="ROOT_HASH", type=root_hash_text, nargs="?", help="the root hash in hexadecimal"
        )
    for action, help_text in {
        make: "write the root hash to this file",
        verify: "read the root hash from this file",
        signing: "read the root hash from this file",
        opening: "read the root hash from this file",
    }.items():
        action.add_argument("--root-hash-file", type=path, metavar="F", help=help_text)
    for action in (make, verify, opening):
        _add_parameters(action)
    make.add_argument("--uuid", type=uuid, metavar="UUID", help="UUID of the superblock (default: random)")
    for action in (make, verify, dump, signing):
        add_json(action)
    for action in (verify, dump):
        add_verbose(action)
    for action in (make, verify, dump, opening):
        add_images(action)
    add_signing(signing)
    add_opening(opening)
    for action in (make, verify, dump, signing, opening):
        action.set_defaults(parser=action)
    refer_to_family(parser, actions)
    parser.set_defaults(run=run)


def _add_areas(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("hashes", metavar="HASH", type=named, help="where the hash area is")
    parser.add_argument(
        "--hash-offset", type=size, default=0, metavar="BYTES", help="where in HASH the area begins (default: 0)"
    )
    group = parser.add_argument_group("forward error correction (FEC)")
    group.add_argument("--fec-device", metavar="F", type=named, help="where the FEC data is: a file, or DATA or HASH")
    group.add_argument("--fec-offset", type=size, default=0, metavar="BYTES", help="where in F it begins (default: 0)")
    group.add_argument(
        "--fec-roots",
        type=whole(2, 24),
        default=2,
        metavar="N",
        help="parity bytes in each codeword of 255 bytes, 2 to 24 (default: 2)",
    )


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-superblock", action="store_true", help="there is no superblock: give all parameters as options"
    )
    group = parser.add_argument_group("parameters, for format or without a superblock, which has to agree with them")
    group.add_argument("--hash", type=algorithm, metavar="NAME", help="algorithm (default: sha256)")
    group.add_argument("--format", type=int, choices=(0, 1), help="0 is Chrome OS's (default: 1)")
    group.add_argument("--data-block-size", type=block_size, metavar="BYTES", help="(default: 4096)")
    group.add_argument("--hash-block-size", type=block_size, metavar="BYTES", help="(default: 4096)")
    group.add_argument(
        "--data-blocks", type=whole(1, MAX_BYTES), metavar="N", help="protect N blocks (default: all of DATA)"
    )
    group.add_argument(
        "-s",
        "--salt",
        type=salt,
        metavar="HEX",
        help="salt in hexadecimal, - for none (default of format: 32 random bytes)",
    )


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    actions = {"format": _format, "verify": _verify, "dump": _dump, "sign": sign, "open": open_action}
    return actions[options.action](options)


def _format(options: argparse.Namespace) -> int:
    import os
    from contextlib import closing
    from uuid import uuid4

    from bootpath.cli.console import note, progress_bar
    from bootpath.cli.disks import image_rules, open_disk
    from bootpath.image.output import check_output, write_whole
    from bootpath.image.verity.format import format_volume
    from bootpath.image.verity.volume import data_blocks_of

    if options.root_hash_file is not None:
        check_output(options.root_hash_file)
    block_bytes = options.data_block_size or 4096
    with closing(open_disk(options.data, options)) as device:
        blocks = data_blocks_of(device.size_bytes, block_bytes, limit=options.data_blocks)
        behind = device.size_bytes - blocks * block_bytes
    if behind and options.data_blocks is None:
        note(f"bootpath: warning: {options.data}: the last {behind} bytes are no whole data block: they are not hashed")
    parameters = parameters_of(options, blocks, default_salt=os.urandom(32))
    with progress_bar("hashing") as progress:
        made = format_volume(
            options.data,
            options.hashes,
            parameters,
            uuid=None if options.no_superblock else options.uuid or uuid4(),
            offset=options.hash_offset,
            fec=fec_options(options),
            images=image_rules(options),
            progress=lambda done: progress(done, parameters.data_bytes, options.data),
            overwrites=lambda name: note(
                f"bootpath: {name} is overwritten in place: it holds no volume until this ends"
            ),
        )
    if options.root_hash_file is not None:
        write_whole([(options.root_hash_file, made.root_hash.hex().encode())])
    _show(options, made.area, made.fec, root_hash=made.root_hash)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from bootpath.cli.console import emit, emit_json, note, progress_bar
    from bootpath.core.units import plural
    from bootpath.image.verity.verify import verify_volume
    from bootpath.image.verity.volume import same_file
    from bootpath.report.verity import area_json, render_verification, verification_json

    with Disks(options, verbose=options.verbose) as disks, progress_bar("checking") as progress:
        volume = open_volume(options, root_hash_of(options), disks)
        blocks, total = volume.area.parameters.data_blocks, volume.area.parameters.data_bytes
        found = verify_volume(volume, lambda done: progress(done, total, options.data))
    disks.report()
    if found.wrong_parity_blocks:
        wrong = plural(found.wrong_parity_blocks, "block")
        note(f"{options.fec_device}: the FEC data does not match the volume: {wrong}; do not rely on it, make it again")
    behind = volume.data.size_bytes - total
    if behind > 0 and not any(same_file(options.data, each) for each in (options.hashes, options.fec_device) if each):
        note(f"{options.data}: the last {behind} bytes are behind what the root hash is of, and were not verified")
    if options.json:
        emit_json({**area_json(volume.area, root_hash=volume.root_hash), **verification_json(found)})
    elif found.verified:
        emit(render_verification(found, options.data, blocks))
    if found.fault is not None:
        raise Reported(found.fault) if options.json else found.fault
    return 0


def _dump(options: argparse.Namespace) -> int:
    from bootpath.image.verity.fec import FecArea
    from bootpath.image.verity.volume import open_fec, read_hash_area, same_file

    with Disks(options, verbose=options.verbose) as disks:
        hashes = disks.open(options.hashes)
        area = read_hash_area(hashes, options.hash_offset)
        fec = None
        wanted = fec_options(options)
        if wanted is not None:
            device = disks.open(options.fec_device)
            found = open_fec(device, area, hashes, wanted, on_hash_device=same_file(wanted.path, options.hashes))
            fec = FecArea(found.parameters, found.offset_bytes)
    _show(options, area, fec)
    disks.report()
    return 0


def _show(
    options: argparse.Namespace, area: HashArea, fec: FecArea | None = None, *, root_hash: bytes | None = None
) -> None:
    from bootpath.cli.console import emit, emit_json
    from bootpath.report.verity import area_json, render_area

    value = area_json(area, fec, root_hash=root_hash)
    if options.json:
        emit_json(value)
    else:
        emit(render_area(value))
