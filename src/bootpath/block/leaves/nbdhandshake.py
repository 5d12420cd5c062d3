"""The client's half of NBD's fixed newstyle handshake, without a socket.

Source: the NBD protocol (NetworkBlockDevice/nbd doc/proto.md, "Fixed newstyle negotiation", "Option types").

`negotiate` is a generator: it yields bytes to send, the number of bytes that it needs next, or None where TLS begins,
and returns the `RemoteExport`. It asks for TLS if it is to (NBD_OPT_STARTTLS), and does not go on without; then for
structured replies, then for ``base:allocation`` (and for our own ``bootpath:source`` with
`sources`), then goes (NBD_OPT_GO). It does without what a server lacks of the first two.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from bootpath.core.errors import RemoteProtocolError
from bootpath.formats.nbd.options import (
    CLIENT_FLAGS,
    GREETING,
    OPTION_REPLY,
    HandshakeFlag,
    Info,
    InfoBlockSize,
    InfoExport,
    InfoRequest,
    MetaQuery,
    Option,
    OptionReply,
    Rep,
    pack_info_request,
    pack_meta_query,
    pack_option,
    parse_greeting,
    parse_info,
    parse_meta_context,
    parse_option_reply,
)
from bootpath.formats.nbd.transmission import BASE_ALLOCATION, MAX_PAYLOAD_BYTES, SOURCE, TransmissionFlag

# Names and messages have at most 4096 bytes, and no reply holds more than two of them.
_MAX_REPLY_BYTES = 16 << 10
_MAX_REPLIES = 64

Steps: TypeAlias = Generator[bytes | int | None, bytes, "RemoteExport"]
_Replies: TypeAlias = Generator[bytes | int | None, bytes, list[OptionReply]]


@dataclass(frozen=True, slots=True)
class RemoteExport:
    """What was agreed on. Block sizes in bytes; `allocation` and `source` are the contexts' ids, None without them."""

    size_bytes: int
    flags: TransmissionFlag
    structured: bool = False
    allocation: int | None = None
    source: int | None = None
    minimum_block: int = 1
    maximum_payload: int = MAX_PAYLOAD_BYTES


def negotiate(name: str, *, sources: bool = False, tls: bool = False) -> Steps:
    """Agree on the export of that name. RemoteProtocolError when the server refuses, FormatError for nonsense."""
    flags = HandshakeFlag(parse_greeting((yield GREETING.size)))
    if HandshakeFlag.FIXED_NEWSTYLE not in flags:
        raise RemoteProtocolError("the server does not speak fixed newstyle", where="nbd")
    yield CLIENT_FLAGS.pack(flags & (HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES))
    if tls:
        answer = (yield from _ask(Option.STARTTLS))[-1]
        if answer.type != Rep.ACK:
            raise _refused(answer, name)
        yield None
    structured = (yield from _ask(Option.STRUCTURED_REPLY))[-1].type == Rep.ACK
    contexts: dict[str, int] = {}
    if structured:
        wanted = (BASE_ALLOCATION, SOURCE) if sources else (BASE_ALLOCATION,)
        for reply in (yield from _ask(Option.SET_META_CONTEXT, pack_meta_query(MetaQuery(name, wanted)))):
            if reply.type == Rep.META_CONTEXT:
                context, found = parse_meta_context(reply.data)
                contexts[found] = context
    replies = yield from _ask(Option.GO, pack_info_request(InfoRequest(name, (Info.BLOCK_SIZE,))))
    if replies[-1].type != Rep.ACK:
        raise _refused(replies[-1], name)
    export: InfoExport | None = None
    sizes = InfoBlockSize(1, 4096, MAX_PAYLOAD_BYTES)
    for reply in replies[:-1]:
        info = parse_info(reply.data) if reply.type == Rep.INFO else None
        if isinstance(info, InfoExport):
            export = info
        elif isinstance(info, InfoBlockSize):
            sizes = info
    if export is None:
        raise RemoteProtocolError("the server said ACK to NBD_OPT_GO without NBD_INFO_EXPORT", where="nbd")
    if not 1 <= sizes.minimum <= sizes.maximum or sizes.minimum & (sizes.minimum - 1):
        raise RemoteProtocolError(
            "the server's block sizes are wrong",
            where="nbd",
            found=sizes,
            expected="a power of two that is not above the largest",
        )
    return RemoteExport(
        export.size_bytes,
        TransmissionFlag(export.flags),
        structured,
        contexts.get(BASE_ALLOCATION),
        contexts.get(SOURCE),
        sizes.minimum,
        # A largest size of 0xffffffff means no limit beyond the protocol's.
        min(sizes.maximum, MAX_PAYLOAD_BYTES),
    )


def _ask(option: Option, data: bytes = b"") -> _Replies:
    """Send an option; all replies to it, the final one last."""
    yield pack_option(option, data)
    replies: list[OptionReply] = []
    while True:
        head = yield OPTION_REPLY.size
        length = OPTION_REPLY.unpack(head)[3]
        if length > _MAX_REPLY_BYTES or len(replies) == _MAX_REPLIES:
            raise RemoteProtocolError(
                f"the server replies too much to {option.name}",
                where="nbd",
                found=f"{len(replies) + 1} replies, the last of {length} bytes",
                expected=f"at most {_MAX_REPLIES} of at most {_MAX_REPLY_BYTES} bytes",
            )
        reply = parse_option_reply(head + ((yield length) if length else b""))
        if reply.option != option:
            raise RemoteProtocolError("a reply is to another option", where="nbd", found=reply.option, expected=option)
        replies.append(reply)
        if reply.type == Rep.ACK or reply.type >> 31:
            return replies


def _refused(reply: OptionReply, name: str) -> RemoteProtocolError:
    reason = {
        Rep.ERR_UNKNOWN: f"there is no export {name!r}",
        Rep.ERR_TLS_REQD: "the server requires TLS: write nbds instead of nbd",
        Rep.ERR_POLICY: "the server's policy refuses",
        Rep.ERR_SHUTDOWN: "the server is shutting down",
        Rep.ERR_UNSUP: f"the server does not know NBD_OPT_{Option(reply.option).name}",
    }.get(Rep(reply.type) if reply.type in Rep._value2member_map_ else Rep.ACK, f"the server refuses ({reply.type:#x})")
    message = reply.data.decode(errors="replace")
    return RemoteProtocolError(reason + (f": {message!r}" if message else ""), where="nbd")
