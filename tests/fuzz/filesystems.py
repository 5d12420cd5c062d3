"""The entries of file readers: a walk over an image that is damaged ends, with a value or one of our errors.

The images are those of tests/golden/filesystems, which would be too large to be mutated as a whole: an input is which
of them, and a few edits, packed, that are undone afterwards. Only places that are not zero in the sound image count.

A checksum stops nearly every edit of a UBIFS: so there is an entry in which those of the nodes are made right, with
images that have a journal; and one for streams of LZO.
"""

from __future__ import annotations

import gzip
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from pathlib import Path
from zlib import crc32

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Buffer, Device, read_bytes
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.fs.readers.files import FileKind, Files
from bootpath.fs.readers.lzo1x import decompress_lzo1x
from bootpath.fs.readers.open import open_files
from bootpath.fs.readers.ubifs.nodes import NODE_MAGIC
from tests.fuzz.entry import Entry
from tests.support.filetrees import golden_image, golden_names
from tests.support.ubifsflash import open_volume

# A sound image is read about twice over; damage may make it go round, but not for long.
MAX_READ_BYTES = 256 << 20
NODES, ALL_NODES = 150, 40  # to walk over, to read the first of; there is a folder with many small files
PIECE_BYTES = 20_000
MAX_FILE_BYTES = 1 << 20
GRAIN_BYTES = 64
ERRORS = (FormatError, FileSystemError)
_EDIT = struct.Struct("<HBB")  # which grain that is not zero, where in it, how many bytes follow


class Counted(MemoryDevice):
    """Memory that is only read so much."""

    left = MAX_READ_BYTES

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        self.left -= length
        assert self.left > 0, "the reader goes round and round"
        return super().read(offset, length)


