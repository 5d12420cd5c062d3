"""What is read from devices: parts that are mutated each for itself, and ubinize's image."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from tests.fuzz.mutation import mutate, mutations
from tests.fuzz.targets import TARGETS
from tests.fuzz.volumes import LVM_AREA, LVM_LABEL, UBI_PARTS, check_ubi, lvm_sample, superblock_samples, ubi_sample
from tests.support.superblocks import NAMES

UBI_GOLDEN = Path(__file__).parents[1] / "golden" / "ubi"
ROUNDS = 1000


@pytest.mark.parametrize("name", NAMES)
def test_mutants_of_superblocks(name: str) -> None:
    """Each of its own, so that none has more than its turn."""
    sample = superblock_samples()[NAMES.index(name)]
    for data in mutations([sample[1:]], seed=NAMES.index(name), count=ROUNDS // 10):
        TARGETS["superblock"].call(sample[:1] + data)


def test_mutants_of_lvm2_headers() -> None:
    """One header or both, and the text: nothing shifts the others."""
    random = Random(5)
    sample = lvm_sample()
    edges = (0, LVM_LABEL[1], LVM_LABEL[1] + LVM_AREA[1], len(sample))
    for _ in range(ROUNDS):
        parts = []
        for start, end in pairwise(edges):
            part = sample[start:end]
            if random.randrange(2):
                mutant = mutate(part, random)
                part = mutant if end == len(sample) else mutant[: len(part)].ljust(len(part), b"\0")
            parts.append(part)
        TARGETS["lvm2"].call(b"".join(parts))


def test_mutants_of_ubi_headers() -> None:
    """Some headers and records at a time, with their checksums right three times of four."""
    random = Random(6)
    sound = ubi_sample()
    for _ in range(ROUNDS):
        flags = sum((not random.randrange(4)) << 2 + peb for peb in range(5))
        parts, rest = [bytes([flags | random.randrange(4)])], sound[1:]
        chosen = random.sample(range(len(UBI_PARTS)), random.randint(1, 3))
        for index, (_, _, length) in enumerate(UBI_PARTS):
            part, rest = rest[:length], rest[length:]
            parts.append(mutate(part, random)[:length].ljust(length, b"\0") if index in chosen else part)
        TARGETS["ubi"].outcome(b"".join(parts))


def test_mutants_of_what_ubinize_wrote() -> None:
    random = Random(7)
    sound = gzip.decompress((UBI_GOLDEN / "nand.img.gz").read_bytes())
    for _ in range(ROUNDS * 3 // 10):
        image = bytearray(sound)
        for _ in range(random.randint(1, 4)):
            image[random.randrange(len(image))] ^= 1 << random.randrange(8)
        end = random.choice((len(image), len(image), random.randrange(1, len(image) // 512) * 512))
        try:
            check_ubi(MemoryDevice(bytes(image[:end])), random.choice((None, 16384)))
        except FormatError as error:
            str(error).encode()
