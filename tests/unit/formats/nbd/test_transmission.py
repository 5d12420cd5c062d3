from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.nbd import options
from bootpath.formats.nbd import transmission as nbd
from bootpath.formats.nbd.transmission import BlockStatus, Chunk, ChunkType, Command, ErrorPayload, Request, SimpleReply
from bootpath.formats.nbd.uri import NbdUri, pack_nbd_uri, parse_nbd_uri
from tests.support.errors import raises

COOKIE = b"\x01cookie\xff"


# Transmission


@pytest.mark.parametrize("extended", [False, True])
def test_request(extended: bool) -> None:
    request = Request(Command.WRITE, COOKIE, 2**64 - 1, 2**32 - 1, flags=0xFFFF)
    packed = nbd.pack_request(request, extended=extended)
    assert len(packed) == (32 if extended else 28)
    assert nbd.parse_request(packed, extended=extended) == request
    with pytest.raises(FormatError, match="request has"):
        nbd.parse_request(packed[:-1], extended=extended)
    with pytest.raises(FormatError, match="magic"):
        nbd.parse_request(b"\0" + packed[1:], extended=extended)


def test_request_bytes_are_the_protocols() -> None:
    packed = nbd.pack_request(Request(Command.READ, b"ABCDEFGH", 512, 1024, flags=1))
    assert packed == bytes.fromhex("25609513 0001 0000") + b"ABCDEFGH" + bytes.fromhex("0000000000000200 00000400")


@pytest.mark.parametrize(
    "reply",
    [
        SimpleReply(COOKIE),
        SimpleReply(COOKIE, 22),
        Chunk(ChunkType.OFFSET_DATA, COOKIE, 4104),
        Chunk(ChunkType.ERROR, COOKIE, 6, flags=0),
        Chunk(ChunkType.NONE, COOKIE, 0, offset=2**63),
    ],
)
def test_reply(reply: SimpleReply | Chunk) -> None:
    packed = nbd.pack_reply(reply)
    assert nbd.parse_reply(packed) == reply
    with pytest.raises(FormatError):
        nbd.parse_reply(packed + b"\0")
    with pytest.raises(FormatError):
        nbd.parse_reply(b"\xff" + packed[1:])


@pytest.mark.parametrize("offset", [None, 2**64 - 1])
def test_error(offset: int | None) -> None:
    payload = ErrorPayload(5, "disk is gone ☹", offset)
    packed = nbd.pack_error(payload)
    assert nbd.parse_error(packed, with_offset=offset is not None) == payload
    with pytest.raises(FormatError):
        nbd.parse_error(packed[:4], with_offset=False)
    with pytest.raises(FormatError, match="error message is longer"):
        nbd.parse_error(packed[:4] + b"\xff\xff" + packed[6:], with_offset=False)


def test_error_message_is_cut_at_a_character() -> None:
    packed = nbd.pack_error(ErrorPayload(5, "x" + "€" * 5000))
    parsed = nbd.parse_error(packed, with_offset=False)
    assert len(parsed.message.encode()) <= 4096
    assert parsed.message == "x" + "€" * 1365


def test_hole() -> None:
    assert nbd.parse_hole(nbd.pack_hole(2**64 - 1, 2**32 - 1)) == (2**64 - 1, 2**32 - 1)
    for wrong in (b"", bytes(11), bytes(12), bytes(13)):
        with pytest.raises(FormatError):
            nbd.parse_hole(wrong)


@pytest.mark.parametrize("extended", [False, True])
def test_block_status(extended: bool) -> None:
    status = BlockStatus(7, ((4096, 0), (512, 3)))
    packed = nbd.pack_block_status(status, extended=extended)
    assert len(packed) == (8 + 32 if extended else 4 + 16)
    assert nbd.parse_block_status(packed, extended=extended) == status
    for wrong in (b"", packed[:-1], packed[: 8 if extended else 4]):
        with pytest.raises(FormatError):
            nbd.parse_block_status(wrong, extended=extended)
    empty = nbd.pack_block_status(BlockStatus(7, ((0, 0),)), extended=extended)
    with pytest.raises(FormatError, match="empty"):
        nbd.parse_block_status(empty, extended=extended)


def test_extended_block_status_counts() -> None:
    packed = bytearray(nbd.pack_block_status(BlockStatus(1, ((1, 0),)), extended=True))
    packed[7] = 2
    with pytest.raises(FormatError, match="wrong number of descriptors"):
        nbd.parse_block_status(bytes(packed), extended=True)


def test_status_filter() -> None:
    assert nbd.parse_status_filter(nbd.pack_status_filter(2**40, (1, 2))) == (2**40, (1, 2))
    for wrong in (b"", bytes(4), bytes(9)):
        with pytest.raises(FormatError):
            nbd.parse_status_filter(wrong)


# The handshake


def test_greeting() -> None:
    packed = options.pack_greeting(3)
    assert packed == b"NBDMAGICIHAVEOPT\0\x03"
    assert options.parse_greeting(packed) == 3
    with raises(FormatError, expected="NBDMAGICIHAVEOPT (newstyle)"):
        options.parse_greeting(b"NBDMAGIC" + bytes.fromhex("00420281861253") + bytes(3))


def test_option_and_reply() -> None:
    packed = options.pack_option(options.Option.GO, b"data")
    assert options.parse_option(packed[:16]) == (7, 4)
    with pytest.raises(FormatError, match="magic"):
        options.parse_option(b"IHAVEOPS" + packed[8:16])
    reply = options.OptionReply(7, options.Rep.ERR_UNKNOWN, b"no such export")
    packed = options.pack_option_reply(reply)
    assert options.parse_option_reply(packed) == reply
    for wrong in (packed[:-1], packed + b"x", b"\xff" + packed[1:], b""):
        with pytest.raises(FormatError):
            options.parse_option_reply(wrong)


