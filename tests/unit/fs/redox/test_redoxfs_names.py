from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bootpath.core.errors import FileSystemError
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.redoxfs import assert_sound, new_fs


@pytest.fixture
def fs() -> RedoxFS:
    fs, _ = new_fs()
    fs.mkdir("a")
    fs.mkdir("a/b")
    fs.mkfile("a/b/f")
    fs.write("a/b/f", b"content")
    return fs


def refused(code: int, call: Callable[[], object]) -> FileSystemError:
    with pytest.raises(FileSystemError) as error:
        call()
    assert error.value.errno == code, str(error.value)
    return error.value


def test_paths_are_normal(fs: RedoxFS) -> None:
    for path in ("a/b/f", "/a/b/f", "//a/./b//f", "/a/x/../b/f", "/../a/b/f"):
        assert fs.read(path) == b"content"
    for path in ("", "/", ".", "..", "a/.."):
        assert fs.lookup(path).id == 1


def test_what_is_not_there(fs: RedoxFS) -> None:
    error = refused(errno.ENOENT, lambda: fs.lookup("/a/none"))
    assert str(error) == "memory: /a/none: no such file or directory"
    refused(errno.ENOENT, lambda: fs.lookup("none/none"))
    refused(errno.ENOTDIR, lambda: fs.lookup("a/b/f/g"))
    refused(errno.ENOTDIR, lambda: fs.list("a/b/f"))
    assert fs.exists("a/b/f")
    assert not fs.exists("a/none")
    assert not fs.exists("a/b/f/g")


def test_lists_are_sorted(fs: RedoxFS) -> None:
    names = [f"{number:03}" for number in range(200)]
    for name in reversed(names):
        fs.mkfile(f"a/{name}")
    entries = fs.list("a")
    assert [entry.name for entry in entries] == [*names, "b"]
    assert entries[-1].node == fs.lookup("a/b")
    assert_sound(fs)


def test_walk_is_depth_first_and_sorted(fs: RedoxFS) -> None:
    fs.mkfile("z")
    fs.mkfile("a/a")
    fs.symlink("/a", "a/loop")
    paths = [path for path, _ in fs.walk()]
    assert paths == ["/", "/a", "/a/a", "/a/b", "/a/b/f", "/a/loop", "/z"]
    assert [path for path, _ in fs.walk("a/b")] == ["/a/b", "/a/b/f"]
    assert [path for path, _ in fs.walk("/z")] == ["/z"]


def test_creating(fs: RedoxFS) -> None:
    assert fs.mkdir("a/d", 0o700).permissions == 0o700
    assert fs.mkfile("a/d/x", 0o640).is_file
    for call in (lambda: fs.mkdir("a/b"), lambda: fs.mkfile("a/b"), lambda: fs.symlink("x", "a/b")):
        refused(errno.EEXIST, call)
    refused(errno.ENOENT, lambda: fs.mkdir("none/d"))
    refused(errno.ENOTDIR, lambda: fs.mkdir("a/b/f/d"))
    refused(errno.EBUSY, lambda: fs.mkdir("/"))


@pytest.mark.parametrize("name", ["with:colon", "with\0nul"])
def test_impossible_names(fs: RedoxFS, name: str) -> None:
    for call in (
        lambda: fs.mkfile(name),
        lambda: fs.link("a/b/f", name),
        lambda: fs.rename("a/b/f", name),
    ):
        refused(errno.EINVAL, call)


def test_long_names(fs: RedoxFS) -> None:
    fs.mkfile("n" * 252)
    fs.mkfile("ä" * 126)
    assert fs.exists("n" * 252)
    for call in (
        lambda: fs.mkfile("n" * 253),
        lambda: fs.mkdir("ä" * 127),
        lambda: fs.link("a/b/f", "n" * 253),
        lambda: fs.rename("a/b/f", "n" * 253),
    ):
        refused(errno.ENAMETOOLONG, call)
    refused(errno.EILSEQ, lambda: fs.mkfile("\udcff"))


def test_symbolic_links_are_followed(fs: RedoxFS) -> None:
    fs.symlink("b/f", "a/relative")
    fs.symlink("/a/b", "absolute")
    fs.symlink("../a/./b/", "a/up")
    assert fs.read("a/relative") == b"content"
    assert fs.read("absolute/f") == b"content"
    assert fs.read("a/up/f") == b"content"
    assert fs.readlink("absolute") == "/a/b"
    assert fs.lookup("absolute").is_dir
    link = fs.lookup("absolute", follow=False)
    assert link.is_symlink
    assert link.size_bytes == 4
    fs.chown("absolute", uid=7, follow=False)
    assert fs.lookup("absolute", follow=False).uid == 7
    assert fs.lookup("absolute").uid == 0
    refused(errno.EINVAL, lambda: fs.readlink("a/b/f"))


