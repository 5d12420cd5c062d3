"""CRC-32 of long runs that repeat, without going through them: zlib's crc32 of concatenations.

Source: zlib crc32.c, crc32_combine: appending n zero bits to what a CRC is of multiplies the CRC, a polynomial over
GF(2), by x^n modulo the CRC's polynomial.
"""

from __future__ import annotations

from zlib import crc32

_POLYNOMIAL = 0xEDB88320  # reflected: bit 31 is x^0
_ONE = 1 << 31


def combine_crc32(first: int, second: int, second_bytes: int) -> int:
    """The CRC-32 of two runs of bytes, one behind the other, by their CRCs and the length of the second."""
    return _multiply(_power(8 * second_bytes), first) ^ second


def repeated_crc32(pattern: bytes, count: int) -> int:
    """The CRC-32 of so many repetitions."""
    total, total_bytes = 0, 0
    piece, piece_bytes = crc32(pattern), len(pattern)
    while count:
        if count & 1:
            total, total_bytes = combine_crc32(total, piece, piece_bytes), total_bytes + piece_bytes
        piece, piece_bytes = combine_crc32(piece, piece, piece_bytes), 2 * piece_bytes
        count >>= 1
    return total


def _multiply(left: int, right: int) -> int:
    product, mask = 0, _ONE
    while mask:
        if left & mask:
            product ^= right
        mask >>= 1
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product


def _power(bits: int) -> int:
    """x^bits."""
    result, factor = _ONE, _ONE >> 1
    while bits:
        if bits & 1:
            result = _multiply(result, factor)
        factor = _multiply(factor, factor)
        bits >>= 1
    return result
