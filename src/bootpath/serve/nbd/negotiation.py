"""The handshake of a server, without I/O: bytes in, events out.

Source: the NBD protocol (doc/proto.md, "Handshake", "TLS support", "Option types") and its EXTENDED_HEADERS extension.

Rules:

- `feed` takes bytes; `next_event` gives the next event, or None when more bytes are needed. Events are the same however
  the bytes were cut.
- The first event is the greeting. After `Enter` or `Close` there are no more; `rest` is what was fed beyond.
- After `StartTls` nothing happens until `tls_started`, which forgets everything that was negotiated before, since a man
  in the middle may have said it. Bytes that came in plain text after STARTTLS are refused: they are not the client's.
- Forced TLS answers every option but STARTTLS and ABORT with ERR_TLS_REQD, and closes on EXPORT_NAME.
- An option whose data is too large is skipped and answered with ERR_TOO_BIG; one that is absurd, or too many, closes.

::

    OPTIONS ──> OPTIONS …          GO, EXPORT_NAME ──> DONE
       │                           ABORT, violations ──> DONE
       └──> TLS ──> OPTIONS …
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.nbd import options as wire
from bootpath.formats.nbd.options import HandshakeFlag, Info, InfoBlockSize, InfoExport, InfoName, Option, Rep
from bootpath.serve.export import CONTEXTS, Export, Exports, find_export
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.handshake import Close, Enter, HandshakeEvent, HandshakeState, Send, StartTls, Style, Tls
from bootpath.serve.nbd.optionstream import (
    OFFERED_FLAGS,
    ClientFlags,
    OptionStream,
    OversizedOption,
    ReceivedOption,
    Violation,
)

_PREFERRED_BYTES = 4096
_PLAIN_TEXT_REASON = "the client sent plain text between STARTTLS and the TLS handshake"


@dataclass(slots=True)
class _Agreed:
    """What the client has negotiated; all of it is forgotten when TLS starts."""

    style: Style = Style.SIMPLE
    contexts: tuple[int, ...] = ()
    contexts_of: Export | None = None


class Negotiation:
    """One handshake. `exports` is asked once, when the first option needs it."""

    def __init__(self, exports: Callable[[], Exports], *, limits: Limits, tls: Tls = Tls.OFF) -> None:
        self.state = HandshakeState.OPTIONS
        self.shutting_down = False
        self._source = exports
        self._exports: Exports | None = None
        self._limits = limits
        self._tls = tls
        self._secure = False
        self._padded = True
        self._agreed = _Agreed()
        self._stream = OptionStream(limits)
        self._option = 0  # which one is being answered
        self._events: deque[HandshakeEvent] = deque([Send(wire.pack_greeting(int(OFFERED_FLAGS)))])
        self._handlers: dict[int, Callable[[bytes], None]] = {
            Option.EXPORT_NAME: self._export_name,
            Option.ABORT: self._abort,
            Option.LIST: self._list,
            Option.STARTTLS: self._start_tls,
            Option.INFO: self._info,
            Option.GO: self._info,
            Option.STRUCTURED_REPLY: self._structured_reply,
            Option.LIST_META_CONTEXT: self._meta_context,
            Option.SET_META_CONTEXT: self._meta_context,
            Option.EXTENDED_HEADERS: self._extended_headers,
        }

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes from the client."""
        self._stream.feed(data)
        if self.state is HandshakeState.TLS and self._stream.rest:
            self._close(_PLAIN_TEXT_REASON, violation=True)

    def next_event(self) -> HandshakeEvent | None:
        """The next event, or None when more bytes are needed, or the handshake is over."""
        while not self._events and self.state is HandshakeState.OPTIONS:
            match self._stream.next_item():
                case None:
                    break
                case ClientFlags(flags):
                    self._padded = not flags & HandshakeFlag.NO_ZEROES
                case ReceivedOption(number, data):
                    self._option = number
                    self._answer(data)
                case OversizedOption(number):
                    self._option = number
                    self._refuse_oversized()
                case Violation(reason):
                    self._close(reason, violation=True)
        return self._events.popleft() if self._events else None

    def tls_started(self) -> None:
        """The connection is encrypted now: what was negotiated in plain text is forgotten."""
        assert self.state is HandshakeState.TLS
        self._secure = True
        self._agreed = _Agreed()
        self.state = HandshakeState.OPTIONS

    @property
    def rest(self) -> bytes:
        """What was fed beyond the end of the handshake."""
        return self._stream.rest

    def _answer(self, data: bytes) -> None:
        """Answer an option, if it may be answered now."""
        option = self._option
        if self._tls is Tls.FORCED and not self._secure and option not in (Option.STARTTLS, Option.ABORT):
            # "If the server receives any other option, including NBD_OPT_INFO and unsupported options, it MUST reply
            # with NBD_REP_ERR_TLS_REQD"; EXPORT_NAME "cannot error, it MUST terminate the session".
            if option == Option.EXPORT_NAME:
                self._close("the client sent EXPORT_NAME without TLS")
            else:
                self._reply(Rep.ERR_TLS_REQD, "the server requires TLS")
            return
        if self.shutting_down and option != Option.ABORT:
            self._reply(Rep.ERR_SHUTDOWN, "the server is shutting down")
            return
        handler = self._handlers.get(option)
        if handler is None:
            self._reply(Rep.ERR_UNSUP, f"the server does not support option {option}")
            return
        try:
            handler(data)
        except FormatError as error:
            if option == Option.EXPORT_NAME:
                self._close(str(error), violation=True)
            else:
                self._reply(Rep.ERR_INVALID, error.what)

    def _refuse_oversized(self) -> None:
        if self._option == Option.EXPORT_NAME:
            self._close("the export name is too long", violation=True)
        else:
            self._reply(Rep.ERR_TOO_BIG, f"an option may have at most {self._limits.option_bytes} bytes of data")

    # Answers

    def _reply(self, kind: Rep, data: bytes | str = b"") -> None:
        content = data.encode() if isinstance(data, str) else data
        self._events.append(Send(wire.pack_option_reply(wire.OptionReply(self._option, kind, content))))

    def _close(self, reason: str, *, violation: bool = False) -> None:
        self.state = HandshakeState.DONE
        self._events.append(Close(reason, violation))

    def _find(self, name: str) -> Export | None:
        if self._exports is None:
            self._exports = self._source()
        return find_export(self._exports, name)

    def _without_data(self, data: bytes) -> bool:
        """Reply ERR_INVALID, and return False, when an option that has no data came with some."""
        if data:
            self._reply(Rep.ERR_INVALID, "this option takes no data")
        return not data

    # Options

    def _export_name(self, data: bytes) -> None:
        export = self._find(wire.parse_name(data))
        if export is None:
            self._close("the client asked for an unknown export")
        elif self._agreed.style is Style.EXTENDED:
            # "Once extended headers are successfully requested, a client MUST NOT use NBD_OPT_EXPORT_NAME."
            self._close("the client sent EXPORT_NAME after EXTENDED_HEADERS", violation=True)
        else:
            size, flags = export.device.size_bytes, self._flags(export)
            self._events.append(Send(wire.pack_export_reply(size, flags, padded=self._padded)))
            self._enter(export, any_bytes=True)

    def _abort(self, data: bytes) -> None:
        self._reply(Rep.ACK)
        self._close("the client aborted the handshake")

    def _list(self, data: bytes) -> None:
        if not self._without_data(data):
            return
        self._find("")
        assert self._exports is not None
        for export in self._exports.values():
            self._reply(Rep.SERVER, wire.pack_server(export.name, export.description))
        self._reply(Rep.ACK)

    def _start_tls(self, data: bytes) -> None:
        if not self._without_data(data):
            return
        if self._tls is Tls.OFF:
            self._reply(Rep.ERR_POLICY, "the server does not support TLS")
        elif self._secure:
            self._reply(Rep.ERR_INVALID, "TLS is active already")
        elif self._stream.rest:
            # What follows was sent before the answer, in plain text: somebody else may have put it there.
            self._close(_PLAIN_TEXT_REASON, violation=True)
        else:
            self._reply(Rep.ACK)
            self._events.append(StartTls())
            self.state = HandshakeState.TLS

    def _info(self, data: bytes) -> None:
        request = wire.parse_info_request(data)
        export = self._find(request.name)
        if export is None:
            self._reply(Rep.ERR_UNKNOWN, "the export does not exist")
            return
        # "If … the client did not request NBD_INFO_BLOCK_SIZE …, a default minimum of 1".
        block_bytes = export.device.block_bytes
        any_bytes = Info.BLOCK_SIZE not in request.infos
        minimum = 1 if any_bytes else block_bytes
        sizes = InfoBlockSize(minimum, max(_PREFERRED_BYTES, block_bytes), self._limits.payload_bytes)
        self._reply(Rep.INFO, wire.pack_info(InfoExport(export.device.size_bytes, self._flags(export))))
        self._reply(Rep.INFO, wire.pack_info(sizes))
        if Info.NAME in request.infos:
            self._reply(Rep.INFO, wire.pack_info(InfoName(export.name)))
        if Info.DESCRIPTION in request.infos and export.description:
            self._reply(Rep.INFO, wire.pack_info(wire.InfoDescription(export.description)))
        self._reply(Rep.ACK)
        if self._option == Option.GO:
            self._enter(export, any_bytes=any_bytes)

    def _structured_reply(self, data: bytes) -> None:
        if not self._without_data(data):
            return
        if self._agreed.style is Style.SIMPLE:
            self._agreed.style = Style.STRUCTURED
            self._reply(Rep.ACK)
        elif self._agreed.style is Style.STRUCTURED:
            self._reply(Rep.ERR_INVALID, "structured replies are negotiated already")
        else:
            self._reply(Rep.ERR_EXT_HEADER_REQD, "extended headers are negotiated already and take precedence")

    def _extended_headers(self, data: bytes) -> None:
        if not self._without_data(data):
            return
        if self._agreed.style is Style.EXTENDED:
            self._reply(Rep.ERR_INVALID, "extended headers are negotiated already")
            return
        self._agreed.style = Style.EXTENDED
        self._reply(Rep.ACK)

    def _meta_context(self, data: bytes) -> None:
        setting = self._option == Option.SET_META_CONTEXT
        if setting:
            # "Issuing this command replaces all previously-set metadata contexts (including when this command fails)"
            self._agreed.contexts, self._agreed.contexts_of = (), None
        if self._agreed.style is Style.SIMPLE:
            self._reply(Rep.ERR_INVALID, "structured replies must be negotiated first")
            return
        query = wire.parse_meta_query(data)
        export = self._find(query.export)
        if export is None:
            self._reply(Rep.ERR_UNKNOWN, "the export does not exist")
            return
        if any(":" not in each for each in query.queries):
            self._reply(Rep.ERR_INVALID, "a query must start with a namespace and a colon")
            return
        chosen = _choose(query.queries, setting=setting)
        for name in chosen:
            self._reply(Rep.META_CONTEXT, wire.pack_meta_context(CONTEXTS[name] if setting else 0, name))
        self._reply(Rep.ACK)
        if setting:
            self._agreed.contexts, self._agreed.contexts_of = tuple(CONTEXTS[name] for name in chosen), export

    def _flags(self, export: Export) -> int:
        agreed = self._agreed
        status = agreed.style is Style.EXTENDED and agreed.contexts_of is export and bool(agreed.contexts)
        return export.flags(chunked=agreed.style is not Style.SIMPLE, status_payload=status)

    def _enter(self, export: Export, *, any_bytes: bool) -> None:
        agreed = self._agreed
        # "where the final time that was sent, it referred to the same export name used to enter transmission phase"
        contexts = agreed.contexts if agreed.contexts_of is export else ()
        self.state = HandshakeState.DONE
        self._events.append(Enter(export, agreed.style, contexts, any_bytes))


def _choose(queries: tuple[str, ...], *, setting: bool) -> list[str]:
    """The contexts that match: exact names, and when listing, all of a namespace ("base:") or all there are."""
    if not setting and not queries:
        return list(CONTEXTS)
    return [name for name in CONTEXTS if name in queries or (not setting and name.partition(":")[0] + ":" in queries)]
