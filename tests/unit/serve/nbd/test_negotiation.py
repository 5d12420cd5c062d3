from __future__ import annotations

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.formats.nbd import options as wire
from bootpath.formats.nbd.options import InfoExport, InfoRequest, MetaQuery, Option, Rep
from bootpath.formats.nbd.transmission import TransmissionFlag
from bootpath.serve.export import Export
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.handshake import Close, Enter, HandshakeEvent, HandshakeState, Send, StartTls, Style, Tls
from bootpath.serve.nbd.negotiation import Negotiation

FLAGS = b"\0\0\0\x03"
DISK = Export("disk", MemoryDevice(1 << 20), "a disk")
OTHER = Export("other", MemoryDevice(1 << 16), read_only=True)
EXPORTS = {"disk": DISK, "other": OTHER}

GO = wire.pack_option(Option.GO, wire.pack_info_request(InfoRequest("disk")))
STRUCTURED = wire.pack_option(Option.STRUCTURED_REPLY)
EXTENDED = wire.pack_option(Option.EXTENDED_HEADERS)
STARTTLS = wire.pack_option(Option.STARTTLS)
ABORT = wire.pack_option(Option.ABORT)


def started(*parts: bytes, tls: Tls = Tls.OFF, limits: Limits | None = None) -> Negotiation:
    negotiation = Negotiation(lambda: EXPORTS, limits=limits or Limits(), tls=tls)
    negotiation.feed(FLAGS + b"".join(parts))
    assert negotiation.next_event() == Send(wire.pack_greeting(3))
    return negotiation


def events(negotiation: Negotiation) -> list[HandshakeEvent]:
    return list(iter(negotiation.next_event, None))


def replies(found: list[HandshakeEvent]) -> list[tuple[int, bytes]]:
    parsed = [wire.parse_option_reply(event.data) for event in found if isinstance(event, Send)]
    return [(reply.type, reply.data) for reply in parsed]


def kinds(negotiation: Negotiation) -> list[int]:
    return [kind for kind, _ in replies(events(negotiation))]


def meta(option: Option, *queries: str, export: str = "disk") -> bytes:
    return wire.pack_option(option, wire.pack_meta_query(MetaQuery(export, queries)))


def test_go() -> None:
    negotiation = started(STRUCTURED, GO, b"the first request")
    *sent, entered = events(negotiation)
    assert entered == Enter(DISK, Style.STRUCTURED, any_bytes=True)
    assert [kind for kind, _ in replies(list(sent))] == [Rep.ACK, Rep.INFO, Rep.INFO, Rep.ACK]
    assert negotiation.rest == b"the first request"
    assert negotiation.state is HandshakeState.DONE


@pytest.mark.parametrize(("asked", "minimum"), [((), 1), ((wire.Info.BLOCK_SIZE,), 512)])
def test_who_asks_for_no_block_size_has_a_minimum_of_1(asked: tuple[int, ...], minimum: int) -> None:
    negotiation = started(wire.pack_option(Option.GO, wire.pack_info_request(InfoRequest("disk", asked))))
    *sent, entered = events(negotiation)
    assert entered == Enter(DISK, Style.SIMPLE, any_bytes=not asked)
    sizes = [wire.parse_info(data) for kind, data in replies(list(sent)) if kind == Rep.INFO]
    assert wire.InfoBlockSize(minimum, 4096, 1 << 25) in sizes


def test_info_tells_and_stays() -> None:
    request = InfoRequest("other", (wire.Info.NAME, wire.Info.DESCRIPTION, wire.Info.BLOCK_SIZE, 999))
    negotiation = started(wire.pack_option(Option.INFO, wire.pack_info_request(request)))
    infos = [wire.parse_info(data) for kind, data in replies(events(negotiation)) if kind == Rep.INFO]
    export, sizes, name = infos
    assert isinstance(export, InfoExport)
    assert export.size_bytes == 1 << 16
    assert export.flags & TransmissionFlag.READ_ONLY
    assert not export.flags & (TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_DF)
    assert sizes == wire.InfoBlockSize(512, 4096, 1 << 25)
    assert name == wire.InfoName("other")
    assert negotiation.state is HandshakeState.OPTIONS


