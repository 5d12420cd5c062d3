"""What a signature of a root hash must be to be believed."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from asn1crypto import cms  # type: ignore[import-untyped] # it has no annotations
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509 import load_pem_x509_certificate

from bootpath.core.errors import SignatureError
from bootpath.image.signatures.roothash import certificate_fingerprint, sign_root_hash, signed_text, verify_root_hash
from tests.support.certificates import NOW, Identity, key_usage, make_identity

ROOT_HASH = bytes(range(32))
ALICE = make_identity("alice")
RSA = make_identity("rsa", kind="rsa")


def sign(identity: Identity = ALICE, digest: str = "sha256") -> bytes:
    return sign_root_hash(ROOT_HASH, key=identity.key, certificate=identity.certificate, digest=digest)


def sign_with(*options: PKCS7Options, identities: tuple[Identity, ...] = (ALICE,), text: bytes | None = None) -> bytes:
    """By the library, with other options than ours."""
    builder = PKCS7SignatureBuilder().set_data(signed_text(ROOT_HASH) if text is None else text)
    for each in identities:
        certificate = load_pem_x509_certificate(each.certificate)
        builder = builder.add_signer(certificate, load_pem_private_key(each.key, None), SHA256())  # type: ignore[arg-type]
    return builder.sign(Encoding.DER, [PKCS7Options.Binary, *options])


def refused(signature: bytes, *certificates: bytes, root_hash: bytes = ROOT_HASH) -> str:
    with pytest.raises(SignatureError) as refusal:
        verify_root_hash(signature, root_hash, certificates or [ALICE.certificate], now=NOW)
    return str(refusal.value)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("identity", [ALICE, RSA], ids=["ec", "rsa"])
def test_what_is_signed_verifies(identity: Identity, digest: str) -> None:
    signer = verify_root_hash(sign(identity, digest), ROOT_HASH, [identity.certificate], now=NOW)
    assert signer.subject.startswith("CN=")
    assert signer.fingerprint == certificate_fingerprint(identity.certificate)
    certificate = load_pem_x509_certificate(identity.certificate)
    assert signer.fingerprint == hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    assert signer.not_after == certificate.not_valid_after_utc


@pytest.mark.parametrize("identity", [ALICE, RSA], ids=["ec", "rsa"])
def test_another_root_hash(identity: Identity) -> None:
    assert "not a signature of this root hash" in refused(
        sign(identity), identity.certificate, root_hash=ROOT_HASH[::-1]
    )


def test_certificates_may_be_der_and_many() -> None:
    der = load_pem_x509_certificate(ALICE.certificate).public_bytes(Encoding.DER)
    verify_root_hash(sign(), ROOT_HASH, [der], now=NOW)
    verify_root_hash(sign(), ROOT_HASH, [RSA.certificate + ALICE.certificate], now=NOW)
    verify_root_hash(sign(), ROOT_HASH, [RSA.certificate, ALICE.certificate], now=NOW)


def test_an_unknown_signer() -> None:
    assert "none of those that are trusted: CN=rsa" in refused(sign(), RSA.certificate)
    with pytest.raises(SignatureError, match="no certificate is trusted"):
        verify_root_hash(sign(), ROOT_HASH, [], now=NOW)


def test_a_certificate_that_the_signature_brings_along_is_not_trusted() -> None:
    mallory = make_identity("mallory")
    signature = sign_with(PKCS7Options.DetachedSignature, identities=(mallory,))
    assert "none of those that are trusted" in refused(signature)


def test_a_namesake_with_another_key() -> None:
    other = make_identity("alice")
    assert "not a signature of this root hash by CN=alice" in refused(sign(), other.certificate)
    # … does not hide the right one, in whatever order they come
    for certificates in ([other.certificate, ALICE.certificate], [ALICE.certificate, other.certificate]):
        assert verify_root_hash(sign(), ROOT_HASH, certificates, now=NOW).fingerprint == certificate_fingerprint(
            ALICE.certificate
        )


def test_a_certificate_has_its_time() -> None:
    for start, message in ((NOW - timedelta(days=40), "expired at"), (NOW + timedelta(days=1), "is not valid before")):
        identity = make_identity(start=start)
        assert message in refused(sign(identity), identity.certificate)


def test_a_certificate_has_its_use() -> None:
    for usage, good in (
        (key_usage(digital_signature=True), True),
        (key_usage(content_commitment=True), True),
        (key_usage(key_cert_sign=True), False),
    ):
        identity = make_identity(usage=usage)
        if good:
            verify_root_hash(sign(identity), ROOT_HASH, [identity.certificate], now=NOW)
        else:
            assert "is not for signatures" in refused(sign(identity), identity.certificate)


def test_signed_attributes_are_verified() -> None:
    signature = sign_with(PKCS7Options.DetachedSignature)
    verify_root_hash(signature, ROOT_HASH, [ALICE.certificate], now=NOW)
    assert "another root hash was signed" in refused(signature, root_hash=ROOT_HASH[::-1])


def changed(signature: bytes, change: str) -> bytes:
    """A signature with something else in it, encoded anew."""
    info = cms.ContentInfo.load(signature)
    signed = info["content"]
    signer = signed["signer_infos"][0]
    if change == "attribute":
        digest = next(each for each in signer["signed_attrs"] if each["type"].native == "message_digest")
        digest["values"] = [hashlib.sha256(signed_text(ROOT_HASH[::-1])).digest()]
    elif change == "content":
        signed["encap_content_info"]["content"] = b"text"
    elif change == "type":
        signed["encap_content_info"] = {"content_type": "enveloped_data"}
    elif change == "signers":
        signed["signer_infos"] = []
    elif change == "digest":
        signer["digest_algorithm"] = {"algorithm": "sha512"}
    elif change == "md5":
        signer["digest_algorithm"] = {"algorithm": "md5"}
        signer["signature_algorithm"] = {"algorithm": "rsassa_pkcs1v15"}
    elif change == "pss":
        signer["signature_algorithm"] = {"algorithm": "rsassa_pss"}
    else:
        signer["signature"] = bytes(len(signer["signature"].native))
    return bytes(info.dump(force=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("attribute", "not a signature"),
        ("content", "holds its content"),
        ("type", "signed content is"),
        ("signers", "the number of signers is out of range"),
        ("digest", "the signature algorithm has another digest than the signer"),
        ("md5", "the digest algorithm is not supported"),
        ("pss", "the signature algorithm is not supported"),
        ("zeros", "not a signature"),
    ],
)
def test_signatures_with_something_else_in_them(change: str, message: str) -> None:
    signature = sign_with(PKCS7Options.DetachedSignature) if change == "attribute" else sign()
    root_hash = ROOT_HASH[::-1] if change == "attribute" else ROOT_HASH
    assert message in refused(changed(signature, change), root_hash=root_hash)


def test_a_signature_that_holds_its_content() -> None:
    assert "holds its content" in refused(sign_with())


def test_every_signer_must_verify() -> None:
    both = (ALICE, RSA)
    signature = sign_with(PKCS7Options.DetachedSignature, PKCS7Options.NoAttributes, identities=both)
    verify_root_hash(signature, ROOT_HASH, [each.certificate for each in both], now=NOW)
    for each in both:
        assert "none of those that are trusted" in refused(signature, each.certificate)


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x30\x80", b"\x30\x03\x02\x01\x01", bytes(1 << 20), bytes(2 << 20)])
def test_what_is_no_signature(junk: bytes) -> None:
    assert refused(junk)
    assert refused(sign() + junk) if junk else True


def test_a_signer_named_by_its_key() -> None:
    """As `openssl cms -keyid` writes it."""
    identity = make_identity(key_identifier=True)
    info = cms.ContentInfo.load(sign(identity))
    certificate = load_pem_x509_certificate(identity.certificate)
    signer = info["content"]["signer_infos"][0]
    from cryptography.x509 import SubjectKeyIdentifier

    key = certificate.extensions.get_extension_for_class(SubjectKeyIdentifier).value.digest
    signer["sid"] = cms.SignerIdentifier({"subject_key_identifier": key})
    signer["version"] = "v3"
    signature = bytes(info.dump(force=True))
    verify_root_hash(signature, ROOT_HASH, [identity.certificate], now=NOW)
    assert f"key {key.hex()}" in refused(signature)


def test_keys_that_cannot_sign() -> None:
    for key, certificate, message in (
        (b"junk", ALICE.certificate, "the key cannot be read"),
        (RSA.key, ALICE.certificate, "not the certificate's"),
        (ALICE.key, b"junk", "certificate cannot be read"),
        (ALICE.key, ALICE.certificate + RSA.certificate, "2 certificates"),
        (make_identity(password=b"secret").key, ALICE.certificate, "the key cannot be read"),
    ):
        with pytest.raises(SignatureError, match=message):
            sign_root_hash(ROOT_HASH, key=key, certificate=certificate)
    with pytest.raises(SignatureError, match="the digest algorithm is not supported"):
        sign(digest="sha1")


def test_a_key_with_a_password() -> None:
    identity = make_identity(password=b"secret")
    signature = sign_root_hash(ROOT_HASH, key=identity.key, certificate=identity.certificate, password=b"secret")
    verify_root_hash(signature, ROOT_HASH, [identity.certificate], now=NOW)
    with pytest.raises(SignatureError, match="the key cannot be read"):
        sign_root_hash(ROOT_HASH, key=identity.key, certificate=identity.certificate, password=b"other")
