"""What a server allows: bounds on memory, time and threads, so that no client can take what belongs to the others."""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.formats.nbd.transmission import MAX_PAYLOAD_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of a server.

    Of a handshake: `option_bytes` for one option's data, `options` in all, `negotiation_seconds` until it must be
    over. Of a connection: `payload_bytes` for one read or write, `queued_bytes` of replies and running requests before
    no more are taken (one request may go past it), `running_requests` handed to workers, `stuck_seconds` that replies
    may wait for a client that reads nothing. Of a server: `connections`, `workers` that run Python at the same time,
    and `waiting_workers` beyond them for requests that wait for a disk, `export_workers` of all those for one export.
    `spin_seconds` is how long the loop looks for the next request before it sleeps: a client that asks for one thing
    after the other is answered up to twice as fast, for a whole processor.
    """

    payload_bytes: int = MAX_PAYLOAD_BYTES
    queued_bytes: int = 16 << 20
    running_requests: int = 128
    option_bytes: int = 64 << 10
    options: int = 1024
    negotiation_seconds: float = 10.0
    stuck_seconds: float = 60.0
    connections: int = 512
    workers: int = 4
    waiting_workers: int = 124
    export_workers: int = 64
    send_buffer_bytes: int = 1 << 20
    spin_seconds: float = 0.0
