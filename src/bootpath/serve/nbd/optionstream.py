"""A client's bytes during the handshake, cut into its flags and its options.

::

    flags ──> header ──> data ──> header …
                │
                └──> too long: skipped ──> header …

An option whose data is longer than `Limits.option_bytes` is skipped and reported; a client that sends an absurd length,
too many options, or flags that the server did not offer has broken the protocol, and nothing follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bootpath.core.errors import FormatError
from bootpath.formats.nbd import options as wire
from bootpath.formats.nbd.options import HandshakeFlag, Option
from bootpath.serve.limits import Limits

OFFERED_FLAGS = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
_ABSURD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ClientFlags:
    """The flags that the client chose."""

    flags: HandshakeFlag


@dataclass(frozen=True, slots=True)
class ReceivedOption:
    """One option with all of its data."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OversizedOption:
    """One option whose data was too long, and was skipped."""

    number: int


@dataclass(frozen=True, slots=True)
class Violation:
    """The client broke the protocol; this is the last item."""

    reason: str


StreamItem: TypeAlias = ClientFlags | ReceivedOption | OversizedOption | Violation


class OptionStream:
    """Takes bytes, however they are cut, and gives items."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = bytearray()
        self._flags: HandshakeFlag | None = None
        self._option: int | None = None  # the option whose data is being received
        self._left = 0  # bytes of its data that are still to come
        self._skipping = False
        self._count = 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes from the client."""
        self._data += data

    @property
    def rest(self) -> bytes:
        """What was fed and is not part of an item yet."""
        return bytes(self._data)

    def next_item(self) -> StreamItem | None:
        """The next item, or None when more bytes are needed."""
        if self._flags is None:
            return self._take_flags()
        if self._option is None:
            violation = self._take_header()
            if violation is not None or self._option is None:
                return violation
        return self._skip(self._option) if self._skipping else self._take_data(self._option)

    def _take(self, count: int) -> bytes | None:
        if len(self._data) < count:
            return None
        taken = bytes(memoryview(self._data)[:count])
        del self._data[:count]
        return taken

    def _take_flags(self) -> StreamItem | None:
        taken = self._take(wire.CLIENT_FLAGS.size)
        if taken is None:
            return None
        (flags,) = wire.CLIENT_FLAGS.unpack(taken)
        # "the server MUST drop the TCP connection if the client sets an unknown flag"
        if flags & ~int(OFFERED_FLAGS):
            return Violation(f"the client set unknown flags {flags:#x}")
        self._flags = HandshakeFlag(flags)
        return ClientFlags(self._flags)

    def _take_header(self) -> Violation | None:
        """Learn which option comes next, if its header is there."""
        taken = self._take(wire.OPTION.size)
        if taken is None:
            return None
        try:
            option, length = wire.parse_option(taken)
        except FormatError as error:
            return Violation(str(error))
        self._count += 1
        if self._count > self._limits.options:
            return Violation(f"the client sent more than {self._limits.options} options")
        if length > _ABSURD_BYTES:
            return Violation(f"the client sent an option of {length} bytes")
        assert self._flags is not None
        if not self._flags & HandshakeFlag.FIXED_NEWSTYLE and option != Option.EXPORT_NAME:
            # "This is the only valid option in nonfixed newstyle negotiation."
            return Violation(f"the client sent option {option} without fixed newstyle")
        self._option, self._left = option, length
        self._skipping = length > self._limits.option_bytes
        return None

    def _take_data(self, option: int) -> StreamItem | None:
        taken = self._take(self._left)
        if taken is None:
            return None
        self._option = None
        return ReceivedOption(option, taken)

    def _skip(self, option: int) -> StreamItem | None:
        dropped = min(self._left, len(self._data))
        del self._data[:dropped]
        self._left -= dropped
        if self._left:
            return None
        self._option = None
        return OversizedOption(option)
