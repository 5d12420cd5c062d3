"""Partition tables in the tree: MBRs, what stands beside one, and partitions that are refused alone."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.boot.machine.diskreads import OUTSIDE, TABLE, disk_areas
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.gptheader import LINUX_FS, Partition
from bootpath.formats.partitions.gptwrite import new_gpt
from bootpath.formats.partitions.mbr import DiskSignature
from bootpath.formats.partitions.protectivembr import pack_protective_mbr
from bootpath.image.contents.nodes import Contents, Node
from bootpath.image.contents.read import open_node, read_contents
from bootpath.image.entries.rootaddress import name_root
from bootpath.image.roots.choice import Verdict, choose_root
from tests.support.bootdisk import ext4, fat
from tests.support.errors import raises
from tests.support.gptdisk import as_device, gpt_image, moved, sample_partitions, set_entry
from tests.support.mbrdisk import Record, disk, table
from tests.support.tools import tool

EXT4_BLOCKS = 2048
LOGICAL, SPARE = 4096, 7000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return ext4(
        tmp_path_factory.mktemp("root"), {"etc/os-release": b"ID=x\n", "sbin/init": b"#!"}, size_bytes=EXT4_BLOCKS * 512
    )


@pytest.fixture(scope="module")
def image(root: bytes) -> bytes:
    """Partitions 1 (an EFI partition), 2 (extended) with 5 (swap, empty) and 6 (the root)."""
    first = table((0x80, 0xEF, 64, 64), (0, 0x05, 2048, 6000))
    link = table((0, 0x82, 8, 32), (0, 0x05, LOGICAL - 2048 - 8, EXT4_BLOCKS + 8))
    return disk(8192, {0: first, 2048: link, LOGICAL - 8: table((0, 0x83, 8, EXT4_BLOCKS)), LOGICAL: root})


def read(image: bytes, block_bytes: int = 512) -> Contents:
    return read_contents(MemoryDevice(image, block_bytes=block_bytes))


def node_of(contents: Contents, path: str) -> Node:
    node = contents.node(path)
    assert node is not None
    return node


def with_table(content: bytes, *records: Record) -> bytes:
    """The content, whose first sector is kept but for a partition table."""
    changed = bytearray(content)
    changed[440:512] = table(*records)[440:]
    return bytes(changed)


def test_partitions_are_nodes(image: bytes, root: bytes) -> None:
    found = read(image)
    assert [node.path for node in found.nodes()] == ["", "1", "2", "5", "6"]
    assert found.root.mbr is not None
    assert found.root.partition_table is found.root.mbr
    first, extended, swap, last = found.root.children
    assert [node.designator for node in found.root.children] == [
        Designator.ESP,
        None,
        Designator.SWAP,
        Designator.LINUX_GENERIC,
    ]
    assert (first.flags, last.flags, first.name) == (("bootable",), (), "")
    assert (last.partuuid, str(last.location)) == ("5a0c3b5e-06", f"6 (5a0c3b5e:6:{LOGICAL})")
    assert last.location.disk_id == DiskSignature(0x5A0C3B5E)
    assert last.content is not None
    assert last.content.kind == "ext4"
    assert extended.record is not None
    assert extended.record.extended
    assert (extended.superblocks, extended.children, swap.superblocks) == ((), (), ())
    with closing(open_node(MemoryDevice(image), found, "6")) as device:
        assert read_bytes(device, 0, len(root)) == root
    assert found.warnings == ()


def test_a_logical_partition_can_be_the_root_and_a_slot(image: bytes) -> None:
    for slot in (None, "6", f"5a0c3b5e:6:{LOGICAL}", f"5A0C3B5E:6:{LOGICAL}"):
        choice = choose_root(read(image), slot=slot)
        assert choice.verdict is Verdict.UNPROTECTED
        assert choice.root is not None
        assert choice.root.data.path == "6"
    assert choose_root(read(image), slot="5a0c3b5f:6").verdict is Verdict.NONE


def test_partx_and_blkid_see_the_same(image: bytes, tmp_path: Path) -> None:
    """partx numbers them, blkid names their PARTUUIDs and what is in each."""
    path = tmp_path / "disk.img"
    path.write_bytes(image)
    said = subprocess.check_output([tool("partx"), "-g", "-r", "-b", "-o", "NR,START,SIZE,UUID", path], text=True)
    nodes = read(image).root.children
    rows = [(node.location.number, node.location.first_lba, node.size_bytes, node.partuuid) for node in nodes]
    assert said.split() == [str(cell) for row in rows for cell in row]
    command: list[str | Path] = [tool("blkid"), "-p", "-O", str(LOGICAL * 512), "-s", "UUID", "-o", "value", path]
    content = node_of(read(image), "6").content
    assert content is not None
    assert subprocess.check_output(command, text=True).strip() == content.uuid


def test_one_partition_is_refused_alone(image: bytes) -> None:
    cut = read(image[: (LOGICAL + 100) * 512])
    assert node_of(cut, "6").refusal is not None
    assert node_of(cut, "1").refusal is None
    assert any("partition 6" in warning and "ends after the disk" in warning for warning in cut.warnings)
    with pytest.raises(DeviceError, match="ends beyond the device"):
        open_node(MemoryDevice(image), cut, "6")


def test_a_gpt_on_a_device_with_larger_blocks() -> None:
    """A disk of 512-byte blocks that is served with 4096: what is not on these blocks is refused, and nothing else."""
    found = read(bytes(gpt_image()), 4096)
    assert [node.refusal is None for node in found.root.children] == [False, False, False]
    assert "not on blocks of the device" in str(found.root.children[0].refusal)


def test_a_gpt_entry_that_ends_before_it_begins_is_refused_alone() -> None:
    image = gpt_image()
    set_entry(image, moved(sample_partitions()[1], 40, 39))
    found = read(bytes(image))
    assert [node.path for node in found.root.children] == ["1", "2", "5"]
    assert [node.refusal is None for node in found.root.children] == [True, False, True]
    assert str(node_of(found, "2").refusal) == "the partition ends before it begins; found LBA 40 to 39"
    assert found.warnings == ("partition 2 (LBA 40 to 39) ends before it begins",)
    with pytest.raises(DeviceError, match="ends before it begins"):
        open_node(as_device(image), found, "2")


def test_linux_is_forced_to_believe_a_damaged_gpt_where_it_can(root: bytes) -> None:
    """The first copy is torn: the other one counts where it is at the end of the disk, and only there."""
    blocks = len(root) // 512
    gpt = new_gpt(2 << 20, UUID(int=1), [Partition(1, LINUX_FS, UUID(int=2), 64, 63 + blocks)])
    image = gpt_image(gpt)
    image[64 * 512 : (64 + blocks) * 512] = root
    for torn, longer, force in ((False, 0, False), (True, 0, True), (False, 64, False)):
        disk = MemoryDevice(bytes(image[:512] + bytes(512) * torn + image[512 + 512 * torn :]) + bytes(longer * 512))
        contents = read_contents(disk)
        chosen = choose_root(contents).root
        assert chosen is not None
        address = name_root(disk, contents, chosen)
        assert address is not None
        assert address.force_gpt is force
    disk = MemoryDevice(bytes(image[:512] + bytes(512) + image[1024:] + bytes(64 * 512)))
    contents = read_contents(disk)
    chosen = choose_root(contents).root
    assert chosen is not None
    with raises(FormatError, found="LBA 4095", expected="LBA 4159, the end of the disk"):
        name_root(disk, contents, chosen)


def test_a_file_system_is_never_taken_for_a_table(tmp_path: Path) -> None:
    volume = fat(tmp_path, {"a": b"a"})
    for content in (volume, with_table(volume, (0x80, 0x83, 2048, 100))):
        found = read(content)
        assert (found.root.mbr, found.root.children) == (None, ())
        assert found.root.content is not None
        assert found.root.content.kind == "vfat"
    ntfs = bytearray(disk(64, {0: table((0x80, 0x83, 8, 8))}))
    ntfs[3:11] = b"NTFS    "
    assert read(bytes(ntfs)).root.mbr is None


def test_a_table_beside_a_file_system_is_an_ambiguity(root: bytes, image: bytes) -> None:
    beside = with_table(root, (0, 0x83, 1000, 100))
    found = read(beside)
    assert found.root.content is not None
    assert [node.path for node in found.root.children] == ["1"]
    assert "there is ext4 beside the partition table: either may be left over" in found.warnings
    both = bytearray(image)
    both[1024:2048] = root[1024:2048]
    found = read(bytes(both))
    assert choose_root(found).verdict is Verdict.AMBIGUOUS
    assert [node.path for node in found.nodes()] == ["", "1", "2", "5", "6"]


def test_damage_beside_a_table_is_not_the_tables(image: bytes) -> None:
    damaged = bytearray(image)
    damaged[1024 + 56 : 1024 + 58] = b"\x53\xef"  # the magic of an ext superblock that is not one
    found = read(bytes(damaged))
    assert found.root.fault is None
    assert any("beside the partition table: " in warning for warning in found.warnings)
    assert choose_root(found).verdict is Verdict.UNPROTECTED


def test_a_gpt_that_is_left_over(image: bytes) -> None:
    """Linux looks at a GPT only behind an MBR that protects it."""
    both = bytearray(image)
    for lba, block in ((1, gpt_image()[512:1024]), (2, gpt_image()[1024 : 34 * 512])):
        both[lba * 512 : lba * 512 + len(block)] = block
    found = read(bytes(both))
    assert (found.root.gpt, found.root.gpt_fault, found.root.fault) == (None, None, None)
    assert "there is a GPT beside the MBR, which does not protect it: Linux uses the MBR" in found.warnings
    assert len(found.root.children) == 4


def test_a_protective_mbr_without_a_gpt() -> None:
    found = read(disk(64, {0: pack_protective_mbr(63)}))
    assert found.root.mbr is not None
    assert found.root.mbr.protective
    assert found.warnings == (
        "the MBR is a protective one, and there is no GPT: Linux finds no partitions on the disk",
    )


def test_boot_code_is_no_table(root: bytes) -> None:
    """55 aa, and nothing that is a partition: of a disk without anything else the signature says that it is one."""
    assert read(with_table(root)).root.mbr is None
    assert read(disk(64, {0: table()})).root.mbr is not None
    assert read(disk(64, {0: table(signature=0)})).root.mbr is None


def test_areas(image: bytes) -> None:
    memory = MemoryDevice(image)
    areas = disk_areas(memory, read(image).root.mbr)
    assert sum(area.extent.length for area in areas) == memory.size_bytes
    named = {area.name: area.extent for area in areas}
    assert named["partition 6"].offset == LOGICAL * 512
    assert {area.name for area in areas} == {TABLE, OUTSIDE, "partition 1", "partition 5", "partition 6"}
    cut = MemoryDevice(image[: 100 * 512])
    assert sum(area.extent.length for area in disk_areas(cut, read(image).root.mbr)) == cut.size_bytes


def test_guids_stay_guids() -> None:
    (first, *_) = read(bytes(gpt_image())).root.children
    assert first.partition is not None
    assert first.partuuid == str(first.partition.guid)
    assert isinstance(first.location.disk_id, UUID)


def test_hostile_tables(image: bytes) -> None:
    """Whatever the sectors of the table say, there is a tree, and each of its places can be opened, or is refused."""
    random = Random(7)
    sectors = (0, 2048 * 512, (LOGICAL - 8) * 512)
    for _ in range(300):
        changed = bytearray(image)
        for _ in range(random.randrange(1, 6)):
            changed[random.choice(sectors) + 446 + random.randrange(64)] = random.randrange(256)
        disk = MemoryDevice(bytes(changed))
        found = read_contents(disk)
        for node in found.nodes():
            if node.refusal is None:
                assert open_node(disk, found, node.path).size_bytes == node.size_bytes
        choose_root(found)
