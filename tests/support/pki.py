"""Directories of certificates as qemu, nbdkit and libnbd name them, for servers and for clients of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
STRANGERS = ("none", "another authority", "expired", "not yet", "a server")
"""The clients that a server of `make_pki` must not let in; "revoked" is one more, once there is a list."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A private key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def write(self, directory: Path, name: str) -> None:
        """NAME-cert.pem and NAME-key.pem."""
        (directory / f"{name}-cert.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key = directory / f"{name}-key.pem"
        key.touch(0o600)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


class Authority:
    """Who signs certificates, and says which are revoked; by itself, or `under` another one."""

    def __init__(self, name: str, under: Authority | None = None) -> None:
        self.now = datetime.now(UTC)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        signer = under or self
        builder = signer._builder(self.name, self.key, self.now - DAY, self.now + DAY)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = builder.add_extension(constraints, critical=True).sign(signer.key, SHA256())

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )

    def issue(self, name: str, *, start: timedelta = -DAY, end: timedelta = DAY, server: bool = False) -> Issued:
        """A certificate for a client, or for a server on this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(subject, key, self.now + start, self.now + end)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        return Issued(key, builder.sign(self.key, SHA256()))

    def written(self) -> bytes:
        """Its certificate, as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def write(self, directory: Path) -> None:
        """ca-cert.pem."""
        (directory / "ca-cert.pem").write_bytes(self.written())

    def revoke(self, *revoked: Issued | Authority, end: timedelta = DAY) -> bytes:
        """The list of what is revoked."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name)
        builder = builder.last_update(self.now - 2 * DAY).next_update(self.now + end)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(self.now - DAY).build())
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class Pki:
    """`server` is a server's directory, `clients` those of clients by what they are; the good one is "right"."""

    server: Path
    clients: dict[str, Path]
    crl: bytes
    """A list that revokes the client "revoked"."""
    old_crl: bytes
    """One that revokes nobody, and is out of date."""


def make_pki(directory: Path) -> Pki:
    """A server, and a client of every kind. All clients trust the server's authority."""
    ours, theirs = Authority("ours"), Authority("theirs")
    server = directory / "server"
    server.mkdir(parents=True)
    issued = ours.issue("server", server=True)
    issued.write(server, "server")
    ours.write(server)
    revoked = ours.issue("revoked")
    shown = {
        "right": ours.issue("right"),
        "none": None,
        "another authority": theirs.issue("right"),
        "expired": ours.issue("expired", end=-DAY / 2),
        "not yet": ours.issue("not yet", start=DAY / 2),
        "a server": issued,
        "revoked": revoked,
    }
    clients = {}
    for name, certificate in shown.items():
        clients[name] = directory / name.replace(" ", "-")
        clients[name].mkdir()
        ours.write(clients[name])
        if certificate is not None:
            certificate.write(clients[name], "client")
    return Pki(server, clients, ours.revoke(revoked), ours.revoke(end=-DAY))
