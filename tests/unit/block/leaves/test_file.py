from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bootpath.block.leaves import holes
from bootpath.block.leaves.file import FileDevice
from bootpath.core.device import Identity, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, MIB


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(pattern(0, 64 * KIB))
    return path


def test_open_reads_the_file_and_takes_its_name(image: Path) -> None:
    device = FileDevice.open(image)
    assert (device.size_bytes, device.block_bytes, device.read_only) == (64 * KIB, 512, True)
    assert device.identity == Identity(str(image))
    assert_pattern(read_bytes(device, 1024, 4096), 1024)
    device.close()
    device.close()


@pytest.mark.parametrize("size", [1, 300, 511, 513, 1000, 4097, 5555])
@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_the_last_block_is_filled_up_with_zeros(tmp_path: Path, size: int, block_bytes: int) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"x" * size)
    device = checked(FileDevice.open(path, block_bytes=block_bytes))
    whole = -(-size // block_bytes) * block_bytes
    assert device.size_bytes == whole
    assert read_bytes(device, 0, whole) == b"x" * size + bytes(whole - size)
    last = whole - block_bytes
    assert read_bytes(device, last, block_bytes) == b"x" * (size - last) + bytes(whole - size)
    for resident in (device.read_resident(last, block_bytes), device.read_resident(0, whole)):
        assert resident is None or b"".join(resident) == b"x" * (size - last) + bytes(whole - size)
    assert device.direct() is None
    assert sum(each.length for each in device.extents(0, whole)) == whole
    device.close()


def test_a_padded_file_that_is_truncated_is_eio(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"x" * 1000)
    device = FileDevice.open(path)
    os.truncate(path, 900)
    with pytest.raises(DeviceError, match="truncated"):
        device.read(512, 512)
    with pytest.raises(DeviceError, match="truncated"):
        list(device.extents(0, 1024))
    device.close()


def test_what_has_no_whole_blocks_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(bytes(1000))
    with pytest.raises(DeviceError, match="last block is not whole") as caught:
        FileDevice.open(path, writable=True)
    assert (caught.value.errno, caught.value.found) == (errno.EINVAL, "1000 bytes")


@pytest.mark.parametrize("writable", [False, True])
def test_nothing_is_no_disk(tmp_path: Path, writable: bool) -> None:
    (tmp_path / "nothing").touch()
    with pytest.raises(DeviceError, match="nothing: a disk of 0 bytes is no disk") as caught:
        FileDevice.open(tmp_path / "nothing", writable=writable)
    assert caught.value.errno == errno.EINVAL


def test_read_only_is_opened_for_reading_only(image: Path) -> None:
    device = FileDevice.open(image)
    with pytest.raises(DeviceError, match="read-only") as caught:
        checked(device).write(0, bytes(512))
    assert caught.value.errno == errno.EPERM
    with pytest.raises(DeviceError, match="Bad file descriptor"):  # and the kernel agrees
        device.write(0, bytes(512))
    device.close()


@pytest.mark.parametrize(
    ("name", "code"), [("missing", errno.ENOENT), ("folder", errno.EINVAL), ("fifo", errno.EINVAL)]
)
def test_open_fails_with_the_errno_and_the_path(tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(DeviceError, match=name) as caught:
        FileDevice.open(tmp_path / name)
    assert caught.value.errno == code
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_descriptor_must_allow_what_is_wanted(image: Path) -> None:
    fd = os.open(image, os.O_RDONLY)
    with pytest.raises(DeviceError, match="not open for reading and writing") as caught:
        FileDevice(fd, writable=True)
    assert caught.value.errno == errno.EPERM
    os.close(fd)
    with pytest.raises(DeviceError, match="Bad file descriptor") as caught:
        FileDevice(fd)
    assert caught.value.errno == errno.EBADF


def test_a_descriptor_that_is_not_owned_stays_open(image: Path) -> None:
    fd = os.open(image, os.O_RDONLY)
    FileDevice(fd, owns=False).close()
    assert os.pread(fd, 512, 0) == pattern(0, 512)
    os.close(fd)


def test_short_preads_are_continued(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: real(fd, min(length, 1000), offset))
    device = FileDevice.open(image)
    views = device.read(512, 4096)
    assert [len(view) for view in views] == [1000, 1000, 1000, 1000, 96]
    assert_pattern(b"".join(views), 512)
    device.close()


def test_a_file_truncated_under_us_is_eio_never_zeros(image: Path) -> None:
    device = FileDevice.open(image)
    os.truncate(image, 10 * KIB)
    assert_pattern(read_bytes(device, 0, 10 * KIB), 0)
    for offset, length in [(8 * KIB, 4 * KIB), (12 * KIB, 4 * KIB)]:
        with pytest.raises(DeviceError, match="truncated") as caught:
            device.read(offset, length)
        assert caught.value.errno == errno.EIO
        assert device.read_resident(offset, length) is None
        with pytest.raises(DeviceError, match="truncated"):
            list(device.extents(offset, length))
    device.close()


def test_a_failing_read_is_eio_with_path_and_offset(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, length: int, offset: int) -> bytes:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))

    monkeypatch.setattr(os, "pread", fail)
    device = FileDevice.open(image)
    with pytest.raises(
        DeviceError, match=r"disk\.img: read of 512 bytes at 1024 failed: No such device or address"
    ) as caught:
        device.read(1024, 512)
    assert caught.value.errno == errno.EIO
    device.close()


