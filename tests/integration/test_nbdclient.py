"""Our client against other people's servers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.nbdclient import open_nbd
from bootpath.block.leaves.open import open_device
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.ram import Overlay
from bootpath.core.device import Device, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.nbdserver import nbd_server
from tests.support.patterns import assert_pattern, pattern
from tests.support.tools import tool

KIB = 1 << 10
MIB = 1 << 20
SIZE = 4 * MIB


def uri(path: Path) -> str:
    return f"nbd+unix:///?socket={path}"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(pattern(0, SIZE))
    return path


SERVERS = ["nbdkit", "nbdkit-simple", "nbdkit-minimal", "qemu-nbd"]


@pytest.fixture(params=SERVERS)
def device(request: pytest.FixtureRequest, tmp_path: Path, image: Path) -> Iterator[Device]:
    command = {
        "nbdkit": lambda: [tool("nbdkit"), "-f", "file", str(image)],
        "nbdkit-simple": lambda: [tool("nbdkit"), "-f", "--no-sr", "file", str(image)],
        "nbdkit-minimal": lambda: [
            *[tool("nbdkit"), "-f", "--filter=nozero", "--filter=blocksize-policy", "file", str(image)],
            *["zeromode=none", "blocksize-minimum=512", "blocksize-maximum=64K"],
            "blocksize-error-policy=error",
        ],
        "qemu-nbd": lambda: [tool("qemu-nbd"), "-t", "-f", "raw", "--discard=unmap", "-x", "", str(image)],
    }[request.param]()
    socket = tmp_path / "nbd.sock"
    with nbd_server(socket, *command):
        device = checked(open_device(uri(socket), writable=True))
        yield device
        device.close()


@pytest.mark.parametrize("device", SERVERS, indirect=True)
def test_equals_a_bytearray(device: Device, image: Path) -> None:
    random = Random(5)
    model = bytearray(pattern(0, SIZE))
    unit = device.block_bytes
    assert device.size_bytes == SIZE
    for tag in range(1, 120):
        offset = random.randrange(SIZE // unit) * unit
        length = unit * random.randint(1, min((SIZE - offset) // unit, 300))
        match random.randrange(5):
            case 0:
                data = pattern(offset, length, tag=tag)
                model[offset : offset + length] = data
                device.write(offset, data, fua=tag % 3 == 0)
            case 1:
                model[offset : offset + length] = bytes(length)
                device.zero(offset, length)
            case 2:
                device.flush()
            case 3:
                parts = list(device.extents(offset, length))
                assert parts[0].offset == offset
                assert sum(part.length for part in parts) == length
                assert all(not any(model[part.offset : part.offset + part.length]) for part in parts if part.zero)
            case _:
                assert read_bytes(device, offset, length) == model[offset : offset + length]
    assert device.read_resident(0, 512) is None
    device.discard(0, 64 * KIB)
    assert read_bytes(device, 64 * KIB, SIZE - 64 * KIB) == model[64 * KIB :]
    device.flush()
    assert image.read_bytes()[64 * KIB :] == model[64 * KIB :]


@pytest.mark.parametrize("device", ["nbdkit", "qemu-nbd"], indirect=True)
def test_many_threads_share_one_connection(device: Device) -> None:
    def work(index: int) -> None:
        random = Random(index)
        low = index * 512 * KIB
        for tag in range(1, 60):
            offset = low + random.randrange(100) * 4096
            device.write(offset, pattern(offset, 4096, tag=tag))
            assert_pattern(read_bytes(device, offset, 4096), offset, tag=tag)

    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(work, index) for index in range(8)]:
            result.result()


def test_a_disk_larger_than_any_request(tmp_path: Path) -> None:
    socket = tmp_path / "nbd.sock"
    with nbd_server(socket, tool("nbdkit"), "-f", "memory", "6G"):
        device = checked(open_nbd(uri(socket), writable=True))
        device.write(5 << 30, pattern(5 << 30, 40 * MIB, tag=1))
        assert_pattern(read_bytes(device, (5 << 30) + 39 * MIB, MIB), (5 << 30) + 39 * MIB, tag=1)
        assert sum(map(len, device.read(5 << 30, 40 * MIB))) == 40 * MIB
        device.zero(0, 6 << 30)
        assert list(device.extents(0, 6 << 30)) == [Segment(0, 6 << 30, "nbd", allocated=False, zero=True)]
        device.discard(0, 6 << 30)
        device.close()


def test_errors_are_the_servers(tmp_path: Path) -> None:
    socket = tmp_path / "nbd.sock"
    command = [tool("nbdkit"), "-f", "--filter=error", "memory", "1M", "error-pwrite=ENOSPC", "error-pwrite-rate=1"]
    with nbd_server(socket, *command, "error-pread=EPERM", "error-pread-rate=1"):
        device = open_nbd(uri(socket), writable=True)
        with pytest.raises(DeviceError, match="write of 512 bytes at 0 failed: the server answers error 28") as error:
            device.write(0, bytes(512))
        assert error.value.errno_name == "ENOSPC"
        with pytest.raises(DeviceError) as error:
            device.read(0, 512)
        assert error.value.errno_name == "EPERM"
        device.flush()  # the connection is as good as before
        device.close()


def test_read_only(tmp_path: Path, image: Path) -> None:
    socket = tmp_path / "nbd.sock"
    with nbd_server(socket, tool("nbdkit"), "-f", "-r", "file", str(image)):
        with pytest.raises(DeviceError, match="read-only") as error:
            open_nbd(uri(socket), writable=True)
        assert error.value.errno_name == "EPERM"
        overlay = Overlay(open_nbd(uri(socket)), owns=True)
        overlay.write(512, pattern(512, 512, tag=1))
        assert_pattern(read_bytes(overlay, 1024, 8192), 1024)
        overlay.close()


def test_an_export_that_is_not_there(tmp_path: Path, image: Path) -> None:
    socket = tmp_path / "nbd.sock"
    with (
        nbd_server(socket, tool("qemu-nbd"), "-t", "-f", "raw", "-x", "mine", str(image)),
        pytest.raises(DeviceError, match="there is no export 'other'"),
    ):
        open_nbd(f"nbd+unix:///other?socket={socket}")


def test_a_server_that_dies_is_eio_and_late_disk_finds_the_next(tmp_path: Path, image: Path) -> None:
    first, second = tmp_path / "first.sock", tmp_path / "second.sock"
    sockets = [first, second]
    late = LateDisk(lambda: open_nbd(uri(sockets[0])), deadline_seconds=10)
    with nbd_server(first, tool("nbdkit"), "-f", "file", str(image)) as server:
        assert_pattern(b"".join(late.read(0, 4096)), 0)
        disk = late.get()
        server.kill()
        server.wait()
        with pytest.raises(DeviceError, match="the connection is lost") as error:
            disk.read(0, 512)
        assert error.value.errno_name == "EIO"
    del sockets[0]
    with nbd_server(second, tool("nbdkit"), "-f", "file", str(image)):
        assert_pattern(b"".join(late.read(4096, 4096)), 4096)
        late.close()