@pytest.mark.parametrize(("flags", "padding"), [(b"\0\0\0\x01", 124), (b"\0\0\0\x03", 0), (b"\0\0\0\0", 124)])
def test_export_name(flags: bytes, padding: int) -> None:
    """A client of the old newstyle expects 124 zeros, unless it said NO_ZEROES."""
    negotiation = Negotiation(lambda: EXPORTS, limits=Limits())
    negotiation.feed(flags + wire.pack_option(Option.EXPORT_NAME, b"disk"))
    _, answer, entered = events(negotiation)
    assert isinstance(answer, Send)
    assert len(answer.data) == 10 + padding
    assert wire.parse_export_reply(answer.data).size_bytes == 1 << 20
    assert entered == Enter(DISK, Style.SIMPLE, any_bytes=True)


def test_list() -> None:
    negotiation = started(wire.pack_option(Option.LIST), wire.pack_option(Option.LIST, b"data"))
    *listed, ack, refused = replies(events(negotiation))
    assert [wire.parse_server(data) for _, data in listed] == [("disk", "a disk"), ("other", "")]
    assert ack == (Rep.ACK, b"")
    assert refused[0] == Rep.ERR_INVALID


def test_default_export() -> None:
    only = Negotiation(lambda: {"disk": DISK}, limits=Limits())
    only.feed(FLAGS + wire.pack_option(Option.GO, wire.pack_info_request(InfoRequest(""))))
    assert events(only)[-1] == Enter(DISK, Style.SIMPLE, any_bytes=True)
    assert kinds(started(wire.pack_option(Option.GO, wire.pack_info_request(InfoRequest(""))))) == [Rep.ERR_UNKNOWN]


def test_abort() -> None:
    negotiation = started(wire.pack_option(Option.ABORT, b"ignored"))
    found = events(negotiation)
    assert replies(found) == [(Rep.ACK, b"")]
    assert found[-1] == Close("the client aborted the handshake", violation=False)


def test_unknown_options_are_refused_one_by_one() -> None:
    assert kinds(started(wire.pack_option(4, b"peek"), wire.pack_option(0xFFFFFFFF), ABORT)) == [
        Rep.ERR_UNSUP,
        Rep.ERR_UNSUP,
        Rep.ACK,
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((STRUCTURED, STRUCTURED), [Rep.ACK, Rep.ERR_INVALID]),
        ((STRUCTURED, EXTENDED, EXTENDED), [Rep.ACK, Rep.ACK, Rep.ERR_INVALID]),
        ((EXTENDED, STRUCTURED), [Rep.ACK, Rep.ERR_EXT_HEADER_REQD]),
        ((wire.pack_option(Option.STRUCTURED_REPLY, b"x"),), [Rep.ERR_INVALID]),
        ((wire.pack_option(Option.EXTENDED_HEADERS, b"x"),), [Rep.ERR_INVALID]),
        ((wire.pack_option(Option.STARTTLS, b"x"),), [Rep.ERR_INVALID]),
        ((STARTTLS,), [Rep.ERR_POLICY]),
    ],
)
def test_repeated_and_malformed_options(options: tuple[bytes, ...], expected: list[int]) -> None:
    assert kinds(started(*options)) == expected


# Metadata contexts


def test_list_contexts() -> None:
    negotiation = started(
        STRUCTURED,
        meta(Option.LIST_META_CONTEXT),
        meta(Option.LIST_META_CONTEXT, "base:"),
        meta(Option.LIST_META_CONTEXT, "x-other:thing", "bootpath:source"),
    )
    found = [data and wire.parse_meta_context(data) for _, data in replies(events(negotiation))[1:]]
    everything = [(0, "base:allocation"), (0, "bootpath:source")]
    assert found == [*everything, b"", everything[0], b"", everything[1], b""]


