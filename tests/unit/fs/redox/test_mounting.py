"""What a Mount refuses before it needs FUSE, and how it unmounts; the real thing is in the integration tests."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.fs.redox.mounting import Mount, mounted_at
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.redoxfs import new_fs


def refused(mount: Mount) -> FileSystemError:
    with pytest.raises(FileSystemError) as error:
        mount.start()
    assert error.value.where == os.fspath(mount.mountpoint)
    return error.value


def test_what_is_refused_before_anything_happens(tmp_path: Path) -> None:
    fs, device = new_fs()
    fs.close()
    fuse = tmp_path / "fuse"
    assert refused(Mount(device, tmp_path, fuse_device=fuse)).errno == errno.ENODEV
    fuse.touch()
    assert refused(Mount(device, tmp_path / "none", fuse_device=fuse)).errno == errno.ENOENT
    assert refused(Mount(device, fuse, fuse_device=fuse)).errno == errno.ENOTDIR
    assert refused(Mount(device, "/proc", fuse_device=fuse)).errno == errno.EBUSY
    assert not mounted_at(tmp_path)
    read_only = MemoryDevice(bytes(device.read(0, device.size_bytes)[0]))
    error = refused(Mount(read_only, tmp_path, fuse_device=fuse))
    assert error.errno == errno.EPERM
    assert error.hint == "mount an overlay on it"


def test_what_cannot_be_opened_is_not_mounted(tmp_path: Path) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    mount = Mount(MemoryDevice(2 << 20), tmp_path, fuse_device=fuse)
    with pytest.raises(FormatError, match="no valid RedoxFS header"):
        mount.start()
    assert not mount.is_served
    mount.unmount()


@dataclass
class ServedUntil:
    """A file system whose FUSE server ends with an error."""

    errno: int

    def mount(self, mountpoint: Path, ready: Callable[[], None]) -> None:
        ready()
        raise FileSystemError("ended", errno=self.errno)


def start_and_end(code: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    monkeypatch.setattr(RedoxFS, "open", lambda *_, **__: ServedUntil(code))
    (folder / "fuse").touch()
    mount = Mount(MemoryDevice(2 << 20), folder, fuse_device=folder / "fuse")
    mount.start()
    return mount


def test_a_server_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = start_and_end(errno.EIO, tmp_path, monkeypatch)
    with pytest.raises(FileSystemError) as error:
        mount.wait()
    assert error.value.errno == errno.EIO


def test_a_request_cut_off_by_the_unmount_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_and_end(errno.ECONNABORTED, tmp_path, monkeypatch).wait()