@pytest.mark.parametrize("padded", [False, True])
def test_export_reply(padded: bool) -> None:
    packed = options.pack_export_reply(2**63, 0x0FED, padded=padded)
    assert len(packed) == (134 if padded else 10)
    assert options.parse_export_reply(packed) == options.InfoExport(2**63, 0x0FED)
    with pytest.raises(FormatError):
        options.parse_export_reply(packed[:-1])


@pytest.mark.parametrize(
    "info",
    [
        options.InfoExport(1 << 40, 0x5ED),
        options.InfoName("disk ❄"),
        options.InfoDescription(""),
        options.InfoBlockSize(512, 4096, 1 << 25),
    ],
)
def test_info(info: options.InfoReply) -> None:
    assert options.parse_info(options.pack_info(info)) == info


def test_info_that_is_unknown_or_wrong() -> None:
    assert options.parse_info(b"\0\x63whatever") is None
    for wrong in (b"", b"\0", b"\0\0short", b"\0\x03short", b"\0\x01\xff"):
        with pytest.raises(FormatError):
            options.parse_info(wrong)


@pytest.mark.parametrize("name", ["", "disk", "❄" * 1365, "x" * 4096])
def test_info_request(name: str) -> None:
    request = options.InfoRequest(name, (1, 3, 65535))
    assert options.parse_info_request(options.pack_info_request(request)) == request


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\xff\xff\xff\xff\0\0",  # a name of 4 GiB
        b"\0\0\0\x05abc\0\0",  # the name ends in the count
        b"\0\0\0\0\0\x01",  # one request, and none there
        b"\0\0\0\0\0\0\0",  # a byte too many
        b"\0\0\0\x02\xff\xfe\0\0",  # not UTF-8
        b"\0\0\0\x03a\0b\0\0",  # NUL
        b"\0\0\x10\x01" + b"x" * 4097 + b"\0\0",
    ],
)
def test_info_request_that_lies(data: bytes) -> None:
    with pytest.raises(FormatError):
        options.parse_info_request(data)


def test_meta_query() -> None:
    query = options.MetaQuery("disk", ("base:", "bootpath:source"))
    packed = options.pack_meta_query(query)
    assert options.parse_meta_query(packed) == query
    for wrong in (packed[:-1], packed + b"x", b"\0\0\0\0\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\x01\xff\xff\xff\xff"):
        with pytest.raises(FormatError):
            options.parse_meta_query(wrong)


def test_server_and_context() -> None:
    assert options.parse_server(options.pack_server("disk", "the live disk")) == ("disk", "the live disk")
    assert options.parse_meta_context(options.pack_meta_context(2, "base:allocation")) == (2, "base:allocation")
    for wrong in (b"", b"\0\0\0\x09abc"):
        with pytest.raises(FormatError):
            options.parse_server(wrong)
    with pytest.raises(FormatError):
        options.parse_meta_context(b"\0\0\0")


# URIs


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("nbd://example.com/disk", NbdUri("disk", "example.com")),
        ("nbd://example.com/", NbdUri("", "example.com")),
        ("nbd://example.com:1234//disk", NbdUri("/disk", "example.com", 1234)),
        ("nbd://example.com/hello%20world", NbdUri("hello world", "example.com")),
        ("nbds://me@[::1]:10810/x", NbdUri("x", "::1", 10810, tls=True, username="me")),
        ("nbd+unix:///?socket=/run/nbd.sock", NbdUri(socket="/run/nbd.sock")),
        ("nbd+unix:///d?socket=%00/abstract", NbdUri("d", socket="\0/abstract")),
        (
            "nbds+unix:///?socket=a%2Bb&tls-type=x509&tls-verify-peer=0",
            NbdUri(socket="a+b", tls=True, parameters={"tls-type": "x509", "tls-verify-peer": "0"}),
        ),
        ("nbds+unix://me@/?socket=s", NbdUri(socket="s", tls=True, username="me")),
        ("nbd://h/?x-mine=1", NbdUri(host="h", parameters={"x-mine": "1"})),
    ],
)
def test_uri(text: str, uri: NbdUri) -> None:
    assert parse_nbd_uri(text) == uri
    assert parse_nbd_uri(pack_nbd_uri(uri)) == uri


def test_uri_defaults() -> None:
    assert parse_nbd_uri("nbd://example.com") == NbdUri(host="example.com", port=10809)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://example.com/",
        "nbd:disk",
        "nbd:///disk",
        "nbd://example.com:port/",
        "nbd://example.com:99999/",
        "nbd://example.com/#part",
        "nbd://[::1/",
        "nbd://h/%zz",
        "nbd://h/%ff",
        "nbd://h/a%00b",
        "nbd://h/ü",
        "nbd://h/?socket=/x",
        "nbd://h/?unknown=1",
        "nbd://h/?tls-verify-peer=maybe",
        "nbd://h/?x-a=1&x-a=2",
        "nbd+unix:///disk",
        "nbd+unix:///?socket=",
        "nbd+unix://host/?socket=/x",
        "nbd://h/" + "x" * 4097,
    ],
)
def test_uri_that_is_wrong(text: str) -> None:
    with pytest.raises(FormatError):
        parse_nbd_uri(text)
