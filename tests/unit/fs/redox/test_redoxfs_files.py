from __future__ import annotations

import errno
import random
from collections.abc import Callable

import pytest

from bootpath.core.errors import FileSystemError
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.redoxfs import EPOCH_NS, MIB, assert_sound, new_fs

NOISE = random.Random(1).randbytes(700_000)


@pytest.fixture
def fs() -> RedoxFS:
    return new_fs()[0]


@pytest.mark.parametrize("size", [0, 1, 3967, 3968, 3969, 4096, 131_071, 131_072, 131_073, 700_000])
@pytest.mark.parametrize("content", [NOISE, bytes(700_000), b"text " * 140_000])
def test_what_is_written_is_read(fs: RedoxFS, size: int, content: bytes) -> None:
    fs.mkfile("f")
    fs.write("f", content[:size])
    assert fs.read("f") == content[:size]
    assert fs.lookup("f").size_bytes == size
    assert_sound(fs)


def test_reads_of_a_part_end_with_the_file(fs: RedoxFS) -> None:
    fs.mkfile("f")
    fs.write("f", NOISE[:200_000])
    assert fs.read("f", 100_000, 50_000) == NOISE[100_000:150_000]
    assert fs.read("f", 199_990, 100) == NOISE[199_990:200_000]
    assert fs.read("f", 200_000, 1) == b""
    assert fs.read("f", 1 << 40, 1) == b""
    assert fs.read("f", 131_000) == NOISE[131_000:200_000]


def test_read_into_fills_a_buffer(fs: RedoxFS) -> None:
    fs.mkfile("f")
    fs.write("f", NOISE[:10_000])
    buffer = bytearray(4096)
    assert fs.read_into("f", buffer, 5000) == 4096
    assert buffer == NOISE[5000:9096]
    assert fs.read_into("f", memoryview(buffer)[:10], 9995) == 5
    assert fs.read_into("f", bytearray(), 0) == 0
    with pytest.raises(ValueError, match="writable"):
        fs.read_into("f", b"read-only")
    with pytest.raises(ValueError, match="contiguous"):
        fs.read_into("f", memoryview(buffer)[::2])


def test_any_buffer_can_be_written(fs: RedoxFS) -> None:
    fs.mkfile("f")
    fs.write("f", bytearray(b"abc"))
    fs.write("f", memoryview(b"xyz"), 3)
    assert fs.read("f") == b"abcxyz"


def test_a_gap_reads_as_zeros(fs: RedoxFS) -> None:
    fs.mkfile("f")
    fs.write("f", b"x" * 5000)
    fs.truncate("f", 1000)
    fs.write("f", b"y", 300_000)
    assert fs.read("f") == b"x" * 1000 + bytes(299_000) + b"y"


def test_cut_bytes_do_not_come_back(fs: RedoxFS) -> None:
    for size, cut in ((3000, 10), (100_000, 10), (300_000, 131_072), (300_000, 131_073), (300_000, 0)):
        fs.mkfile("f")
        fs.write("f", NOISE[:size])
        fs.truncate("f", cut)
        fs.truncate("f", size)
        assert fs.read("f") == NOISE[:cut] + bytes(size - cut)
        fs.unlink("f")


def test_cut_and_removed_records_are_free_again(fs: RedoxFS) -> None:
    fs.mkfile("keep")
    fs.cleanup()
    before = fs.free_bytes
    fs.mkfile("f")
    for size in (5000, 100_000, 131_072, 300_000):
        fs.write("f", NOISE[:size])
        fs.truncate("f", 1)
        fs.cleanup()
        assert fs.free_bytes <= before
        assert_sound(fs)
    fs.write("f", NOISE)
    fs.unlink("f")
    fs.cleanup()
    assert fs.free_bytes == before
    assert_sound(fs)


def test_no_bytes_change_nothing(fs: RedoxFS) -> None:
    fs.mkfile("f")
    before = fs.lookup("f")
    fs.write("f", b"", 100)
    assert fs.lookup("f") == before
    with pytest.raises(FileSystemError) as error:
        fs.write("/", b"")
    assert error.value.errno == errno.EISDIR


