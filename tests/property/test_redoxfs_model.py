"""RedoxFS against a dict: whatever is done to both, both say the same, and no block is lost or used twice."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bootpath.core.errors import FileSystemError
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.redoxfs import EPOCH_NS, assert_sound, clock, new_fs

NAMES = st.sampled_from(["a", "b", "c", "d.txt", "ein ganz langer Name " * 8, "ä❄"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
# Around the sizes where the crate changes its mind: inline data, one block, one record, two.
SIZES = st.one_of(st.integers(0, 20), st.integers(3950, 4200), st.integers(131_000, 131_150), st.integers(0, 300_000))
MODES = st.integers(0, 0o7777)


@dataclass
class File:
    data: bytearray = field(default_factory=bytearray)
    mode: int = 0o644


@dataclass
class Directory:
    entries: dict[str, File | Directory] = field(default_factory=dict)
    mode: int = 0o755


class RefusedError(Exception):
    """The model's errno."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Model:
    """What POSIX says."""

    def __init__(self) -> None:
        self.root = Directory()

    def find(self, path: tuple[str, ...]) -> File | Directory:
        node: File | Directory = self.root
        for name in path:
            if not isinstance(node, Directory):
                raise RefusedError(errno.ENOTDIR)
            if name not in node.entries:
                raise RefusedError(errno.ENOENT)
            node = node.entries[name]
        return node

    def directory(self, path: tuple[str, ...]) -> Directory:
        node = self.find(path)
        if not isinstance(node, Directory):
            raise RefusedError(errno.ENOTDIR)
        return node

    def file(self, path: tuple[str, ...]) -> File:
        node = self.find(path)
        if not isinstance(node, File):
            raise RefusedError(errno.EISDIR)
        return node

    def add(self, path: tuple[str, ...], node: File | Directory) -> None:
        parent = self.directory(path[:-1])
        if path[-1] in parent.entries:
            raise RefusedError(errno.EEXIST)
        parent.entries[path[-1]] = node

    def write(self, path: tuple[str, ...], offset: int, data: bytes) -> None:
        content = self.file(path).data
        if data:
            content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data

    def truncate(self, path: tuple[str, ...], size: int) -> None:
        content = self.file(path).data
        del content[size:]
        content.extend(bytes(size - len(content)))

    def link(self, path: tuple[str, ...], new: tuple[str, ...]) -> None:
        node = self.find(path)
        parent = self.directory(new[:-1])
        if new[-1] in parent.entries:
            raise RefusedError(errno.EEXIST)
        if isinstance(node, Directory):
            raise RefusedError(errno.EPERM)
        parent.entries[new[-1]] = node

    def rename(self, path: tuple[str, ...], new: tuple[str, ...]) -> None:
        parent = self.directory(path[:-1])
        target = self.directory(new[:-1])
        if new[: len(path)] == path and new != path:
            raise RefusedError(errno.EINVAL)
        node = self.find(path)
        replaced = target.entries.get(new[-1])
        if replaced is node:
            return
        if replaced is not None:
            if isinstance(node, Directory) and not isinstance(replaced, Directory):
                raise RefusedError(errno.ENOTDIR)
            if isinstance(replaced, Directory) and not isinstance(node, Directory):
                raise RefusedError(errno.EISDIR)
            if isinstance(replaced, Directory) and replaced.entries:
                raise RefusedError(errno.ENOTEMPTY)
        del parent.entries[path[-1]]
        target.entries[new[-1]] = node

    def unlink(self, path: tuple[str, ...]) -> None:
        self.file(path)
        del self.directory(path[:-1]).entries[path[-1]]

    def rmdir(self, path: tuple[str, ...]) -> None:
        if self.directory(path).entries:
            raise RefusedError(errno.ENOTEMPTY)
        del self.directory(path[:-1]).entries[path[-1]]

    def chmod(self, path: tuple[str, ...], mode: int) -> None:
        self.find(path).mode = mode

    def flat(self) -> dict[str, tuple[int, bytes | None]]:
        flat: dict[str, tuple[int, bytes | None]] = {}

        def visit(path: str, node: File | Directory) -> None:
            flat[path or "/"] = (node.mode, bytes(node.data) if isinstance(node, File) else None)
            if isinstance(node, Directory):
                for name in sorted(node.entries):
                    visit(f"{path}/{name}", node.entries[name])

        visit("", self.root)
        return flat


