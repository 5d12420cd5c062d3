"""``bootpath verity sign``: the signature that Linux and systemd want beside a root hash."""

from __future__ import annotations

import argparse

from bootpath.cli.arguments import add_output, add_signing_key, path
from bootpath.cli.verity.volumes import root_hash_of
from bootpath.core.printable import printable


def add_signing(parser: argparse.ArgumentParser) -> None:
    """The options of sign."""
    add_signing_key(parser, required=True)
    parser.add_argument(
        "--digest",
        default="sha256",
        choices=("sha256", "sha384", "sha512"),
        help="digest algorithm of the signature (default: sha256)",
    )
    add_output(parser, "file for the signature: PKCS#7 in DER")
    parser.add_argument(
        "--json-partition", type=path, metavar="F", help="where the content of a verity-sig partition goes"
    )


def sign(options: argparse.Namespace) -> int:
    """Sign, and write what was asked for."""
    from base64 import b64encode

    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.cli.arguments import read_password
    from bootpath.cli.console import emit, emit_json
    from bootpath.core.errors import Error, SignatureError
    from bootpath.formats.verity.signature import VeritySignature, pack_verity_signature
    from bootpath.formats.verity.tree import parse_root_hash
    from bootpath.image.output import write_whole
    from bootpath.image.signatures.roothash import certificate_fingerprint, sign_root_hash

    if options.output is None and options.json_partition is None and not options.json:
        options.parser.error("say where the signature goes: -o, --json-partition or --json")
    root_hash = parse_root_hash(root_hash_of(options))
    certificate = read_whole(options.key_certificate)
    try:
        signature = sign_root_hash(
            root_hash,
            key=read_whole(options.key),
            certificate=certificate,
            password=read_password(options.key_password_file),
            digest=options.digest,
        )
    except SignatureError as fault:  # nothing was judged: it could not be made
        raise Error(str(fault)) from None
    value = VeritySignature(root_hash, signature, certificate_fingerprint(certificate))
    partition = pack_verity_signature(value)
    results = ((options.output, signature), (options.json_partition, partition))
    write_whole((path, content) for path, content in results if path is not None)
    fingerprint = certificate_fingerprint(certificate).hex()
    if options.json:
        emit_json(
            {
                "root_hash": root_hash.hex(),
                "signature": b64encode(signature).decode(),
                "certificate_fingerprint": fingerprint,
            }
        )
    else:
        emit(printable(f"signed {root_hash.hex()} with the certificate {fingerprint}"))
    return 0
