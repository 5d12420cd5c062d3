"""What the actions of ``bootpath verity`` share: the volume that the options describe, and its root hash."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootpath.cli.disks import Disks
    from bootpath.formats.verity.tree import VerityParameters
    from bootpath.image.verity.volume import FecPlace, Volume


def open_volume(options: argparse.Namespace, root_hash: str, disks: Disks) -> Volume:
    """The volume, closed with the `disks`. Raises FormatError, DeviceError."""
    from bootpath.image.verity.volume import Volume, described_area, open_parity, read_hash_area

    data, hashes = disks.open(options.data), disks.open(options.hashes)
    if options.no_superblock:
        parameters = parameters_of(options, 1, default_salt=b"")
        area = described_area(parameters, data, offset=options.hash_offset, limit=options.data_blocks)
    else:
        area = read_hash_area(hashes, options.hash_offset)
    parity = None
    place = fec_place(options)
    if place is not None:
        device = disks.open(options.fec_device)
        parity = open_parity(device, area, hashes, place, on_hash_device=same_device(place.path, options.hashes))
    return Volume.open(data, hashes, area, root_hash, parity=parity)


def fec_place(options: argparse.Namespace) -> FecPlace | None:
    """Where the parity is, or None without any."""
    from bootpath.image.verity.volume import FecPlace

    if options.fec_device is None:
        return None
    return FecPlace(options.fec_device, options.fec_offset, options.fec_roots)


def same_device(path: object, other: str) -> bool:
    """Whether two devices are one: files by what they are, URIs by what they are called."""
    import os

    try:
        return os.path.samefile(str(path), other)
    except OSError:
        return path == other


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
    if options.root_hash is None and options.root_hash_file is None:
        options.parser.error("give the root hash, or --root-hash-file")
    if options.root_hash is not None and options.root_hash_file is not None:
        options.parser.error("give the root hash or --root-hash-file, not both")
    if options.root_hash is not None:
        return str(options.root_hash)
    with options.root_hash_file.open("rb") as file:
        return str(file.read(1024).decode("ascii", "replace").strip())
