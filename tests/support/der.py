"""ASN.1 made by hand, sound and otherwise."""

from __future__ import annotations

from collections.abc import Callable

from bootpath.formats.der import Element, parse_der


def tlv(tag: int, *contents: bytes) -> bytes:
    """An element, with its length in the shortest form."""
    joined = b"".join(contents)
    size = len(joined)
    length = bytes((size,)) if size < 0x80 else size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag,)) + (length if size < 0x80 else bytes((0x80 + len(length),)) + length) + joined


def replaced(data: bytes, path: tuple[int, ...], make: Callable[[Element], bytes]) -> bytes:
    """The value with another element at `path`, part of part; the lengths around it are right."""

    def build(element: Element, rest: tuple[int, ...]) -> bytes:
        if not rest:
            return make(element)
        parts = [each.encoded for each in element.parts]
        parts[rest[0]] = build(element.parts[rest[0]], rest[1:])
        return tlv(element.tag, *parts)

    return build(parse_der(data), path)
