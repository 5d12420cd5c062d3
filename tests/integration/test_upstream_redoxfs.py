"""Against Redox's own programs and the kernel's FUSE: images of theirs read by us, images of ours read by them."""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import DeviceError, FileSystemError, FormatError
from bootpath.fs.redox.mounting import Mount, mounted_at
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.ring import scan_ring
from tests.support.redoxfs import EPOCH_NS, MIB, Indirect, assert_sound, clock
from tests.support.tools import tool
from tests.support.upstream import need_fuse, upstream, upstream_mount

SIZE = 32 * MIB


def make_tree(root: Path) -> Path:
    rng = random.Random(11)
    (root / "usr" / "bin").mkdir(parents=True)
    for size in (0, 10, 3967, 3968, 131_072, 131_073, 5 * MIB):
        (root / "usr" / f"noise {size}").write_bytes(rng.randbytes(size))
    (root / "usr" / "text").write_bytes(b"text " * 50_000)
    for number in range(150):
        (root / "usr" / "bin" / f"{number} {'n' * 100}").write_bytes(rng.randbytes(number * 10))
    (root / "link").symlink_to("usr/text")
    (root / "empty").mkdir()
    os.chmod(root / "usr" / "text", 0o751)
    return root


def host_tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(root).as_posix(): (
            path.lstat().st_mode,
            os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
    }


