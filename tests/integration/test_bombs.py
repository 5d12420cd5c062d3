"""Images that are made to cost much, each against the commands that read it: ten seconds, and half a GiB of addresses.

`docs/reference/limits.md` says what a command may cost; here are the inputs that would cost more.
"""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bootpath.cli.failures import BAD_VERDICT, FAILED
from bootpath.formats.partitions.dps import data_uuid
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from bootpath.formats.verity.tree import BlockHasher, VerityParameters, VeritySuperblock, pack_verity_superblock
from tests.support.bombs import (
    LINUX,
    ROOT_X86,
    ROOT_X86_SIGNATURE,
    ROOT_X86_VERITY,
    erofs_in_one_extent,
    ext4_with,
    fat_of_removed_names,
    many_partitions,
)
from tests.support.clirun import DOCUMENTED, MIB, Ended, Limits, Runner, faults_of
from tests.support.linuximage import fake_kernel, squash

UNVERIFIED = 4
ENTRY = "title a\nlinux /k\noptions root=/dev/vda\n"


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    limits = Limits(memory_bytes=512 * MIB, processor_seconds=10, hang_seconds=60)
    with Runner(tmp_path_factory.mktemp("printed"), limits) as runner:
        yield runner


def run(runner: Runner, command: str, *, cwd: Path) -> Ended:
    """The command, which ends as a command may, within the limits."""
    ended = runner.run(command.split(), cwd=cwd)
    faults = faults_of(ended, codes=DOCUMENTED | {UNVERIFIED})
    if ended.code in (BAD_VERDICT, UNVERIFIED) and ended.out:  # a verdict is a result, and it is on stdout
        faults = [fault for fault in faults if fault != "nothing says what is wrong"]
    assert not faults, (faults, ended.err[-1000:], ended.seconds)
    return ended


def said(ended: Ended) -> str:
    return (ended.out + ended.err).decode()


def root_disk(directory: Path, fill: Callable[[Path], None], *, megabytes: int = 64) -> None:
    """A whole disk with a kernel, an entry, and what `fill` puts beside them: an ext4, or a squashfs without a size."""
    tree = directory / "tree"
    (tree / "loader/entries").mkdir(parents=True)
    (tree / "k").write_bytes(fake_kernel())
    (tree / "loader/entries/a.conf").write_text(ENTRY)
    fill(tree)
    if megabytes:
        ext4_with(directory / "disk.img", tree, megabytes=megabytes)
    else:
        squash(tree, directory / "disk.img")


def sparse(path: Path, size_bytes: int) -> None:
    path.touch()
    os.truncate(path, size_bytes)


