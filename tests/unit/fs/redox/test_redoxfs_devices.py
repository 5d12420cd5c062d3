"""What a device does to the file system on it: its errors, its speed path, its threads."""

from __future__ import annotations

import errno
import os
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Buffer, Device, Direct, checked
from bootpath.core.errors import DeviceError, FileSystemError
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.redoxfs import EPOCH_NS, MIB, Indirect, assert_sound, clock, tree_of

NOISE = random.Random(2).randbytes(400_000)


class Oddity(BaseException):
    """Nothing below this test knows it."""


class DirectOnly(MemoryDevice):
    """A device whose bytes may only be reached through `direct`."""

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        raise AssertionError("read through Python")

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        raise AssertionError("written through Python")


def fill(fs: RedoxFS) -> None:
    fs.mkdir("d")
    fs.mkfile("d/f")
    fs.write("d/f", NOISE)
    fs.symlink("d/f", "l")
    for number in range(30):
        fs.mkfile(f"d/{number}")
        fs.write(f"d/{number}", b"x" * number * 300)
    fs.unlink("d/7")
    fs.rename("d/8", "eight")
    fs.cleanup()


def image_with_files() -> bytearray:
    image = bytearray(4 * MIB)
    with RedoxFS.create(MemoryDevice(image), created_ns=EPOCH_NS, clock=clock) as fs:
        fill(fs)
    return image


def everything(device: Device) -> None:
    """Each kind of operation once."""
    with RedoxFS.open(device, cleanup=True, clock=clock) as fs:
        tree_of(fs)
        fs.node_extents("d/f")
        fs.mkfile("new")
        fs.write("new", NOISE)
        fs.rename("new", "d/new")
        fs.truncate("d/f", 10)
        fs.unlink("d/new")
        fs.cleanup()


@pytest.mark.parametrize("operation", ["read", "write"])
def test_an_exception_of_the_device_arrives_unchanged(operation: str) -> None:
    image = image_with_files()
    counted = Indirect(MemoryDevice(bytearray(image)))
    everything(counted)
    total = [call[0] for call in counted.calls].count(operation)
    assert total > 20
    for nth in range(0, total, 1 if operation == "write" else 17):
        raised = Oddity(f"{operation} {nth}")
        left = nth

        def before(name: str, offset: int, length: int) -> None:
            nonlocal left
            if name == operation:
                left -= 1
                if left < 0:
                    raise raised  # noqa: B023 - called within this turn of the loop

        lower = MemoryDevice(bytearray(image))
        with pytest.raises(Oddity) as caught:
            everything(Indirect(lower, before))
        assert caught.value is raised
        with RedoxFS.open(lower) as fs:
            tree_of(fs)


def test_after_a_failed_operation_the_file_system_is_as_before() -> None:
    lower = MemoryDevice(image_with_files())
    device = Fault(lower, [FaultRule(FaultKind.ERROR, frozenset({"write"}), count=1, errno=errno.EIO)])
    with RedoxFS.open(device, clock=clock) as fs:
        before = tree_of(fs)
        with pytest.raises(DeviceError) as error:
            fs.write("d/f", b"new content")
        assert error.value.errno == errno.EIO
        assert tree_of(fs) == before
        assert_sound(fs)
        fs.write("d/f", b"new content")
        assert fs.read("d/f", 0, 11) == b"new content"
        assert_sound(fs)


def test_a_failed_read_is_not_taken_for_a_missing_name() -> None:
    lower = MemoryDevice(image_with_files())
    failing = False

    def before(name: str, offset: int, length: int) -> None:
        if failing and name == "read":
            raise DeviceError("gone")

    fs = RedoxFS.open(Indirect(lower, before))
    failing = True
    for call in (lambda: fs.exists("d"), lambda: fs.mkfile("new"), lambda: fs.rename("eight", "nine")):
        with pytest.raises(DeviceError, match="gone"):
            call()
    failing = False
    assert not fs.exists("new")
    assert fs.exists("eight")


def test_short_and_long_answers_are_refused() -> None:
    class Wrong(MemoryDevice):
        change = 0

        def read(self, offset: int, length: int) -> Sequence[Buffer]:
            return (bytes(length + self.change),)

        def direct(self) -> None:
            return None

    device = Wrong(2 * MIB)
    for change in (-1, 1):
        device.change = change
        with pytest.raises(DeviceError, match="did not return the 4096 bytes asked for at 0") as error:
            RedoxFS.open(device)
        assert error.value.errno == errno.EIO


def test_direct_is_the_same_and_never_calls_python() -> None:
    direct = DirectOnly(4 * MIB)
    indirect = MemoryDevice(4 * MIB)
    for device in (direct, Indirect(indirect)):
        with RedoxFS.create(device, uuid=UUID(int=1), created_ns=EPOCH_NS, clock=clock) as fs:
            fill(fs)
        everything(device)
    assert bytes(MemoryDevice.read(direct, 0, 4 * MIB)[0]) == bytes(indirect.read(0, 4 * MIB)[0])


def test_direct_through_a_file_and_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"\xaa" * (6 * MIB))
    with_file = FileDevice.open(path, writable=True)
    part = checked(Linear(with_file, MIB, 4 * MIB))
    assert part.direct() is not None
    with RedoxFS.create(part, created_ns=EPOCH_NS, clock=clock) as fs:
        fill(fs)
        expected = tree_of(fs)
    data = path.read_bytes()
    assert data[:MIB] == b"\xaa" * MIB
    assert data[5 * MIB :] == b"\xaa" * MIB
    with RedoxFS.open(MemoryDevice(data[MIB : 5 * MIB])) as fs:
        assert tree_of(fs) == expected
    with RedoxFS.open(part) as fs:
        # The file system has a descriptor of its own.
        with_file.close()
        assert tree_of(fs) == expected


