"""The server with the clients that people have: libnbd's tools, qemu's, fio, and nbdkit as a client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.core.errors import DeviceError
from bootpath.serve.export import Export
from tests.support.nbd import Running, serving
from tests.support.patterns import pattern
from tests.support.tools import tool

SIZE = 16 << 20
SECONDS = 60
DEBIAN_PYTHON = "/usr/bin/python3"  # libnbd's module is no package of PyPI's


def run(*command: str | Path, **options: object) -> str:
    """Run a tool; its stdout. Its stderr is in the failure."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(part) for part in command], capture_output=True, text=True, timeout=SECONDS, **options
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nbd") / "image.raw"
    path.write_bytes(pattern(0, SIZE))
    return path


@pytest.fixture
def running(image: Path) -> Iterator[Running]:
    """An overlay over the image, and the image itself, read-only."""
    disk = FileDevice.open(image)
    exports = {"": Export("", Overlay(disk), "overlay"), "plain": Export("plain", disk)}
    with serving(exports) as server:
        yield server
    disk.close()


# libnbd


def test_nbdinfo(running: Running) -> None:
    found = json.loads(run(tool("nbdinfo"), "--json", running.uri))["exports"][0]
    assert found["export-size"] == SIZE
    assert found["description"] == "overlay"
    assert found["contexts"] == ["base:allocation", "bootpath:source"]
    for feature in ("cache", "df", "fast_zero", "flush", "fua", "multi_conn", "trim", "zero"):
        assert found[f"can_{feature}"] is True, feature
    assert found["is_read_only"] is False
    assert (found["block_size_minimum"], found["block_size_maximum"]) == (512, 1 << 25)
    listed = json.loads(run(tool("nbdinfo"), "--json", "--list", running.uri))["exports"]
    assert [(export["export-name"], export["is_read_only"]) for export in listed] == [("", False), ("plain", True)]


def test_nbdinfo_says_what_can_be_done(running: Running) -> None:
    for what in ("multi-conn", "df", "fua", "cache", "structured-reply"):
        run(tool("nbdinfo"), "--can", what, running.uri)
    run(tool("nbdinfo"), "--is", "readonly", running.export_uri("plain"))
    done = subprocess.run([tool("nbdinfo"), "--can", "trim", running.export_uri("plain")], timeout=SECONDS)
    assert done.returncode == 2
    assert run(tool("nbdinfo"), "--size", running.uri).strip() == str(SIZE)


def test_nbdinfo_map(running: Running) -> None:
    run(tool("qemu-io"), "-f", "raw", "-c", "write 1M 64k", "-c", "discard 2M 1M", running.uri)
    found = json.loads(run(tool("nbdinfo"), "--json", "--map", running.uri))
    assert [(row["offset"], row["length"], row["type"]) for row in found] == [
        (0, 2 << 20, 0),
        (2 << 20, 1 << 20, 3),
        (3 << 20, SIZE - (3 << 20), 0),
    ]
    sources = json.loads(run(tool("nbdinfo"), "--json", "--map=bootpath:source", running.uri))
    assert [(row["offset"], row["type"]) for row in sources] == [
        (0, 5),
        (1 << 20, 2),
        ((1 << 20) + (64 << 10), 5),
        (2 << 20, 4),
        (3 << 20, 5),
    ]


def test_nbdcopy_there_and_back(running: Running, tmp_path: Path) -> None:
    source = tmp_path / "source.raw"
    source.write_bytes(pattern(0, SIZE - (1 << 20), tag=7) + bytes(1 << 20))
    run(tool("nbdcopy"), "--connections=4", "--requests=16", "--flush", source, running.uri)
    back = tmp_path / "back.raw"
    run(tool("nbdcopy"), running.uri, back)
    assert back.read_bytes() == source.read_bytes()
    run(tool("qemu-img"), "compare", "-f", "raw", "-F", "raw", source, running.uri)


