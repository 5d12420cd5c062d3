"""Signed PE files: sbsign and osslsigncode sign, we verify; and what does not verify."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bootpath.core.errors import SignatureError
from bootpath.formats.entries.authenticode import hash_pe, parse_signed_pe
from bootpath.image.signatures.pe import verify_pe
from tests.support.ddi import Signer
from tests.support.pefiles import osslsigncode, sbsign, signable_pe

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
