r"""The content of a verity-sig partition: a root hash and who vouches for it, as JSON.

Source: UAPI Discoverable Partitions Specification, "Verity Signature Partitions" (systemd reads the same)::

    {"rootHash":"<hex>","signature":"<base64 of a DER PKCS#7>","certificateFingerprint":"<hex of SHA-256>"}\0\0\0…

The text is padded with NULs to a multiple of 4096 bytes. The fingerprint is optional and only a hint which certificate
to try. "More fields might be added in later revisions": a member that is not known is passed over. Nothing is verified
here; what signed the root hash is `image.signatures.roothash`'s matter.

Invariants: both hashes are whole bytes in hexadecimal, as long as a hash algorithm makes them; the base64 has no blanks
and no stray bits; nothing but NULs follows the text.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from reprlib import repr as brief
from typing import Final

from bootpath.core.errors import FormatError
from bootpath.core.limits import spend
from bootpath.formats.strictjson import Members, parse_json
from bootpath.formats.verity.tree import ALGORITHMS

VERITY_SIGNATURE_MAX_BYTES: Final = 4 << 20  # systemd refuses a larger partition
_PADDING_BYTES = 4096
_FINGERPRINT_BYTES = 32
_WHERE = "verity signature"
_SPEC = "UAPI.2, Verity Signature Partitions"


@dataclass(frozen=True, slots=True)
class VeritySignature:
    """What a verity-sig partition says: `signature` is a PKCS#7 in DER. Raises FormatError."""

    root_hash: bytes
    signature: bytes
    certificate_fingerprint: bytes | None = None

    def __post_init__(self) -> None:
        if len(self.root_hash) not in ALGORITHMS.values():
            raise _fault(
                "rootHash has the wrong length", f"{len(self.root_hash)} bytes", "as many as a hash algorithm makes"
            )
        if not self.signature:
            raise _fault("the signature is empty", "0 bytes", "a PKCS#7 in DER")
        fingerprint = self.certificate_fingerprint
        if fingerprint is not None and len(fingerprint) != _FINGERPRINT_BYTES:
            raise _fault(
                "certificateFingerprint has the wrong length",
                f"{len(fingerprint)} bytes",
                f"{_FINGERPRINT_BYTES} (SHA-256)",
            )


def parse_verity_signature(data: bytes) -> VeritySignature:
    """The value in the bytes of a partition. Raises FormatError."""
    if len(data) > VERITY_SIGNATURE_MAX_BYTES:
        raise _fault("the partition is too large", f"{len(data)} bytes", f"at most {VERITY_SIGNATURE_MAX_BYTES}")
    text, _, padding = data.partition(b"\0")
    if padding.count(0) != len(padding):
        raise _fault("more text follows the first NUL", "more text", "nothing but NULs")
    spend("metadata_text_bytes", len(text), "the content of the partition is too long to parse", where=_WHERE)
    members = Members(parse_json(text, where=_WHERE, max_bytes=VERITY_SIGNATURE_MAX_BYTES), where=_WHERE)
    fingerprint = None
    root_hash = _hex("rootHash", members.text("rootHash"))
    encoded = members.text("signature")
    if members.has("certificateFingerprint"):
        fingerprint = _hex("certificateFingerprint", members.text("certificateFingerprint"))
    try:
        signature = b64decode(encoded, validate=True)
    except ValueError:
        raise _fault("the signature is not base64", brief(encoded), "base64") from None
    if b64encode(signature).decode() != encoded:
        raise _fault("the signature has stray bits", brief(encoded), "base64 without stray bits")
    return VeritySignature(root_hash, signature, fingerprint)


def pack_verity_signature(value: VeritySignature) -> bytes:
    """The bytes of a partition: a multiple of 4096. Raises FormatError when systemd would refuse it as too large."""
    members = {"rootHash": value.root_hash.hex(), "signature": b64encode(value.signature).decode()}
    if value.certificate_fingerprint is not None:
        members["certificateFingerprint"] = value.certificate_fingerprint.hex()
    text = json.dumps(members, separators=(",", ":")).encode()
    size = -(-len(text) // _PADDING_BYTES) * _PADDING_BYTES
    if size > VERITY_SIGNATURE_MAX_BYTES:
        raise _fault("the partition would be too large", f"{size} bytes", f"at most {VERITY_SIGNATURE_MAX_BYTES}")
    return text.ljust(size, b"\0")


def _hex(name: str, text: str) -> bytes:
    # "formatted as series of (lowercase) hex characters": in the other case systemd reads it too, and another text
    # would have been signed; bytes.fromhex alone would also take blanks.
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if value.hex() != text:
        raise _fault(f"{name} is not hexadecimal", brief(text), "hexadecimal digits in lower case")
    return value


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where=_WHERE, found=found, expected=expected, spec=_SPEC)
