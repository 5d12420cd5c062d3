"""The JSON of a LUKS2 header: which parts of the device are data, and how they are encrypted.

Source: "LUKS2 On-Disk Format Specification" 1.1.3, §3. Members that matter here::

    {"segments": {"0": {"type": "crypt", "offset": "16777216", "size": "dynamic", "iv_tweak": "0",
                        "encryption": "aes-xts-plain64", "sector_size": 512, "flags": ["backup-final", …]}, …},
     "keyslots": {"0": {"type": "luks2", "key_size": 64, …}, …}, "tokens": {"0": {"type": …}, …},
     "digests": {…}, "config": {"json_size": "12288", "keyslots_size": "16744448", "flags": […],
                                "requirements": {"mandatory": […]}}}

64-bit numbers are strings. Members that are not known here are left alone: tokens may hold anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.formats.strictjson import JsonValue, parse_json

MAX_JSON_BYTES = 4 << 20
DYNAMIC = "dynamic"

_WHERE = "crypto_LUKS: metadata"
_U64_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class LuksSegment:
    """A run of the device, in bytes; `size_bytes` is None where it reaches to the device's end.

    `encryption` is the cipher as dm-crypt takes it, "" for a segment of another `kind` than "crypt". `integrity` names
    the kind of authentication tags there are, or is "".
    """

    number: int
    kind: str
    offset_bytes: int
    size_bytes: int | None
    encryption: str
    sector_bytes: int
    iv_tweak: int
    integrity: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LuksMetadata:
    """Segments in order of their number; kinds of the tokens (for example "systemd-tpm2"), in order of theirs."""

    segments: tuple[LuksSegment, ...]
    key_slots: tuple[int, ...]
    tokens: tuple[str, ...]
    requirements: tuple[str, ...] = ()

    @property
    def sector_bytes(self) -> int:
        """Of the first segment."""
        return self.segments[0].sector_bytes if self.segments else 512

    @property
    def cipher(self) -> str:
        """Of the first segment; "" when it is not encrypted."""
        return self.segments[0].encryption if self.segments else ""


def parse_luks_metadata(data: bytes) -> LuksMetadata:
    """What the JSON says. Raises FormatError."""
    top = _object(parse_json(data, where=_WHERE, max_bytes=MAX_JSON_BYTES), "the metadata")
    segments = tuple(
        _segment(number, _object(value, f"segment {number}")) for number, value in _numbered(top, "segments")
    )
    if not segments:
        raise FormatError("there are no segments", where=_WHERE)
    config = _object(top.get("config"), "config")
    requirements = _object(config.get("requirements", {}), "requirements")
    return LuksMetadata(
        segments=segments,
        key_slots=tuple(number for number, _ in _numbered(top, "keyslots")),
        tokens=tuple(_text(_object(value, f"token {number}"), "type") for number, value in _numbered(top, "tokens")),
        requirements=_texts(requirements.get("mandatory", []), "requirements"),
    )


def _segment(number: int, value: dict[str, JsonValue]) -> LuksSegment:
    kind = _text(value, "type")
    size = _text(value, "size")
    encryption, sector_bytes, iv_tweak, integrity = "", 512, 0, ""
    if kind == "crypt":
        encryption = _text(value, "encryption")
        iv_tweak = _number(value, "iv_tweak")
        found = value.get("sector_size")
        if isinstance(found, bool) or not isinstance(found, int) or found not in (512, 1024, 2048, 4096):
            raise _fault("sector_size is not valid", found, "512, 1024, 2048 or 4096")
        sector_bytes = found
        if "integrity" in value:
            integrity = _text(_object(value["integrity"], "integrity"), "type")
    return LuksSegment(
        number=number,
        kind=kind,
        offset_bytes=_number(value, "offset"),
        size_bytes=None if size == DYNAMIC else _number(value, "size"),
        encryption=encryption,
        sector_bytes=sector_bytes,
        iv_tweak=iv_tweak,
        integrity=integrity,
        flags=_texts(value.get("flags", []), "flags"),
    )


def _numbered(top: dict[str, JsonValue], name: str) -> list[tuple[int, JsonValue]]:
    """The members of an object whose names are numbers, in their order."""
    members = _object(top.get(name), name)
    return sorted((_decimal(key, f"a name in {name}"), value) for key, value in members.items())


def _object(value: JsonValue, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise _fault(f"{what} is not an object", value, "an object")
    return value


def _text(value: dict[str, JsonValue], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise _fault(f"{name} is not a string", found, "a string")
    return found


def _texts(value: JsonValue, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _fault(f"{name} is not an array of strings", value, "an array of strings")
    return tuple(str(item) for item in value)


def _number(value: dict[str, JsonValue], name: str) -> int:
    return _decimal(_text(value, name), name)


def _decimal(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) > _U64_MAX:
        raise _fault(f"{what} is not a number", text, "a decimal number of 64 bits")
    return int(text)


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where=_WHERE, found="missing" if found is None else brief(found), expected=expected)
