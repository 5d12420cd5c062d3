from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.boot.guest.memory import PhysicalMemory, find_regions
from bootpath.core.errors import BootError

ADDRESS = 0x100000000


def pmem(tmp_path: Path, name: str, address: int, content: bytes) -> None:
    directory = tmp_path / "block" / name
    (directory / "device").mkdir(parents=True)
    (directory / "device/resource").write_text(f"{address:#x}\n")
    (directory / "size").write_text(f"{len(content) // 512}\n")
    (tmp_path / name).write_bytes(content)


@pytest.fixture
def memory(tmp_path: Path) -> PhysicalMemory:
    (tmp_path / "block/vda").mkdir(parents=True)
    pmem(tmp_path, "pmem0", ADDRESS, bytes(range(256)) * 32)
    pmem(tmp_path, "pmem1", 0x20000000, b"low" + bytes(4093))
    return PhysicalMemory(find_regions(tmp_path / "block", tmp_path))


def test_bytes_by_their_address(memory: PhysicalMemory) -> None:
    assert memory.read(ADDRESS, 4, "x") == b"\0\1\2\3"
    assert memory.read(ADDRESS + 8190, 2, "x") == b"\xfe\xff"
    assert memory.read(0x20000000, 3, "x") == b"low"
    assert memory.at(ADDRESS, 8192, "x").readonly


@pytest.mark.parametrize(("address", "length"), [(ADDRESS - 1, 1), (ADDRESS + 8192, 1), (ADDRESS, 8193), (0, 1)])
def test_memory_that_was_not_handed_over(memory: PhysicalMemory, address: int, length: int) -> None:
    with pytest.raises(BootError, match=r"DISK_LIVE_ADDR: .*not reserved; expected a place in 0x2000 at 0x100000000"):
        memory.at(address, length, "DISK_LIVE_ADDR")


def test_no_region_at_all() -> None:
    with pytest.raises(BootError, match="memmap="):
        PhysicalMemory([]).at(0, 1, "DISK_LIVE_ADDR")
