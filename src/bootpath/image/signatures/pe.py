"""Believing a PE file that is signed, such as a unified kernel image: Authenticode, by certificates that are given.

As for root hashes (`image.signatures.roothash`): each certificate is trusted for itself, there are no chains, and what
a signature brings along is not looked at. UEFI 2.10 §32.5.3.3: of several signatures one that holds is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hmac import compare_digest

from bootpath.core.errors import FormatError, SignatureError
from bootpath.formats.entries.authenticode import SPC_INDIRECT_DATA, PeSignature, SignedPe, hash_pe, parse_signed_pe
from bootpath.image.signatures.roothash import Signer, verify_signers

_WHERE = "image signature"


def verify_pe(data: bytes, certificates: Iterable[bytes], *, now: datetime | None = None) -> Signer:
    """Who signed the whole PE file `data`. Raises SignatureError whenever that does not hold, be it malformed; Error.

    See `verify_root_hash` for `certificates` and `now`.
    """
    trusted = tuple(certificates)
    try:
        signed = parse_signed_pe(data)
    except FormatError as error:
        raise SignatureError(str(error), where=_WHERE) from None
    if not signed.signatures:
        raise SignatureError("the file is not signed", where=_WHERE)
    faults: list[SignatureError] = []
    for signature in signed.signatures:
        try:
            return _verify(data, signed, signature, trusted, now)
        except SignatureError as fault:
            faults.append(fault)
    raise faults[0]


def _verify(
    data: bytes, signed: SignedPe, signature: PeSignature, trusted: tuple[bytes, ...], now: datetime | None
) -> Signer:
    found = hash_pe(data, signed, signature.digest)
    if not compare_digest(found, signature.file_digest):
        raise SignatureError(
            "the signature is for another file",
            where=_WHERE,
            found=found.hex(),
            expected=signature.file_digest.hex(),
        )
    return verify_signers(
        signature.signers, signature.content, trusted, content_type=SPC_INDIRECT_DATA, what="image", now=now
    )