def test_set_contexts() -> None:
    negotiation = started(
        STRUCTURED, meta(Option.SET_META_CONTEXT, "bootpath:source", "base:", "base:allocation", "base:allocation"), GO
    )
    found = events(negotiation)
    chosen = [wire.parse_meta_context(data) for kind, data in replies(found) if kind == Rep.META_CONTEXT]
    assert chosen == [(1, "base:allocation"), (2, "bootpath:source")]
    assert found[-1] == Enter(DISK, Style.STRUCTURED, (1, 2), any_bytes=True)


@pytest.mark.parametrize(
    "after",
    [
        meta(Option.SET_META_CONTEXT, "base:allocation", export="other"),
        meta(Option.SET_META_CONTEXT, "base:allocation", export="absent"),
        meta(Option.SET_META_CONTEXT),
        wire.pack_option(Option.SET_META_CONTEXT, b"junk"),
    ],
)
def test_contexts_are_replaced_even_by_failure(after: bytes) -> None:
    negotiation = started(STRUCTURED, meta(Option.SET_META_CONTEXT, "base:allocation"), after, GO)
    assert events(negotiation)[-1] == Enter(DISK, Style.STRUCTURED, (), any_bytes=True)


def test_contexts_need_structured_replies() -> None:
    negotiation = started(meta(Option.SET_META_CONTEXT, "base:allocation"), meta(Option.LIST_META_CONTEXT), GO)
    found = events(negotiation)
    assert [kind for kind, _ in replies(found)][:2] == [Rep.ERR_INVALID, Rep.ERR_INVALID]
    assert found[-1] == Enter(DISK, Style.SIMPLE, (), any_bytes=True)


def test_a_query_without_a_namespace() -> None:
    assert kinds(started(STRUCTURED, meta(Option.SET_META_CONTEXT, "allocation")))[-1] == Rep.ERR_INVALID


def test_status_payload_is_offered_to_extended_clients_with_contexts() -> None:
    def flags(*options: bytes) -> int:
        request = wire.pack_option(Option.INFO, wire.pack_info_request(InfoRequest("disk")))
        for kind, data in replies(events(started(*options, request))):
            info = wire.parse_info(data) if kind == Rep.INFO else None
            if isinstance(info, InfoExport):
                return info.flags
        raise AssertionError

    wanted = TransmissionFlag.BLOCK_STATUS_PAYLOAD
    chosen = meta(Option.SET_META_CONTEXT, "base:allocation")
    assert flags(EXTENDED, chosen) & wanted
    assert not flags(EXTENDED) & wanted
    assert not flags(STRUCTURED, chosen) & wanted


# TLS


def test_starttls_forgets_what_was_said_before() -> None:
    """A man in the middle may have injected STRUCTURED_REPLY in plain text (CVE-2021-3716)."""
    negotiation = started(STRUCTURED, meta(Option.SET_META_CONTEXT, "base:allocation"), STARTTLS, tls=Tls.OFFERED)
    assert events(negotiation)[-1] == StartTls()
    negotiation.tls_started()
    negotiation.feed(GO)
    assert events(negotiation)[-1] == Enter(DISK, Style.SIMPLE, (), any_bytes=True)


@pytest.mark.parametrize("together", [True, False])
def test_plain_text_before_the_handshake_is_refused(together: bool) -> None:
    negotiation = started(STARTTLS, STRUCTURED if together else b"", tls=Tls.OFFERED)
    found = events(negotiation)
    if not together:
        negotiation.feed(STRUCTURED)
        found = events(negotiation)
    assert isinstance(found[-1], Close)
    assert found[-1].violation


def test_forced_tls() -> None:
    everything = [
        wire.pack_option(option, b"") for option in Option if option not in (Option.STARTTLS, Option.EXPORT_NAME)
    ]
    found = kinds(started(*everything[1:], wire.pack_option(77), ABORT, tls=Tls.FORCED))
    assert found == [Rep.ERR_TLS_REQD] * len(everything) + [Rep.ACK]
    assert events(started(wire.pack_option(Option.EXPORT_NAME, b"disk"), tls=Tls.FORCED)) == [
        Close("the client sent EXPORT_NAME without TLS", violation=False)
    ]


