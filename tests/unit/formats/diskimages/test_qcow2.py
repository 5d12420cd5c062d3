from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.diskimages.qcow2 import check_whole, parse_qcow
from bootpath.formats.region import Region
from tests.support.tools import tool


def created(path: Path, *options: str) -> bytes:
    subprocess.run([tool("qemu-img"), "create", "-q", *options, path, "1M"], check=True)
    return path.read_bytes()


def region(data: bytes) -> Region:
    return Region(MemoryDevice(data + bytes(-len(data) % 512)), 0, len(data))


def test_versions(tmp_path: Path) -> None:
    for options, version in (
        (("-f", "qcow"), 1),
        (("-f", "qcow2", "-o", "compat=0.10"), 2),
        (("-f", "qcow2", "-o", "compat=1.1"), 3),
    ):
        header = parse_qcow(region(created(tmp_path / f"v{version}", *options)))
        assert (header.version, header.size_bytes, header.encrypted) == (version, 1 << 20, False)
        assert (header.backing_file, header.backing_format, header.data_file) == (None, None, None)


def test_what_it_names(tmp_path: Path) -> None:
    header = parse_qcow(region(created(tmp_path / "b", "-u", "-f", "qcow2", "-b", "/a/ü", "-F", "raw")))
    assert (header.backing_file, header.backing_format) == ("/a/ü", "raw")
    data = str(tmp_path / "data")
    header = parse_qcow(region(created(tmp_path / "d", "-f", "qcow2", "-o", f"data_file={data}")))
    assert header.data_file == data


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (4, 9, "the version is not known"),
        (20, 40, "the cluster size is out of range"),
        (100, 12, "the length of the header is not valid"),
        (16, 2000, "the name of the backing file is too long"),
    ],
)
def test_refusal(offset: int, value: int, message: str, tmp_path: Path) -> None:
    data = bytearray(created(tmp_path / "b", "-u", "-f", "qcow2", "-b", "a", "-F", "raw"))
    struct.pack_into(">I", data, offset, value)
    with pytest.raises(FormatError, match=message):
        parse_qcow(region(bytes(data)))


@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_the_end_is_missing(compat: str, tmp_path: Path) -> None:
    image, source = tmp_path / "image", tmp_path / "source"
    source.write_bytes(b"x" * (1 << 20))
    options = ("-O", "qcow2", "-o", f"compat={compat}")
    subprocess.run([tool("qemu-img"), "convert", *options, source, image], check=True)
    whole = image.stat().st_size
    for cut in (1 << 16, whole // 2, whole - (1 << 16)):
        with image.open("rb") as file:
            kept = file.read(cut)
        with pytest.raises(FormatError, match=r"ends before the last cluster|outside the device"):
            check_whole(region(kept))
    device = FileDevice.open(image)
    check_whole(Region(device))
    device.close()
