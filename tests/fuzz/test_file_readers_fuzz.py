"""Damaged file systems, image by image: edits are made mostly at the beginning, where metadata is."""

from __future__ import annotations

from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.fs.readers.open import READERS, open_files
from tests.fuzz.filesystems import ERRORS, FAMILIES, Counted, Sound, exercise, images_of, kind_of, pack_edit, sound
from tests.fuzz.targets import TARGETS
from tests.support.filetrees import golden_image, golden_names

ROUNDS = 30
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0", b"\xff\xff", b"\0\x10")


def edit(image: Sound, random: Random) -> bytes:
    """A flipped bit, noise, an extreme value, or a copy of something else."""
    grains = len(image.used)
    grain = random.randrange(max(grains // 8, min(8, grains)) if random.randrange(4) else grains)
    within = random.randrange(64)
    match random.randrange(4):
        case 0:
            place = image.used[grain] + within
            new = bytes([image.image[place] ^ 1 << random.randrange(8)])
        case 1:
            new = random.randbytes(random.choice((1, 2, 4)))
        case 2:
            new = random.choice(EXTREMES)
        case _:
            other = random.choice(image.used)
            new = bytes(image.image[other : other + random.choice((4, 16, 64))])
    return pack_edit(grain, within, new)


@pytest.mark.parametrize("name", golden_names())
def test_damaged_images(name: str) -> None:
    family = next(family for family in FAMILIES if name.startswith(family))
    entry, number = TARGETS[f"files_{family}"], images_of(family).index(name)
    image = sound(name)
    before = bytes(image.image)
    random = Random(f"{name} 1")
    ended = 0
    for _ in range(ROUNDS if name != "fat32" else ROUNDS // 2):
        edits = b"".join(edit(image, random) for _ in range(random.randint(1, 4)))
        ended += not entry.accepts(bytes([number]) + edits)
    assert image.image == before
    assert ended < ROUNDS


@pytest.mark.parametrize("name", ["fat16", "ext2-1k", "ext4-1k", "erofs-lz4hc-big", "squashfs-gzip", "ubifs-lzo"])
def test_cut_images(name: str) -> None:
    """An image that ends early."""
    image = golden_image(name)
    for size in (512, 1024, 2048, 4096, len(image) // 8, len(image) // 2, len(image) - 8192):
        try:
            exercise(Counted(image[: size - size % 512]), kind_of(name))
        except ERRORS as error:
            str(error).encode()


@pytest.mark.parametrize("kind", READERS)
def test_noise(kind: str) -> None:
    random = Random(3)
    for size in (512, 4096, 65536):
        with pytest.raises(ERRORS):
            open_files(MemoryDevice(random.randbytes(size)), kind)
