"""LZ4 blocks, decoded in Python: the compression of erofs, and of squashfs when it is asked for.

Source: lz4 "LZ4 Block Format Description" (doc/lz4_Block_format.md). A block is sequences: a token, whose high half is
the number of literals and whose low half the length of a match less 4, either going on in bytes of 255 when it is 15;
the literals; the match's distance, u16 little endian. The last sequence ends after its literals.

A decoder of its own, because file systems need what the lz4 package does not do: to stop at a length, in the middle of
a sequence, with bytes left over (erofs shares compressed extents between files). About 10 megabytes a second.
Output is at most what is asked for, and memory twice that, whatever the block says.
"""

from __future__ import annotations

from bootpath.core.errors import FormatError

_MIN_MATCH = 4


def decompress_lz4_block(data: bytes, length: int) -> bytes:
    """The first `length` bytes of a block, or all of it when it has less. Raises FormatError."""
    out = bytearray()
    place, end = 0, len(data)
    try:
        while len(out) < length:
            token = data[place]
            place += 1
            count = token >> 4
            if count:
                if count == 15:
                    while (byte := data[place]) == 255:
                        count += 255
                        place += 1
                    count += byte
                    place += 1
                if place + count > end:
                    raise _fault("the literals go past the end")
                out += data[place : place + count]
                place += count
            if place == end or len(out) >= length:
                break
            distance = data[place] | data[place + 1] << 8
            place += 2
            count = (token & 15) + _MIN_MATCH
            if count == 15 + _MIN_MATCH:
                while (byte := data[place]) == 255:
                    count += 255
                    place += 1
                count += byte
                place += 1
            start = len(out) - distance
            if distance == 0 or start < 0:
                raise _fault("a match begins before the output")
            if count > length:
                count = length  # a length of megabytes costs kilobytes to write down
            if count <= distance:
                out += out[start : start + count]
            else:
                piece = bytes(out[start:])
                out += (piece * (count // distance + 1))[:count]
    except IndexError:
        raise _fault("the block ends in the middle of a sequence") from None
    return bytes(out[:length])


def _fault(what: str) -> FormatError:
    return FormatError(what, where="lz4", spec="LZ4 block format")
