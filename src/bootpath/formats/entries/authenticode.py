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
from bootpath.formats.pkcs7 import SignerInfo, parse_enclosed

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
    """The signatures of a whole PE file; none when it has no certificate table. Raises FormatError, Error."""
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
    encoded, signers = parse_enclosed(_trimmed(certificate), SPC_INDIRECT_DATA)
    header, body = _tlv(encoded)
    if header != _SEQUENCE:
        raise _fault("the signed content does not begin with a SEQUENCE", f"{header:#x}", "a SEQUENCE")
    _, data_length = _element(body)
    kind, info = _tlv(body[data_length:])
    _, algorithm_length = _element(info)
    _, algorithm = _tlv(info[:algorithm_length])
    octets, file_digest = _tlv(info[algorithm_length:])
    if (kind, octets) != (_SEQUENCE, _OCTETS):
        raise _fault("the digest of the file has the wrong form", f"in {kind:#x} and {octets:#x}", "in a DigestInfo")
    digest = _DIGEST_OIDS.get(_element_bytes(algorithm))
    if digest is None or len(file_digest) != new_hash(digest).digest_size:
        raise _fault(
            "the algorithm or the length of the file's digest is unknown",
            file_digest.hex()[:64],
            "one of " + " ".join(DIGESTS),
        )
    return PeSignature(digest, file_digest, body, signers)


_SEQUENCE, _OCTETS = 0x30, 0x04
_DIGEST_OIDS = {
    bytes.fromhex("0609608648016503040201"): "sha256",
    bytes.fromhex("0609608648016503040202"): "sha384",
    bytes.fromhex("0609608648016503040203"): "sha512",
}


def _trimmed(der: bytes) -> bytes:
    """The element without the padding behind it: entries are padded to multiples of 8 bytes."""
    _, length = _element(der)
    if der[length:].strip(b"\0") or len(der) - length >= _ALIGN_BYTES:
        raise _fault(
            "the bytes behind the signature are not padding", f"{len(der) - length} bytes", "zeros, less than 8 bytes"
        )
    return der[:length]


def _element(der: bytes) -> tuple[int, int]:
    """The tag of the first element and how many bytes it has in all (X.690 §8.1.3, definite lengths)."""
    if len(der) < 2:
        raise _fault("an ASN.1 element is cut short", f"{len(der)} bytes", "2 bytes or more")
    first = der[1]
    if first < 0x80:
        length, start = first, 2
    else:
        start = 2 + (first & 0x7F)
        if not 1 <= first & 0x7F <= 4 or len(der) < start:
            raise _fault(
                "the length of an ASN.1 element is not valid", f"{first:#x}", "a definite one, of at most 4 bytes"
            )
        length = int.from_bytes(der[2:start], "big")
    if start + length > len(der):
        raise _fault("an ASN.1 element is longer than the data", f"{length} bytes", f"at most {len(der) - start}")
    return der[0], start + length


def _tlv(der: bytes) -> tuple[int, bytes]:
    """The tag and the content of the first element."""
    tag, end = _element(der)
    start = 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)
    return tag, der[start:end]


def _element_bytes(der: bytes) -> bytes:
    """The whole first element."""
    return der[: _element(der)[1]]


def _number(data: bytes, offset: int, length: int) -> int:
    content = data[offset : offset + length]
    if len(content) != length:
        raise _fault("the headers end beyond the file", f"byte {offset + length}", f"at most byte {len(data)}")
    return int.from_bytes(content, "little")


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="authenticode", found=found, expected=expected, spec=AUTHENTICODE_SPEC)
