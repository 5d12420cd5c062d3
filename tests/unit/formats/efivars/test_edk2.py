from __future__ import annotations

import struct

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.edk2 import is_edk2_store, parse_edk2_store
from tests.support.efivars import HEADER_BYTES, LOADER_GUID, edk2_store, raw_variable, utf16

A, B = raw_variable("A", utf16("one")), raw_variable("B", b"\1\2\3")
STORE_BYTES = 28


def names(store: bytes | bytearray) -> dict[str, bytes]:
    return {each.name: each.data for each in parse_edk2_store(bytes(store))}


@pytest.mark.parametrize("authenticated", [True, False])
def test_the_variables_of_a_store(authenticated: bool) -> None:
    parts = [raw_variable(name, data, authenticated=authenticated) for name, data in (("A", utf16("one")), ("B", b"x"))]
    store = bytes(edk2_store(parts, authenticated=authenticated))
    assert is_edk2_store(store)
    first, second = parse_edk2_store(store)
    assert (first.name, first.guid, first.attributes, first.text) == ("A", LOADER_GUID, 7, "one")
    assert (second.name, second.data) == ("B", b"x")
    assert parse_edk2_store(store + bytes(1 << 20)) == (first, second)  # the file may go on


def test_an_empty_store() -> None:
    assert parse_edk2_store(bytes(edk2_store([]))) == ()


def test_only_variables_that_are_complete_count() -> None:
    """0x3F is one; one that is being replaced counts until its successor is there; all others do not."""
    old, new = raw_variable("A", b"old", state=0x3E), raw_variable("A", b"new")
    assert names(edk2_store([old])) == {"A": b"old"}
    assert names(edk2_store([old, new])) == {"A": b"new"}
    assert names(edk2_store([new, old])) == {"A": b"new"}
    for state in (0x3D, 0x3C, 0x7F, 0xFF, 0):
        assert "A" not in names(edk2_store([raw_variable("A", b"", state=state)]))
    unfinished = bytearray(raw_variable("A", b"", state=0x7F)[:60])
    unfinished[36:44] = b"\xff" * 8
    assert names(edk2_store([bytes(unfinished), B])) == {"B": b"\1\2\3"}


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (16, b"x", "does not begin with a volume"),
        (40, b"x", "the signature of the firmware volume"),
        (32, struct.pack("<Q", 1 << 20), "the size of the firmware volume"),
        (48, b"\1\0", "the size of the firmware volume"),
        (50, b"\0\0", "wrong checksum"),
        (HEADER_BYTES, b"y", "the kind of the variable store"),
        (HEADER_BYTES + 16, b"\xff\xff\xff\xff", "ends beyond its volume"),
        (HEADER_BYTES + 20, b"\0", "not in use"),
        (HEADER_BYTES + STORE_BYTES + 40, b"\xff\xff\0\0", "a variable ends beyond the store"),
    ],
)
def test_damage_is_refused(offset: int, value: bytes, reason: str) -> None:
    store = edk2_store([A, B])
    store[offset : offset + len(value)] = value
    with pytest.raises(FormatError, match=reason):
        parse_edk2_store(bytes(store))


def test_a_variable_at_the_end_of_the_store() -> None:
    whole = raw_variable("A", bytes(100))
    store = edk2_store([whole], size_bytes=HEADER_BYTES + STORE_BYTES + len(whole))
    assert names(bytes(store)) == {"A": bytes(100)}
    store = edk2_store([], size_bytes=HEADER_BYTES + STORE_BYTES + 40)
    store[HEADER_BYTES + STORE_BYTES :] = whole[:40]
    with pytest.raises(FormatError, match="a variable ends beyond the store"):
        parse_edk2_store(bytes(store))
