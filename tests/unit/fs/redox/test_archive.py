from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import socket
import stat
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FileSystemError
from bootpath.fs.redox.redoxfs import RedoxFS, measure
from bootpath.fs.redox.values import HostTree
from tests.support.redoxfs import EPOCH_NS, MIB, assert_sound, clock, new_fs, tree_of

CLAMP_NS = EPOCH_NS


def make_tree(root: Path) -> HostTree:
    rng = random.Random(7)
    sizes = [0, 1, 3967, 3968, 131_072, 131_073, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB]
    (root / "data").mkdir(parents=True)
    for size in sizes:
        (root / "data" / f"noise {size}").write_bytes(rng.randbytes(size))
    (root / "data" / "text").write_bytes(b"text " * 100_000)
    (root / "deep" / "er" / "est").mkdir(parents=True)
    (root / "deep" / "er" / "est" / "ä❄").write_text("x")
    (root / "many").mkdir()
    for number in range(200):
        (root / "many" / f"{number:03}").write_bytes(rng.randbytes(number * 40))
    (root / "empty").mkdir(0o700)
    (root / "link").symlink_to("data/text")
    (root / "dangling").symlink_to("/nowhere/at/all")
    os.link(root / "data" / "text", root / "hard")
    os.chmod(root / "data" / "text", 0o4640)
    for number, path in enumerate(sorted(root.rglob("*"))):
        if not path.is_symlink():
            os.utime(path, ns=(EPOCH_NS, EPOCH_NS - number * 1_000_000_001))
    data = sum(sizes) + 500_000 * 2 + 1 + sum(number * 40 for number in range(200))
    return HostTree(data, len(sizes) + 2 + 1 + 200, 6, 2)


def assert_archived(fs: RedoxFS, root: Path, path: str = "/") -> None:
    """The names, types, modes, owners, times and contents below `path` are the host's."""
    expected = {p.relative_to(root).as_posix(): p for p in root.rglob("*")}
    found = {where.removeprefix(path).lstrip("/"): node for where, node in fs.walk(path)}
    del found[""]
    assert sorted(found) == sorted(expected)
    for name, host in expected.items():
        node, status = found[name], host.lstat()
        assert (node.mode, node.uid, node.gid) == (status.st_mode, status.st_uid, status.st_gid), name
        assert (node.mtime_ns, node.ctime_ns) == (status.st_mtime_ns, status.st_ctime_ns), name
        if node.is_file:
            assert fs.read(f"{path}/{name}") == host.read_bytes(), name
            assert node.links == status.st_nlink
        elif node.is_symlink:
            assert fs.readlink(f"{path}/{name}") == os.readlink(host)


def test_everything_arrives(tmp_path: Path) -> None:
    counts = make_tree(tmp_path)
    assert measure(tmp_path) == counts
    fs, device = new_fs(64 * MIB)
    archived = fs.archive(tmp_path)
    # What has two names is archived once, and linked.
    assert archived == HostTree(counts.data_bytes - 500_000, counts.files, counts.directories, counts.symlinks)
    assert_archived(fs, tmp_path)
    assert_sound(fs)
    assert len(fs.log_extents()) == 1
    assert fs.lookup("/").ctime_ns == EPOCH_NS
    fs.close()
    with RedoxFS.open(device) as fs:
        assert_archived(fs, tmp_path)


def test_into_a_directory_in_small_transactions(tmp_path: Path) -> None:
    make_tree(tmp_path)
    fs, _ = new_fs(64 * MIB)
    fs.mkdir("sub")
    generation = fs.header.generation
    fs.archive(tmp_path, "sub", batch_bytes=100_000)
    assert fs.header.generation > generation + 20
    assert_archived(fs, tmp_path, "/sub")
    assert_sound(fs)


def test_an_empty_directory(tmp_path: Path) -> None:
    fs, _ = new_fs()
    assert fs.archive(tmp_path) == HostTree(0, 0, 0, 0)
    assert fs.list("/") == []


