"""What the actions of ``bootpath verity`` share: the volume that the options describe, and its root hash."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootpath.cli.disks import Disks
    from bootpath.formats.verity.tree import VerityParameters
    from bootpath.image.verity.volume import FecOptions, VerityVolume


def open_volume(options: argparse.Namespace, root_hash: str, disks: Disks) -> VerityVolume:
    """The volume, closed with the `disks`. Raises FormatError, DeviceError."""
    from bootpath.image.verity.volume import VerityVolume, described_area, open_fec, read_hash_area, same_file

    data, hashes = disks.open(options.data), disks.open(options.hashes)
    if options.no_superblock:
        parameters = parameters_of(options, 1, default_salt=b"")
        area = described_area(parameters, data, offset=options.hash_offset, limit=options.data_blocks)
    else:
        area = read_hash_area(hashes, options.hash_offset)
    fec = None
    wanted = fec_options(options)
    if wanted is not None:
        device = disks.open(options.fec_device)
        fec = open_fec(device, area, hashes, wanted, on_hash_device=same_file(wanted.path, options.hashes))
    return VerityVolume.open(data, hashes, area, root_hash, fec=fec)


def fec_options(options: argparse.Namespace) -> FecOptions | None:
    """Where the FEC data is, or None without any."""
    from bootpath.image.verity.volume import FecOptions

    if options.fec_device is None:
        return None
    return FecOptions(options.fec_device, options.fec_offset, options.fec_roots)


def parameters_of(options: argparse.Namespace, blocks: int, *, default_salt: bytes) -> VerityParameters:
    """What the options say of a volume of so many data blocks. Raises FormatError."""
    from bootpath.core.errors import FormatError
    from bootpath.formats.verity.tree import VerityParameters

    try:
        salt = default_salt if options.salt is None else b"" if options.salt == "-" else bytes.fromhex(options.salt)
    except ValueError:
        raise FormatError("the salt is not hexadecimal", where="--salt", found=options.salt[:80]) from None
    return VerityParameters(
        blocks, options.hash, salt, options.data_block_size, options.hash_block_size, options.format
    )


def root_hash_of(options: argparse.Namespace) -> str:
    """What was given, one way or the other, in hexadecimal."""
    from bootpath.block.leaves.wholefile import read_whole

    if options.root_hash is None and options.root_hash_file is None:
        options.parser.error("give the root hash, or --root-hash-file")
    if options.root_hash is not None and options.root_hash_file is not None:
        options.parser.error("give the root hash or --root-hash-file, not both")
    if options.root_hash is not None:
        return str(options.root_hash)
    return read_whole(options.root_hash_file).decode("ascii", "replace").strip()
