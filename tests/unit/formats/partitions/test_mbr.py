"""Tables as Linux reads them, hostile chains of logical partitions, and sfdisk and blkid as judges."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.partitions.mbr import (
    MAX_EMPTY_LINKS,
    MAX_NUMBER,
    DiskSignature,
    Mbr,
    MbrPartition,
    read_mbr,
)
from bootpath.formats.partitions.mbrtypes import MBR_TYPES
from bootpath.formats.partitions.protectivembr import pack_protective_mbr
from tests.support.mbrdisk import SIGNATURE, disk, table
from tests.support.tools import tool

BLOCKS = 4096


def read(*sectors: tuple[int, bytes], blocks: int = BLOCKS, block_bytes: int = 512) -> Mbr:
    mbr = read_mbr(MemoryDevice(disk(blocks, dict(sectors), block_bytes), block_bytes=block_bytes))
    assert mbr is not None
    return mbr


def places(mbr: Mbr) -> list[tuple[int, int, int]]:
    return [(each.number, each.first_lba, each.blocks) for each in mbr.partitions]


def test_primary_partitions() -> None:
    mbr = read((0, table((0x80, 0xEA, 2048, 100), (0, 0, 0, 0), (0, 0x83, 2148, 7))))
    signature = DiskSignature(SIGNATURE)
    assert mbr.partitions == (
        MbrPartition(1, 0xEA, 2048, 100, signature, bootable=True),
        MbrPartition(3, 0x83, 2148, 7, signature),
    )
    assert (str(mbr.signature), mbr.warnings, mbr.protective) == ("5a0c3b5e", (), False)
    first, third = mbr.partitions
    assert (first.offset_bytes, first.size_bytes, first.last_lba) == (1 << 20, 51200, 2147)
    assert (first.partuuid, third.partuuid) == ("5a0c3b5e-01", "5a0c3b5e-03")
    assert (first.type_name, third.type_name) == ("extended boot loader (ea)", "Linux (83)")
    assert mbr.partition(3) is third
    assert mbr.partition(2) is None


@pytest.mark.parametrize("extended", [0x05, 0x0F, 0x85])
def test_logical_partitions(extended: int) -> None:
    """The offsets of a link are relative: of its partition to itself, of the next link to the extended partition."""
    mbr = read(
        (0, table((0, 0x0C, 1, 9), (0, extended, 100, 1000))),
        (100, table((0, 0x83, 1, 50), (0, 0x05, 200, 300))),
        (300, table((0x80, 0x82, 10, 20), (0, 0x05, 600, 100))),
        (700, table((0, 0x83, 2, 3))),
    )
    assert places(mbr) == [(1, 1, 9), (2, 100, 1000), (5, 101, 50), (6, 310, 20), (7, 702, 3)]
    assert [each.extended for each in mbr.partitions] == [False, True, False, False, False]
    assert [each.logical for each in mbr.partitions] == [False, False, True, True, True]
    assert mbr.partitions[3].bootable
    assert mbr.partitions[4].partuuid == "5a0c3b5e-07"
    assert mbr.warnings == ()


def test_blocks_are_the_disks() -> None:
    mbr = read((0, table((0, 5, 2, 60))), (2, table((0, 0x83, 1, 5))), blocks=64, block_bytes=4096)
    assert [each.offset_bytes for each in mbr.partitions] == [2 * 4096, 3 * 4096]
    assert mbr.partitions[1].size_bytes == 5 * 4096


def test_links_in_odd_forms() -> None:
    """DR-DOS has the link first; records 3 and 4 count when they fit; more than one partition in a link counts."""
    mbr = read(
        (0, table((0, 5, 100, 1000))),
        (100, table((0, 5, 50, 100), (0, 0x83, 1, 2), (0, 0x83, 10, 5), (0, 0x83, 900, 101))),
        (150, table((0, 0x83, 1, 2))),
    )
    assert places(mbr) == [(1, 100, 1000), (5, 101, 2), (6, 110, 5), (7, 151, 2)]


def test_what_is_no_table() -> None:
    for sector in (
        bytes(512),
        table((1, 0xEA, 2048, 100)),
        table((0, 0, 0, 0), (0x12, 0x83, 2048, 100)),
        b"\x55" * 512,
    ):
        assert read_mbr(MemoryDevice(disk(8, {0: sector}))) is None


def test_a_table_that_protects_a_gpt() -> None:
    mbr = read((0, pack_protective_mbr(1000)))
    assert (mbr.protective, mbr.partitions) == (True, ())
    assert mbr.warnings == ("the MBR is a protective one, and there is no GPT: Linux finds no partitions on the disk",)
    hybrid = read((0, table((0, 0xEE, 1, 10), (0, 0x0C, 20, 5), (0, 0x83, 30, 5))))
    assert hybrid.partitions == ()
    assert "of type 0c, 83 too" in hybrid.warnings[1]


def one(mbr: Mbr) -> str:
    (warning,) = mbr.warnings
    return warning


def test_one_bad_partition_condemns_no_other() -> None:
    assert "overlap at LBA 150" in one(read((0, table((0, 0x83, 100, 100), (0, 0x83, 150, 100)))))
    assert "ends after the disk, which ends at LBA 4095" in one(read((0, table((0, 0x83, 4000, 97)))))
    assert "begins with the partition table" in one(read((0, table((0, 0x83, 0, 97)))))
    assert "more than one partition is bootable: 1, 2" in one(read((0, table((0x80, 12, 1, 1), (0x80, 12, 2, 1)))))
    assert "partitions 2 and 1 overlap" in one(read((0, table((0, 5, 100, 100), (0, 0x83, 150, 100))), (100, table())))
    outside = read((0, table((0, 5, 100, 100))), (100, table((0, 0x83, 1, 100))))
    assert "partition 5 (LBA 101 to 200) is not inside the extended partition" in one(outside)
    two = read(
        (0, table((0, 5, 100, 100), (0, 5, 300, 100))), (100, table((0, 0x83, 1, 5))), (300, table((0, 0x83, 1, 5)))
    )
    assert places(two)[2:] == [(5, 101, 5), (6, 301, 5)]
    assert "more than one extended partition: 1, 2" in one(two)


def test_chains_that_do_not_end() -> None:
    head = (0, table((0, 5, 100, 3000)))
    back = read(head, (100, table((0, 0x83, 1, 5), (0, 5, 50, 10))), (150, table((0, 0x83, 1, 5), (0, 5, 0, 10))))
    assert places(back)[1:] == [(5, 101, 5), (6, 151, 5)]
    assert "end at LBA 100: the chain comes back to there" in one(back)
    beyond = read(head, (100, table((0, 0x83, 1, 5), (0, 5, 5000, 10))))
    assert "end at LBA 5100: the disk ends before" in one(beyond)
    assert "end at LBA 150: there is no link of the chain" in one(
        read(head, (100, table((0, 0x83, 1, 5), (0, 5, 50, 9))))
    )
    empty = {100 + index: table((0, 5, index + 1, 1)) for index in range(MAX_EMPTY_LINKS + 50)}
    assert f"{MAX_EMPTY_LINKS} links have no partition" in one(read(head, *empty.items()))
    sparse = {100 + index: table((0, 0x83, 1, index % 50 == 0), (0, 5, index + 1, 1)) for index in range(500)}
    assert len(read(head, *sparse.items()).partitions) == 4
    full = {100 + 2 * index: table((0, 0x83, 1, 1), (0, 5, 2 * index + 2, 1)) for index in range(400)}
    many = read(head, *full.items())
    assert many.partitions[-1].number == MAX_NUMBER
    assert f"Linux knows no partition after {MAX_NUMBER}" in one(many)


def test_partitions_are_counted() -> None:
    with limits_raised(partition_entries=1), pytest.raises(LimitError):
        read((0, table((0, 0x83, 1, 1), (0, 0x83, 2, 1))))


def test_types_have_names() -> None:
    assert MBR_TYPES[0x83] == "Linux"
    assert MbrPartition(1, 0x99, 1, 1, DiskSignature(0)).type_name == "type 99"


def script(random: Random) -> str:
    """A table for sfdisk: up to three primary partitions, and an extended one with logical ones in it."""
    lines = ["label: dos", f"label-id: {random.getrandbits(32):#010x}", "unit: sectors"]
    types = ["0c", "82", "83", "ea", "ef", "8e", "7"]
    at = random.randrange(1, 100)
    primaries = random.randrange(0, 4)
    for number in range(1, primaries + 1):
        size = random.randrange(1, 200)
        boot = ", bootable" if random.random() < 0.3 else ""
        lines.append(f"d{number} : start={at}, size={size}, type={random.choice(types)}{boot}")
        at += size + random.randrange(3) * random.randrange(100)
    if random.random() < 0.7:
        begin = at
        logical = []
        for number in range(5, 5 + random.randrange(0, 9)):
            at += random.randrange(1, 40)
            size = random.randrange(1, 100)
            logical.append(f"d{number} : start={at}, size={size}, type={random.choice(types)}")
            at += size
        kind = random.choice(["5", "f", "85"])
        lines.append(f"d{primaries + 1} : start={begin}, size={max(at - begin, 2)}, type={kind}")
        lines += logical
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(25))
def test_tables_of_sfdisk(tmp_path: Path, seed: int) -> None:
    """sfdisk writes a table, and says of it, and blkid and partx too, what we do."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(8192 * 512))
    wanted = script(Random(seed))
    subprocess.run([tool("sfdisk"), "-q", image], input=wanted.encode(), check=True, capture_output=True)
    mbr = read_mbr(MemoryDevice(image.read_bytes()))
    assert mbr is not None
    assert mbr.warnings == () or all("bootable" in each for each in mbr.warnings)
    dump = json.loads(subprocess.check_output([tool("sfdisk"), "--json", image]))["partitiontable"]
    assert str(mbr.signature) == dump["id"][2:]
    said = [
        (
            int(each["node"].removeprefix(str(image))),
            each["start"],
            each["size"],
            int(each["type"], 16),
            each.get("bootable", False),
        )
        for each in dump.get("partitions", [])
    ]
    assert [(each.number, each.first_lba, each.blocks, each.type, each.bootable) for each in mbr.partitions] == said
    if not said:
        return
    columns = subprocess.check_output([tool("partx"), "-g", "-r", "-o", "NR,START,SECTORS,UUID", image], text=True)
    rows = [(each.number, each.first_lba, each.blocks, each.partuuid) for each in mbr.partitions]
    assert columns.split() == [str(cell) for row in rows for cell in row]
