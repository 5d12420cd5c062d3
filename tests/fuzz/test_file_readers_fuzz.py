"""Damaged file systems: every answer is a value or one of our errors, after a bounded number of bytes read.

The images are those of tests/golden/filesystems; edits are made where they are not zero, mostly at the beginning, where
metadata is, and undone after each round. The same seed gives the same rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random

import pytest

from bootpath.block.memory import MemoryDevice
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.fs.readers import READERS, Files, Kind, open_files
from tests.support.filetrees import golden_image, golden_names

# A sound image is read about twice over; damage may make it go round, but not for long.
MAX_READ_BYTES = 256 << 20
NODES = 150
PIECE_BYTES = 20_000
MAX_FILE_BYTES = 1 << 20
ROUNDS = 30
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0", b"\xff\xff", b"\0\x10")


class Counted(MemoryDevice):
    """Memory that is only read so much."""

    left = MAX_READ_BYTES

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        self.left -= length
        assert self.left > 0, "the reader goes round and round"
        return super().read(offset, length)


def tolerated(call: Callable[[], object]) -> bool:
    """True for a value, False for one of our errors, whose message can be shown anywhere."""
    try:
        call()
    except (FormatError, FileSystemError) as error:
        str(error).encode()
        return False
    return True


def look_at(files: Files, path: str, kind: Kind, size_bytes: int, random: Random) -> None:
    if kind is Kind.FILE:
        offset = random.choice((0, max(size_bytes - 100, 0), random.randrange(size_bytes + 1)))
        assert len(files.read(path, offset, PIECE_BYTES)) == min(PIECE_BYTES, size_bytes - offset)
        if size_bytes <= MAX_FILE_BYTES:
            assert len(files.read_file(path, MAX_FILE_BYTES)) == size_bytes
        for _ in islice(files.extents(path), 1000) if size_bytes <= MAX_FILE_BYTES else ():
            pass
    elif kind is Kind.SYMLINK:
        assert len(files.readlink(path).encode(errors="surrogateescape")) <= 4096
        files.exists(path)


def exercise(device: Device, kind: str, random: Random) -> None:
    """Walk, and read a part of everything; an error at one node does not end it, one of the walk does."""
    tolerated(lambda: open_files(device))
    files = open_files(device, kind)
    for path, node in islice(files.walk("/"), NODES):
        assert node.size_bytes >= 0
        tolerated(lambda path=path, node=node: look_at(files, path, node.kind, node.size_bytes, random))  # type: ignore[misc]


def edits(image: bytearray, used: Sequence[int], random: Random) -> Iterator[tuple[int, bytes]]:
    """One to four changes as (offset, what was there)."""
    for _ in range(random.randint(1, 4)):
        block = random.choice(used[: max(len(used) // 8, 8)] if random.randrange(4) else used)
        place = block + random.randrange(64)
        match random.randrange(4):
            case 0:
                new = bytes([image[place] ^ 1 << random.randrange(8)])
            case 1:
                new = random.randbytes(random.choice((1, 2, 4)))
            case 2:
                new = random.choice(EXTREMES)
            case _:
                other = random.choice(used)
                new = bytes(image[other : other + random.choice((4, 16, 64))])
        new = new[: len(image) - place]
        yield place, bytes(image[place : place + len(new)])
        image[place : place + len(new)] = new


@pytest.mark.parametrize("name", golden_names())
def test_damaged_images(name: str) -> None:
    image = golden_image(name)
    image += bytes(-len(image) % 512)
    sound = bytes(image)
    kind = "vfat" if name.startswith("fat") else name.partition("-")[0]
    assert kind in READERS
    used = [place for place in range(0, len(image), 64) if any(image[place : place + 64])]
    random = Random(f"{name} 1")
    ended = 0
    for _ in range(ROUNDS if name != "fat32" else ROUNDS // 2):
        undo = list(edits(image, used, random))
        ended += not tolerated(lambda: exercise(Counted(image), kind, random))
        for place, old in reversed(undo):
            image[place : place + len(old)] = old
    assert image == sound
    assert ended < ROUNDS


@pytest.mark.parametrize("name", ["fat16", "ext2-1k", "ext4-1k", "erofs-lz4hc-big", "squashfs-gzip"])
def test_cut_images(name: str) -> None:
    """An image that ends early."""
    image = golden_image(name)
    kind = "vfat" if name.startswith("fat") else name.partition("-")[0]
    random = Random(2)
    for size in (512, 1024, 2048, 4096, len(image) // 8, len(image) // 2, len(image) - 8192):
        tolerated(lambda size=size: exercise(Counted(image[: size - size % 512]), kind, random))  # type: ignore[misc]


@pytest.mark.parametrize("kind", READERS)
def test_noise(kind: str) -> None:
    random = Random(3)
    for size in (512, 4096, 65536):
        assert not tolerated(lambda size=size: open_files(MemoryDevice(random.randbytes(size)), kind))  # type: ignore[misc]