def test_names_are_made_in_the_linked_directory(fs: RedoxFS) -> None:
    fs.symlink("a/b", "link")
    fs.mkfile("link/new")
    assert fs.exists("a/b/new")
    fs.unlink("link")
    assert fs.exists("a/b/new")


def test_links_end(fs: RedoxFS) -> None:
    fs.symlink("loop", "loop")
    fs.symlink("two", "one")
    fs.symlink("one", "two")
    fs.symlink("gone", "dangling")
    refused(errno.ELOOP, lambda: fs.lookup("loop"))
    refused(errno.ELOOP, lambda: fs.exists("one/x"))
    refused(errno.ENOENT, lambda: fs.read("dangling"))
    assert not fs.exists("dangling")
    assert fs.lookup("loop", follow=False).is_symlink


def test_link_targets(fs: RedoxFS) -> None:
    for length in (3966, 3967, 3968, 4095):
        fs.symlink("t" * length, f"l{length}")
        assert fs.readlink(f"l{length}") == "t" * length
    fs.symlink("\udcff", "bytes")
    assert fs.readlink("bytes") == "\udcff"
    refused(errno.ENAMETOOLONG, lambda: fs.symlink("t" * 4096, "x"))
    refused(errno.EINVAL, lambda: fs.symlink("", "x"))
    refused(errno.EINVAL, lambda: fs.symlink("a\0b", "x"))
    assert_sound(fs)


def test_hard_links(fs: RedoxFS) -> None:
    fs.link("a/b/f", "g")
    assert fs.lookup("g") == fs.lookup("a/b/f")
    assert fs.lookup("g").links == 2
    fs.unlink("a/b/f")
    assert fs.read("g") == b"content"
    assert fs.lookup("g").links == 1
    refused(errno.EPERM, lambda: fs.link("a", "c"))
    refused(errno.EEXIST, lambda: fs.link("g", "a"))
    assert_sound(fs)


def test_renaming(fs: RedoxFS) -> None:
    fs.rename("a/b/f", "g")
    assert fs.read("g") == b"content"
    assert not fs.exists("a/b/f")
    fs.mkfile("h")
    fs.rename("g", "h")
    assert fs.read("h") == b"content"
    fs.rename("h", "h")
    fs.link("h", "i")
    fs.rename("h", "i")
    assert fs.exists("h")
    fs.rename("a/b", "c")
    assert [entry.name for entry in fs.list("/")] == ["a", "c", "h", "i"]
    assert_sound(fs)


def test_what_renaming_refuses(fs: RedoxFS) -> None:
    fs.mkdir("empty")
    fs.mkfile("file")
    refused(errno.ENOENT, lambda: fs.rename("none", "x"))
    refused(errno.EINVAL, lambda: fs.rename("a", "a/b/a"))
    refused(errno.EINVAL, lambda: fs.rename("a", "a/x"))
    refused(errno.ENOTDIR, lambda: fs.rename("a", "file"))
    refused(errno.EISDIR, lambda: fs.rename("file", "empty"))
    refused(errno.ENOTEMPTY, lambda: fs.rename("empty", "a"))
    refused(errno.EBUSY, lambda: fs.rename("/", "x"))
    fs.rename("a", "empty")
    assert fs.read("empty/b/f") == b"content"


def test_removing(fs: RedoxFS) -> None:
    refused(errno.EISDIR, lambda: fs.unlink("a"))
    refused(errno.ENOTDIR, lambda: fs.rmdir("a/b/f"))
    refused(errno.ENOTEMPTY, lambda: fs.rmdir("a"))
    refused(errno.ENOENT, lambda: fs.unlink("none"))
    refused(errno.EBUSY, lambda: fs.rmdir("/"))
    fs.unlink("a/b/f")
    fs.rmdir("a/b")
    fs.rmdir("a")
    assert fs.list("/") == []
    assert_sound(fs)


def test_a_directory_grows_and_shrinks(fs: RedoxFS) -> None:
    names = [f"{number:04} {'n' * 200}" for number in range(400)]
    fs.cleanup()
    before = fs.free_bytes
    for name in names:
        fs.mkfile(f"a/b/{name}")
    assert_sound(fs)
    assert all(fs.exists(f"a/b/{name}") for name in names)
    for name in names[::2] + names[1::2]:
        fs.unlink(f"a/b/{name}")
    fs.cleanup()
    assert [entry.name for entry in fs.list("a/b")] == ["f"]
    # A directory keeps the root of its hash tree once it has one.
    assert before - fs.free_bytes == 4096
    assert_sound(fs)
