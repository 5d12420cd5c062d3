"""Signing a root hash, and believing one that is signed.

What is signed is the root hash as text, in lower-case hexadecimal and without a line feed; the signature is a detached
PKCS#7 in DER. That is what Linux's dm-verity takes (root_hash_sig_key_desc), what systemd finds in a verity-sig
partition or in a file `*.roothash.p7s`, and what this makes::

    openssl smime -sign -nocerts -noattr -binary -inkey KEY -signer CERT -outform der

Rules of verification, the stricter of the kernel's and systemd's where they differ:

- Trusted are the certificates that are given, each for itself; there are no chains, and what a signature brings along
  is not looked at (systemd: PKCS7_NOINTERN and PKCS7_NOVERIFY with the files of /etc/verity.d).
- Every signer must verify with one of them (the kernel is content with one; OpenSSL is not).
- A certificate counts from its first to its last day, and only if its key usage, when stated, permits signatures.
- Signed attributes, when there are any, are what the signature is over; their content type and digest must be right.
- RSA with PKCS#1 v1.5 and ECDSA, over SHA-256, SHA-384 or SHA-512.

Sources: RFC 5652 §5.4 and §5.6; Linux crypto/asymmetric_keys/pkcs7_verify.c; UAPI.2, Verity Signature Partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import new as new_hash
from hmac import compare_digest
from typing import TYPE_CHECKING

from bootpath.core.errors import Error, FormatError, SignatureError
from bootpath.core.extras import NotInstalledError
from bootpath.formats.pkcs7 import DATA, SignerInfo, parse_pkcs7
from bootpath.formats.verity.signature import parse_verity_signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm
    from cryptography.x509 import Certificate

SIGNATURE_DIGESTS = ("sha256", "sha384", "sha512")
_WHERE = "root hash signature"
_PEM = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature it is: the certificate's subject (RFC 4514), SHA-256 and last moment."""

    subject: str
    fingerprint: bytes
    not_after: datetime


def sign_root_hash(
    root_hash: bytes, *, key: bytes, certificate: bytes, password: bytes | None = None, digest: str = "sha256"
) -> bytes:
    """A detached PKCS#7 in DER over the root hash, without attributes and certificates.

    `key` and `certificate` are PEM or DER; `password` opens an encrypted key. Raises SignatureError when they cannot be
    read or do not belong together, NotInstalledError without `cryptography`.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key
    from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

    load = load_pem_private_key if _PEM in key else load_der_private_key
    try:
        private = load(key, password)
    except (ValueError, TypeError) as error:
        raise SignatureError(f"the key cannot be read: {_line(error)}", where=_WHERE) from None
    if not isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey):
        raise SignatureError(
            "the type of the key is not supported", where=_WHERE, found=type(private).__name__, expected="RSA or ECDSA"
        )
    signer = _only(certificate)
    if signer.public_key() != private.public_key():
        raise SignatureError("the key is not the certificate's", where=_WHERE, found=_subject(signer))
    hasher = _digest(digest)
    builder = PKCS7SignatureBuilder().set_data(signed_text(root_hash)).add_signer(signer, private, hasher)  # type: ignore[arg-type]
    options = [
        PKCS7Options.DetachedSignature,
        PKCS7Options.Binary,
        PKCS7Options.NoAttributes,
        PKCS7Options.NoCerts,
    ]
    return builder.sign(Encoding.DER, options)


def verify_root_hash(
    signature: bytes, root_hash: bytes, certificates: Iterable[bytes], *, now: datetime | None = None
) -> Signer:
    """Who signed the root hash (the first of them, when there are several: all have to verify).

    `signature` is a detached PKCS#7 in DER; each of the `certificates` is DER, or PEM with one or more; `now` is the
    moment at which they have to be valid, by default this one. Raises SignatureError when anything about it does not
    hold, be it malformed; NotInstalledError without `cryptography`.
    """
    try:
        infos = parse_pkcs7(signature)
    except FormatError as error:
        raise SignatureError(str(error), where=_WHERE) from None
    return verify_signers(infos, signed_text(root_hash), certificates, now=now)


def verify_given_signature(
    content: bytes, root_hash: bytes, certificates: Iterable[bytes], *, now: datetime | None = None
) -> Signer:
    """Who signed a root hash, by a PKCS#7 in DER or by the content of a verity-sig partition. Raises as above."""
    if content.startswith(b"{"):
        partition = parse_verity_signature(content)
        if partition.root_hash != root_hash:
            raise SignatureError(
                "the signature is for another root hash",
                where=_WHERE,
                found=partition.root_hash.hex(),
                expected=root_hash.hex(),
            )
        content = partition.signature
    return verify_root_hash(content, root_hash, certificates, now=now)


def verify_signers(
    infos: Iterable[SignerInfo],
    content: bytes,
    certificates: Iterable[bytes],
    *,
    content_type: str = DATA,
    what: str = "root hash",
    now: datetime | None = None,
) -> Signer:
    """Who signed the `content`, of this type; for messages it is called `what`. As `verify_root_hash` otherwise."""
    _require_cryptography()
    moment = datetime.now(UTC) if now is None else now
    trusted = [each for data in certificates for each in _certificates(data)]
    if not trusted:
        raise SignatureError(
            "no certificate is trusted", where=f"{what} signature", hint="give the signer's certificate"
        )
    signed = _Signed(content, content_type, what)
    signers = [_verify_signer(info, signed, trusted, moment) for info in infos]
    return signers[0]


def certificate_fingerprint(certificate: bytes) -> bytes:
    """SHA-256 of a certificate (PEM or DER), as a verity-sig partition has it. Raises SignatureError, Error."""
    _require_cryptography()
    return _fingerprint(_only(certificate))


