"""PKCS#7 signatures: who says that he signed, how, and over what attributes. Nothing is verified here.

Source: RFC 5652 (CMS) §5, which contains PKCS#7 1.5 (RFC 2315 §9)::

    ContentInfo { signedData, SignedData {
      version, digestAlgorithms, encapContentInfo { eContentType, eContent [0] OPTIONAL },
      certificates [0] OPTIONAL, crls [1] OPTIONAL,
      signerInfos SET OF { version, sid, digestAlgorithm, signedAttrs [0] OPTIONAL,
                           signatureAlgorithm, signature, unsignedAttrs [1] OPTIONAL } } }

Of detached ones that is read which the kernel's dm-verity, systemd and `openssl smime -sign` agree upon: content type
data, no content inside, at least one signer. `parse_enclosed` is for those that hold what they sign. Certificates and
lists that a signature brings along are passed over: whoever verifies has his own.

All of it is read as DER, strictly (`formats.der`), also what is passed over: CMS would permit BER in parts, and then
one signature has many forms, which two readers may take for two different things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.der import (
    INTEGER,
    NULL,
    OCTETS,
    OID,
    SEQUENCE,
    SET,
    Element,
    Fields,
    check_order,
    identifier,
    integer,
    parse_der,
)

PKCS7_MAX_BYTES = 1 << 20
MAX_SIGNERS = 16
_SERIAL_BYTES = 64  # RFC 5280 §4.1.2.2 has at most 20, and readers that take more
DATA = "1.2.840.113549.1.7.1"
_SPEC = "RFC 5652 §5"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_COUNTERSIGNATURE = "1.2.840.113549.1.9.6"  # "may include multiple instances" (§11.4)
_FIRST, _SECOND = 0xA0, 0xA1  # [0] and [1], constructed
_KEY_IDENTIFIER = 0x80  # [0], primitive

_DIGESTS: Mapping[str, str] = {
    "1.2.840.113549.2.5": "md5",
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.4": "sha224",
}
_SCHEMES: Mapping[str, tuple[str, str | None]] = {
    "1.2.840.113549.1.1.1": ("rsa", None),  # rsaEncryption, which names no digest
    "1.2.840.113549.1.1.5": ("rsa", "sha1"),
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.2.840.113549.1.1.14": ("rsa", "sha224"),
    "1.2.840.10045.4.1": ("ecdsa", "sha1"),
    "1.2.840.10045.4.3.1": ("ecdsa", "sha224"),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
}
"""The signature algorithms, as (scheme, digest): RFC 3370 §3, RFC 5754 §3."""


@dataclass(frozen=True, slots=True)
class SignedAttributes:
    """Attributes that were signed in place of the content: `encoded` is what was signed, DER, tagged as a SET.

    `content_type` is a dotted OID.
    """

    encoded: bytes
    content_type: str
    message_digest: bytes


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signer. He is named by `issuer` (a DER Name) and `serial`, or by `key_identifier`.

    `digest` is a name as hashlib has it; `scheme` is "rsa" (PKCS#1 v1.5) or "ecdsa".
    """

    digest: str
    scheme: str
    signature: bytes
    issuer: bytes | None = None
    serial: int | None = None
    key_identifier: bytes | None = None
    attributes: SignedAttributes | None = None


def parse_pkcs7(data: bytes) -> tuple[SignerInfo, ...]:
    """The signers of a detached signature in DER, at least one. Raises FormatError."""
    kind, content, signers = _signed_data(data)
    # pkcs7_verify: "Invalid unspecified sig (not pkcs7-data)".
    if kind != DATA:
        raise _fault("the type of the signed content is wrong", kind, f"data, {DATA}")
    if content is not None:
        raise _fault("the signature holds its content", "an attached signature", "a detached signature")
    return signers


def parse_enclosed(data: bytes, content_type: str) -> tuple[Element, tuple[SignerInfo, ...]]:
    """The content of a signature that holds it, in DER, and the signers, at least one.

    The content has to be of this type, a dotted OID. Raises FormatError.
    """
    kind, content, signers = _signed_data(data)
    if kind != content_type:
        raise _fault("the type of the signed content is wrong", kind, content_type)
    if content is None:
        raise _fault("the signature does not hold its content", "a detached signature", "an attached signature")
    return content, signers


def digest_name(algorithm: Element) -> str:
    """What hashlib calls the digest of an AlgorithmIdentifier; with dots, if it is unknown. Raises FormatError."""
    name = _algorithm(algorithm)
    return _DIGESTS.get(name, name)


def _signed_data(data: bytes) -> tuple[str, Element | None, tuple[SignerInfo, ...]]:
    """The type of the content, the content, if it is there, and the signers."""
    if len(data) > PKCS7_MAX_BYTES:
        raise _fault("the signature is too long", f"{len(data)} bytes", f"at most {PKCS7_MAX_BYTES}")
    try:
        info = Fields(parse_der(data), "ContentInfo")
        kind = identifier(info.take(OID))
        if kind != _SIGNED_DATA:
            raise _fault("the file is not signed data", kind, f"signedData, {_SIGNED_DATA}")
        signed = Fields(_explicit(info.take(_FIRST)), "SignedData")
        info.end()
        return _content(signed)
    except FormatError as error:
        if error.where == "pkcs7":
            raise
        raise FormatError(f"not a signature: {error}", where="pkcs7", spec=_SPEC) from None