@dataclass(frozen=True, slots=True)
class Sound:
    """An image, which is damaged and mended in place, and where it has grains that are not zero."""

    image: bytearray
    used: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        self.image.extend(bytes(-len(self.image) % 512))
        places = range(0, len(self.image), GRAIN_BYTES)
        object.__setattr__(self, "used", [at for at in places if any(self.image[at : at + GRAIN_BYTES])])

    def edits(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """What packed edits say, as (offset, new bytes)."""
        position = 0
        while position + _EDIT.size < len(data):
            grain, within, length = _EDIT.unpack_from(data, position)
            position += _EDIT.size
            place = self.used[grain % len(self.used)] + within % GRAIN_BYTES
            yield place, data[position : position + length][: len(self.image) - place]
            position += length


def pack_edit(grain: int, within: int, new: bytes) -> bytes:
    return _EDIT.pack(grain, within, len(new)) + new


@cache
def sound(name: str) -> Sound:
    return Sound(golden_image(name))


def kind_of(name: str) -> str:
    """The reader of a golden image."""
    return "vfat" if name.startswith("fat") else name.partition("-")[0]


def _look_at(files: Files, path: str, kind: FileKind, size_bytes: int, turn: int) -> None:
    if kind is FileKind.FILE:
        offset = (0, max(size_bytes - 100, 0), size_bytes // 2)[turn % 3]
        assert len(files.read(path, offset, PIECE_BYTES)) == min(PIECE_BYTES, size_bytes - offset)
        if size_bytes <= MAX_FILE_BYTES:
            assert len(files.read_file(path, MAX_FILE_BYTES)) == size_bytes
            try:
                assert all(each.isprintable() for each in files.doubts(path))
            except ERRORS as error:
                raise AssertionError("a file that was read is said to be unreadable") from error
        for _ in islice(files.extents(path), 1000) if size_bytes <= MAX_FILE_BYTES else ():
            pass
    elif kind is FileKind.SYMLINK:
        assert len(files.readlink(path).encode(errors="surrogateescape")) <= 4096
        files.exists(path)


def tolerated(call: Callable[[], object]) -> None:
    """One of our errors, whose message can be shown anywhere, does not end the walk."""
    try:
        call()
    except ERRORS as error:
        str(error).encode()


def exercise(device: Device, kind: str) -> None:
    """Walk, and read a part of each node, later of some; an error at one does not end it, one of the walk does."""
    tolerated(partial(open_files, device))
    files = open_files(device, kind)
    for turn, (path, node) in enumerate(islice(files.walk("/"), NODES)):
        assert node.size_bytes >= 0
        if turn >= ALL_NODES and turn % 8:
            continue
        tolerated(partial(_look_at, files, path, node.kind, node.size_bytes, turn))


def _damaged(names: Sequence[str], data: bytes) -> None:
    name = names[data[0] % len(names) if data else 0]
    chosen = sound(name)
    undo = []
    for place, new in chosen.edits(data[1:]):
        undo.append((place, bytes(chosen.image[place : place + len(new)])))
        chosen.image[place : place + len(new)] = new
    try:
        exercise(Counted(chosen.image), kind_of(name))
    finally:
        for place, old in reversed(undo):
            chosen.image[place : place + len(old)] = old


@cache
def ubifs_volume(name: str) -> Sound:
    """A UBIFS: a golden one, or the volume of one of the flashes to which Linux wrote."""
    if name not in FLASHES:
        return sound(name)
    with closing(open_volume(gzip.decompress((FLASHES_PLACE / f"{name}.img.gz").read_bytes()))) as volume:
        return Sound(bytearray(read_bytes(volume, 0, volume.size_bytes)))


@cache
def ubifs_nodes(name: str) -> Sequence[tuple[int, int]]:
    """Where the nodes of a volume begin and end."""
    image, found = ubifs_volume(name).image, []
    place = image.find(NODE_MAGIC)
    while place >= 0:
        length = int.from_bytes(image[place + 16 : place + 20], "little")
        found.append((place, place + length))
        place = image.find(NODE_MAGIC, place + 8)
    return found


def _sealed(data: bytes) -> None:
    """Edits of nodes, whose checksums are right all the same."""
    name = UBIFS_NAMES[data[0] % len(UBIFS_NAMES) if data else 0]
    chosen = ubifs_volume(name)
    nodes = ubifs_nodes(name)
    undo = []

    def put(place: int, new: bytes) -> None:
        undo.append((place, bytes(chosen.image[place : place + len(new)])))
        chosen.image[place : place + len(new)] = new

    for place, new in chosen.edits(data[1:]):
        put(place, new)
        for start, end in nodes[max(bisect_right(nodes, (place, len(chosen.image))) - 1, 0) :]:
            if start >= place + len(new):
                break
            put(start + 4, (crc32(chosen.image[start + 8 : end]) ^ 0xFFFFFFFF).to_bytes(4, "little"))
    try:
        exercise(Counted(chosen.image), "ubifs")
    finally:
        for place, old in reversed(undo):
            chosen.image[place : place + len(old)] = old


def _lzo(data: bytes) -> None:
    for length in (0, 1, 4096, 70_000):
        assert len(decompress_lzo1x(data, length)) <= length


def _entry(family: str) -> Entry:
    names = images_of(family)
    return Entry(
        f"files_{family}",
        partial(_damaged, names),
        ERRORS,
        made=lambda: [bytes([number]) for number in range(len(names))],
        max_bytes=256,
        rounds=100,
    )


def images_of(family: str) -> list[str]:
    return [name for name in golden_names() if name.startswith(family)]


FAMILIES = ("fat", "ext", "erofs", "squashfs", "iso9660", "ubifs")
FLASHES_PLACE = Path(__file__).parents[1] / "golden" / "ubifs"
FLASHES = ("journal", "cut")
UBIFS_NAMES = (*images_of("ubifs"), *FLASHES)
FILE_SYSTEMS = (
    *(_entry(family) for family in FAMILIES),
    Entry(
        "ubifs_sealed",
        _sealed,
        ERRORS,
        made=lambda: [bytes([number]) for number in range(len(UBIFS_NAMES))],
        max_bytes=256,
        rounds=100,
    ),
    Entry("lzo", _lzo),
)