def image_tree(fs: RedoxFS) -> dict[str, tuple[int, bytes]]:
    return {
        path[1:]: (
            node.mode,
            fs.readlink(path).encode() if node.is_symlink else fs.read(path) if node.is_file else b"",
        )
        for path, node in fs.walk()
        if path != "/"
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def mountpoint(tmp_path: Path) -> Path:
    path = tmp_path / "mnt"
    path.mkdir()
    return path


def build(image: Path, tree: Path) -> None:
    device = FileDevice.open(image, writable=True)
    with RedoxFS.create(device, uuid=UUID(int=3), created_ns=EPOCH_NS, clock=clock, pristine=True) as fs:
        fs.archive(tree)
    device.close()


# Their programs


def test_an_image_of_theirs_is_read(tree: Path, image: Path) -> None:
    subprocess.run([upstream("redoxfs-ar"), image, tree], check=True, capture_output=True)
    with RedoxFS.open(FileDevice.open(image)) as fs:
        assert image_tree(fs) == host_tree(tree)
        assert_sound(fs)


def test_a_boot_loader_before_their_file_system(tree: Path, image: Path, tmp_path: Path) -> None:
    loader = tmp_path / "loader"
    loader.write_bytes(b"boot" * 3000)
    subprocess.run([upstream("redoxfs-ar"), image, tree, loader], check=True, capture_output=True)
    device = FileDevice.open(image)
    with RedoxFS.open(device, block=None) as fs:
        assert fs.start_bytes == 12_288
        assert image_tree(fs) == host_tree(tree)
        newest = scan_ring(device, fs.start_bytes).newest
        assert newest is not None
        assert newest.uuid == fs.header.uuid


def test_their_empty_file_system_is_like_ours(image: Path) -> None:
    subprocess.run([upstream("redoxfs-mkfs"), image], check=True, capture_output=True)
    with RedoxFS.open(FileDevice.open(image, writable=True), clock=clock) as fs:
        assert fs.list("/") == []
        assert_sound(fs)
        ours = RedoxFS.create(MemoryDevice(SIZE), clock=clock)
        assert fs.free_bytes == ours.free_bytes
        fs.mkfile("f")
        fs.write("f", b"ours")
    with RedoxFS.open(FileDevice.open(image)) as fs:
        assert fs.read("f") == b"ours"


def test_an_image_of_ours_is_mounted_by_theirs(tree: Path, image: Path, mountpoint: Path) -> None:
    build(image, tree)
    with upstream_mount(image, mountpoint):
        assert host_tree(mountpoint) == host_tree(tree)
        (mountpoint / "written").write_bytes(b"by theirs" * 30_000)
        (mountpoint / "usr" / "text").unlink()
    with RedoxFS.open(FileDevice.open(image)) as fs:
        assert fs.read("written") == b"by theirs" * 30_000
        assert not fs.exists("usr/text")


def test_a_reserved_image_of_ours_is_found_by_theirs(tree: Path, image: Path, mountpoint: Path) -> None:
    with RedoxFS.create(FileDevice.open(image, writable=True), reserved=b"x" * 5000) as fs:
        fs.archive(tree)
    with upstream_mount(image, mountpoint):
        assert host_tree(mountpoint) == host_tree(tree)


def test_their_clone_of_ours(tree: Path, image: Path, tmp_path: Path) -> None:
    build(image, tree)
    copy = tmp_path / "copy.img"
    with copy.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run([upstream("redoxfs-clone"), image, copy], check=True, capture_output=True)
    with RedoxFS.open(FileDevice.open(copy)) as fs:
        assert image_tree(fs) == host_tree(tree)


# Our mount


def open_mount(image: Path, mountpoint: Path) -> Mount:
    need_fuse()
    return Mount(FileDevice.open(image, writable=True), mountpoint)


def test_our_mount_reads_and_writes(tree: Path, image: Path, mountpoint: Path) -> None:
    build(image, tree)
    with open_mount(image, mountpoint) as mount:
        assert mount.is_served
        assert mounted_at(mountpoint)
        assert host_tree(mountpoint) == host_tree(tree)
        (mountpoint / "new").write_bytes(b"x" * 300_000)
        (mountpoint / "usr" / "text").rename(mountpoint / "empty" / "text")
    assert not mounted_at(mountpoint)
    assert not mount.is_served
    mount.unmount()
    with RedoxFS.open(FileDevice.open(image)) as fs:
        assert fs.read("new") == b"x" * 300_000
        assert fs.exists("empty/text")
    with pytest.raises(ValueError, match="used once"):
        mount.start()


def test_a_mount_of_any_device_and_a_password(mountpoint: Path) -> None:
    need_fuse()
    device = Indirect(MemoryDevice(4 * MIB))
    with RedoxFS.create(device, password=b"secret") as fs:
        fs.mkfile("f")
        fs.write("f", b"content")
    with pytest.raises(FileSystemError, match="needs a password"):
        Mount(device, mountpoint).start()
    with Mount(device, mountpoint, password=b"secret"):
        assert (mountpoint / "f").read_bytes() == b"content"


def test_an_error_in_the_body_is_what_arrives(tree: Path, image: Path, mountpoint: Path) -> None:
    build(image, tree)
    with pytest.raises(RuntimeError, match="body"), open_mount(image, mountpoint):
        raise RuntimeError("body")
    assert not mounted_at(mountpoint)


def test_a_mount_in_use_is_detached(tree: Path, image: Path, mountpoint: Path) -> None:
    build(image, tree)
    mount = open_mount(image, mountpoint)
    mount.start()
    with (mountpoint / "usr" / "text").open("rb") as file:
        with pytest.raises(FileSystemError, match="cannot be unmounted") as error:
            mount.unmount()
        assert error.value.errno == errno.EBUSY
        with pytest.raises(FileSystemError, match="cannot be unmounted"):
            mount.__exit__(None, None, None)
        assert not mounted_at(mountpoint)
        assert len(file.read()) == 250_000
    mount.wait()


def test_wait_ends_with_an_unmount_by_another_program(tree: Path, image: Path, mountpoint: Path) -> None:
    build(image, tree)
    with open_mount(image, mountpoint) as mount:
        subprocess.run([tool("fusermount3"), "-u", mountpoint], check=True)
        mount.wait()
        assert not mount.is_served


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts(tree: Path, image: Path, mountpoint: Path, number: signal.Signals) -> None:
    build(image, tree)
    before = signal.getsignal(number)
    with open_mount(image, mountpoint) as mount, mount.unmounted_by():
        signal.raise_signal(number)
        mount.wait()
        assert not mounted_at(mountpoint)
    assert signal.getsignal(number) is before


def test_a_failing_device_is_an_errno_for_programs_and_the_mount_lives(mountpoint: Path) -> None:
    need_fuse()
    failing: OSError | DeviceError | None = None

    def before(name: str, offset: int, length: int) -> None:
        if failing is not None and name == "write":
            raise failing

    device = Indirect(MemoryDevice(4 * MIB), before)
    RedoxFS.create(device).close()
    with Mount(device, mountpoint):
        failing = DeviceError("overlay full", errno=errno.ENOSPC)
        with pytest.raises(OSError, match="No space left") as error:
            (mountpoint / "d").mkdir()
        assert error.value.errno == errno.ENOSPC
        failing = DeviceError("disk gone")
        with pytest.raises(OSError, match="Input/output error"):
            (mountpoint / "d").mkdir()
        failing = None
        (mountpoint / "d").mkdir()
    with RedoxFS.open(device) as fs:
        assert [entry.name for entry in fs.list("/")] == ["d"]


def test_a_device_that_fails_at_the_end_is_reported(mountpoint: Path) -> None:
    need_fuse()
    failing = DeviceError("disk gone")
    broken = False

    def before(name: str, offset: int, length: int) -> None:
        if broken and name == "write":
            raise failing

    device = Indirect(MemoryDevice(4 * MIB), before)
    RedoxFS.create(device).close()
    mount = Mount(device, mountpoint)
    mount.start()
    broken = True
    with pytest.raises(DeviceError) as error:
        mount.unmount()
    assert error.value is failing
    assert not mounted_at(mountpoint)


def test_a_panic_ends_the_mount_and_nothing_else(image: Path, mountpoint: Path, tree: Path) -> None:
    build(image, tree)
    mount = open_mount(image, mountpoint)
    mount.start()
    with pytest.raises(OSError, match=r"."):
        # The crate's FUSE server cannot take a name that is not UTF-8.
        (mountpoint / "\udcff").stat()
    with pytest.raises(FormatError, match="redoxfs gave up"):
        mount.wait()
    assert not mounted_at(mountpoint)
    with RedoxFS.open(FileDevice.open(image)) as fs:
        assert image_tree(fs) == host_tree(tree)


def test_a_callback_that_raises_takes_the_mount_away(image: Path, mountpoint: Path, tree: Path) -> None:
    need_fuse()
    build(image, tree)
    raised = RuntimeError("not ready after all")

    def ready() -> None:
        # Nothing answers yet, so the mount must not be touched here, only looked up.
        assert mounted_at(mountpoint)
        raise raised

    fs = RedoxFS.open(FileDevice.open(image, writable=True))
    with pytest.raises(RuntimeError) as error:
        fs.mount(mountpoint, ready)
    assert error.value is raised
    assert not mounted_at(mountpoint)
    with pytest.raises(ValueError, match="closed"):
        fs.list("/")


def test_programs_that_unmount_are_tried_in_turn(image: Path, mountpoint: Path, tree: Path) -> None:
    need_fuse()
    build(image, tree)
    tried: list[str] = []

    def runner(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        tried.append(command[0])
        if len(tried) < 3:
            raise FileNotFoundError(command[0])
        return subprocess.run([tool("fusermount3"), "-u", mountpoint], capture_output=True, text=True, check=False)

    with Mount(FileDevice.open(image, writable=True), mountpoint, runner=runner):
        pass
    assert tried == ["fusermount3", "fusermount", "umount"]


def test_modes_through_the_mount(image: Path, mountpoint: Path, tree: Path) -> None:
    build(image, tree)
    with open_mount(image, mountpoint):
        assert stat.S_IMODE((mountpoint / "usr" / "text").stat().st_mode) == 0o751
        os.chmod(mountpoint / "usr" / "text", 0o600)
    with RedoxFS.open(FileDevice.open(image)) as fs:
        assert fs.lookup("usr/text").permissions == 0o600
