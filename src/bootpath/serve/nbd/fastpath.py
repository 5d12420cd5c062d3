"""The requests that nearly all requests are: plain reads and writes that cannot wait, from bytes straight to replies.

`Requests` and `Session` know the whole protocol; this function knows two headers. It is given what was received and
answers from the front for as long as it meets complete, valid, aligned reads and writes whose device answers at once;
where it meets anything else it stops, with nothing done for that request, and the others go on from there. So it may
refuse whatever it likes, and nothing is decided here that is not decided there too: a device's error, for example, is
met twice, here to stop and there to answer.

A request costs a pass through one loop and no object of its own, which is most of what a server in Python can save.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from bootpath.core.device import Device
    from bootpath.serve.nbd.replies import Replies, Sendable
    from bootpath.serve.statistics import Counters

REQUESTS = 256
"""At most so many in one go, so that other clients have their turn."""

Fastpath: TypeAlias = "Callable[[memoryview, int], tuple[int, int]]"


def make_fastpath(
    device: Device,
    out: list[Sendable],
    replies: Replies,
    counters: Counters,
    *,
    unpack_from: Callable[[memoryview, int], tuple[int, bytes, int, int]],
    header_bytes: int,
    read_head: int,
    write_head: int,
    largest_read: int,
    largest_write: int,
    write_mask: int,
    count_access: Callable[[int], None] | None = None,
) -> Fastpath:
    """A function ``(received, budget) -> (bytes consumed, bytes of replies)`` that appends replies to `out`.

    `read_head` and `write_head` are what `unpack_from` gives for a plain read and write; `header_bytes` is its size.
    Reads above `largest_read` and writes above `largest_write` bytes, and writes whose offset or length has a bit of
    `write_mask`, are not for here.
    `budget` is how many bytes of payload may be asked for. `count_access` is called with the last offset of each batch.
    """
    read_resident, write = device.read_resident, device.write
    size_bytes, read_mask = device.size_bytes, device.block_bytes - 1
    pack_data, data_head, data_bytes = replies.pack_data, replies.data_head, replies.data_bytes
    simple_ok, done, done_bytes = replies.simple_ok, replies.done, replies.done_bytes
    append = out.append

    def fastpath(received: memoryview, budget: int) -> tuple[int, int]:
        position, last = 0, len(received) - header_bytes
        reads = writes = read_bytes = write_bytes = 0
        room = REQUESTS
        last_offset = -1
        try:
            while position <= last and room:
                head, cookie, offset, length = unpack_from(received, position)
                if head == read_head:
                    if (
                        not 0 < length <= largest_read
                        or (offset | length) & read_mask
                        or offset + length > size_bytes
                        or read_bytes > budget
                    ):
                        break
                    views = read_resident(offset, length)
                    if views is None:
                        break
                    append(
                        simple_ok + cookie if pack_data is None else pack_data(data_head, cookie, length + 8, offset)
                    )
                    out.extend(views)
                    position += header_bytes
                    reads += 1
                    read_bytes += length
                elif head == write_head:
                    start = position + header_bytes
                    end = start + length
                    if (
                        end > last + header_bytes
                        or not 0 < length <= largest_write
                        or (offset | length) & write_mask
                        or offset + length > size_bytes
                    ):
                        break
                    write(offset, received[start:end])
                    append(done(cookie, offset))
                    position = end
                    writes += 1
                    write_bytes += length
                else:
                    break
                last_offset = offset
                room -= 1
        except Exception:  # noqa: BLE001, S110 - whatever it is, it is met again by those who answer it
            pass
        if count_access is not None and last_offset >= 0:
            count_access(last_offset)
        if reads:
            counters.reads += reads
            counters.read_bytes += read_bytes
        if writes:
            counters.writes += writes
            counters.write_bytes += write_bytes
        return position, reads * data_bytes + read_bytes + writes * done_bytes

    return fastpath
