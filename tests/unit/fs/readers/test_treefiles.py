"""Paths, links and limits over a tree in memory, and against the kernel's own path resolution."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FileSystemError, FormatError, LimitError
from bootpath.core.extents import Extent
from bootpath.core.limits import limits_raised
from bootpath.fs.readers.files import MAX_LINKS_FOLLOWED, DirectoryEntry, FileKind, FileNode
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import Child, TreeFiles, check_directory_size

Content = bytes | str | dict[str, int]


class Model:
    """A tree of numbered nodes: bytes are files, str links, dicts directories."""

    warnings: Sequence[str] = ("model",)
    root = 0

    def __init__(self, nodes: Mapping[int, Content], *, upper: bool = False) -> None:
        self.nodes = nodes
        self.upper = upper
        self.source = Source(MemoryDevice(4096), "model")
        self.listed = 0

    def node(self, ref: int) -> FileNode:
        content = self.nodes[ref]
        if isinstance(content, dict):
            return FileNode(ref, FileKind.DIRECTORY, stat.S_IFDIR | 0o755, 0)
        if isinstance(content, str):
            return FileNode(ref, FileKind.SYMLINK, stat.S_IFLNK | 0o777, len(os.fsencode(content)))
        if content == b"fifo":
            return FileNode(ref, FileKind.FIFO, stat.S_IFIFO | 0o600, 0)
        return FileNode(ref, FileKind.FILE, stat.S_IFREG | 0o644, len(content))

    def children(self, ref: int) -> Iterator[Child[int]]:
        content = self.nodes[ref]
        assert isinstance(content, dict)
        self.listed += 1
        for name, child in content.items():
            yield Child(name, self.node(child).kind, child, alias=f"{name[:3]}~1" if self.upper else None)

    def fold(self, name: str) -> str:
        return name.upper() if self.upper else name

    def read(self, ref: int, offset: int, length: int) -> bytes:
        content = self.nodes[ref]
        assert not isinstance(content, dict)
        data = os.fsencode(content) if isinstance(content, str) else content
        assert offset >= 0
        assert 0 < length <= len(data) - offset
        return data[offset : offset + length]

    def extents(self, ref: int) -> Iterator[Extent]:
        yield from (Extent(0, 10), Extent(10, 5), Extent(100, 1))

    def doubts(self, ref: int) -> Iterator[str]:
        yield f"is {ref}"


def files(nodes: Mapping[int, Content], *, upper: bool = False) -> TreeFiles[int]:
    return TreeFiles(Model(nodes, upper=upper))


NODES: dict[int, Content] = {
    0: {
        "dir": 1,
        "file": 2,
        "empty": 9,
        "abs": 3,
        "rel": 4,
        "loop": 5,
        "out": 6,
        "fifo": 7,
        "none": 8,
        "": 2,
        "slash": 12,
    },
    1: {"file": 10, "up": 11},
    2: b"content",
    3: "/dir/file",
    4: "dir/../dir/./file",
    5: "loop",
    6: "../../../../dir/file",
    7: b"fifo",
    8: "nowhere/at/all",
    9: b"",
    10: b"inner",
    11: "../file",
    12: "dir/",
}


def refused(call: object, path: str, code: int) -> None:
    with pytest.raises(FileSystemError) as caught:
        call(path)  # type: ignore[operator]
    assert caught.value.errno == code
    assert path[:60] in str(caught.value)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("file", b"content"),
        ("/file", b"content"),
        ("//dir//file", b"inner"),
        ("./dir/./file", b"inner"),
        ("../../dir/file", b"inner"),
        ("dir/../file", b"content"),
        ("abs", b"inner"),
        ("rel", b"inner"),
        ("out", b"inner"),
        ("dir/up", b"content"),
        ("slash/up", b"content"),
        ("slash/../file", b"content"),
        ("empty", b""),
    ],
)
def test_resolution(path: str, data: bytes) -> None:
    tree = files(NODES)
    assert tree.read_file(path, 100) == data
    assert tree.read(path, 0, 100) == data
    assert tree.lookup(path).size_bytes == len(data)
    assert tree.exists(path)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nothing", errno.ENOENT),
        ("dir/nothing/more", errno.ENOENT),
        ("none", errno.ENOENT),
        ("file/", errno.ENOTDIR),
        ("file/more", errno.ENOTDIR),
        ("file/..", errno.ENOTDIR),
        ("abs/", errno.ENOTDIR),
        ("loop", errno.ELOOP),
        ("dir", errno.EISDIR),
        ("/", errno.EISDIR),
        ("slash", errno.EISDIR),
        ("fifo", errno.EINVAL),
        ("x" * 5000, errno.ENAMETOOLONG),
    ],
)
def test_refusals(path: str, code: int) -> None:
    tree = files(NODES)
    refused(lambda path: tree.read(path, 0, 1), path, code)
    refused(lambda path: tree.read_file(path, 1), path, code)
    if code in (errno.ENOENT, errno.ENOTDIR):
        assert not tree.exists(path)


def test_links() -> None:
    tree = files(NODES)
    assert tree.readlink("abs") == "/dir/file"
    assert tree.lookup("loop", follow=False).kind is FileKind.SYMLINK
    assert tree.lookup("slash/", follow=False).kind is FileKind.DIRECTORY, "a slash at the end follows, as in Linux"
    refused(tree.readlink, "file", errno.EINVAL)
    refused(tree.exists, "loop", errno.ELOOP)
    empty = files({0: {"link": 1}, 1: ""})
    refused(empty.lookup, "link", errno.ENOENT)
    with pytest.raises(FormatError, match="the target of the symbolic link is too long"):
        files({0: {"link": 1}, 1: "x" * 5000}).lookup("link")


@pytest.mark.parametrize("count", [MAX_LINKS_FOLLOWED, MAX_LINKS_FOLLOWED + 1])
def test_forty_links_are_followed(count: int) -> None:
    nodes: dict[int, Content] = {0: {f"l{number}": number + 1 for number in range(count)} | {"end": 100}, 100: b"end"}
    nodes |= {number + 1: f"l{number + 1}" for number in range(count - 1)} | {count: "end"}
    if count == MAX_LINKS_FOLLOWED:
        assert files(nodes).read_file("l0", 10) == b"end"
    else:
        refused(files(nodes).lookup, "l0", errno.ELOOP)


def test_ranges_and_limits() -> None:
    tree = files(NODES)
    assert tree.read("file", 3, 2) == b"te"
    assert tree.read("file", 5, 100) == b"nt"
    assert tree.read("file", 7, 1) == tree.read("file", 100, 1) == tree.read("file", 0, 0) == b""
    with pytest.raises(ValueError, match="negative"):
        tree.read("file", -1, 1)
    with pytest.raises(ValueError, match="negative"):
        tree.read("file", 0, -1)
    assert tree.read_file("file", 7) == b"content"
    with pytest.raises(FileSystemError, match=r"the file has 7 bytes, and at most 6 are allowed") as caught:
        tree.read_file("file", 6)
    assert caught.value.errno == errno.EFBIG
    assert tree.extents("file") == [Extent(0, 15), Extent(100, 1)]
    refused(tree.extents, "dir", errno.EISDIR)


def test_listing_and_walking() -> None:
    tree = files({0: {"b": 1, "a": 2, "é": 2}, 1: {"z": 2}, 2: b"x"})
    assert tree.list() == [
        DirectoryEntry("a", FileKind.FILE),
        DirectoryEntry("b", FileKind.DIRECTORY),
        DirectoryEntry("é", FileKind.FILE),
    ]
    assert [path for path, _ in tree.walk()] == ["/", "/a", "/b", "/b/z", "/é"]
    assert [path for path, _ in tree.walk("b")] == ["/b", "/b/z"]
    refused(tree.list, "a", errno.ENOTDIR)
    assert tree.warnings == ("model",)
    assert tree.format == "model"


def test_a_directory_inside_itself_ends_a_walk() -> None:
    tree = files({0: {"d": 1}, 1: {"d": 1}})
    assert tree.lookup("d/d/d/d/d").id == 1
    with pytest.raises(FormatError, match=r"'/d/d' is reached twice"):
        list(tree.walk())


def test_case_and_short_names() -> None:
    tree = files({0: {"Loader.conf": 1, "other": 2}, 1: b"a", 2: b"b"}, upper=True)
    assert tree.read_file("LOADER.CONF", 1) == tree.read_file("loa~1", 1) == b"a"
    assert [entry.name for entry in tree.list()] == ["Loader.conf", "other"]
    assert [path for path, _ in tree.walk()] == ["/", "/Loader.conf", "/other"]


def test_doubts_are_those_of_the_file() -> None:
    tree = files(NODES)
    assert tree.doubts("/rel") == ("is 10",)
    refused(tree.doubts, "/dir", errno.EISDIR)
    refused(tree.doubts, "/nothing", errno.ENOENT)


def test_directories_are_read_once_and_all_together_have_a_limit() -> None:
    many: Content = {f"f{number}": 99 for number in range(5000)}
    model = Model({0: {"a": 1, "b": 2, "c": 3}, 1: many, 2: many, 3: many, 99: b"x"})
    tree = TreeFiles(model)
    for number in range(0, 5000, 100):
        assert tree.lookup(f"/a/f{number}").size_bytes == 1
    assert model.listed == 2
    with limits_raised(directory_names=10_003):
        assert len(tree.list("/b")) == 5000
        with pytest.raises(LimitError, match="too many names"):
            tree.list("/c")
        assert len(list(tree.walk("/c"))) == 5001, "what is only walked is not kept"


def test_directories_have_a_size() -> None:
    source = Source(MemoryDevice(512), "model")
    check_directory_size(source, 16 << 20)
    with pytest.raises(FormatError, match="memory: model: the directory is too large; expected at most 16777216 bytes"):
        check_directory_size(source, (16 << 20) + 1)


def test_equals_the_kernel(tmp_path: Path) -> None:
    """The same tree here and in the model: random paths end at the same node, or with the same errno."""
    # The tree stands deep, so that no ".." leaves it here.
    depth = 12
    nodes: dict[int, Content] = {number: {"r": number + 1} for number in range(depth)}
    nodes[depth] = {}
    base = tmp_path / "/".join("r" * depth)
    base.mkdir(parents=True)
    random = Random(4)
    places: list[tuple[int, Path]] = [(depth, base)]
    ids = {place.stat().st_ino: depth - up for up, place in enumerate((base, *base.parents[:depth]))}
    for number in range(depth + 1, 80):
        parent, path = random.choice(places)
        name = random.choice("abcdef")
        directory = nodes[parent]
        assert isinstance(directory, dict)
        if name in directory:
            continue
        directory[name] = number
        here = path / name
        match random.randrange(4):
            case 0:
                nodes[number] = b"x"
                here.write_bytes(b"x")
                ids[here.stat().st_ino] = number
            case 1:
                target = "/".join(random.choice(("a", "b", "c", "d", ".", "..")) for _ in range(random.randint(1, 3)))
                nodes[number] = target
                here.symlink_to(target)
            case _:
                nodes[number] = {}
                here.mkdir()
                places.append((number, here))
                ids[here.stat().st_ino] = number
    tree = files(nodes)
    found = 0
    for _ in range(3000):
        names = [random.choice("aabbccdef") if random.randrange(9) else "." for _ in range(random.randint(1, 5))]
        end = "/".join(names) + random.choice(("", "", "/"))
        wanted = "/".join("r" * depth) + "/" + end
        try:
            expected = ids[os.stat(f"{base}/{end}").st_ino]
            found += 1
        except OSError as error:
            expected = -(error.errno or 0)
        try:
            answer = tree.lookup(wanted).id
        except FileSystemError as refusal:
            answer = -refusal.errno
        assert answer == expected, end
    assert found > 300
