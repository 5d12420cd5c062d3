"""A tree as large as a small Debian's, in images that the file systems' own programs make here, read back whole.

The kept images of tests/golden are small and made once; these come from the programs of this machine, in the variants
that they all offer: what an old `mkfs.erofs -z` does not know is left to the kept images.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.core.errors import FileSystemError
from bootpath.fs.readers.files import Files
from bootpath.fs.readers.open import open_files
from tests.support.filetrees import assert_same_tree
from tests.support.tinyroot import make_signer
from tests.support.tools import tool

FILES = 1000
BIG_BYTES = 1 << 20
MAX_BYTES = 64 << 20
Maker = Callable[[Path, Path, Sequence[str]], None]


def _run(*command: str | os.PathLike[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1000 small files in 60 directories, like packages' documents and links, and two large files."""
    root = tmp_path_factory.mktemp("debian")
    random = Random(11)
    words = [random.randbytes(random.randint(2, 9)).hex().encode() for _ in range(400)]
    for number in range(FILES):
        directory = root / "usr/share/doc" / f"package-{number % 60}" / ("examples" if number % 7 == 0 else "")
        directory.mkdir(parents=True, exist_ok=True)
        text = b" ".join(random.choice(words) for _ in range(random.choice((0, 3, 20, 90))))
        (directory / f"changelog.{number}.Debian").write_bytes(text)
    (root / "boot").mkdir()
    (root / "boot/vmlinuz-6.1").write_bytes(random.randbytes(BIG_BYTES))
    (root / "boot/initrd.img-6.1").write_bytes(
        b"".join(random.choice(words) * random.randint(1, 20) for _ in range(BIG_BYTES // 100))
    )
    for place, _, _ in os.walk(root):
        Path(place).chmod(0o755)
    return root


@pytest.fixture(scope="module")
def linked_tree(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with links, for file systems that have them."""
    root = tmp_path_factory.mktemp("linked") / "root"
    shutil.copytree(tree, root)
    (root / "vmlinuz").symlink_to("boot/vmlinuz-6.1")
    (root / "boot/initrd.img").symlink_to("/boot/initrd.img-6.1")
    for number in range(100):
        (root / f"usr/share/doc/link-{number}").symlink_to(f"package-{number % 60}")
    (root / "boot/again").hardlink_to(root / "boot/vmlinuz-6.1")
    return root


def assert_reads(image: Path, root: Path, *, unix: bool = True) -> None:
    with closing(FileDevice.open(image)) as device:
        files = open_files(device)
        assert assert_same_tree(files, root, unix=unix, max_bytes=MAX_BYTES) > FILES
        _assert_ranges(files, "boot/initrd.img-6.1", root)
        _assert_ranges(files, "boot/vmlinuz-6.1", root)


def _assert_ranges(files: Files, path: str, root: Path) -> None:
    """Random ranges, as a loader with a small buffer reads."""
    data = (root / path).read_bytes()
    random = Random(5)
    for _ in range(12):
        offset = random.randrange(len(data))
        length = random.choice((1, 512, 5000, 200_000))
        assert files.read(path, offset, length) == data[offset : offset + length]
    assert list(islice(files.extents(path), 1))


@pytest.mark.parametrize("options", [["-F", "16", "-s", "4"], ["-F", "32", "-s", "1"]], ids=" ".join)
def test_vfat(options: list[str], tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "img"
    _run(tool("mkfs.vfat"), "-C", *options, image, "36000")
    _run(tool("mcopy"), "-s", "-Q", "-i", image, *tree.iterdir(), "::/")
    assert_reads(image, tree, unix=False)


@pytest.mark.parametrize(
    "options",
    [
        ["-t", "ext2", "-b", "1024"],
        ["-t", "ext3", "-b", "4096", "-O", "^dir_index"],
        ["-t", "ext4", "-b", "1024"],
        ["-t", "ext4", "-b", "4096"],
        ["-t", "ext4", "-b", "4096", "-O", "inline_data", "-I", "1024"],
        ["-t", "ext4", "-b", "2048", "-O", "bigalloc,^64bit,^resize_inode", "-C", "16384"],
        ["-t", "ext4", "-b", "65536"],
        ["-t", "ext4", "-b", "1024", "-I", "128", "-O", "^has_journal,^extent,^64bit,uninit_bg,^metadata_csum"],
    ],
    ids=" ".join,
)
def test_ext(options: list[str], linked_tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "img"
    _run(tool("mke2fs"), "-q", "-F", "-d", linked_tree, *options, image, "96M")
    assert_reads(image, linked_tree)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--chunksize=65536"],
        ["-zlz4"],
        ["-zlz4hc", "-C262144"],
        ["-zlz4hc", "-C65536", "-Eztailpacking,fragments"],
        ["-zlz4hc", "-Ededupe"],
        ["-zlz4", "-Elegacy-compress"],
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_erofs(options: list[str], linked_tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "img"
    _run(tool("mkfs.erofs"), "--quiet", *options, image, linked_tree)
    assert_reads(image, linked_tree)


@pytest.mark.parametrize(
    "options",
    [
        ["-comp", "gzip"],
        ["-comp", "xz", "-Xbcj", "x86", "-b", "1M"],
        ["-comp", "zstd", "-no-fragments"],
        ["-comp", "lz4", "-Xhc"],
        ["-comp", "lzo"],
        ["-comp", "zstd", "-always-use-fragments", "-b", "8K"],
    ],
    ids=" ".join,
)
def test_squashfs(options: list[str], linked_tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "img"
    _run(tool("mksquashfs"), linked_tree, image, "-quiet", "-no-progress", *options)
    assert_reads(image, linked_tree)


def make_disc(image: Path, root: Path, *options: str, after: Sequence[str] = ()) -> None:
    """An ISO 9660 by xorriso; `after` is what is done to the tree that is there."""
    output = ["-outdev", f"stdio:{image}", "-hardlinks", "on"]
    _run(tool("xorriso"), *output, *options, "-map", root, "/", *after, "-commit")


@pytest.mark.parametrize("options", [["-joliet", "on"], ["-compliance", "deep_paths_off"]], ids=" ".join)
def test_iso9660(options: list[str], linked_tree: Path, tmp_path: Path) -> None:
    make_disc(tmp_path / "img", linked_tree, *options)
    assert_reads(tmp_path / "img", linked_tree)


def test_iso9660_compressed(linked_tree: Path, tmp_path: Path) -> None:
    make_disc(tmp_path / "img", linked_tree, after=["-zisofs", "level=9", "-set_filter_r", "--zisofs", "/", "--"])
    assert b"ZF\x10\x01pz" in (tmp_path / "img").read_bytes()
    assert_reads(tmp_path / "img", linked_tree)


def test_iso9660_with_joliet_alone(tree: Path, tmp_path: Path) -> None:
    make_disc(tmp_path / "img", tree, "-rockridge", "off", "-joliet", "on", "-compliance", "joliet_long_names")
    assert_reads(tmp_path / "img", tree, unix=False)


@pytest.mark.parametrize(
    "options",
    [
        ["-x", "none", "-m", "2048", "-e", "126976"],
        ["-x", "lzo", "-m", "8", "-e", "15872"],
        ["-x", "zlib", "-m", "512", "-e", "15360", "-k", "test"],
        ["-x", "zstd", "-m", "4096", "-e", "253952", "-F"],
        ["-x", "favor_lzo", "-m", "2048", "-e", "129024", "-f", "3"],
    ],
    ids=" ".join,
)
def test_ubifs(options: list[str], linked_tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "img"
    _run(tool("mkfs.ubifs"), "-r", linked_tree, "-c", "2000", *options, "-o", image)
    assert_reads(image, linked_tree)


def test_ubifs_that_is_authenticated(linked_tree: Path, tmp_path: Path) -> None:
    """The hashes in its index are stepped over; nobody here has the key."""
    signer = make_signer(tmp_path)
    keys = ["--hash-algo", "sha256", "--auth-key", str(signer.key), "--auth-cert", str(signer.certificate)]
    image = tmp_path / "img"
    _run(tool("mkfs.ubifs"), "-r", linked_tree, "-c", "2000", "-m", "2048", "-e", "126976", *keys, "-o", image)
    assert_reads(image, linked_tree)
    with closing(FileDevice.open(image)) as device:
        assert "authenticated" in open_files(device).warnings[0]


def test_ubifs_that_is_encrypted(tree: Path, tmp_path: Path) -> None:
    image, key = tmp_path / "img", tmp_path / "key"
    key.write_bytes(bytes(range(64)))
    sizes, keys = ["-m", "2048", "-e", "126976", "-c", "2000"], ["-K", str(key), "-b", "0123456789abcdef"]
    _run(tool("mkfs.ubifs"), "-r", tree, *sizes, *keys, "-C", "AES-256-XTS", "-o", image)
    with closing(FileDevice.open(image)) as device, pytest.raises(FileSystemError, match="inode 1 is encrypted"):
        open_files(device).list("/")


def test_a_directory_with_an_index(tmp_path: Path) -> None:
    """Thousands of names: e2fsck -D makes an htree of it, with blocks of the index among the others."""
    root = tmp_path / "root"
    (root / "many").mkdir(parents=True)
    for number in range(1500):
        (root / "many" / f"a file with a long name, and a number at its end: {number:05}").touch()
    image = tmp_path / "img"
    _run(tool("mke2fs"), "-q", "-t", "ext4", "-b", "1024", "-N", "4000", "-d", root, image, "16M")
    done = subprocess.run([tool("e2fsck"), "-fyD", image], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    with closing(FileDevice.open(image)) as device:
        files = open_files(device)
        found = {entry.name for entry in files.list("many")}
        assert found == {path.name for path in (root / "many").iterdir()}
        assert files.lookup("many/a file with a long name, and a number at its end: 01499").size_bytes == 0
