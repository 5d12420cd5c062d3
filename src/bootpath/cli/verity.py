"""``bootpath verity``: dm-verity volumes, with veritysetup's names for everything."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_json, uuid

if TYPE_CHECKING:
    from bootpath.formats import VerityParameters
    from bootpath.image.verityvolume import HashArea, Volume

HELP = "make and check dm-verity volumes, with veritysetup's names"
EPILOG = """\
The superblock, the tree and the root hash are those of veritysetup, byte for byte. DATA and HASH are files or block
devices, and for verify and dump also nbd:// and https:// URIs; both may be the same, with --hash-offset.
verify exits with 3 when something does not match.

examples:
  bootpath verity format root.img root.verity --root-hash-file root.hash
  bootpath verity verify root.img root.verity --root-hash-file root.hash
  bootpath verity dump root.verity
  bootpath verity format disk.img disk.img --data-blocks 65536 --hash-offset 268435456
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = actions.add_parser("format", help="write a hash area", description="Write the hash area of DATA.")
    verify = actions.add_parser("verify", help="check everything", description="Read and check a whole volume.")
    dump = actions.add_parser("dump", help="show a superblock", description="Show what a superblock says.")
    for action in (make, verify):
        action.add_argument("data", metavar="DATA", help="what is protected")
    for action in (make, verify, dump):
        action.add_argument("hashes", metavar="HASH", help="where the hash area is")
        action.add_argument(
            "--hash-offset", type=int, default=0, metavar="BYTES", help="where in HASH the area begins (default: 0)"
        )
        add_json(action)
    verify.add_argument("root_hash", metavar="ROOT_HASH", nargs="?", help="the root hash in hexadecimal")
    for action in (make, verify):
        action.add_argument("--root-hash-file", type=Path, metavar="F", help="file with the root hash")
        action.add_argument("--no-superblock", action="store_true", help="there is none; everything is said here")
        group = action.add_argument_group("parameters, for format or without a superblock")
        group.add_argument("--hash", default="sha256", metavar="NAME", help="algorithm (default: sha256)")
        group.add_argument("--format", type=int, default=1, choices=(0, 1), help="0 is Chrome OS's (default: 1)")
        group.add_argument("--data-block-size", type=int, default=4096, metavar="BYTES", help="(default: 4096)")
        group.add_argument("--hash-block-size", type=int, default=4096, metavar="BYTES", help="(default: 4096)")
        group.add_argument("--data-blocks", type=int, metavar="N", help="protect N blocks (default: all of DATA)")
        group.add_argument("--salt", metavar="HEX", help="or - for none (default: 32 random bytes)")
    make.add_argument("--uuid", type=uuid, metavar="UUID", help="UUID of the superblock (default: random)")
    parser.set_defaults(run=run, parser=verify)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    if options.action == "format":
        return _format(options)
    return _verify(options) if options.action == "verify" else _dump(options)


def _format(options: argparse.Namespace) -> int:
    import os
    from uuid import uuid4

    from bootpath.block import FileDevice
    from bootpath.cli.console import progress_bar
    from bootpath.image.verityvolume import data_blocks_of, format_volume

    device = FileDevice.open(options.data)
    device.close()
    blocks = data_blocks_of(device.size_bytes, options.data_block_size, limit=options.data_blocks)
    parameters = _parameters(options, blocks, default_salt=os.urandom(32))
    with progress_bar("hashing") as progress:
        root_hash, area = format_volume(
            options.data,
            options.hashes,
            parameters,
            uuid=None if options.no_superblock else options.uuid or uuid4(),
            offset=options.hash_offset,
            progress=lambda done: progress(done, parameters.data_bytes, options.data),
        )
    if options.root_hash_file is not None:
        options.root_hash_file.write_text(root_hash.hex())
    _show(options, area, root_hash=root_hash.hex())
    return 0