def _content(signed: Fields) -> tuple[str, Element | None, tuple[SignerInfo, ...]]:
    version = integer(signed.take(INTEGER))
    if version not in (1, 3, 4, 5):
        raise _fault("the version of the signed data is unknown", f"{version:x}"[:20], "1, 3, 4 or 5")
    for each in signed.take(SET).parts:
        _algorithm(each)
    content = Fields(signed.take(SEQUENCE), "the content")
    kind, enclosed = identifier(content.take(OID)), content.optional(_FIRST)
    content.end()
    for tag, what in ((_FIRST, "the set of certificates"), (_SECOND, "the set of revocation lists")):
        found = signed.optional(tag)
        if found is not None:
            check_order(found.parts, what)
    infos = signed.take(SET).parts
    signed.end()
    if not 0 < len(infos) <= MAX_SIGNERS:
        raise _fault("the number of signers is out of range", str(len(infos)), f"1 to {MAX_SIGNERS}")
    return kind, None if enclosed is None else _explicit(enclosed), tuple(_signer(each) for each in infos)


def _explicit(element: Element) -> Element:
    """The one element in an explicit tag."""
    if len(element.parts) != 1:
        raise _fault("an explicit tag has not one value", f"{len(element.parts)} values", "one")
    return element.parts[0]


def _signer(element: Element) -> SignerInfo:
    fields = Fields(element, "SignerInfo")
    version = integer(fields.take(INTEGER))
    sid = fields.take(SEQUENCE, _KEY_IDENTIFIER)
    issuer = serial = key_identifier = None
    if sid.tag == SEQUENCE:
        named = Fields(sid, "IssuerAndSerialNumber")
        issuer, number = named.take(SEQUENCE).encoded, named.take(INTEGER)
        named.end()
        if len(number.contents) > _SERIAL_BYTES:
            raise _fault("a serial number is too long", f"{len(number.contents)} bytes", f"at most {_SERIAL_BYTES}")
        serial = integer(number)
    else:
        key_identifier = sid.contents
    # §5.3: "If the SignerIdentifier is the CHOICE issuerAndSerialNumber, then the version MUST be 1 … 3".
    if version != (1 if key_identifier is None else 3):
        raise _fault("the version of a signer is wrong", f"{version:x}"[:20], "1 with an issuer, 3 with a key")
    digest = digest_name(fields.take(SEQUENCE))
    signed = fields.optional(_FIRST)
    attributes = None if signed is None else _attributes(signed)
    scheme = _scheme(fields.take(SEQUENCE), digest)
    signature = fields.take(OCTETS).contents
    unsigned = fields.optional(_SECOND)
    fields.end()
    if unsigned is not None:
        _by_type(unsigned.parts, "unsigned")
    return SignerInfo(digest, scheme, signature, issuer, serial, key_identifier, attributes)


def _algorithm(element: Element) -> str:
    """The dotted OID of an AlgorithmIdentifier; those that count have no parameters, or NULL."""
    fields = Fields(element, "AlgorithmIdentifier")
    name, parameters = identifier(fields.take(OID)), fields.optional()
    fields.end()
    if (name in _DIGESTS or name in _SCHEMES) and parameters is not None and parameters.tag != NULL:
        raise _fault("an algorithm has parameters", f"{name}, {parameters.tag:#04x}", "none, or NULL")
    return name


def _scheme(algorithm: Element, digest: str) -> str:
    """ "rsa" or "ecdsa"; an algorithm that names a digest names the same as the signer."""
    name = _algorithm(algorithm)
    scheme, named = _SCHEMES.get(name, (None, None))
    if scheme is None:
        raise _fault("the signature algorithm is not supported", name, "RSA with PKCS#1 v1.5, or ECDSA")
    if named not in (None, digest):
        raise _fault(
            "the signature algorithm has another digest than the signer",
            f"{scheme} with {named}",
            f"one with {digest}, the signer's digest algorithm",
        )
    return scheme


def _attributes(element: Element) -> SignedAttributes:
    """§5.3: content-type and message-digest must be there, each once and with one value."""
    found = _by_type(element.parts, "signed")
    values = []
    for name, tag, what in ((_CONTENT_TYPE, OID, "content type"), (_MESSAGE_DIGEST, OCTETS, "message digest")):
        parts = found.get(name, ())
        if len(parts) != 1 or parts[0].tag != tag:
            raise _fault(f"the signed attributes have no single {what}", f"{len(parts)} values", "one value")
        values.append(parts[0])
    # §5.4: "a separate encoding of the signedAttrs field is performed … an EXPLICIT SET OF tag is used".
    return SignedAttributes(b"\x31" + element.encoded[1:], identifier(values[0]), values[1].contents)


def _by_type(attributes: Sequence[Element], which: str) -> dict[str, tuple[Element, ...]]:
    """The values of the attributes of a set, by type: each type is there once, as the set is sorted."""
    check_order(attributes, f"the set of {which} attributes")
    found: dict[str, tuple[Element, ...]] = {}
    for each in attributes:
        fields = Fields(each, "Attribute")
        name, values = identifier(fields.take(OID)), fields.take(SET).parts
        fields.end()
        if name in found and (which == "signed" or name != _COUNTERSIGNATURE):
            raise _fault(f"{'a signed' if which == 'signed' else 'an unsigned'} attribute appears twice", name, "once")
        found[name] = values
    return found


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="pkcs7", found=found, expected=expected, spec=_SPEC)
