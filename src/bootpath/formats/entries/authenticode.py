"""Authenticode: the signatures of a PE file, as UEFI's Secure Boot checks them. Nothing is verified here.

Sources: Microsoft "Windows Authenticode Portable Executable Signature Format" 1.0; "PE Format", "The Attribute
Certificate Table"; UEFI 2.10 §32.2.4. Little-endian::

    optional header:  0 magic   64 checksum, u32   96 or 112 (PE32+) data directories, the fifth: certificate table
    certificate table, at the end of the file, entries at multiples of 8 bytes:
        0 length with this header, u32   4 revision 0x0200, u16   6 type 0x0002 (PKCS#7), u16   8 PKCS#7 in DER

    SpcIndirectDataContent { data { type, value }, messageDigest { digestAlgorithm, digest } }

What is hashed is the file without its checksum, the directory's fifth entry, and the certificate table. The
specification hashes headers and sections, and what is behind them; where these do not cover the file without a gap,
its digest is another than ours, and the file is refused.

Invariants: the certificate table is the end of the file; the digest is SHA-256, SHA-384 or SHA-512.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import new as new_hash

from bootpath.core.errors import FormatError
from bootpath.formats.der import OCTETS, OID, SEQUENCE, Fields, element_bytes
from bootpath.formats.pkcs7 import SignerInfo, digest_name, parse_enclosed

SPC_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
AUTHENTICODE_SPEC = "Authenticode PE 1.0"
DIGESTS = ("sha256", "sha384", "sha512")
MAX_SIGNATURES = 16

_CERTIFICATE = struct.Struct("<IHH")
_REVISION, _PKCS_SIGNED_DATA = 0x0200, 0x0002
_DIRECTORIES = {0x10B: 96, 0x20B: 112}
_CHECKSUM_OFFSET, _CHECKSUM_BYTES = 64, 4
_CERTIFICATES_ENTRY, _ENTRY_BYTES = 4, 8
_ALIGN_BYTES = 8


@dataclass(frozen=True, slots=True)
class PeSignature:
    """One signature: `content` is what was signed, the digest of the file in it; `signers` said so."""

    digest: str
    file_digest: bytes
    content: bytes
    signers: tuple[SignerInfo, ...]


@dataclass(frozen=True, slots=True)
class SignedPe:
    """A PE file: where what is not hashed lies, as (offset, length), in order; and its signatures."""

    skipped: tuple[tuple[int, int], ...]
    signatures: tuple[PeSignature, ...]


def parse_signed_pe(data: bytes) -> SignedPe:
    """The signatures of a whole PE file; none when it has no certificate table. Raises FormatError."""
    start = _number(data, 60, 4)
    if data[:2] != b"MZ" or data[start : start + 4] != b"PE\0\0":
        raise _fault("the file is not a PE file", f"{data[:2]!r} and {data[start : start + 4]!r}", "MZ and PE")
    optional = start + 24
    directories = _DIRECTORIES.get(_number(data, optional, 2))
    if directories is None:
        raise _fault("the type of the optional header is unknown", f"{_number(data, optional, 2):#x}", "0x10b or 0x20b")
    checksum = (optional + _CHECKSUM_OFFSET, _CHECKSUM_BYTES)
    entry = optional + directories + _CERTIFICATES_ENTRY * _ENTRY_BYTES
    size_of_header = _number(data, start + 20, 2)
    count = _number(data, optional + directories - 4, 4)
    if count <= _CERTIFICATES_ENTRY or entry + _ENTRY_BYTES > optional + size_of_header:
        return SignedPe((checksum,), ())
    table, length = _number(data, entry, 4), _number(data, entry + 4, 4)
    if not length:
        return SignedPe((checksum, (entry, _ENTRY_BYTES)), ())
    if table % _ALIGN_BYTES or table < entry + _ENTRY_BYTES or table + length != len(data):
        raise _fault(
            "the certificate table is not at the end of the file",
            f"{length} bytes at {table}",
            f"the end of the {len(data)} bytes",
        )
    signatures = tuple(_signature(each) for each in _certificates(data[table:]))
    return SignedPe((checksum, (entry, _ENTRY_BYTES), (table, length)), signatures)


def hash_pe(data: bytes, signed: SignedPe, digest: str) -> bytes:
    """The digest of a file, without what is left out of it."""
    hasher = new_hash(digest)
    place = 0
    for offset, length in signed.skipped:
        hasher.update(memoryview(data)[place:offset])
        place = offset + length
    hasher.update(memoryview(data)[place:])
    return hasher.digest()


def _certificates(table: bytes) -> list[bytes]:
    """The PKCS#7 of each entry."""
    found = []
    place = 0
    while place < len(table):
        if place + _CERTIFICATE.size > len(table):
            raise _fault(
                "an entry of the certificate table is cut short", f"{len(table) - place} bytes", "8 bytes or more"
            )
        length, revision, kind = _CERTIFICATE.unpack_from(table, place)
        if length < _CERTIFICATE.size or place + length > len(table):
            raise _fault(
                "an entry of the certificate table has the wrong length",
                f"{length} bytes",
                f"8 to {len(table) - place}",
            )
        if (revision, kind) != (_REVISION, _PKCS_SIGNED_DATA):
            raise _fault("the type of a certificate is unknown", f"{revision:#x}, {kind:#x}", "0x200, 0x2 (PKCS#7)")
        found.append(table[place + _CERTIFICATE.size : place + length])
        if len(found) > MAX_SIGNATURES:
            raise _fault("the file has too many signatures", f"{len(found)} or more", f"at most {MAX_SIGNATURES}")
        place += -(-length // _ALIGN_BYTES) * _ALIGN_BYTES
    return found


def _signature(certificate: bytes) -> PeSignature:
    content, signers = parse_enclosed(_trimmed(certificate), SPC_INDIRECT_DATA)
    fields = Fields(content, "SpcIndirectDataContent")
    data, info = Fields(fields.take(SEQUENCE), "SpcAttributeTypeAndOptionalValue"), Fields(fields.take(), "DigestInfo")
    fields.end()
    data.take(OID)
    data.optional()
    data.end()
    digest, file_digest = digest_name(info.take(SEQUENCE)), info.take(OCTETS).contents
    info.end()
    if digest not in DIGESTS or len(file_digest) != new_hash(digest).digest_size:
        raise _fault(
            "the algorithm or the length of the file's digest is unknown",
            file_digest.hex()[:64],
            "one of " + " ".join(DIGESTS),
        )
    return PeSignature(digest, file_digest, content.contents, signers)


def _trimmed(der: bytes) -> bytes:
    """The element without the padding behind it: entries are padded to multiples of 8 bytes."""
    length = element_bytes(der)
    if der[length:].strip(b"\0") or len(der) - length >= _ALIGN_BYTES:
        raise _fault(
            "the bytes behind the signature are not padding", f"{len(der) - length} bytes", "zeros, less than 8 bytes"
        )
    return der[:length]


def _number(data: bytes, offset: int, length: int) -> int:
    content = data[offset : offset + length]
    if len(content) != length:
        raise _fault("the headers end beyond the file", f"byte {offset + length}", f"at most byte {len(data)}")
    return int.from_bytes(content, "little")


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="authenticode", found=found, expected=expected, spec=AUTHENTICODE_SPEC)