def test_resident_reads_come_from_the_page_cache(image: Path) -> None:
    device = FileDevice.open(image)
    device.read(0, 64 * KIB)
    views = device.read_resident(512, 8192)
    if views is not None:  # some file systems cannot tell
        assert_pattern(b"".join(views), 512)
    device.close()


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EIO])
def test_what_is_not_resident_is_none(image: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(fd: int, buffers: object, offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        raise OSError(code, "not now")

    device = FileDevice.open(image)
    monkeypatch.setattr(os, "preadv", fail)
    assert device.read_resident(0, 512) is None
    device.close()


def test_a_partly_cached_range_is_not_resident(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = FileDevice.open(image)
    monkeypatch.setattr(os, "preadv", lambda *args: 4096)
    assert device.read_resident(0, 8192) is None
    device.close()


def test_a_file_system_without_nowait_is_asked_once(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fail(fd: int, buffers: object, offset: int, flags: int) -> int:
        calls.append(offset)
        raise OSError(errno.EOPNOTSUPP, "no")

    device = FileDevice.open(image)
    monkeypatch.setattr(os, "preadv", fail)
    assert device.read_resident(0, 512) is None
    assert device.read_resident(512, 512) is None
    assert calls == [0]
    device.close()


def test_write_flush_and_fua(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    real = os.pwritev

    def pwritev(fd: int, buffers: list[memoryview], offset: int, flag: int) -> int:
        flags.append(flag)
        return real(fd, buffers, offset, flag)

    monkeypatch.setattr(os, "pwritev", pwritev)
    device = FileDevice.open(image, writable=True)
    device.write(512, pattern(512, 1024, tag=1))
    assert flags == []
    device.write(4096, pattern(4096, 512, tag=2), fua=True)
    assert flags == [os.RWF_DSYNC]
    device.flush()
    device.close()
    data = image.read_bytes()
    assert_pattern(data[512:1536], 512, tag=1)
    assert_pattern(data[4096:4608], 4096, tag=2)
    assert_pattern(data[8192:], 8192)


def test_short_pwrites_are_continued(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:700], offset))
    device = FileDevice.open(image, writable=True)
    device.write(0, pattern(0, 4096, tag=3))
    assert_pattern(read_bytes(device, 0, 4096), 0, tag=3)
    device.close()


@pytest.mark.parametrize(
    ("found", "code"),
    [(errno.ENOSPC, errno.ENOSPC), (errno.EDQUOT, errno.ENOSPC), (errno.EROFS, errno.EPERM), (errno.ENXIO, errno.EIO)],
)
def test_errors_of_writes(image: Path, monkeypatch: pytest.MonkeyPatch, found: int, code: int) -> None:
    def fail(*args: object) -> int:
        raise OSError(found, os.strerror(found))

    monkeypatch.setattr(os, "pwrite", fail)
    monkeypatch.setattr(os, "fdatasync", fail)
    device = FileDevice.open(image, writable=True)
    with pytest.raises(DeviceError, match=r"disk\.img: write of 512 bytes at 0") as caught:
        device.write(0, bytes(512))
    assert caught.value.errno == code
    with pytest.raises(DeviceError, match="flush") as caught:
        device.flush()
    assert caught.value.errno == code
    device.close()


def test_discard_and_zero_read_as_zeros(image: Path) -> None:
    device = FileDevice.open(image, writable=True)
    device.discard(8 * KIB, 8 * KIB)
    device.zero(32 * KIB, 512)
    expected = bytearray(pattern(0, 64 * KIB))
    expected[8 * KIB : 16 * KIB] = bytes(8 * KIB)
    expected[32 * KIB : 32 * KIB + 512] = bytes(512)
    assert read_bytes(device, 0, 64 * KIB) == expected
    assert image.stat().st_size == 64 * KIB
    device.close()


def test_where_fallocate_cannot_discard_does_nothing_and_zero_writes(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holes, "_fallocate", lambda *args: False)
    device = FileDevice.open(image, writable=True)
    device.discard(0, 4096)
    assert_pattern(read_bytes(device, 0, 4096), 0)
    device.zero(512, 2 * 512)
    assert read_bytes(device, 512, 1024) == bytes(1024)
    assert_pattern(read_bytes(device, 1536, 512), 1536)
    device.close()


def test_zero_by_writing_covers_more_than_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holes, "_fallocate", lambda *args: False)
    path = tmp_path / "big"
    path.write_bytes(b"\xff" * (3 * MIB))
    device = FileDevice.open(path, writable=True)
    device.zero(512, 2 * MIB + 512)
    assert path.read_bytes() == b"\xff" * 512 + bytes(2 * MIB + 512) + b"\xff" * (MIB - 1024)
    device.close()


def test_a_failing_fallocate_is_an_error(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = FileDevice.open(image)  # not for writing: EBADF
    for operation in (device.discard, device.zero):
        with pytest.raises(DeviceError, match="Bad file descriptor") as caught:
            operation(0, 4096)
        assert caught.value.errno == errno.EIO
    device.close()


def test_extents_show_holes(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(4 * MIB)
        file.seek(MIB)
        file.write(pattern(MIB, 64 * KIB))
        file.flush()
        os.fsync(file.fileno())
    device = FileDevice.open(path)
    assert list(device.extents(0, 4 * MIB)) == [
        Segment(0, MIB, "file", allocated=False, zero=True),
        Segment(MIB, 64 * KIB, "file"),
        Segment(MIB + 64 * KIB, 3 * MIB - 64 * KIB, "file", allocated=False, zero=True),
    ]
    assert list(device.extents(MIB + 512, 1024)) == [Segment(MIB + 512, 1024, "file")]
    assert list(device.extents(2 * MIB, 512)) == [Segment(2 * MIB, 512, "file", allocated=False, zero=True)]
    device.close()


def test_extents_edges_are_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    # A file system with 1 KiB blocks under a device with 4 KiB blocks: what holds any data is data.
    edges = {os.SEEK_DATA: {0: 5 * KIB}, os.SEEK_HOLE: {4 * KIB: 9 * KIB}}

    def lseek(fd: int, offset: int, whence: int) -> int:
        if offset in edges[whence]:
            return edges[whence][offset]
        raise OSError(errno.ENXIO, "beyond the last data")

    monkeypatch.setattr(os, "lseek", lseek)
    assert list(holes.data_runs(3, 0, 16 * KIB, 4 * KIB)) == [
        (0, 4 * KIB, False),
        (4 * KIB, 8 * KIB, True),
        (12 * KIB, 4 * KIB, False),
    ]


def test_a_file_system_without_holes_is_all_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def lseek(fd: int, offset: int, whence: int) -> int:
        raise OSError(errno.EINVAL, "what is SEEK_DATA?")

    monkeypatch.setattr(os, "lseek", lseek)
    assert list(holes.data_runs(3, 512, 1024, 512)) == [(512, 1024, True)]


def test_extents_that_cannot_be_told_are_an_error(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lseek

    def lseek(fd: int, offset: int, whence: int) -> int:
        if whence == os.SEEK_END:
            return real(fd, offset, whence)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    device = FileDevice.open(image)
    monkeypatch.setattr(os, "lseek", lseek)
    with pytest.raises(DeviceError, match="extents of 512 bytes at 0") as caught:
        list(device.extents(0, 512))
    assert caught.value.errno == errno.EIO
    device.close()


def test_a_device_that_is_read_only_has_nothing_to_flush(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = FileDevice.open(image)
    monkeypatch.delattr(os, "fdatasync")
    device.flush()
    device.close()


def test_fallocate_says_when_it_cannot() -> None:
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="Illegal seek"):
        holes.punch(writing, 0, 4096)
    os.close(reading)
    os.close(writing)
    fd = os.open("/dev/null", os.O_RDWR)
    assert not holes.zero_range(fd, 0, 4096)  # ENODEV
    os.close(fd)


def test_direct_is_the_descriptor(image: Path) -> None:
    device = FileDevice.open(image, writable=True)
    direct = device.direct()
    assert direct is not None
    assert direct.fd is not None
    assert (direct.offset, direct.length, direct.writable, direct.buffer) == (0, 64 * KIB, True, None)
    assert os.pread(direct.fd, 512, direct.offset + 1024) == pattern(1024, 512)
    device.close()