def _verify(options: argparse.Namespace) -> int:
    from bootpath.cli.console import emit, progress_bar
    from bootpath.core import IntegrityError

    if (options.root_hash is None) == (options.root_hash_file is None):
        options.parser.error("give the root hash, or --root-hash-file")
    text = options.root_hash if options.root_hash_file is None else _short_text(options.root_hash_file)
    volume = _open(options, text)
    try:
        with progress_bar("checking") as progress:
            found = volume.check(lambda done: progress(done, volume.area.parameters.data_bytes, options.data))
    finally:
        volume.close()
    wrong = [
        {"what": "data" if each.level < 0 else "hash", "level": max(each.level, 0), "block": each.block}
        for each in found
    ]
    if options.json:
        _show(options, volume.area, root_hash=volume.root_hash.hex(), verified=not wrong, mismatches=wrong)
    elif not wrong:
        emit(f"{options.data}: verified, {volume.area.parameters.data_blocks} blocks")
    if wrong:
        first = wrong[0]
        level = "" if first["what"] == "data" else f" of level {first['level']}"
        raise IntegrityError(
            f"not verified: {first['what']} block {first['block']}{level} does not match", where=options.data
        )
    return 0


def _dump(options: argparse.Namespace) -> int:
    from contextlib import closing

    from bootpath.block import open_device
    from bootpath.image.verityvolume import read_hash_area

    with closing(open_device(options.hashes)) as hashes:
        _show(options, read_hash_area(hashes, options.hash_offset))
    return 0


def _open(options: argparse.Namespace, root_hash: str) -> Volume:
    from contextlib import ExitStack

    from bootpath.block import open_device
    from bootpath.image.verityvolume import Volume, described_area, read_hash_area

    with ExitStack() as stack:
        data = open_device(options.data)
        stack.callback(data.close)
        hashes = open_device(options.hashes)
        stack.callback(hashes.close)
        if options.no_superblock:
            parameters = _parameters(options, 1, default_salt=b"")
            area = described_area(parameters, data, offset=options.hash_offset, limit=options.data_blocks)
        else:
            area = read_hash_area(hashes, options.hash_offset)
        volume = Volume.open(data, hashes, area, root_hash)
        stack.pop_all()
    return volume


def _parameters(options: argparse.Namespace, blocks: int, *, default_salt: bytes) -> VerityParameters:
    from bootpath.core import FormatError
    from bootpath.formats import VerityParameters

    try:
        salt = default_salt if options.salt is None else b"" if options.salt == "-" else bytes.fromhex(options.salt)
    except ValueError:
        raise FormatError("salt is", where="verity", found=options.salt[:80], expected="hexadecimal digits") from None
    return VerityParameters(
        blocks, options.hash, salt, options.data_block_size, options.hash_block_size, options.format
    )


def _short_text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(1024).decode("ascii", "replace").strip()


def _show(options: argparse.Namespace, area: HashArea, **more: object) -> None:
    """The area as veritysetup shows it, or as JSON (docs/schemas/verity.json)."""
    from bootpath.cli.console import emit, emit_json

    of, superblock = area.parameters, area.superblock
    value: dict[str, object] = {
        "uuid": None if superblock is None else str(superblock.uuid),
        "hash_type": of.hash_type,
        "data_blocks": of.data_blocks,
        "data_block_size": of.data_block_size,
        "hash_blocks": of.tree_blocks(),
        "hash_block_size": of.hash_block_size,
        "algorithm": of.algorithm,
        "salt": of.salt.hex() or None,
        "hash_offset": area.offset,
        "hash_start_block": area.start_block,
        **more,
    }
    if options.json:
        emit_json(value)
        return
    names = {"uuid": "UUID", "algorithm": "hash algorithm"}
    for name, each in value.items():
        label = names.get(name, name.replace("_", " "))
        emit(f"{label[0].upper() + label[1:] + ':':<18}{'-' if each is None else each}")
