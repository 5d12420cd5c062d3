"""Signatures with one thing wrong in a part that nobody signed: each is refused, whatever else would read it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from asn1crypto import cms  # type: ignore[import-untyped] # it has no annotations
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509 import load_pem_x509_certificate

from bootpath.core.errors import FormatError
from bootpath.formats.der import Element
from bootpath.formats.pkcs7 import parse_enclosed, parse_pkcs7
from bootpath.image.signatures.roothash import verify_signers
from tests.support.certificates import NOW, make_identity
from tests.support.der import replaced, tlv
from tests.support.tools import tool

TEXT = b"what is signed"
ALICE = make_identity("alice")
BOB = make_identity("bob", serial=9)
SIGNED_DATA = (1, 0)
DIGESTS, CERTIFICATES, SIGNERS = (*SIGNED_DATA, 1), (*SIGNED_DATA, 3), (*SIGNED_DATA, 4)
SIGNER = (*SIGNERS, 0)
SIGNED, UNSIGNED = (*SIGNER, 3), (*SIGNER, 6)
FRIENDLY_NAME = bytes.fromhex("06092a864886f70d010914")
COUNTERSIGNATURE = bytes.fromhex("06092a864886f70d010906")


def attribute(*values: bytes, kind: bytes = FRIENDLY_NAME) -> bytes:
    return tlv(0x30, kind, tlv(0x31, *values))


@cache
def sound() -> bytes:
    """By two, with certificates, signed attributes, and an unsigned one of the first."""
    builder = PKCS7SignatureBuilder().set_data(TEXT)
    for each in (ALICE, BOB):
        key = load_pem_private_key(each.key, None)
        builder = builder.add_signer(load_pem_x509_certificate(each.certificate), key, SHA256())  # type: ignore[arg-type]
    signature = builder.sign(Encoding.DER, [PKCS7Options.Binary, PKCS7Options.DetachedSignature])
    extra = tlv(0xA1, attribute(tlv(0x0C, b"a"), tlv(0x0C, b"b")))

    def with_extra(signers: Element) -> bytes:
        first, *others = signers.parts
        first_with = tlv(0x30, *(part.encoded for part in first.parts), extra)
        return tlv(0x31, *sorted((first_with, *(each.encoded for each in others))))

    return replaced(signature, SIGNERS, with_extra)


def signer_with_more() -> tuple[int, ...]:
    """Where the signer with the unsigned attribute is, after the order of the set."""
    try:
        replaced(sound(), UNSIGNED, lambda each: each.encoded)
    except IndexError:
        return (*SIGNERS, 1)
    return SIGNER


def within(*path: int) -> tuple[int, ...]:
    return (*signer_with_more(), *path)


def with_tag(tag: int) -> Callable[[Element], bytes]:
    return lambda each: bytes((tag,)) + each.encoded[1:]


def reversed_parts(each: Element) -> bytes:
    return tlv(each.tag, *(part.encoded for part in reversed(each.parts)))


def twice(each: Element) -> bytes:
    return tlv(each.tag, *(part.encoded for part in each.parts for _ in range(2)))


def and_more(more: bytes) -> Callable[[Element], bytes]:
    return lambda each: tlv(each.tag, *(part.encoded for part in each.parts), more)


def long_length(each: Element) -> bytes:
    size = len(each.contents)
    return bytes((each.tag, 0x84)) + size.to_bytes(4, "big") + each.contents


def indefinite(each: Element) -> bytes:
    return bytes((each.tag, 0x80)) + each.contents + b"\0\0"


def only(contents: bytes) -> Callable[[Element], bytes]:
    return lambda each: tlv(each.tag, contents)


MALFORMED: dict[str, Callable[[], bytes]] = {
    "a length that is too long": lambda: replaced(sound(), within(6), long_length),
    "an indefinite length": lambda: replaced(sound(), within(6), indefinite),
    "an indefinite length of all": lambda: replaced(sound(), (), indefinite),
    "an indefinite length in a certificate": lambda: replaced(sound(), (*CERTIFICATES, 0, 0), indefinite),
    "bytes that follow": lambda: sound() + b"\0",
    "an element that follows the attributes": lambda: replaced(sound(), within(), and_more(b"\5\0")),
    "an element that follows the signers": lambda: replaced(sound(), SIGNED_DATA, and_more(b"\5\0")),
    "attributes of the class application": lambda: replaced(sound(), within(6), with_tag(0x61)),
    "attributes of the class private": lambda: replaced(sound(), within(6), with_tag(0xE1)),
    "attributes in a primitive tag": lambda: replaced(sound(), within(6), with_tag(0x81)),
    "attributes with an unknown tag": lambda: replaced(sound(), within(6), with_tag(0xA2)),
    "certificates of the class private": lambda: replaced(sound(), CERTIFICATES, with_tag(0xE0)),
    "a version with zeros before it": lambda: replaced(sound(), within(0), only(b"\0\1")),
    "an integer with zeros before it": lambda: replaced(sound(), within(6, 0, 1, 0), lambda each: b"\2\2\0\1"),
    "a Boolean of 1": lambda: replaced(sound(), within(6, 0, 1, 1), lambda each: b"\1\1\1"),
    "an identifier with zeros before it": lambda: replaced(
        sound(), within(6, 0, 0), lambda each: tlv(6, b"\x2a\x80\3")
    ),
    "values that are not sorted": lambda: replaced(sound(), within(6, 0, 1), reversed_parts),
    "a value twice": lambda: replaced(sound(), within(6, 0, 1), twice),
    "an unsigned attribute twice": lambda: replaced(
        sound(), within(6), and_more(attribute(tlv(0x0C, b"c"), tlv(0x0C, b"d")))
    ),
    "unsigned attributes that are not sorted": lambda: replaced(
        sound(), within(6), lambda each: tlv(0xA1, each.parts[0].encoded, attribute(b"\5\0"))
    ),
    "signers that are not sorted": lambda: replaced(sound(), SIGNERS, reversed_parts),
    "certificates that are not sorted": lambda: replaced(sound(), CERTIFICATES, reversed_parts),
    "a digest algorithm twice": lambda: replaced(sound(), DIGESTS, twice),
    "a digest algorithm with parameters": lambda: replaced(
        sound(), (*DIGESTS, 0), lambda each: tlv(0x30, each.parts[0].encoded, b"\4\0")
    ),
    "constructed octets": lambda: replaced(sound(), within(5), lambda each: tlv(0x24, each.encoded)),
    "a null with contents": lambda: replaced(sound(), within(6, 0, 1, 0), lambda each: b"\5\1\0"),
    "an unknown universal type": lambda: replaced(sound(), within(6, 0, 1, 0), lambda each: b"\x09\1\0"),
    "another version": lambda: replaced(sound(), (*SIGNED_DATA, 0), only(b"\2")),
    "a signer's version of another form": lambda: replaced(sound(), within(0), only(b"\3")),
    "an attribute without values in a set": lambda: replaced(sound(), within(6, 0, 1), with_tag(0x30)),
}
"""Nothing of it is signed, so nothing of it is noticed by whoever only verifies."""


def verify(signature: bytes) -> None:
    verify_signers(parse_pkcs7(signature), TEXT, [ALICE.certificate, BOB.certificate], now=NOW)


def openssl_accepts(signature: bytes, folder: Path) -> bool:
    (folder / "signature").write_bytes(signature)
    (folder / "text").write_bytes(TEXT)
    (folder / "trusted").write_bytes(ALICE.certificate + BOB.certificate)
    words = ["-inform", "DER", "-in", "signature", "-content", "text", "-binary", "-CAfile", "trusted"]
    at = ["-attime", str(int(NOW.timestamp())), "-purpose", "any", "-partial_chain", "-out", "found"]
    done = subprocess.run(
        [tool("openssl"), "cms", "-verify", *words, *at], cwd=folder, capture_output=True, check=False
    )
    return done.returncode == 0


def test_what_is_accepted_others_accept(tmp_path: Path) -> None:
    verify(sound())
    assert openssl_accepts(sound(), tmp_path)
    signers = cms.ContentInfo.load(sound(), strict=True)["content"]["signer_infos"]
    assert [(each.serial, each.signature, each.attributes is not None) for each in parse_pkcs7(sound())] == [
        (each["sid"].chosen["serial_number"].native, each["signature"].native, True) for each in signers
    ]


@pytest.mark.parametrize("form", MALFORMED)
def test_a_malformed_part_that_nobody_signed(form: str) -> None:
    data = MALFORMED[form]()
    assert data != sound()
    with pytest.raises(FormatError, match=r"^pkcs7: "):
        parse_pkcs7(data)


def test_some_of_them_are_accepted_elsewhere(tmp_path: Path) -> None:
    """That is why they matter: two readers would take one signature for two things."""
    assert sum(openssl_accepts(make(), tmp_path) for make in MALFORMED.values()) >= 5


def test_several_countersignatures() -> None:
    """ "unsignedAttrs … may include multiple instances of countersignature attributes" (RFC 5652 §11.4)."""
    more = sorted(attribute(value, kind=COUNTERSIGNATURE) for value in (b"\5\0", b"\2\1\1"))
    verify(replaced(sound(), within(6), lambda each: tlv(0xA1, *more)))


def test_what_kind_of_signature_it_is() -> None:
    with pytest.raises(FormatError, match="does not hold its content"):
        parse_enclosed(sound(), "1.2.840.113549.1.7.1")
    with pytest.raises(FormatError, match="the type of the signed content is wrong"):
        parse_enclosed(sound(), "1.3.6.1.4.1.311.2.1.4")
    enveloped = bytes.fromhex("06092a864886f70d010703")
    with pytest.raises(FormatError, match="the file is not signed data"):
        parse_pkcs7(replaced(sound(), (0,), lambda each: enveloped))


def test_a_serial_number_without_end() -> None:
    with pytest.raises(FormatError, match="a serial number is too long"):
        parse_pkcs7(replaced(sound(), within(1, 1), only(b"\1" * 5000)))
