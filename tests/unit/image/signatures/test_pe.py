"""Signed PE files: sbsign and osslsigncode sign, we verify; and what does not verify."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bootpath.core.errors import SignatureError
from bootpath.formats.der import Element, element_bytes
from bootpath.formats.entries.authenticode import hash_pe, parse_signed_pe
from bootpath.image.signatures.pe import verify_pe
from tests.support.ddi import Signer, run
from tests.support.der import replaced, tlv
from tests.support.pefiles import osslsigncode, sbsign, signable_pe
from tests.support.tools import tool

PLAIN = signable_pe([(".linux", b"kernel " * 100), (".cmdline", b"quiet")])


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, Signer]:
    directory = tmp_path_factory.mktemp("signers")
    return Signer.make(directory, "one"), Signer.make(directory, "two")


@pytest.fixture(scope="module")
def signed(signers: tuple[Signer, Signer], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sbsign(tmp_path_factory.mktemp("signed"), PLAIN, signers[0])


def trusted(*signers: Signer) -> list[bytes]:
    return [signer.certificate.read_bytes() for signer in signers]


def test_sbsign(signed: bytes, signers: tuple[Signer, Signer]) -> None:
    assert verify_pe(signed, trusted(signers[0])).subject == "CN=one"
    with pytest.raises(SignatureError, match="is none of those that are trusted: CN=two"):
        verify_pe(signed, trusted(signers[1]))
    with pytest.raises(SignatureError, match="no certificate is trusted"):
        verify_pe(signed, [])
    with pytest.raises(SignatureError, match="expired at"):
        verify_pe(signed, trusted(signers[0]), now=datetime(2100, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_osslsigncode(signers: tuple[Signer, Signer], tmp_path: Path, digest: str) -> None:
    content = osslsigncode(tmp_path, PLAIN, signers[0], digest=digest)
    assert verify_pe(content, trusted(*signers)).subject == "CN=one"
    assert parse_signed_pe(content).signatures[0].digest == digest


def test_a_weak_digest_is_refused(signers: tuple[Signer, Signer], tmp_path: Path) -> None:
    content = osslsigncode(tmp_path, PLAIN, signers[0], digest="sha1")
    with pytest.raises(SignatureError, match="the algorithm or the length of the file's digest is unknown"):
        verify_pe(content, trusted(signers[0]))


def test_one_of_several_signatures_is_enough(signed: bytes, signers: tuple[Signer, Signer], tmp_path: Path) -> None:
    both = sbsign(tmp_path, signed, signers[1])
    assert len(parse_signed_pe(both).signatures) == 2
    for signer in signers:
        assert verify_pe(both, trusted(signer)).subject == f"CN={signer.certificate.stem}"


def test_a_file_that_is_not_signed(signers: tuple[Signer, Signer]) -> None:
    with pytest.raises(SignatureError, match="the file is not signed"):
        verify_pe(PLAIN, trusted(signers[0]))
    with pytest.raises(SignatureError, match="the file is not a PE file"):
        verify_pe(b"\x7fELF".ljust(512, b"\0"), trusted(signers[0]))
    with pytest.raises(SignatureError, match="the headers end beyond the file"):
        verify_pe(b"MZ", trusted(signers[0]))


def test_every_byte_counts_but_the_checksum(signed: bytes, signers: tuple[Signer, Signer]) -> None:
    """Flipped one after the other: headers, sections, the signed digest and the signature."""
    certificates = trusted(signers[0])
    checksum = range(64 + 24 + 64, 64 + 24 + 68)
    survived = []
    for place in range(0, len(signed), 7):
        changed = bytearray(signed)
        changed[place] ^= 0x10
        try:
            verify_pe(bytes(changed), certificates)
        except SignatureError:
            continue
        survived.append(place)
    # What a signature brings along, above all the signer's certificate, is not looked at.
    table = parse_signed_pe(signed).skipped[-1][0]
    assert all(place in checksum or place > table for place in survived)


def test_nothing_may_stand_behind_the_signatures(signed: bytes, signers: tuple[Signer, Signer]) -> None:
    with pytest.raises(SignatureError, match="the certificate table is"):
        verify_pe(signed + bytes(8), trusted(signers[0]))


def test_a_signature_of_another_file(signed: bytes, signers: tuple[Signer, Signer]) -> None:
    other = signable_pe([(".linux", b"evil   " * 100), (".cmdline", b"quiet")])
    table = parse_signed_pe(signed).skipped[-1]
    entry = 64 + 24 + 112 + 4 * 8
    moved = bytearray(other)
    moved[entry : entry + 8] = struct.pack("<II", *table)
    content = bytes(moved).ljust(table[0], b"\0") + signed[table[0] :]
    with pytest.raises(SignatureError, match="the signature is for another file"):
        verify_pe(content, trusted(signers[0]))


def test_what_is_hashed(signed: bytes) -> None:
    pe = parse_signed_pe(signed)
    assert [length for _, length in pe.skipped[:2]] == [4, 8]
    assert hash_pe(signed, pe, "sha256") == pe.signatures[0].file_digest
    assert parse_signed_pe(PLAIN).signatures == ()


def with_signature(content: bytes, der: bytes) -> bytes:
    """The file with this PKCS#7 in place of its own, and nothing else changed."""
    table, _ = parse_signed_pe(content).skipped[-1]
    entry = struct.pack("<IHH", 8 + len(der), 0x0200, 0x0002) + der
    entry += bytes(-len(entry) % 8)
    head = bytearray(content[:table])
    struct.pack_into("<II", head, 64 + 24 + 112 + 4 * 8, table, len(entry))
    return bytes(head) + entry


