"""Keys and certificates for tests, made in a moment: small curves, and RSA only where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and its certificate, both PEM."""

    key: bytes
    certificate: bytes


def make_identity(
    name: str = "tester",
    *,
    kind: str = "ec",
    start: datetime = NOW - timedelta(days=1),
    days: int = 30,
    serial: int = 7,
    usage: x509.KeyUsage | None = None,
    key_identifier: bool = False,
    password: bytes | None = None,
) -> Identity:
    """Self-signed. Two of one name and serial number can be told apart only by their keys."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    if key_identifier:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return Identity(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
        builder.sign(key, SHA256()).public_bytes(Encoding.PEM),
    )


def key_usage(**granted: bool) -> x509.KeyUsage:
    """A key usage that grants what is named and nothing else."""
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: granted.get(name, False) for name in names})