def test_initrds_that_are_small_but_many(runner: Runner, tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        sparse(tree / "i", 20 * MIB)
        (tree / "loader/entries/a.conf").write_text(ENTRY + "initrd /i\n" * 2000)

    root_disk(tmp_path, fill)
    ended = run(runner, "boot disk.img --dry-run", cwd=tmp_path)
    assert ended.code == BAD_VERDICT
    assert "initrds are too large together" in said(ended)
    assert "BOOTPATH_LIMITS=initrd_bytes=N" in said(ended)


def test_an_initrd_is_in_memory_once(runner: Runner, tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        sparse(tree / "i", 160 * MIB)
        (tree / "loader/entries/a.conf").write_text(ENTRY + "initrd /i\n")

    root_disk(tmp_path, fill)
    assert run(runner, "boot disk.img --dry-run", cwd=tmp_path).code == UNVERIFIED


def test_a_kernel_of_the_size_of_a_disk(runner: Runner, tmp_path: Path) -> None:
    root_disk(tmp_path, lambda tree: sparse(tree / "k", 3 << 30))
    ended = run(runner, "boot disk.img --dry-run", cwd=tmp_path)
    assert ended.code == BAD_VERDICT
    assert "the kernel is too large" in said(ended)


def test_a_directory_with_thousands_of_entries(runner: Runner, tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        for number in range(30_000):
            os.link(tree / "loader/entries/a.conf", tree / f"loader/entries/e{number:05}.conf")

    root_disk(tmp_path, fill, megabytes=0)
    ended = run(runner, "entries disk.img --look-in root", cwd=tmp_path)
    assert ended.code == 0
    assert "/loader/entries has too many names" in said(ended)
    run(runner, "boot disk.img --dry-run", cwd=tmp_path)


def test_versions_that_are_long_and_alike(runner: Runner, tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        for number in range(1000):
            version = "a." * 120 + str(number)
            text = f"{ENTRY}sort-key x\nversion {version}\n"
            (tree / f"loader/entries/{'b.' * 100}{number}.conf").write_text(text)
        (tree / "loader/entries/longer.conf").write_text(f"{ENTRY}version {'1.' * 3000}\n")

    root_disk(tmp_path, fill)
    ended = run(runner, "entries disk.img --look-in root", cwd=tmp_path)
    assert ended.code == 0
    assert run(runner, "boot disk.img --dry-run", cwd=tmp_path).code == UNVERIFIED


def test_entries_that_name_more_files_than_anyone_reads(runner: Runner, tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        for number in range(900):
            (tree / f"loader/entries/e{number}.conf").write_text(ENTRY + "initrd /k\n" * 1000)

    root_disk(tmp_path, fill)
    ended = run(runner, "entries disk.img --look-in root", cwd=tmp_path)
    assert "the boot entries name too many files" in said(ended)


def test_entries_whose_text_is_long(runner: Runner, tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        for number in range(900):
            (tree / f"loader/entries/e{number}.conf").write_text(ENTRY + "a b\n" * 15_000)

    root_disk(tmp_path, fill, megabytes=128)
    ended = run(runner, "entries disk.img --look-in root", cwd=tmp_path)
    assert "the boot entries are too long together" in said(ended)


def test_paths_that_are_deep_and_many(runner: Runner, tmp_path: Path) -> None:
    deep = "/".join("d" * 500)

    def fill(tree: Path) -> None:
        (tree / deep).mkdir(parents=True)
        (tree / deep / "k").write_bytes(b"k")
        for number in range(200):
            text = ENTRY + f"initrd /{deep}/k\n" * 15
            (tree / f"loader/entries/e{number}.conf").write_text(text)

    root_disk(tmp_path, fill)
    ended = run(runner, "entries disk.img --look-in root", cwd=tmp_path)
    assert "the paths of boot entries are too long together" in said(ended)


def test_directories_of_removed_names(runner: Runner, tmp_path: Path) -> None:
    fat_of_removed_names(tmp_path / "disk.img", 300)
    ended = run(runner, "entries disk.img", cwd=tmp_path)
    assert "the initrd /d0/x is missing" in said(ended)


def test_a_directory_in_one_extent(runner: Runner, tmp_path: Path) -> None:
    erofs_in_one_extent(tmp_path / "disk.img")
    ended = run(runner, "entries disk.img --look-in root", cwd=tmp_path)
    assert "0 boot entries" in said(ended)
    assert "root disk: by its files it is no system: there is no init" in said(ended), "it could be read"


def test_links_and_menus_that_lead_to_themselves(runner: Runner, tmp_path: Path) -> None:
    def fill(tree: Path) -> None:
        (tree / "loop").symlink_to("loop/loop/loop")
        (tree / "loader/entries/b.conf").write_text("title b\nlinux /loop\n")
        (tree / "loader/addons").symlink_to("../loop")
        (tree / "extlinux").mkdir()
        (tree / "extlinux/extlinux.conf").write_text("include extlinux.conf\n" * 1000)

    root_disk(tmp_path, fill)
    ended = run(runner, "entries disk.img --look-in root", cwd=tmp_path)
    assert "too many symbolic links" in said(ended)
    assert "the menu is too long" in said(ended) or "INCLUDE cannot be followed" in said(ended)


@pytest.mark.parametrize("command", ["inspect disk.img", "inspect disk.img --json", "boot disk.img --dry-run"])
@pytest.mark.parametrize("trees", [False, True])
def test_a_thousand_roots(command: str, trees: bool, runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").write_text("a")
    root = squash(tmp_path / "root", tmp_path / "root.img")
    rows: list[tuple[UUID, UUID, bytes]] = []
    while len(rows) < 1000:
        if not trees:
            rows.append((ROOT_X86, uuid4(), root))
            continue
        superblock = VeritySuperblock(VerityParameters(200), uuid4())
        start = superblock.tree_start(0)
        top = superblock.parameters.levels(start)[-1].start * 4096
        block = os.urandom(4096)
        area = pack_verity_superblock(superblock).ljust(top, b"\0") + block
        area = area.ljust(superblock.parameters.tree_end(start), b"\0")
        rows.append((ROOT_X86, data_uuid(BlockHasher(superblock.parameters).digest(block)), root))
        rows.append((ROOT_X86_VERITY, uuid4(), area))
    many_partitions(tmp_path / "disk.img", rows, sectors=64)
    run(runner, command, cwd=tmp_path)


@pytest.mark.parametrize("command", ["inspect disk.img", "boot disk.img --dry-run"])
def test_tables_in_partitions_of_tables(command: str, runner: Runner, tmp_path: Path) -> None:
    many = [Partition(number, LINUX, UUID(int=number), 4200 + number, 4200 + number) for number in range(1, 16_001)]
    writes = pack_gpt(new_gpt(12 * MIB, UUID(int=7), many, entry_count=16_384))
    inner = tmp_path / "inner.img"
    sparse(inner, 12 * MIB)
    with inner.open("r+b") as file:
        for offset, data in writes:
            file.seek(offset)
            file.write(data)
    rows = [(LINUX, uuid4(), inner.read_bytes())] * 25
    many_partitions(tmp_path / "disk.img", [(kind, uuid4(), table) for kind, _, table in rows], sectors=12 * MIB // 512)
    run(runner, command, cwd=tmp_path)


@pytest.mark.parametrize("command", ["inspect disk.img", "boot disk.img --dry-run"])
def test_signatures_that_are_large_and_many(command: str, runner: Runner, tmp_path: Path) -> None:
    text = (b"[" + b"[]," * (MIB - 10) + b"1]").ljust(4 * MIB, b"\0")
    rows = [(ROOT_X86_SIGNATURE, uuid4(), text) for _ in range(12)]
    many_partitions(tmp_path / "disk.img", rows, sectors=8192)
    ended = run(runner, command, cwd=tmp_path)
    if command.startswith("inspect"):
        assert "is too long to parse" in said(ended)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (gzip.compress(b"", mtime=0), "too many parts"),
        (gzip.compress(b"", mtime=0) + b"\0", "too many parts"),
        (lzma.compress(b""), "too many blocks"),
        (bytes.fromhex("28b52ffd2400010000 99e9d851"), "too many parts"),
        (bytes.fromhex("502a4d1800000000"), "too many parts"),
    ],
    ids=["gzip", "gzip, padded", "xz", "zstd", "zstd, skipped"],
)
def test_compressed_files_of_nothing_many_times(part: bytes, what: str, runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(part * 200_000)
    assert "a disk of 0 bytes is no disk" in said(run(runner, "inspect disk.img", cwd=tmp_path))
    (tmp_path / "disk.img").write_bytes(part * ((1 << 20) + 1))
    ended = run(runner, "inspect disk.img", cwd=tmp_path)
    assert ended.code == FAILED
    assert what in said(ended)


@pytest.mark.parametrize("command", ["dm table t", "dm table t --picture t.png", "dm hash --table t --select d0"])
@pytest.mark.parametrize("lines", [1, 2])
def test_devices_that_stand_on_each_other(command: str, lines: int, runner: Runner, tmp_path: Path) -> None:
    levels = 3000 if lines == 1 else 30
    rows = [f"d{level}: {row * 8} 8 linear d{level + 1} 0" for level in range(levels) for row in range(lines)]
    (tmp_path / "t").write_text("\n".join([*rows, f"d{levels}: 0 16 zero\n"]))
    ended = run(runner, command, cwd=tmp_path)
    if lines == 1:
        assert ended.code == FAILED
        assert ("picture is too large" if "png" in command else "too many devices stand on each other") in said(ended)
