"""The JSON of a verity-sig partition: what systemd writes, and what it must not be."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.verity.signature import (
    VERITY_SIGNATURE_MAX_BYTES,
    VeritySignature,
    pack_verity_signature,
    parse_verity_signature,
)
from tests.support.errors import raises

VALUE = VeritySignature(bytes(range(32)), b"\x30signature", bytes(32))
MEMBERS = {
    "rootHash": VALUE.root_hash.hex(),
    "signature": b64encode(VALUE.signature).decode(),
    "certificateFingerprint": "00" * 32,
}


def text(**changes: object) -> bytes:
    return json.dumps({**MEMBERS, **changes}).encode()


def test_what_is_packed_is_padded_and_parses() -> None:
    packed = pack_verity_signature(VALUE)
    assert len(packed) == 4096
    assert json.loads(packed.rstrip(b"\0")) == MEMBERS
    assert parse_verity_signature(packed) == VALUE
    bare = VeritySignature(VALUE.root_hash, VALUE.signature)
    assert parse_verity_signature(pack_verity_signature(bare)) == bare
    assert len(pack_verity_signature(VeritySignature(bytes(64), bytes(5000)))) == 8192


def test_members_of_a_later_revision_are_passed_over() -> None:
    assert parse_verity_signature(text(added="later", more={"deep": [1]})) == VALUE


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "column 1"),
        (b"[]", "an object"),
        (text() + b"\0\0x", "more text follows the first NUL"),
        (text() + b"x", "extra data"),
        (b'{"rootHash":"00","rootHash":"00"}', "appears twice"),
        (json.dumps({"rootHash": MEMBERS["rootHash"]}).encode(), "'signature' is missing"),
        (text(rootHash="0" * 63), "hexadecimal"),
        (text(rootHash="AB" * 32), "lower case"),
        (text(rootHash=" " + "ab" * 32), "lower case"),
        (text(rootHash="ab" * 31), "31 bytes"),
        (text(rootHash=5), "a string"),
        (text(signature=""), "empty"),
        (text(signature="YQ"), "base64"),
        (text(signature="YR=="), "stray bits"),
        (text(signature="Y Q=="), "base64"),
        (text(certificateFingerprint="ab:cd"), "hexadecimal"),
        (text(certificateFingerprint="abcd"), "2 bytes"),
        (bytes(VERITY_SIGNATURE_MAX_BYTES + 1), "at most"),
    ],
)
def test_what_it_must_not_be(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_verity_signature(data)


def test_a_signature_that_systemd_would_refuse_is_not_packed() -> None:
    with raises(FormatError, expected="at most 4194304"):
        pack_verity_signature(VeritySignature(bytes(32), bytes(VERITY_SIGNATURE_MAX_BYTES)))
