"""Sending from the front of a queue of replies: bytes in batches, and parts of files that the kernel sends."""

from __future__ import annotations

from bootpath.core.device import Buffer, FileRange
from bootpath.serve.nbd.replies import Sendable
from bootpath.serve.server.transport import Transport

IOV_MAX = 1024


def send_buffers(transport: Transport, out: list[Sendable]) -> int:
    """Send from the front of a queue that has no parts of files; returns how many bytes. Raises BlockingIOError."""
    return transport.send(out if len(out) <= IOV_MAX else out[:IOV_MAX])  # type: ignore[arg-type]


def send_mixed(transport: Transport, out: list[Sendable]) -> tuple[int, bool]:
    """Send the part of a file at the front, or the buffers before the first one.

    Returns how many bytes, and whether that was all of a part of a file. Raises BlockingIOError.
    """
    first = out[0]
    if isinstance(first, FileRange):
        count = transport.send_file(first)
        return count, count == first.length
    buffers: list[Buffer] = []
    for part in out[:IOV_MAX]:
        if isinstance(part, FileRange):
            break
        buffers.append(part)
    return transport.send(buffers), False


def drop_sent(out: list[Sendable], count: int) -> None:
    """Remove the first `count` bytes."""
    index = 0
    while index < len(out) and count >= len(out[index]):
        count -= len(out[index])
        index += 1
    if count:
        part = out[index]
        out[index] = part.after(count) if isinstance(part, FileRange) else memoryview(part)[count:]
    del out[:index]
