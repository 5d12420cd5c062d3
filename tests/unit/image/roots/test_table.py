"""The chosen root as a table and as a device."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.table import pack_line
from bootpath.image.contents.read import read_contents
from bootpath.image.roots.choice import choose_root
from bootpath.image.roots.table import open_root_device, root_table
from tests.support.ddi import DATA_BYTES, SALT, make_disk, make_file_system, protect


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("roottable")
    volume = protect(directory, make_file_system(directory))
    return make_disk(directory / "disk.img", volume.parts("os_1")).path.read_bytes()


def test_a_verified_root(image: bytes) -> None:
    memory = bytearray(image)
    disk = MemoryDevice(memory)
    found = read_contents(disk)
    root = choose_root(found).root
    assert root is not None
    assert root.root_hash is not None
    (line,) = root_table(root).lines
    blocks = DATA_BYTES // 4096
    expected = f"0 {blocks * 8} verity 1 1 2 4096 4096 {blocks} 1 sha256 {root.root_hash.hex()} {SALT}"
    assert pack_line(line) == expected
    with closing(open_root_device(disk, found, root)) as device:
        assert read_bytes(device, 0, DATA_BYTES) == image[1 << 20 : (1 << 20) + DATA_BYTES]
    memory[(1 << 20) + 5] ^= 1
    with closing(open_root_device(disk, found, root)) as device:
        assert read_bytes(device, 4096, 4096) == image[(1 << 20) + 4096 : (1 << 20) + 8192]
        with pytest.raises(DeviceError, match="block 0"):
            read_bytes(device, 0, 4096)
    disk.read(0, 512)


def test_a_whole_disk(tmp_path: Path) -> None:
    content = make_file_system(tmp_path)
    disk = MemoryDevice(content)
    found = read_contents(disk)
    root = choose_root(found).root
    assert root is not None
    assert pack_line(root_table(root).lines[0]) == f"0 {DATA_BYTES // 512} linear . 0"
    with closing(open_root_device(disk, found, root)) as device:
        assert read_bytes(device, 0, DATA_BYTES) == content
    disk.read(0, 512)


def test_what_is_out_has_no_table(image: bytes) -> None:
    (candidate,) = choose_root(read_contents(MemoryDevice(image)), slot="9").candidates
    with pytest.raises(ValueError, match="slot 9"):
        root_table(candidate)