def test_tls_twice() -> None:
    negotiation = started(STARTTLS, tls=Tls.FORCED)
    events(negotiation)
    negotiation.tls_started()
    negotiation.feed(STARTTLS)
    assert kinds(negotiation) == [Rep.ERR_INVALID]


# Hostile clients


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\x04", "unknown flags"),
        (b"\xff\xff\xff\xff", "unknown flags"),
        (FLAGS + b"GETOPTS?" + bytes(8), "magic"),
        (FLAGS + wire.pack_option(Option.LIST)[:12] + b"\xff\xff\xff\xff", "option of 4294967295 bytes"),
        (FLAGS + wire.pack_option(Option.EXPORT_NAME, b"absent"), "unknown export"),
        (FLAGS + wire.pack_option(Option.EXPORT_NAME, b"\xff"), "UTF-8"),
        (FLAGS + wire.pack_option(Option.EXPORT_NAME, b"a\0b"), "NUL"),
        (FLAGS + wire.pack_option(Option.EXPORT_NAME, b"x" * 4097), "4097"),
        (FLAGS + wire.pack_option(Option.EXPORT_NAME, b"x" * (1 << 17)), "too long"),
        (FLAGS + EXTENDED + wire.pack_option(Option.EXPORT_NAME, b"disk"), "EXTENDED_HEADERS"),
        (b"\0\0\0\x02" + STRUCTURED, "fixed newstyle"),
        (FLAGS + ABORT, "aborted"),
    ],
)
def test_what_ends_the_connection(data: bytes, reason: str) -> None:
    negotiation = Negotiation(lambda: EXPORTS, limits=Limits())
    negotiation.feed(data)
    last = events(negotiation)[-1]
    assert isinstance(last, Close)
    assert reason in last.reason


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (wire.pack_option(Option.GO, b""), Rep.ERR_INVALID),
        (wire.pack_option(Option.GO, b"\xff\xff\xff\xff\0\0"), Rep.ERR_INVALID),
        (wire.pack_option(Option.GO, b"\0\0\0\0\xff\xff"), Rep.ERR_INVALID),
        (wire.pack_option(Option.GO, wire.pack_info_request(InfoRequest("x" * 4096))), Rep.ERR_UNKNOWN),
        (wire.pack_option(Option.GO, wire.pack_info_request(InfoRequest("x" * 4097))), Rep.ERR_INVALID),
        (wire.pack_option(Option.GO, b"x" * (1 << 17)), Rep.ERR_TOO_BIG),
        (wire.pack_option(12345, b"x" * (1 << 17)), Rep.ERR_TOO_BIG),
    ],
)
def test_what_is_refused(option: bytes, expected: int) -> None:
    negotiation = started(option, ABORT)
    assert kinds(negotiation) == [expected, Rep.ACK]


def test_option_flood() -> None:
    negotiation = started(STRUCTURED * 9, limits=Limits(options=8))
    found = events(negotiation)
    assert len(replies(found)) == 8
    assert found[-1] == Close("the client sent more than 8 options", violation=True)


def test_shutdown() -> None:
    negotiation = started()
    negotiation.shutting_down = True
    negotiation.feed(GO + ABORT)
    assert kinds(negotiation) == [Rep.ERR_SHUTDOWN, Rep.ACK]


def test_exports_are_made_once_and_only_when_needed() -> None:
    made: list[None] = []

    def source() -> dict[str, Export]:
        made.append(None)
        return EXPORTS

    negotiation = Negotiation(source, limits=Limits())
    negotiation.feed(FLAGS + STRUCTURED)
    events(negotiation)
    assert made == []
    negotiation.feed(wire.pack_option(Option.LIST) + GO)
    events(negotiation)
    assert made == [None]
