"""A small tree with everything that file system readers trip over, and the comparison of a reader with a tree."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Device, Identity
from bootpath.formats.repart.definition import CopyFiles
from bootpath.fs.readers.files import FileKind, Files
from bootpath.image.filesystems.fatwriter import write_fat
from bootpath.image.filesystems.filetree import collect_tree

GOLDEN = Path(__file__).parents[1] / "golden" / "filesystems"
MTIME_SECONDS = 1_700_000_002
MAX_BYTES = 8 << 20
_WORDS = b"boot entry kernel initrd options root partition verity slot bundle version machine linux".split()


def _noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _text(size: int, seed: int) -> bytes:
    """What compresses well, but not to nothing: pages of words that come again, each with a number."""
    chosen = random.Random(seed)
    pages = [b" ".join(chosen.choice(_WORDS) for _ in range(150)) for _ in range(4)]
    return b"".join(b"%d %s\n" % (number, chosen.choice(pages)) for number in range(size // 700 + 1))[:size]


def contents() -> dict[str, bytes]:
    """The files of the tree, by paths."""
    entry = b"title Linux\nversion 6.1\nlinux /vmlinuz\ninitrd /initrd.img\noptions root=PARTUUID=1234 quiet\n"
    many = {f"many/entry number {number:03} {'x' * (number % 60 + 1)}": b"%d\n" % number for number in range(90)}
    edges = {
        f"edges/{size}": (_noise(61, size) * (size // 61 + 1))[:size]
        for size in (1, 59, 60, 61, 511, 512, 1023, 1024, 4095, 4096, 4097)
    }
    return (
        many
        | edges
        | {
            "empty": b"",
            "loader/entries/linux.conf": entry,
            "text": _text(150_000, 1),
            "vmlinuz": _text(20_000, 2) + _noise(4_500, 3) + _text(9_000, 4),
            "zeros": bytes(70_000),
            "mixed": bytes(8192) + _noise(2000, 5) + bytes(20_000) + _text(30_000, 6) + bytes(5000) + b"end",
            "deep/a/b/c/d/e/f/g/file": b"deep\n",
            "Ünïcode näme with ß and 日本.txt": "grüße\n".encode(),
            "longname" + "n" * 190: b"long name\n",
        }
    )


def fat_image(size_bytes: int, files: Mapping[str, bytes]) -> bytes:
    """A FAT volume with these files, by the project's own writer."""
    with TemporaryDirectory() as directory:
        tree, volume = Path(directory) / "tree", Path(directory) / "volume"
        for path, content in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        write_fat(volume, size_bytes, collect_tree([CopyFiles(str(tree), "/")], base=Path("/")), serial=7, epoch=0)
        return volume.read_bytes()


LINKS = {
    "link": "vmlinuz",
    "absolute": "/loader/entries/linux.conf",
    "directory": "deep/a/b",
    "up": "../../../../vmlinuz",
    "deep/a/back": "../../vmlinuz",
    "dangling": "nowhere",
    "loop": "pool",
    "pool": "loop",
    "long link": "deep/" + "./" * 60 + "a/b/c/d/e/f/g/file",
    "very long link": "./" * 400 + "vmlinuz",
}
SPARSE_BYTES = 2_300_000


def make_tree(root: Path, *, links: bool = True) -> Path:
    """The tree below `root`: the files, links, a hard link and a sparse file; without `links`, what FAT can hold."""
    for path, data in contents().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    if links:
        for path, target in LINKS.items():
            (root / path).symlink_to(target)
        (root / "hard").hardlink_to(root / "text")
        with (root / "sparse").open("wb") as file:
            for offset in (300_000, 1_200_000, SPARSE_BYTES - 5000):
                file.seek(offset)
                file.write(_text(5000, offset))
    for directory, _, files in os.walk(root, topdown=False):
        for name in (*files, "."):
            here = Path(directory, name)
            if not here.is_symlink():
                here.chmod(0o755 if here.is_dir() else 0o640)
            os.utime(here, (MTIME_SECONDS, MTIME_SECONDS), follow_symlinks=False)
    return root


def golden_names() -> list[str]:
    """The images that are kept, made by make.sh beside them."""
    return sorted(path.name.removesuffix(".img.gz") for path in GOLDEN.glob("*.img.gz"))


def golden_image(name: str) -> bytearray:
    """One of them, unpacked."""
    return bytearray(gzip.decompress((GOLDEN / f"{name}.img.gz").read_bytes()))


def as_device(image: bytearray | bytes) -> Device:
    """A device of it, padded to a sector."""
    padded = bytes(image) + bytes(-len(image) % 512)
    return MemoryDevice(padded, identity=Identity("image"))


def host_tree(root: Path) -> Iterator[tuple[str, Path]]:
    """Everything below `root` as (path in the file system, path here)."""
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory, name)
            yield "/" + os.fspath(path.relative_to(root)), path


def assert_same_tree(files: Files, root: Path, *, unix: bool = True, seed: int = 7, max_bytes: int = MAX_BYTES) -> int:
    """Every name, link, file, mode and time of `root` is in `files`, and nothing else; returns how many there are.

    `unix` False compares neither modes nor times. lost+found, which mke2fs makes, does not count.
    """
    chosen = random.Random(seed)
    count = 0
    for path, here in host_tree(root):
        node = files.lookup(path, follow=False)
        count += 1
        if here.is_symlink():
            assert (node.kind, files.readlink(path)) == (FileKind.SYMLINK, os.readlink(here))
            continue
        status = here.stat()
        if unix:
            assert (node.mode, node.mtime_ns // 10**9, node.links) == (
                status.st_mode,
                int(status.st_mtime),
                node.links if here.is_dir() else status.st_nlink,
            ), path
        if here.is_dir():
            names = {entry.name for entry in files.list(path)}
            assert names == {child.name for child in here.iterdir()}, path
            continue
        data = here.read_bytes()
        assert node.size_bytes == len(data)
        assert files.read_file(path, max_bytes) == data, path
        for _ in range(3):
            offset = chosen.randrange(len(data) + 10)
            length = chosen.choice((1, 10, 1000, 70_000))
            assert files.read(path, offset, length) == data[offset : offset + length], (path, offset, length)
    names = {entry.name for entry in files.list("/")} - {"lost+found"}
    assert names == {child.name for child in root.iterdir()}
    walked = {path for path, _ in files.walk("/") if not path.startswith("/lost+found")}
    assert walked == {path for path, _ in host_tree(root)} | {"/"}
    return count