def test_owners_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    (tmp_path / "l").symlink_to("d")
    fs, _ = new_fs()
    fs.archive(tmp_path, uid=1000, gid=100)
    owners = {(node.uid, node.gid) for path, node in fs.walk() if path != "/"}
    assert owners == {(1000, 100)}


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    make_tree(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two", symlinks=True)
    os.unlink(tmp_path / "two" / "hard")
    os.link(tmp_path / "two" / "data" / "text", tmp_path / "two" / "hard")
    os.utime(tmp_path / "one" / "many" / "007", ns=(0, CLAMP_NS + 5))
    os.utime(tmp_path / "two" / "many" / "007", ns=(7, CLAMP_NS + 6))
    images = []
    for name in ("one", "two"):
        device = MemoryDevice(64 * MIB)
        fs = RedoxFS.create(device, uuid=UUID(int=9), created_ns=EPOCH_NS, clock=clock, pristine=True)
        fs.archive(tmp_path / name, uid=0, gid=0, clamp_mtime_ns=CLAMP_NS)
        images.append(bytes(device.read(0, device.size_bytes)[0]))
        assert fs.lookup("many/007").mtime_ns == CLAMP_NS
        for _, node in fs.walk():
            assert node.atime_ns == node.ctime_ns == node.mtime_ns <= CLAMP_NS
    assert images[0] == images[1]


def test_times_before_1970_become_1970(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    os.utime(tmp_path / "old", ns=(0, -5_000_000_000))
    fs, _ = new_fs()
    fs.archive(tmp_path)
    assert fs.lookup("old").mtime_ns == 0


def test_a_file_that_is_longer_than_it_says() -> None:
    random_dir = Path("/proc/sys/kernel/random")
    boot_id = random_dir / "boot_id"
    assert boot_id.stat().st_size == 0
    fs, _ = new_fs()
    fs.archive(random_dir)
    assert fs.read("boot_id") == boot_id.read_bytes()


def test_progress(tmp_path: Path) -> None:
    counts = make_tree(tmp_path)
    calls: list[tuple[int, int, str]] = []
    fs, _ = new_fs(64 * MIB)
    fs.archive(tmp_path, progress=lambda *call: calls.append(call))
    assert calls == sorted(calls, key=lambda call: call[:2])
    assert calls[-1] == (counts.data_bytes - 500_000, counts.files, "")


def test_an_exception_of_the_callback_stops_it(tmp_path: Path) -> None:
    make_tree(tmp_path)
    for raised in (RuntimeError("enough"), KeyboardInterrupt()):

        def stop(data: int, files: int, path: str) -> None:
            raise raised  # noqa: B023 - called within this turn of the loop

        fs, _ = new_fs(64 * MIB)
        with pytest.raises(type(raised)) as caught:
            fs.archive(tmp_path, progress=stop)
        assert caught.value is raised
        assert_sound(fs)
        fs.mkdir("still usable")


def test_a_signal_stops_it(tmp_path: Path) -> None:
    make_tree(tmp_path)
    fs, _ = new_fs(64 * MIB)
    with pytest.raises(KeyboardInterrupt):
        fs.archive(tmp_path, progress=lambda *_: signal.raise_signal(signal.SIGINT))


def refused(fs: RedoxFS, root: Path, code: int, path: Path) -> None:
    before = fs.header
    with pytest.raises(FileSystemError) as error:
        fs.archive(root)
    assert error.value.errno == code
    assert error.value.where == os.fsencode(path).decode(errors="replace")
    assert fs.header == before, "nothing is written before the tree was looked at"
    with pytest.raises(FileSystemError):
        measure(root)


def test_what_redoxfs_cannot_hold(tmp_path: Path) -> None:
    fs, _ = new_fs()
    (tmp_path / "aaa").write_text("written first")
    bad = tmp_path / "d"
    bad.mkdir()
    for name, code in (("a:b", errno.EINVAL), ("n" * 253, errno.ENAMETOOLONG), ("\udcff", errno.EILSEQ)):
        (bad / name).write_text("x")
        refused(fs, tmp_path, code, bad / name)
        (bad / name).unlink()
    os.mkfifo(bad / "fifo")
    refused(fs, tmp_path, errno.EOPNOTSUPP, bad / "fifo")
    (bad / "fifo").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(bad / "s"))
        refused(fs, tmp_path, errno.EOPNOTSUPP, bad / "s")
    (bad / "s").unlink()
    if os.geteuid() == 0:
        os.mknod(bad / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        refused(fs, tmp_path, errno.EOPNOTSUPP, bad / "null")
        (bad / "null").unlink()
    fs.archive(tmp_path)
    assert fs.read("aaa") == b"written first"


def test_the_host_directory_must_be_one(tmp_path: Path) -> None:
    fs, _ = new_fs()
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileNotFoundError) as error:
        fs.archive(tmp_path / "none")
    assert error.value.filename == os.fspath(tmp_path / "none")
    with pytest.raises(NotADirectoryError):
        fs.archive(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        measure(tmp_path / "none")
    fs.mkfile("f")
    with pytest.raises(FileSystemError) as refusal:
        fs.archive(tmp_path, "f")
    assert refusal.value.errno == errno.ENOTDIR


def test_a_name_that_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("x")
    fs, _ = new_fs()
    fs.archive(tmp_path)
    with pytest.raises(FileSystemError) as error:
        fs.archive(tmp_path)
    assert error.value.errno == errno.EEXIST
    assert error.value.where == os.fspath(tmp_path / "d")


def test_a_full_image_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(random.Random(1).randbytes(100_000))
    (tmp_path / "b").write_bytes(random.Random(2).randbytes(8 * MIB))
    fs, _ = new_fs(4 * MIB)
    with pytest.raises(FileSystemError) as error:
        fs.archive(tmp_path, batch_bytes=100_000)
    assert error.value.errno == errno.ENOSPC
    assert error.value.where == os.fspath(tmp_path / "b")
    assert fs.read("a") == (tmp_path / "a").read_bytes()
    assert_sound(fs)


def test_an_encrypted_archive(tmp_path: Path) -> None:
    make_tree(tmp_path)
    device = MemoryDevice(64 * MIB)
    fs = RedoxFS.create(device, password=b"x", clock=clock)
    fs.archive(tmp_path)
    expected = tree_of(fs)
    fs.close()
    with RedoxFS.open(device, password=b"x") as fs:
        assert tree_of(fs) == expected
        assert_archived(fs, tmp_path)
