"""What the actions of ``bootpath verity`` share: the volume that the options describe, and its root hash."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.cli.arguments import judged_by, size

if TYPE_CHECKING:
    from bootpath.cli.disks import Disks
    from bootpath.core.device import Device
    from bootpath.formats.verity.tree import VerityParameters
    from bootpath.image.verity.volume import FecOptions, VerityVolume


def root_hash(text: str) -> str:
    """A root hash in hexadecimal, of any algorithm. Raises FormatError."""
    from bootpath.formats.verity.tree import parse_root_hash

    parse_root_hash(text)
    return text


root_hash_text = judged_by(root_hash)


@judged_by
def algorithm(text: str) -> str:
    """The name of a hash algorithm."""
    from bootpath.formats.verity.tree import VerityParameters

    return VerityParameters(1, algorithm=text).algorithm


@judged_by
def block_size(text: str) -> int:
    """The size of a block."""
    from bootpath.formats.verity.tree import check_block_size

    found = size(text)
    check_block_size("the block size", found)
    return found


@judged_by
def salt(text: str) -> bytes:
    """A salt in hexadecimal; ``-`` is none."""
    from bootpath.formats.verity.tree import VerityParameters

    try:
        found = b"" if text == "-" else bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not hexadecimal") from None
    return VerityParameters(1, salt=found).salt


def open_volume(options: argparse.Namespace, root_hash: str, disks: Disks) -> VerityVolume:
    """The volume, closed with the `disks`. Raises FormatError, DeviceError."""
    from bootpath.image.verity.volume import VerityVolume, described_area, open_fec, read_hash_area, same_file

    data, hashes = disks.open(options.data), _open_hashes(options, disks)
    if options.no_superblock:
        parameters = parameters_of(options, 1, default_salt=b"")
        area = described_area(parameters, data, offset=options.hash_offset, limit=options.data_blocks)
    else:
        area = read_hash_area(hashes, options.hash_offset)
        _check_agreement(options, area.parameters)
    fec = None
    wanted = fec_options(options)
    if wanted is not None:
        device = disks.open(options.fec_device)
        fec = open_fec(device, area, hashes, wanted, on_hash_device=same_file(wanted.path, options.hashes))
    return VerityVolume.open(data, hashes, area, root_hash, fec=fec)


def _open_hashes(options: argparse.Namespace, disks: Disks) -> Device:
    """The hash area. That of one data block, without a superblock, is empty, and may be an empty file."""
    from bootpath.block.leaves.memory import MemoryDevice

    path = Path(options.hashes)
    if options.no_superblock and path.is_file() and not path.stat().st_size:
        return MemoryDevice(512)
    return disks.open(options.hashes)


def fec_options(options: argparse.Namespace) -> FecOptions | None:
    """Where the FEC data is, or None without any."""
    from bootpath.image.verity.volume import FecOptions

    if options.fec_device is None:
        return None
    return FecOptions(options.fec_device, options.fec_offset, options.fec_roots)


def parameters_of(options: argparse.Namespace, blocks: int, *, default_salt: bytes) -> VerityParameters:
    """What the options say of a volume of so many data blocks. Raises FormatError."""
    from bootpath.formats.verity.tree import VerityParameters

    salt = default_salt if options.salt is None else options.salt
    return VerityParameters(
        blocks,
        options.hash or "sha256",
        salt,
        options.data_block_size or 4096,
        options.hash_block_size or 4096,
        1 if options.format is None else options.format,
    )


def _check_agreement(options: argparse.Namespace, superblock: VerityParameters) -> None:
    """Refuse options that a superblock contradicts, which would be without effect. Raises FormatError."""
    from bootpath.core.errors import FormatError

    for flag, given, stored in (
        ("--hash", options.hash, superblock.algorithm),
        ("--format", options.format, superblock.hash_type),
        ("--data-block-size", options.data_block_size, superblock.data_block_size),
        ("--hash-block-size", options.hash_block_size, superblock.hash_block_size),
        ("--data-blocks", options.data_blocks, superblock.data_blocks),
        ("--salt", options.salt, superblock.salt),
    ):
        if given is not None and given != stored:
            shown = [each.hex() or "no salt" if isinstance(each, bytes) else each for each in (given, stored)]
            raise FormatError(
                f"the superblock contradicts {flag}",
                where=str(options.hashes),
                expected=shown[0],
                found=shown[1],
                hint="leave the option out, or give --no-superblock",
            )


def root_hash_of(options: argparse.Namespace) -> str:
    """What was given, one way or the other, in hexadecimal."""
    from bootpath.block.leaves.wholefile import read_parsed

    if options.root_hash is None and options.root_hash_file is None:
        options.parser.error("give the root hash, or --root-hash-file")
    if options.root_hash is not None and options.root_hash_file is not None:
        options.parser.error("give the root hash or --root-hash-file, not both")
    if options.root_hash is not None:
        return str(options.root_hash)
    return read_parsed(options.root_hash_file, lambda content: root_hash(content.decode("ascii", "replace").strip()))
