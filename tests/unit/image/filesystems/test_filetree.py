from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from bootpath.core.errors import Error
from bootpath.formats.repart.definition import CopyFiles
from bootpath.image.filesystems.filetree import FileTree, collect_tree
from bootpath.image.filesystems.treecopy import copy_tree


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for path in ("a/b/file", "a/other", "c/file"):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)
    (tmp_path / "a/link").symlink_to("nowhere")
    os.link(tmp_path / "a/other", tmp_path / "a/b/hard")
    return tmp_path


def paths(tree: FileTree) -> list[str]:
    return [entry.path for entry in tree.entries]


def test_a_directory_as_it_stands_is_read_from_where_it_is(base: Path) -> None:
    tree = collect_tree([CopyFiles("/a", "/")], base=base)
    assert paths(tree) == ["/", "/b", "/b/file", "/b/hard", "/link", "/other"]
    assert tree.whole == base / "a"
    assert tree.data_bytes == len("a/b/file") + len("a/other")


def test_sources_are_merged_and_the_last_one_counts(base: Path) -> None:
    tree = collect_tree([CopyFiles("/a", "/x"), CopyFiles("/c", "/x/b")], directories=["/proc", "/x"], base=base)
    assert paths(tree) == ["/", "/proc", "/x", "/x/b", "/x/b/file", "/x/b/hard", "/x/link", "/x/other"]
    assert tree.whole is None
    entry = next(each for each in tree.entries if each.path == "/x/b/file")
    assert entry.source == base / "c/file"


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        (["/a/b"], ["/", "/link", "/other"]),
        (["/a/b/"], ["/", "/b", "/link", "/other"]),
        (["/a/b/file", "/a/link"], ["/", "/b", "/b/hard", "/other"]),
        (["/a/nothing"], ["/", "/b", "/b/file", "/b/hard", "/link", "/other"]),
        (["/a"], ["/"]),
    ],
)
def test_what_is_left_out(base: Path, excluded: list[str], expected: list[str]) -> None:
    assert paths(collect_tree([CopyFiles("/a", "/")], excluded=excluded, base=base)) == expected


@pytest.mark.parametrize(
    ("copies", "directories", "message"),
    [
        ([("/nothing", "/")], [], "the source of CopyFiles= does not exist"),
        ([("/a/other", "/")], [], "a file cannot be the root"),
        ([("/a/other", "/x"), ("/c", "/x")], [], "would replace a file by a directory"),
        ([("/a", "/x"), ("/a/other", "/x")], [], "would replace a directory by a file"),
        ([("/a/other", "/x")], ["/x"], "MakeDirectories= asks for a directory"),
        ([("/a/other", "/x"), ("/c/file", "/x/y")], [], "a directory is needed there"),
    ],
)
def test_what_cannot_be_is_refused(
    base: Path, copies: list[tuple[str, str]], directories: list[str], message: str
) -> None:
    with pytest.raises(Error, match=message):
        collect_tree([CopyFiles(*each) for each in copies], directories=directories, base=base)


def test_a_deep_tree_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    fd = os.open(tmp_path / "top", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        assert len(paths(collect_tree([CopyFiles("/top", "/")], base=tmp_path))) == 1201
    finally:
        subprocess.run(["rm", "-r", tmp_path / "top"], check=True)  # it is too deep for pytest


def test_a_copy_is_the_tree(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (base / "a/b").chmod(0o1755)
    (base / "a/other").chmod(0o4711)
    os.utime(base / "a/b", ns=(1, 2_000_000_003))
    os.mkfifo(base / "a/pipe")
    os.setxattr(base / "a/other", "user.note", b"x")
    target = tmp_path_factory.mktemp("copy") / "tree"
    copy_tree(collect_tree([CopyFiles("/a", "/")], directories=["/new"], base=base), target)
    assert (target / "b/file").read_text() == "a/b/file"
    assert (target / "link").readlink() == Path("nowhere")
    assert stat.S_ISFIFO((target / "pipe").stat().st_mode)
    assert stat.S_IMODE((target / "b").stat().st_mode) == 0o1755
    assert stat.S_IMODE((target / "other").stat().st_mode) == 0o4711
    assert stat.S_IMODE((target / "new").stat().st_mode) == 0o755
    assert (target / "b").stat().st_mtime_ns == 2_000_000_003
    assert (target / "other").stat().st_ino == (target / "b/hard").stat().st_ino
    assert os.getxattr(target / "other", "user.note") == b"x"
