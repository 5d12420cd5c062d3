"""The values of a handshake: its states, what a server offers, and the events that it produces."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from bootpath.serve.export import Export


class HandshakeState(Enum):
    """Where the handshake is."""

    OPTIONS = auto()
    TLS = auto()
    DONE = auto()


class Tls(Enum):
    """What a server does about TLS: NOTLS, SELECTIVETLS (every export may be had without) and FORCEDTLS."""

    OFF = auto()
    OFFERED = auto()
    FORCED = auto()


class Style(Enum):
    """The headers of the transmission phase."""

    SIMPLE = auto()
    STRUCTURED = auto()
    EXTENDED = auto()


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes go to the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """The handshake of TLS comes next; call `tls_started` when it has succeeded."""


@dataclass(frozen=True, slots=True)
class Enter:
    """The transmission phase begins. `contexts` are the ids of the metadata contexts that were chosen; `any_bytes` says
    that the client agreed to no block size."""

    export: Export
    style: Style
    contexts: tuple[int, ...] = ()
    any_bytes: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """The connection ends; `violation` when the client broke the protocol."""

    reason: str
    violation: bool = False


HandshakeEvent: TypeAlias = Send | StartTls | Enter | Close