def flat(fs: RedoxFS) -> dict[str, tuple[int, bytes | None]]:
    return {path: (node.permissions, fs.read(path) if node.is_file else None) for path, node in fs.walk()}


class RedoxFSMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.fs, self.device = new_fs()
        self.model = Model()
        self.changed = True

    def teardown(self) -> None:
        assert_sound(self.fs)
        self.fs.close()

    def both(self, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
        expected = 0
        try:
            theirs()
        except RefusedError as refused:
            expected = refused.code
        found = 0
        try:
            ours()
        except FileSystemError as error:
            found = error.errno
        assert found == expected, (os.strerror(found), os.strerror(expected))

    @rule(path=PATHS, mode=MODES)
    def mkfile(self, path: tuple[str, ...], mode: int) -> None:
        self.both(lambda: self.fs.mkfile("/".join(path), mode), lambda: self.model.add(path, File(mode=mode)))

    @rule(path=PATHS, mode=MODES)
    def mkdir(self, path: tuple[str, ...], mode: int) -> None:
        self.both(lambda: self.fs.mkdir("/".join(path), mode), lambda: self.model.add(path, Directory(mode=mode)))

    @rule(path=PATHS, offset=SIZES, size=SIZES, seed=st.integers(1, 255), noise=st.booleans())
    def write(self, path: tuple[str, ...], offset: int, size: int, seed: int, noise: bool) -> None:
        pattern = bytes((seed * n * n) % 251 for n in range(251)) if noise else bytes([seed])
        data = (pattern * (size // len(pattern) + 1))[:size]
        self.both(lambda: self.fs.write("/".join(path), data, offset), lambda: self.model.write(path, offset, data))

    @rule(path=PATHS, size=SIZES)
    def truncate(self, path: tuple[str, ...], size: int) -> None:
        self.both(lambda: self.fs.truncate("/".join(path), size), lambda: self.model.truncate(path, size))

    @rule(path=PATHS, new=PATHS)
    def link(self, path: tuple[str, ...], new: tuple[str, ...]) -> None:
        self.both(lambda: self.fs.link("/".join(path), "/".join(new)), lambda: self.model.link(path, new))

    @rule(path=PATHS, new=PATHS)
    def rename(self, path: tuple[str, ...], new: tuple[str, ...]) -> None:
        self.both(lambda: self.fs.rename("/".join(path), "/".join(new)), lambda: self.model.rename(path, new))

    @rule(path=PATHS)
    def unlink(self, path: tuple[str, ...]) -> None:
        self.both(lambda: self.fs.unlink("/".join(path)), lambda: self.model.unlink(path))

    @rule(path=PATHS)
    def rmdir(self, path: tuple[str, ...]) -> None:
        self.both(lambda: self.fs.rmdir("/".join(path)), lambda: self.model.rmdir(path))

    @rule(path=PATHS, mode=MODES)
    def chmod(self, path: tuple[str, ...], mode: int) -> None:
        self.both(lambda: self.fs.chmod("/".join(path), mode), lambda: self.model.chmod(path, mode))

    @rule(directory=PATHS, count=st.integers(1, 60))
    def fill(self, directory: tuple[str, ...], count: int) -> None:
        """Many names at once, so that a directory needs more than one block."""

        def ours() -> None:
            for index in range(count):
                self.fs.mkfile(f"{'/'.join(directory)}/{index:03} {'n' * 150}")

        def theirs() -> None:
            for index in range(count):
                self.model.add((*directory, f"{index:03} {'n' * 150}"), File())

        self.both(ours, theirs)

    @rule(cleanup=st.booleans())
    def reopen(self, cleanup: bool) -> None:
        self.fs.close()
        self.fs = RedoxFS.open(self.device, cleanup=cleanup, clock=clock)

    @rule()
    def cleanup(self) -> None:
        self.fs.cleanup()

    @invariant()
    def same(self) -> None:
        assert flat(self.fs) == self.model.flat()
        assert self.fs.lookup("/").ctime_ns == EPOCH_NS


RedoxFSMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRedoxFSModel = RedoxFSMachine.TestCase