def test_a_read_only_device_is_not_written(tmp_path: Path) -> None:
    image = bytes(image_with_files())
    path = tmp_path / "disk.img"
    path.write_bytes(image)
    for device in (MemoryDevice(image), FileDevice.open(path), Indirect(MemoryDevice(image))):
        with RedoxFS.open(device) as fs:
            tree_of(fs)
            with pytest.raises(DeviceError, match="read-only") as error:
                fs.mkdir("new")
            assert error.value.errno == errno.EPERM
        with pytest.raises(DeviceError, match="read-only"):
            RedoxFS.open(device, cleanup=True)
        with pytest.raises(DeviceError, match="read-only"):
            RedoxFS.create(device)
    assert path.read_bytes() == image


def test_a_file_truncated_while_open(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(image_with_files())
    device = FileDevice.open(path)
    with RedoxFS.open(device) as fs:
        os.truncate(path, MIB)
        with pytest.raises(
            DeviceError, match=r"disk\.img: nothing to read at byte \d+: the file was truncated"
        ) as error:
            fs.read("d/f")
        assert error.value.errno == errno.EIO


def test_a_full_disk_under_the_image() -> None:
    fs = RedoxFS.create(Indirect(MemoryDevice(4 * MIB)), created_ns=EPOCH_NS)
    full = DeviceError("overlay full", errno=errno.ENOSPC)

    def before(name: str, offset: int, length: int) -> None:
        if name == "write":
            raise full

    lower = Indirect(MemoryDevice(image_with_files()), before)
    fs = RedoxFS.open(lower)
    with pytest.raises(DeviceError) as error:
        fs.mkdir("x")
    assert error.value is full


class WrongDirect(MemoryDevice):
    answer: Direct

    def direct(self) -> Direct | None:
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        Direct(offset=0, length=MIB, writable=True, buffer=bytearray(2 * MIB)),
        Direct(offset=1, length=2 * MIB, writable=True, buffer=bytearray(2 * MIB)),
        Direct(offset=2**64 - 1, length=2 * MIB, writable=True, buffer=bytearray(2 * MIB)),
        Direct(offset=0, length=2 * MIB, writable=True, buffer=memoryview(bytearray(8 * MIB))[::2]),
    ],
)
def test_a_direct_that_covers_too_little_is_refused(answer: Direct) -> None:
    device = WrongDirect(2 * MIB)
    device.answer = answer
    with pytest.raises(ValueError, match=r"direct\(\)"):
        RedoxFS.create(device)


def test_memory_cannot_shrink_under_the_file_system() -> None:
    image = bytearray(image_with_files())
    fs = RedoxFS.open(MemoryDevice(image))
    with pytest.raises(BufferError):
        image.clear()
    assert fs.exists("d/f")


@pytest.fixture
def no_forced_switch() -> Iterator[None]:
    """Another thread runs only when this one lets go of the GIL by itself."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("no_forced_switch")
def test_reading_lets_go_of_the_gil() -> None:
    fs = RedoxFS.open(MemoryDevice(image_with_files()))
    progress: list[int] = []
    gate = threading.Lock()
    gate.acquire()

    def other() -> None:
        with gate:
            progress.append(1)

    thread = threading.Thread(target=other)
    thread.start()
    gate.release()
    rounds = 0
    while not progress and rounds < 20_000:
        fs.read("d/f")
        rounds += 1
    assert progress, "the other thread never ran"
    thread.join()


def test_waiting_for_the_lock_lets_go_of_the_gil() -> None:
    entered, release = threading.Event(), threading.Event()
    armed = False

    def before(name: str, offset: int, length: int) -> None:
        if armed:
            entered.set()
            assert release.wait(60)

    fs = RedoxFS.open(Indirect(MemoryDevice(image_with_files()), before))
    armed = True
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(fs.read("d/f"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    # If a waiting thread kept the GIL, nobody could ever set `release`.
    assert entered.wait(60)
    release.set()
    for thread in threads:
        thread.join()
    assert results == [NOISE] * 3


def test_many_threads() -> None:
    fs = RedoxFS.create(MemoryDevice(16 * MIB), clock=clock)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            fs.mkdir(name)
            for number in range(20):
                path = f"{name}/{number}"
                fs.mkfile(path)
                fs.write(path, name.encode() * 1000 * number)
                assert fs.read(path) == name.encode() * 1000 * number
            fs.unlink(f"{name}/0")
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [len(fs.list(f"t{number}")) for number in range(6)] == [19] * 6
    assert_sound(fs)


def test_a_device_that_uses_its_own_file_system_is_refused() -> None:
    fs: RedoxFS | None = None

    def before(name: str, offset: int, length: int) -> None:
        if fs is not None:
            fs.exists("d")

    opened = RedoxFS.open(Indirect(MemoryDevice(image_with_files()), before))
    fs = opened
    with pytest.raises(ValueError, match="must not use it itself"):
        opened.read("d/f")
    fs = None
    assert opened.exists("d")


def test_a_file_system_on_a_file_of_a_file_system() -> None:
    """Nested calls of the native module, and a panic-safe one inside another."""
    inner_image = bytes(image_with_files())
    outer = RedoxFS.create(MemoryDevice(16 * MIB))
    outer.mkfile("disk.img")
    outer.write("disk.img", inner_image)

    class Nested(MemoryDevice):
        def read(self, offset: int, length: int) -> Sequence[Buffer]:
            return (outer.read("disk.img", offset, length),)

        def direct(self) -> None:
            return None

    with RedoxFS.open(Nested(len(inner_image))) as fs:
        assert fs.read("d/f") == NOISE
        with pytest.raises(FileSystemError):
            fs.lookup("none")
