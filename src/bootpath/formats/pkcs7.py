"""PKCS#7 signatures: who says that he signed, how, and over what attributes. Nothing is verified here.

Source: RFC 5652 (CMS) §5, which contains PKCS#7 1.5 (RFC 2315 §9)::

    ContentInfo { signedData, SignedData {
      version, digestAlgorithms, encapContentInfo { eContentType, eContent [0] OPTIONAL },
      certificates [0] OPTIONAL, crls [1] OPTIONAL,
      signerInfos SET OF { version, sid, digestAlgorithm, signedAttrs [0] OPTIONAL,
                           signatureAlgorithm, signature, unsignedAttrs [1] OPTIONAL } } }

Of detached ones that is read which the kernel's dm-verity, systemd and `openssl smime -sign` agree upon: content type
data, no content inside, at least one signer. `parse_enclosed` is for those that hold what they sign. Certificates and
lists that a signature brings along are passed over: whoever verifies has his own. The ASN.1 is asn1crypto's; it is
imported when there is something to parse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bootpath.core.errors import Error, FormatError

T = TypeVar("T")

PKCS7_MAX_BYTES = 1 << 20
MAX_SIGNERS = 16
# Tags, and the parts of object identifiers, go on while bytes have their highest bit (X.690 §8.1.2.4, §8.19.2).
# asn1crypto takes time with the square of their length; nothing else has a run of such bytes as long as this one.
_ENDLESS = b"\1" * 1024
_HIGHEST_BIT = bytes(byte >> 7 for byte in range(256))
_SPEC = "RFC 5652 §5"
_CONTEXT = 2  # the class of context-specific tags (X.690 §8.1.2)

# What asn1crypto raises for bytes that are not what they should be; it parses some of them as late as they are used.
_ASN1_FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class SignedAttributes:
    """Attributes that were signed in place of the content: `encoded` is what was signed, DER, tagged as a SET."""

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
    """The signers of a detached signature in DER, at least one. Raises FormatError; Error without asn1crypto."""
    return _parse(data, _detached_signers)


def parse_enclosed(data: bytes, content_type: str) -> tuple[bytes, tuple[SignerInfo, ...]]:
    """The content of a signature that holds it, in DER, and the signers, at least one.

    The content has to be of this type, a dotted OID. Raises FormatError; Error without asn1crypto.
    """

    def read(info: Any) -> tuple[bytes, tuple[SignerInfo, ...]]:
        signed = _signed_data(info)
        content = signed["encap_content_info"]
        if content["content_type"].native != content_type:
            raise _fault(
                "the type of the signed content is wrong", str(content["content_type"].native)[:80], content_type
            )
        return _untagged(content["content"].dump()), _signers(signed)

    return _parse(data, read)


def _untagged(encoded: bytes) -> bytes:
    """What stands behind the tag "[0] EXPLICIT" of a content."""
    from asn1crypto import parser  # type: ignore[import-untyped] # it has no annotations

    kind, _, tag, _, content, _ = parser.parse(encoded, strict=True)
    if (kind, tag) != (_CONTEXT, 0):
        raise _fault("the content has the wrong tag", f"{kind}, {tag}", "[0]")
    return bytes(content)


def _parse(data: bytes, read: Callable[[Any], T]) -> T:
    """What `read` makes of a ContentInfo. Raises FormatError; Error without asn1crypto."""
    if len(data) > PKCS7_MAX_BYTES:
        raise _fault("the signature is too long", f"{len(data)} bytes", f"at most {PKCS7_MAX_BYTES}")
    if _ENDLESS in data.translate(_HIGHEST_BIT):
        raise _fault("a tag or an object identifier is too long", f"{len(_ENDLESS)} bytes or more", "a few bytes")
    try:
        from asn1crypto import cms
    except ImportError as error:
        raise Error(
            "signatures need asn1crypto, which is not installed", hint="pip install 'bootpath[signatures]'"
        ) from error
    try:
        return read(cms.ContentInfo.load(data, strict=True))
    except _ASN1_FAULTS as error:
        raise FormatError(
            "not a signature: " + (" ".join(str(error).split())[:200] or type(error).__name__),
            where="pkcs7",
            spec=_SPEC,
        ) from None


def _signed_data(info: Any) -> Any:
    kind = info["content_type"].native
    if kind != "signed_data":
        raise _fault("the file is not signed data", str(kind)[:80], "signedData")
    return info["content"]


def _detached_signers(info: Any) -> tuple[SignerInfo, ...]:
    signed = _signed_data(info)
    content = signed["encap_content_info"]
    # pkcs7_verify: "Invalid unspecified sig (not pkcs7-data)".
    if content["content_type"].native != "data":
        raise _fault("the type of the signed content is wrong", str(content["content_type"].native)[:80], "data")
    if content["content"].native is not None:
        raise _fault("the signature holds its content", "an attached signature", "a detached signature")
    return _signers(signed)


def _signers(signed: Any) -> tuple[SignerInfo, ...]:
    infos = signed["signer_infos"]
    if not 0 < len(infos) <= MAX_SIGNERS:
        raise _fault("the number of signers is out of range", str(len(infos)), f"1 to {MAX_SIGNERS}")
    return tuple(_signer(each) for each in infos)


def _signer(info: Any) -> SignerInfo:
    digest = str(info["digest_algorithm"]["algorithm"].native)
    issuer = serial = key_identifier = None
    if info["sid"].name == "issuer_and_serial_number":
        issuer = bytes(info["sid"].chosen["issuer"].dump())
        serial = int(info["sid"].chosen["serial_number"].native)
    else:
        key_identifier = bytes(info["sid"].chosen.native)
    return SignerInfo(
        digest,
        _scheme(info["signature_algorithm"], digest),
        bytes(info["signature"].native),
        issuer,
        serial,
        key_identifier,
        _attributes(info["signed_attrs"]),
    )


def _scheme(algorithm: Any, digest: str) -> str:
    """ "rsa" or "ecdsa"; an algorithm that names a digest names the same as the signer."""
    name = str(algorithm["algorithm"].native)
    if name == "rsassa_pkcs1v15":  # rsaEncryption, which names none
        return "rsa"
    named, _, scheme = name.rpartition("_")
    if scheme not in ("rsa", "ecdsa"):
        raise _fault("the signature algorithm is not supported", name[:80], "RSA with PKCS#1 v1.5, or ECDSA")
    if named != digest:
        raise _fault(
            "the signature algorithm has another digest than the signer",
            name[:80],
            f"one with {digest}, the signer's digest algorithm",
        )
    return scheme


def _attributes(attributes: Any) -> SignedAttributes | None:
    """§5.3: content-type and message-digest must be there, each once and with one value."""
    if attributes.native is None:
        return None
    found: dict[str, Any] = {}
    for attribute in attributes:
        name = str(attribute["type"].native)
        if name in found:
            raise _fault("a signed attribute appears twice", name[:80], "each once")
        found[name] = attribute["values"]
    for name in ("content_type", "message_digest"):
        if name not in found or len(found[name]) != 1:
            raise _fault(
                f"the signed attributes have no single {name}", f"{len(found.get(name, ()))} values", "one value"
            )
    # §5.4: "a separate encoding of the signedAttrs field is performed … an EXPLICIT SET OF tag is used".
    encoded = b"\x31" + bytes(attributes.dump())[1:]
    return SignedAttributes(encoded, str(found["content_type"][0].native), bytes(found["message_digest"][0].native))


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="pkcs7", found=found, expected=expected, spec=_SPEC)
