"""Every rule of DER, each broken alone."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.der import MAX_DEPTH, MAX_ELEMENTS, Fields, check_order, identifier, integer, parse_der
from tests.support.der import tlv

SOUND = {
    "boolean": ("0101ff", "010100"),
    "integer": ("020100", "0201ff", "02020080", "0202ff7f", "020180"),
    "bit string": ("030100", "0302070080"[:8], "030207" + "80"),
    "octets": ("0400", "04020102"),
    "null": ("0500",),
    "identifier": ("06032a0304", "060388" + "3703"),
    "enumerated": ("0a0101",),
    "text": ("0c02c3a9", "130141", "160141", "1e020041", "1c0400000041", "1203202030", "1a0141", "1401ff"),
    "time": ("170d" + b"260101000000Z".hex(), "180f" + b"20260101000000Z".hex(), "1811" + b"20260101000000.5Z".hex()),
    "sequence": ("3000", "3003020101"),
    "set": ("3100", "3106020101020102"),
    "other classes": ("8001ff", "a003020101", "6100", "c100"),
    "long": ("048180" + "00" * 128, "04820100" + "00" * 256),
}
BROKEN = {
    "nothing": "",
    "one byte": "30",
    "cut short": "0402ff",
    "bytes that follow": "050000",
    "an element that follows": "05000500",
    "an indefinite length": "30800000",
    "an indefinite length inside": "30043080 0000",
    "a length that is longer than it need be": "04810100",
    "a length with zeros before it": "0482008000" + "00" * 127,
    "a length of five bytes": "048500000000 01 00",
    "a length that is cut short": "0482ff",
    "a high tag number": "1f8101 00",
    "a high tag number that need not be": "bf1f00",
    "end of contents": "0000",
    "an unknown type": "0900",
    "an external": "2800",
    "a Boolean of 1": "010101",
    "a Boolean without a value": "0100",
    "a long Boolean": "0102ffff",
    "an empty integer": "0200",
    "an integer with zeros before it": "02020001",
    "a negative integer with ones before it": "0202ffff",
    "an enumerated value with zeros before it": "0a020001",
    "a bit string without its first byte": "0300",
    "a bit string of 8 unused bits": "030208ff",
    "unused bits of nothing": "030101",
    "unused bits that are set": "03020101",
    "a constructed bit string": "2304 03020041",
    "constructed octets": "2404 04020041",
    "a primitive sequence": "1000",
    "a primitive set": "1100",
    "a null with contents": "050100",
    "an empty identifier": "0600",
    "an identifier that is cut short": "060288 81".replace(" ", ""),
    "an identifier with zeros before it": "06032a8003",
    "an identifier without end": "0681" + "84" + "2a" + "01" * 131,
    "text that is not UTF-8": "0c01ff",
    "text that is not printable": "130140",
    "text that is not ASCII": "1601e9",
    "text of odd length": "1e0100",
    "a time without seconds": "170b" + b"2601010000Z".hex(),
    "a time of another zone": "1711" + b"260101000000+0000".hex(),
    "a fraction that ends in zero": "1812" + b"20260101000000.50Z".hex(),
    "a fraction of nothing": "1810" + b"20260101000000.Z".hex(),
    "a set that is not sorted": "3106020102020101",
    "a set with a value twice": "3106020101020101",
    "a fault in another class": "a0030202 01",
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SOUND.items() for text in texts])
def test_what_is_der(kind: str, text: str) -> None:
    data = bytes.fromhex(text)
    assert parse_der(data).encoded == data, kind


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("wrap", [False, True], ids=["alone", "inside"])
def test_what_is_not(what: str, wrap: bool) -> None:
    data = bytes.fromhex(BROKEN[what])
    if wrap and what not in ("nothing", "an element that follows"):
        data = tlv(0x30, tlv(0xA1, data))
    with pytest.raises(FormatError, match="der: "):
        parse_der(data)


def test_bounds() -> None:
    deep = b""
    for _ in range(MAX_DEPTH + 2):
        deep = tlv(0x30, deep)
    for data in (deep, tlv(0x30, b"\5\0" * MAX_ELEMENTS)):
        with pytest.raises(FormatError, match="too many elements"):
            parse_der(data)
    parse_der(tlv(0x30, b"\5\0" * (MAX_ELEMENTS - 1)))


@pytest.mark.parametrize(
    ("text", "dotted"),
    [
        ("06092a864886f70d010702", "1.2.840.113549.1.7.2"),
        ("0603883703", "2.999.3"),
        ("060100", "0.0"),
        ("06014f", "1.39"),
        ("060150", "2.0"),
        ("0603550403", "2.5.4.3"),
    ],
)
def test_identifiers(text: str, dotted: str) -> None:
    assert identifier(parse_der(bytes.fromhex(text))) == dotted


@pytest.mark.parametrize(("text", "number"), [("020100", 0), ("020180", -128), ("02020080", 128), ("0201ff", -1)])
def test_integers(text: str, number: int) -> None:
    assert integer(parse_der(bytes.fromhex(text))) == number


def test_fields() -> None:
    fields = Fields(parse_der(tlv(0x30, b"\2\1\7", b"\5\0")), "it")
    assert fields.optional(5) is None
    assert integer(fields.take(2)) == 7
    with pytest.raises(FormatError, match="it has another form; expected 0x02 or 0x04, found 0x05"):
        fields.take(2, 4)
    with pytest.raises(FormatError, match="it has another form; expected its end, found 0x05"):
        fields.end()
    assert fields.take().tag == 5
    assert fields.optional() is None
    fields.end()
    with pytest.raises(FormatError, match="it has another form; expected a value, found its end"):
        fields.take()
    with pytest.raises(FormatError, match="it is no SEQUENCE"):
        Fields(parse_der(b"\x31\0"), "it")


def test_the_order_of_an_implicit_set() -> None:
    one, two = (parse_der(bytes((2, 1, number))) for number in (1, 2))
    check_order((one, two), "it")
    for parts in ((two, one), (one, one)):
        with pytest.raises(FormatError, match="it is not sorted"):
            check_order(parts, "it")