NBDSH = """
import errno, nbd
size = h.get_size()
assert h.pread(512, 512)[:4] != bytes(4)
h.pwrite(b"\\x5a" * 8192, 4096, nbd.CMD_FLAG_FUA)
assert h.pread(8192, 4096) == b"\\x5a" * 8192
h.flush()
h.zero(4096, 4096, nbd.CMD_FLAG_FAST_ZERO)
h.trim(1 << 20, 1 << 20)
h.cache(4096, 0)
assert h.pread(4096, 4096) == bytes(4096)
h.set_strict_mode(0)
def fails(number, call, *arguments):
    try:
        call(*arguments)
    except nbd.Error as error:
        assert error.errnum == number, error
    else:
        raise AssertionError((call, arguments))
fails(errno.EINVAL, h.pread, 512, size)
fails(errno.ENOSPC, h.pwrite, bytes(512), size)
fails(errno.EINVAL, h.pread, 100, 1)
fails(errno.EOPNOTSUPP, h.zero, 512, 512, nbd.CMD_FLAG_FAST_ZERO)
chunks = []
def chunk(data, offset, status, error):
    chunks.append((offset, len(data), status))
h.pread_structured(1 << 20, 512 << 10, chunk)
assert chunks == [(512 << 10, 512 << 10, nbd.READ_DATA), (1 << 20, 512 << 10, nbd.READ_HOLE)], chunks
chunks.clear()
h.pread_structured(1 << 20, 512 << 10, chunk, nbd.CMD_FLAG_DF)
assert chunks == [(512 << 10, 1 << 20, nbd.READ_DATA)], chunks
found = []
h.block_status(2 << 20, 0, lambda context, offset, entries, error: found.append((context, entries)))
assert found == [("base:allocation", [4096, 0, 4096, 3, (1 << 20) - 8192, 0, 1 << 20, 3])], found
"""