def check_certificates(data: bytes, where: str) -> None:
    """Raise Error when a file does not hold certificates (PEM or DER), or a library is missing."""
    _require_cryptography()
    try:
        list(_certificates(data))
    except SignatureError as fault:  # nothing was judged
        raise Error("the file holds no certificate", where=where, expected="X.509, as PEM or DER") from fault


def signed_text(root_hash: bytes) -> bytes:
    """What is signed for a root hash."""
    return root_hash.hex().encode()


@dataclass(frozen=True, slots=True)
class _Signed:
    """What a signature is over: content, its type, and what it is called."""

    content: bytes
    content_type: str
    what: str

    @property
    def where(self) -> str:
        return f"{self.what} signature"


def _verify_signer(info: SignerInfo, signed: _Signed, trusted: list[Certificate], moment: datetime) -> Signer:
    """RFC 5652 §5.6. Several certificates may have one name and serial number, or one key: each is tried."""
    hasher = _digest(info.digest)
    named = [each for each in trusted if _is_named(each, info)]
    if not named:
        raise SignatureError(
            f"the signer ({_name_of(info)}) is none of those that are trusted: "
            + ", ".join(_subject(each) for each in trusted),
            where=signed.where,
        )
    message = signed.content
    if info.attributes is not None:
        # "the result of the message digest … must match the message-digest attribute", and the type the content's.
        if info.attributes.content_type != signed.content_type:
            raise SignatureError(
                "the type of the signed content is wrong",
                where=signed.where,
                found=info.attributes.content_type,
                expected=signed.content_type,
            )
        if not compare_digest(info.attributes.message_digest, new_hash(info.digest, signed.content).digest()):
            raise SignatureError(f"another {signed.what} was signed", where=signed.where)
        message = info.attributes.encoded
    signer = next((each for each in named if _holds(each, info, hasher, message)), None)
    if signer is None:
        raise SignatureError(
            f"it is not a signature of this {signed.what} by {_subject(named[0])}",
            where=signed.where,
            hint=f"is it another {signed.what}, or did another key sign?",
        )
    _check_certificate(signer, moment)
    return Signer(_subject(signer), _fingerprint(signer), signer.not_valid_after_utc)


def _holds(certificate: Certificate, info: SignerInfo, hasher: HashAlgorithm, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        key = certificate.public_key()
        if info.scheme == "rsa" and isinstance(key, RSAPublicKey):
            key.verify(info.signature, message, PKCS1v15(), hasher)
        elif info.scheme == "ecdsa" and isinstance(key, EllipticCurvePublicKey):
            key.verify(info.signature, message, ECDSA(hasher))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _check_certificate(certificate: Certificate, moment: datetime) -> None:
    from cryptography.x509 import ExtensionNotFound, KeyUsage

    for wrong, what, limit in (
        (moment < certificate.not_valid_before_utc, "is not valid before", certificate.not_valid_before_utc),
        (moment > certificate.not_valid_after_utc, "expired at", certificate.not_valid_after_utc),
    ):
        if wrong:
            raise SignatureError(
                f"the certificate {_subject(certificate)} {what} {limit:%Y-%m-%d %H:%M:%S} UTC",
                where=_WHERE,
                hint=f"it is {moment:%Y-%m-%d %H:%M:%S} by the clock",
            )
    try:
        usage = certificate.extensions.get_extension_for_class(KeyUsage).value
    except ExtensionNotFound:
        return
    except ValueError as error:
        raise SignatureError(f"the certificate's extensions: {_line(error)}", where=_WHERE) from None
    if not (usage.digital_signature or usage.content_commitment):
        raise SignatureError(f"the certificate {_subject(certificate)} is not for signatures", where=_WHERE)


def _is_named(certificate: Certificate, info: SignerInfo) -> bool:
    from cryptography.x509 import ExtensionNotFound, SubjectKeyIdentifier

    if info.key_identifier is None:
        return certificate.issuer.public_bytes() == info.issuer and certificate.serial_number == info.serial
    try:
        extension = certificate.extensions.get_extension_for_class(SubjectKeyIdentifier)
    except (ExtensionNotFound, ValueError):
        return False
    return extension.value.digest == info.key_identifier


def _certificates(data: bytes) -> Iterator[Certificate]:
    """Those of a file. Raises SignatureError."""
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates

    try:
        yield from load_pem_x509_certificates(data) if _PEM in data else (load_der_x509_certificate(data),)
    except ValueError as error:
        raise SignatureError(f"a certificate cannot be read: {_line(error)}", where=_WHERE) from None


def _only(data: bytes) -> Certificate:
    found = list(_certificates(data))
    if len(found) != 1:
        raise SignatureError(
            "the file does not have exactly one certificate",
            where=_WHERE,
            found=f"{len(found)} certificates",
            expected="one",
        )
    return found[0]


def _digest(name: str) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    if name not in SIGNATURE_DIGESTS:
        raise SignatureError(
            "the digest algorithm is not supported",
            where=_WHERE,
            found=name[:80],
            expected=" or ".join(SIGNATURE_DIGESTS),
        )
    found: HashAlgorithm = getattr(hashes, name.upper())()
    return found


def _fingerprint(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256())


def _subject(certificate: Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"with serial number {certificate.serial_number:x}"


def _name_of(info: SignerInfo) -> str:
    if info.key_identifier is not None:
        return f"key {info.key_identifier.hex()}"
    return f"serial number {info.serial:x}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise NotInstalledError("cryptography", "signatures", "a signature") from error