def pkcs7_of(content: bytes) -> bytes:
    table, _ = parse_signed_pe(content).skipped[-1]
    return content[table + 8 :][: element_bytes(content[table + 8 :])]


SIGNED_DATA = (1, 0)
MALFORMED: dict[str, tuple[tuple[int, ...], Callable[[Element], bytes]]] = {
    "a length that is too long": (
        (*SIGNED_DATA, 3),
        lambda each: bytes((each.tag, 0x84)) + len(each.contents).to_bytes(4, "big") + each.contents,
    ),
    "an indefinite length": ((*SIGNED_DATA, 3), lambda each: bytes((each.tag, 0x80)) + each.contents + b"\0\0"),
    "a digest algorithm twice": (
        (*SIGNED_DATA, 1),
        lambda each: tlv(each.tag, *(part.encoded for part in each.parts * 2)),
    ),
    "an element behind the signers": (
        SIGNED_DATA,
        lambda each: tlv(each.tag, *(part.encoded for part in each.parts), b"\5\0"),
    ),
    "an element behind the content": (
        (*SIGNED_DATA, 2),
        lambda each: tlv(each.tag, *(part.encoded for part in each.parts), b"\5\0"),
    ),
    "a version with zeros before it": ((*SIGNED_DATA, 0), lambda each: tlv(2, b"\0\1")),
}


@pytest.mark.parametrize("form", MALFORMED)
def test_a_malformed_signature(form: str, signed: bytes, signers: tuple[Signer, Signer]) -> None:
    assert with_signature(signed, pkcs7_of(signed)) == signed
    path, make = MALFORMED[form]
    content = with_signature(signed, replaced(pkcs7_of(signed), path, make))
    with pytest.raises(SignatureError, match=r"image signature: (pkcs7|der|authenticode): "):
        verify_pe(content, trusted(signers[0]))


def test_what_is_accepted_others_accept(signed: bytes, signers: tuple[Signer, Signer], tmp_path: Path) -> None:
    for content in (signed, osslsigncode(tmp_path, PLAIN, signers[0])):
        verify_pe(content, trusted(signers[0]))
        (tmp_path / "it.efi").write_bytes(content)
        run(tool("sbverify"), "--cert", signers[0].certificate, tmp_path / "it.efi")
        run(tool("osslsigncode"), "verify", "-CAfile", signers[0].certificate, "-in", tmp_path / "it.efi")