def test_nbdsh(running: Running) -> None:
    tool("nbdsh")
    probe = subprocess.run([DEBIAN_PYTHON, "-c", "import nbd; nbd.NBD"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("libnbd's Python module is not installed")
    run(DEBIAN_PYTHON, "-m", "nbd", "--base-allocation", "-u", running.uri, "-c", NBDSH)


ANY_BYTES = """
import random
agreed = nbd.NBD()
agreed.connect_uri(URI)
minimum = agreed.get_block_size(nbd.SIZE_MINIMUM)
for oldest in (False, True):
    h = nbd.NBD()
    h.set_strict_mode(0)
    if oldest:
        h.set_handshake_flags(0)
        h.set_request_structured_replies(False)
    h.set_request_block_size(False)
    h.connect_uri(URI)
    model = bytearray(h.pread(1 << 20, 0))
    rng = random.Random(1)
    for _ in range(300):
        offset = rng.randrange(1 << 20)
        length = min(rng.choice([1, 5, 511, 512, 700, 4096, 70000, 300001]), (1 << 20) - offset)
        match rng.randrange(4):
            case 0 | 1:
                data = rng.randbytes(length)
                h.pwrite(data, offset, nbd.CMD_FLAG_FUA if rng.random() < 0.1 else 0)
                model[offset : offset + length] = data
            case 2:
                h.zero(length, offset)
                model[offset : offset + length] = bytes(length)
            case 3:
                h.trim(length, offset)
                model[:] = h.pread(1 << 20, 0)
        assert h.pread(length, offset) == bytes(model[offset : offset + length])
    assert h.pread(1 << 20, 0) == bytes(model)
    h.shutdown()
agreed.set_strict_mode(0)
try:
    agreed.pread(1, 1)
except nbd.Error:
    assert minimum > 1
else:
    assert minimum == 1
agreed.shutdown()
"""


def test_who_agreed_to_no_block_size_asks_for_any_bytes(running: Running) -> None:
    tool("nbdsh")
    probe = subprocess.run([DEBIAN_PYTHON, "-c", "import nbd; nbd.NBD"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("libnbd's Python module is not installed")
    run(DEBIAN_PYTHON, "-c", f"import nbd\nURI = {running.uri!r}\n{ANY_BYTES}")


# qemu


def test_qemu_img(running: Running, image: Path, tmp_path: Path) -> None:
    info = json.loads(run(tool("qemu-img"), "info", "--output=json", "-f", "raw", running.uri))
    assert info["virtual-size"] == SIZE
    found = json.loads(run(tool("qemu-img"), "map", "--output=json", "-f", "raw", running.uri))
    assert sum(row["length"] for row in found) == SIZE
    run(tool("qemu-img"), "bench", "-f", "raw", "-c", "2000", "-d", "16", "-s", "4096", running.uri)
    run(tool("qemu-img"), "bench", "-w", "-f", "raw", "-c", "2000", "-d", "16", "-s", "4096", running.uri)
    converted = tmp_path / "converted.qcow2"
    run(tool("qemu-img"), "convert", "-f", "raw", "-O", "qcow2", running.export_uri("plain"), converted)
    run(tool("qemu-img"), "compare", "-f", "qcow2", "-F", "raw", converted, running.export_uri("plain"))
    run(tool("qemu-img"), "convert", "-n", "-f", "qcow2", "-O", "raw", converted, running.uri)
    run(tool("qemu-img"), "compare", "-f", "raw", "-F", "raw", image, running.uri)


@pytest.mark.parametrize("cache", ["writeback", "writethrough"])
def test_qemu_io(running: Running, cache: str) -> None:
    commands = (
        *("write -P 0xab 4096 8192", "read -P 0xab 4096 8192", "write -z -u 64k 1M", "read -P 0 64k 1M"),
        *("write -P 7 512 1500k", "read -P 7 512 1500k", "write -z 1M 4k", "read -P 0 1M 4k", "discard 8M 1M"),
        *("aio_write -P 3 4M 1M", "aio_write -P 4 5M 1M", "aio_flush", "read -P 3 4M 1M", "read -P 4 5M 1M", "flush"),
    )
    arguments = [part for command in commands for part in ("-c", command)]
    done = run(tool("qemu-io"), "-t", cache, "-f", "raw", *arguments, running.uri)
    assert "failed" not in done
    assert "error" not in done


def test_nbdkit_as_a_proxy(running: Running, image: Path, tmp_path: Path) -> None:
    """nbdkit's nbd plugin asks for everything that libnbd knows, and passes it on."""
    copy = tmp_path / "copy.raw"
    script = f'nbdcopy "$uri" {copy} && nbdinfo --map "$uri"'
    run(tool("nbdkit"), "-U", "-", "nbd", running.export_uri("plain"), "shared=true", "--run", script)
    assert copy.read_bytes() == image.read_bytes()


def test_fio_verifies(tmp_path: Path) -> None:
    lines = ("ioengine=nbd", "rw=randrw", "bsrange=512-256k", "verify=crc32c", "do_verify=1", "thread=1", "iodepth=16")
    with serving(Overlay(MemoryDevice(SIZE))) as running:
        job = tmp_path / "job.fio"
        job.write_text("\n".join(("[verify]", f"uri={running.uri}", f"size={SIZE}", *lines)) + "\n")
        run(tool("fio"), job, cwd=tmp_path)
        assert running.server.statistics().errors == 0


def test_two_clients_verify_at_the_same_time(tmp_path: Path) -> None:
    with serving(Overlay(MemoryDevice(SIZE))) as running:
        job = tmp_path / "job.fio"
        common = f"ioengine=nbd\nuri={running.uri}\nrw=randwrite\nbsrange=512-64k\nverify=crc32c\nthread=1\niodepth=8\n"
        half = SIZE // 2
        job.write_text(f"[global]\n{common}size={half}\n[low]\noffset=0\n[high]\noffset={half}\n")
        run(tool("fio"), job, cwd=tmp_path)


def test_the_end_of_the_overlay_is_no_space_for_qemu(image: Path) -> None:
    disk = FileDevice.open(image)
    with serving(Overlay(disk, max_bytes=1 << 20)) as running:
        command = [tool("qemu-io"), "-f", "raw", "-c", "write -P 1 0 4M", running.uri]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        assert "No space left on device" in done.stdout + done.stderr
        run(tool("qemu-io"), "-f", "raw", "-c", "read 0 4M", running.uri)
    disk.close()


def test_a_file_that_is_written(tmp_path: Path) -> None:
    """No overlay: every write goes to a worker and to the file."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(SIZE))
    source = tmp_path / "source.raw"
    source.write_bytes(pattern(0, SIZE, tag=2))
    disk = FileDevice.open(path, writable=True)
    with serving(disk) as running:
        run(tool("nbdcopy"), "--connections=4", "--flush", source, running.uri)
        assert path.read_bytes() == source.read_bytes()
        run(tool("qemu-io"), "-t", "writethrough", "-f", "raw", "-c", "write -P 9 4k 300k", running.uri)
        assert path.read_bytes()[4096 : 4096 + (300 << 10)] == b"\x09" * (300 << 10)
    disk.close()
    with pytest.raises(DeviceError):
        disk.read(0, 512)
