"""What a server has done: plain counters that the loop adds to once a batch, and a frozen copy for everybody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Statistics:
    """A copy of the counters. `requests` and `bytes` are by operation: read write flush trim zero cache status."""

    requests: Mapping[str, int]
    bytes: Mapping[str, int]
    errors: int
    connections: int
    connections_total: int
    connections_refused: int
    protocol_errors: int
    queue_depth: int
    waiting_workers: int

    @classmethod
    def nothing(cls) -> Statistics:
        """Of a server that has done nothing."""
        return Counters().snapshot(connections=0, queue_depth=0, waiting_workers=0)

    def __add__(self, other: Statistics) -> Statistics:
        """Of two servers together."""
        return Statistics(
            {operation: count + other.requests[operation] for operation, count in self.requests.items()},
            {operation: count + other.bytes[operation] for operation, count in self.bytes.items()},
            self.errors + other.errors,
            self.connections + other.connections,
            self.connections_total + other.connections_total,
            self.connections_refused + other.connections_refused,
            self.protocol_errors + other.protocol_errors,
            self.queue_depth + other.queue_depth,
            self.waiting_workers + other.waiting_workers,
        )


@dataclass(slots=True)
class Counters:
    """Written by the loop's thread only; anybody may read."""

    reads: int = 0
    read_bytes: int = 0
    writes: int = 0
    write_bytes: int = 0
    other: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("flush", "trim", "zero", "cache", "status"), 0)
    )
    other_bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("trim", "zero", "cache"), 0))
    errors: int = 0
    connections_total: int = 0
    connections_refused: int = 0
    protocol_errors: int = 0

    def snapshot(self, *, connections: int, queue_depth: int, waiting_workers: int) -> Statistics:
        """The numbers now."""
        return Statistics(
            {"read": self.reads, "write": self.writes, **self.other},
            {"read": self.read_bytes, "write": self.write_bytes, **self.other_bytes},
            self.errors,
            connections,
            self.connections_total,
            self.connections_refused,
            self.protocol_errors,
            queue_depth,
            waiting_workers,
        )