def test_times(fs: RedoxFS) -> None:
    fs.mkfile("f", ctime_ns=5)
    node = fs.lookup("f")
    assert (node.ctime_ns, node.mtime_ns, node.atime_ns) == (5, 5, 5)
    fs.write("f", b"x")
    assert fs.lookup("f").mtime_ns == EPOCH_NS
    fs.write("f", b"x", mtime_ns=7)
    assert fs.lookup("f").mtime_ns == 7
    fs.truncate("f", 0, mtime_ns=3)
    assert fs.lookup("f").mtime_ns == 3
    fs.utimes("f", atime_ns=EPOCH_NS + 1, mtime_ns=EPOCH_NS + 2, ctime_ns=EPOCH_NS + 3)
    node = fs.lookup("f")
    assert (node.atime_ns, node.mtime_ns, node.ctime_ns) == (EPOCH_NS + 1, EPOCH_NS + 2, EPOCH_NS + 3)
    with pytest.raises(ValueError, match="1970"):
        fs.utimes("f", mtime_ns=-1)


def test_reading_writes_nothing(fs: RedoxFS) -> None:
    fs.mkfile("f", ctime_ns=0)
    fs.write("f", NOISE)
    before = fs.header
    fs.read("f")
    fs.list("/")
    fs.node_extents("f")
    assert fs.lookup("f").atime_ns == 0
    assert fs.header == before


def test_modes_and_owners(fs: RedoxFS) -> None:
    fs.mkfile("f", 0o4751)
    assert fs.lookup("f").permissions == 0o4751
    fs.chmod("f", 0o100_600)
    node = fs.lookup("f")
    assert node.permissions == 0o600
    assert node.is_file
    fs.chown("f", uid=1000)
    fs.chown("f", gid=2**32 - 1)
    node = fs.lookup("f")
    assert (node.uid, node.gid) == (1000, 2**32 - 1)


def test_directories_are_not_files(fs: RedoxFS) -> None:
    fs.mkdir("d")
    for call in (lambda: fs.read("d"), lambda: fs.write("d", b"x"), lambda: fs.truncate("d", 0)):
        with pytest.raises(FileSystemError) as error:
            call()
        assert error.value.errno == errno.EISDIR
        assert error.value.where == "memory: d"


def test_a_full_file_system_says_enospc_and_stays_as_it_was() -> None:
    fs, device = new_fs(2 * MIB)
    fs.mkfile("f")
    written = 0
    with pytest.raises(FileSystemError) as error:  # noqa: PT012 - the write that fails is one of many
        while True:
            fs.write("f", NOISE[:131_072], written)
            written += 131_072
    assert error.value.errno == errno.ENOSPC
    assert fs.lookup("f").size_bytes == written
    assert_sound(fs)
    fs.close()
    fs = RedoxFS.open(device)
    assert_sound(fs)
    fs.unlink("f")
    fs.cleanup()
    assert fs.free_bytes > 128 * 4096


def test_sizes_that_cannot_be_handled_are_refused(fs: RedoxFS) -> None:
    fs.mkfile("f")
    fs.write("f", b"x" * 5000)
    calls: list[Callable[[], None]] = [lambda: fs.truncate("f", 1 << 50), lambda: fs.write("f", b"x", 1 << 62)]
    for call in calls:
        with pytest.raises(FileSystemError) as error:
            call()
        assert error.value.errno == errno.EFBIG
    fs.truncate("f", 5 << 30)
    with pytest.raises(FileSystemError, match="in parts") as error:
        fs.read("f")
    assert error.value.errno == errno.EFBIG
    assert fs.read("f", (5 << 30) - 5, 10) == bytes(5)


def test_large_writes_are_split_into_transactions() -> None:
    fs, _ = new_fs(48 * MIB)
    data = NOISE[:131_072] * (33 * 8)
    fs.mkfile("f")
    generation = fs.header.generation
    fs.write("f", data)
    assert fs.header.generation == generation + 2
    assert fs.read("f") == data


def test_a_closed_file_system_refuses(fs: RedoxFS) -> None:
    fs.close()
    fs.close()
    with pytest.raises(ValueError, match="closed"):
        fs.list("/")
    with pytest.raises(ValueError, match="closed"):
        _ = fs.header


def test_closed_on_leaving_with() -> None:
    with new_fs()[0] as fs:
        fs.mkdir("d")
    with pytest.raises(ValueError, match="closed"):
        fs.exists("d")
