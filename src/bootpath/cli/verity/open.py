"""``bootpath verity open``: a volume to NBD clients, or as the line of a table that maps it.

Nothing is served before the signature of the root hash, when one is given, is found to be good.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.cli.arguments import add_certificates, path, read_certificates
from bootpath.cli.disks import Disks
from bootpath.cli.serve.serving import add_listening, serve, serve_settings
from bootpath.cli.verity.volumes import open_volume, root_hash_of

if TYPE_CHECKING:
    from bootpath.image.signatures.roothash import Signer
    from bootpath.image.verity.volume import VerityVolume
    from bootpath.serve.live.service import LiveService

_FLAGS = {
    "--ignore-corruption": "log wrong blocks and return their data",
    "--restart-on-corruption": "after the first wrong block, fail every read",
    "--panic-on-corruption": "after the first wrong block, fail every read",
    "--ignore-zero-blocks": "return zeros for blocks that must be zeros, without reading them",
    "--check-at-most-once": "check each data block only when it is first read",
    "--use-tasklets": "with --print-table: let the kernel check in tasklets, without a change of threads",
}
_OPTION_OF = {"--use-tasklets": "try_verify_in_tasklet"}
"""The optional parameters of the target that veritysetup's options do not have the names of."""


def add_opening(parser: argparse.ArgumentParser) -> None:
    """The options of open."""
    parser.add_argument(
        "--root-hash-signature", type=path, metavar="F", help="PKCS#7 in DER, or the content of a verity-sig partition"
    )
    add_certificates(parser)
    parser.add_argument("--print-table", action="store_true", help="print a device-mapper table instead of serving")
    group = parser.add_argument_group("blocks that do not match")
    for flag, text in _FLAGS.items():
        group.add_argument(flag, action="store_true", help=text)
    add_listening(parser)


def open_action(options: argparse.Namespace) -> int:
    """Check the signature; then serve, or print the line of the table."""
    from bootpath.cli.console import emit_data

    _check_options(options)
    settings = None if options.print_table else serve_settings(options, options.parser.prog)
    if settings is not None:
        return serve(options, settings, partial(_open_service, options))
    with ExitStack() as stack:
        emit_data(_table(options, _open_signed_volume(options, stack)) + "\n")
    return 0


def _open_service(options: argparse.Namespace, stack: ExitStack) -> LiveService:
    from bootpath.block.table.veritytarget import verity_options
    from bootpath.serve.live.opening import device_service

    volume = _open_signed_volume(options, stack)
    return device_service(volume.device(verity_options(_flags(options))), name="", device_name="verity")


def _open_signed_volume(options: argparse.Namespace, stack: ExitStack) -> VerityVolume:
    """The volume, once the signature of its root hash, if one is given, is found to be good. Raises Error."""
    from bootpath.cli.console import note

    disks = stack.enter_context(Disks(options, verbose=False, lookup=False))
    volume = open_volume(options, root_hash_of(options), disks)
    if options.root_hash_signature is not None:
        signer = _check_signature(options, volume.root_hash)
        note(f"the root hash is signed by {signer.subject}")
    return volume


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what does not go together. Raises UsageError."""
    if (options.root_hash_signature is None) != (not options.certificate):
        options.parser.error("--root-hash-signature and --certificate go together")
    if len([flag for flag in _flags(options) if flag.endswith("_on_corruption") or flag == "ignore_corruption"]) > 1:
        options.parser.error(
            "give at most one of --ignore-corruption, --restart-on-corruption and --panic-on-corruption"
        )


def _flags(options: argparse.Namespace) -> tuple[str, ...]:
    given = (flag for flag in _FLAGS if getattr(options, flag.removeprefix("--").replace("-", "_")))
    return tuple(_OPTION_OF.get(flag, flag.removeprefix("--").replace("-", "_")) for flag in given)


def _check_signature(options: argparse.Namespace, root_hash: bytes) -> Signer:
    """Who signed. Raises SignatureError."""
    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.core.errors import SignatureError
    from bootpath.image.signatures.roothash import verify_given_signature

    content = read_whole(options.root_hash_signature)
    try:
        return verify_given_signature(content, root_hash, read_certificates(options.certificate))
    except SignatureError as error:
        raise error.at(str(options.root_hash_signature)) from None


def _table(options: argparse.Namespace, volume: VerityVolume) -> str:
    """The line that maps the volume, as dmsetup takes it."""
    from bootpath.formats.dm.table import pack_line
    from bootpath.image.verity.line import volume_line

    fec = None if options.fec_device is None else _absolute(options.fec_device)
    names = _absolute(options.data), _absolute(options.hashes)
    return pack_line(volume_line(volume, *names, fec=fec, options=_flags(options)))


def _absolute(name: str) -> str:
    return name if "://" in name else str(Path(name).absolute())
