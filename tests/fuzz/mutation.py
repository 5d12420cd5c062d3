"""Seeded mutations of valid samples: the same seed gives the same bytes, so a failure can be run again."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

TOKENS = (
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"{",
    b"[",
    b"}",
    b",",
    b":",
    b";",
    b"=",
    b"+",
    b"-",
    b"\\",
    b"#",
    b" ",
    b"0",
    b"1e9",
    b"NaN",
    b"true",
    b"null",
    b"0x",
    b"_",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9" * 5000,
    b"ffffffffffffffff",
    (2**64 - 1).to_bytes(8, "little"),
    (2**63).to_bytes(8, "little"),
    b"[" * 3000,
    b'{"a":' * 3000,
)


def mutate(sample: bytes, random: Random) -> bytes:
    """One to four edits: flipped bits, bytes, cuts, repeats, swaps and tokens that parsers trip over."""
    data = bytearray(sample)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(data) + 1)
        end = min(len(data), place + random.choice((1, 2, 4, 8, 16, 64)))
        match random.randrange(8):
            case 0 if place < len(data):
                data[place] ^= 1 << random.randrange(8)
            case 1 if place < len(data):
                data[place] = random.randrange(256)
            case 2:
                del data[place:end]
            case 3:
                data[place:place] = data[place:end]
            case 4:
                data[place:place] = random.choice(TOKENS)
            case 5:
                data[place:end] = random.choice(TOKENS)
            case 6:
                del data[place:]
            case _:
                other = random.randrange(len(data) + 1)
                data[place:end], data[other : other + end - place] = data[other : other + end - place], data[place:end]
    return bytes(data)


def mutations(samples: list[bytes], *, seed: int, count: int) -> Iterator[bytes]:
    """`count` mutants of the samples, in turn."""
    random = Random(seed)
    for index in range(count):
        yield mutate(samples[index % len(samples)], random)
