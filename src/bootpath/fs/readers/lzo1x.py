"""LZO1X, decoded in Python: the compression of UBIFS by default.

Source: Linux Documentation/staging/lzo.rst, which describes the stream as it is understood; UBIFS writes version 0. An
instruction copies a match out of what was written before, and up to three literals behind it; `state` is how many
literals the last one had, 4 for a long run of them. L, D and S are bits of the instruction, H a byte behind it, and a
length of zero goes on in bytes: 255 for each that is zero, and the first other one::

    0000LLLL            after state 0: 3 + L literals (15, and on)                    state 4
    0000DDSS  H         after state 1 to 3: 2 bytes from 1 + D + 4 H back
    0000DDSS  H         after state 4: 3 bytes from 2049 + D + 4 H back
    0001HLLL  u16       2 + L bytes (7, and on) from 16384 + (H << 14) + (u16 >> 2) back; from 16384: the end
    001LLLLL  u16       2 + L bytes (31, and on) from 1 + (u16 >> 2) back
    01LDDDSS  H         3 + L bytes from 1 + D + 8 H back
    1LLDDDSS  H         5 + L bytes from 1 + D + 8 H back

S is in the low bits of the u16 where there is one. A first byte from 18 on is so many literals, and 17 more. Output is
at most what is asked for and one instruction more, whatever the stream says. About 5 megabytes a second.
"""

from __future__ import annotations

from bootpath.core.errors import FormatError

_FIRST_LITERALS = 17
_LONG_RUN = 4
_FAR = 16384


def decompress_lzo1x(data: bytes, length: int) -> bytes:
    """The first `length` bytes of a stream, or all of it when it has less. Raises FormatError."""
    out = bytearray()
    place, end = 0, len(data)
    state = 0
    try:
        if data[0] > _FIRST_LITERALS:
            count = data[0] - _FIRST_LITERALS
            state = min(count, _LONG_RUN)
            place = 1 + count
            out += data[1:place]
        while len(out) < length:
            if place > end:
                raise _fault("the literals go past the end")
            code = data[place]
            place += 1
            if code < 16 and state == 0:
                count = code
                if not count:
                    count, place = _long_length(data, place, 15)
                place += 3 + count
                out += data[place - 3 - count : place]
                state = _LONG_RUN
                continue
            if code >= 64:
                distance = 1 + (code >> 2 & 7) + (data[place] << 3)
                count = (code >> 5) + 1
                literals = code & 3
                place += 1
            elif code >= 16:
                count = code & (31 if code >= 32 else 7)
                if not count:
                    count, place = _long_length(data, place, 31 if code >= 32 else 7)
                count += 2
                operand = data[place] | data[place + 1] << 8
                place += 2
                literals = operand & 3
                distance = 1 + (operand >> 2)
                if code < 32:
                    distance += _FAR - 1 + ((code & 8) << 11)
                    if distance == _FAR:
                        return bytes(out[:length])
            else:
                distance = 1 + (code >> 2) + (data[place] << 2)
                count = 2
                if state == _LONG_RUN:
                    distance, count = distance + 2048, 3
                literals = code & 3
                place += 1
            start = len(out) - distance
            if start < 0:
                raise _fault("a match begins before the output")
            if count > length:
                count = length  # a length of megabytes costs kilobytes to write down
            if count <= distance:
                out += out[start : start + count]
            else:
                piece = bytes(out[start:])
                out += (piece * (count // distance + 1))[:count]
            if literals:
                out += data[place : place + literals]
                place += literals
            state = literals
    except IndexError:
        raise _fault("the stream ends in the middle of an instruction") from None
    if place > end:
        raise _fault("the literals go past the end")
    return bytes(out[:length])


def _long_length(data: bytes, place: int, length: int) -> tuple[int, int]:
    """A length that goes on in bytes, and where they end. Raises IndexError when the stream does so before."""
    while (byte := data[place]) == 0:
        length += 255
        place += 1
    return length + byte, place + 1


def _fault(what: str) -> FormatError:
    return FormatError(what, where="lzo", spec="Linux Documentation/staging/lzo.rst")
