"""The tree of what is on a disk: other tools' disks, nested ones, bad disks beneath, and hostile bytes."""

from __future__ import annotations

import errno
import gzip
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.stack import open_table
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.block.targets.linear import Linear
from bootpath.block.targets.log import Log
from bootpath.core.device import Buffer, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent
from bootpath.core.iolog import Read, Record
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.partitions.dps import Architecture, Designator, type_guid
from bootpath.formats.partitions.gpt import Gpt, read_gpt
from bootpath.formats.partitions.gptheader import LINUX_FS, Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from bootpath.image.contents.nodes import Contents, Node, NodeKind, NodeReason
from bootpath.image.contents.read import open_node, read_contents
from bootpath.image.roots.choice import RootChoice, Verdict, check_candidate, choose_root
from tests.fuzz.mutation import mutate
from tests.support import lvmdisk
from tests.support.ddi import (
    MIB,
    Disk,
    Part,
    Signer,
    Volume,
    make_disk,
    make_file_system,
    make_lvm_disk,
    make_ubi_image,
    protect,
)
from tests.support.gptdisk import apply, set_entry
from tests.support.tree import ROOT

GOLDEN = ROOT / "tests/golden"


@dataclass(frozen=True)
class Made:
    signer: Signer
    volume: Volume
    disk: Disk
    image: bytes
    lvm: bytes
    ubi: bytes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = tmp_path_factory.mktemp("contents")
    signer = Signer.make(directory)
    plain = make_file_system(directory, uuid=str(UUID(int=11)), label="rootfs")
    volume = protect(directory, plain, signer)
    disk = make_disk(directory / "disk.img", volume.parts("os_1"))
    lvm = make_lvm_disk(directory / "lvm.img", plain).path.read_bytes()
    ubi = make_ubi_image(directory / "ubi.img", {"rootfs": plain}).read_bytes()
    return Made(signer, volume, disk, disk.path.read_bytes(), lvm, ubi)


def choose(disk: MemoryDevice | Fault | Log, made: Made) -> tuple[Contents, RootChoice]:
    found = read_contents(disk)
    return found, choose_root(found, certificates=[made.signer.certificate.read_bytes()])


def test_a_signed_image(made: Made) -> None:
    records: list[Record] = []
    found, choice = choose(Log(MemoryDevice(made.image), records.append), made)
    assert [node.path for node in found.nodes()] == ["", "1", "2", "3"]
    data, hashes, signature = found.root.children
    assert data.content is not None
    assert (data.content.kind, data.content.uuid, data.content.label) == ("ext4", str(UUID(int=11)), "rootfs")
    assert data.content.size_bytes == data.size_bytes
    assert hashes.tree is not None
    assert hashes.tree.root_hash == made.volume.root_hash
    assert signature.signature is not None
    assert signature.signature.root_hash == made.volume.root_hash
    assert choice.verdict is Verdict.SIGNED
    reads = [record for record in records if isinstance(record, Read)]
    assert len(reads) <= 12
    assert sum(read.length for read in reads) < 256 << 10


def test_every_node_can_be_opened(made: Made) -> None:
    disk = MemoryDevice(made.image)
    found = read_contents(disk)
    for number, part in enumerate(made.volume.parts(""), start=1):
        with closing(open_node(disk, found, str(number))) as device:
            assert read_bytes(device, 0, len(part.content)) == part.content
    assert open_node(disk, found, "") is disk
    with pytest.raises(ValueError, match="there is no '9'"):
        open_node(disk, found, "9")


def test_volumes_can_be_opened(made: Made) -> None:
    for image, path in ((made.lvm, "vg0/root"), (made.ubi, "ubi/rootfs")):
        disk = MemoryDevice(image)
        with closing(open_node(disk, read_contents(disk), path)) as device:
            assert read_bytes(device, 0, len(made.volume.data)) == made.volume.data
        disk.read(0, 512)  # still open


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_the_block_size_is_found(made: Made, block_bytes: int) -> None:
    """ "automatically derive the sector size used for a DDI by looking for the EFI PART" (UAPI.3)."""
    image = nested_disk([made.volume.data], [type_guid(Designator.ROOT, Architecture.ARM64)], block_bytes=block_bytes)
    for device_bytes in (512, 4096):
        found = read_contents(MemoryDevice(image, block_bytes=device_bytes))
        assert found.root.gpt is not None
        assert found.root.gpt.block_bytes == block_bytes
        if device_bytes <= block_bytes:
            assert choose_root(found).verdict is Verdict.UNPROTECTED


def nested_disk(parts: Sequence[bytes], types: Sequence[UUID] = (), *, block_bytes: int = 512) -> bytes:
    """A partition table of ours with these contents, a MiB at least before each."""
    offset, partitions, places = MIB, [], []
    for number, content in enumerate(parts, start=1):
        kind = types[number - 1] if types else LINUX_FS
        blocks = -(-len(content) // block_bytes)
        first = offset // block_bytes
        partitions.append(
            Partition(number, kind, UUID(int=number), first, first + blocks - 1, 0, f"p{number}", block_bytes)
        )
        places.append((offset, content))
        offset += -(-len(content) // MIB) * MIB
    size = offset + MIB
    gpt: Gpt = new_gpt(size, UUID(int=size), partitions, block_bytes)
    image = bytearray(size)
    apply(image, [*pack_gpt(gpt), *places])
    return bytes(image)


def test_a_table_in_a_partition_in_a_partition(made: Made) -> None:
    root = type_guid(Designator.ROOT, Architecture.X86_64)
    image = nested_disk([nested_disk([nested_disk([made.volume.data], [root])])])
    disk = MemoryDevice(image)
    found = read_contents(disk)
    assert [node.path for node in found.nodes()] == ["", "1", "1/1", "1/1/1"]
    choice = choose_root(found)
    assert choice.root is not None
    assert choice.root.data.path == "1/1/1"
    with closing(open_node(disk, found, "1/1/1")) as device:
        assert read_bytes(device, 0, len(made.volume.data)) == made.volume.data


def test_nesting_ends(made: Made) -> None:
    image = made.volume.data
    for _ in range(6):
        image = nested_disk([image])
    assert max(node.path.count("/") for node in read_contents(MemoryDevice(image)).nodes()) == 3


def test_a_table_that_holds_itself(made: Made) -> None:
    """Partitions that begin where the disk does hold the same table again, which is not looked into."""
    image = bytearray(nested_disk([made.volume.data]))
    gpt = read_gpt(MemoryDevice(bytes(image)))
    whole = [replace(gpt.partitions[0], number=number, guid=UUID(int=number), first_lba=0) for number in range(1, 129)]
    for partition in whole:
        set_entry(image, partition)
    found = read_contents(MemoryDevice(bytes(image)))
    assert found.incomplete is None
    assert len(found.nodes()) == 129
    assert choose_root(found).verdict in (Verdict.NONE, Verdict.AMBIGUOUS)


def test_luks_is_encrypted() -> None:
    luks = gzip.decompress((GOLDEN / "superblocks/luks2.img.gz").read_bytes())
    image = nested_disk([luks], [type_guid(Designator.ROOT, Architecture.X86_64)])
    assert choose_root(read_contents(MemoryDevice(image))).verdict is Verdict.ENCRYPTED


def test_a_table_in_a_logical_volume(made: Made) -> None:
    """vg0/span is large enough for a disk of its own."""
    inner = nested_disk([made.volume.data], [type_guid(Designator.ROOT, Architecture.X86_64)])
    memory = bytearray(made.lvm)
    disk = MemoryDevice(memory)
    with closing(open_node(disk, read_contents(disk), "vg0/span")) as device:
        device.write(0, inner)
    found = read_contents(disk)
    node = found.node("vg0/span/1")
    assert node is not None
    assert node.kind is NodeKind.PARTITION
    assert str(node.location) == f"vg0/span/1 ({UUID(int=len(inner))}:1:2048)"
    choice = choose_root(found)
    assert choice.root is not None
    assert choice.root.data.path == "vg0/span/1"
    with closing(open_node(disk, found, "vg0/span/1")) as device:
        assert read_bytes(device, 0, len(made.volume.data)) == made.volume.data


def test_logical_volumes_of_a_disk_without_a_table() -> None:
    pv0 = gzip.decompress((GOLDEN / "lvm2/pv0.img.gz").read_bytes())
    found = read_contents(MemoryDevice(pv0))
    node = found.node("vg0/root")
    assert node is not None
    assert node.table is not None
    assert node.table.lines[0].args[0] == "."
    span = found.node("vg0/span")
    assert span is not None
    assert span.table is None
    assert "missing" in str(span.refusal)
    assert len([warning for warning in found.warnings if "is missing" in warning]) == 2
    with pytest.raises(DeviceError, match="missing"):
        open_node(MemoryDevice(pv0), found, "vg0/span")


def test_a_volume_group_in_a_logical_volume_is_found(made: Made) -> None:
    """LVM in a partition in a logical volume in a partition: pv0's own group again, one level deeper."""
    pv0 = gzip.decompress((GOLDEN / "lvm2/pv0.img.gz").read_bytes())
    memory = bytearray(made.lvm)
    disk = MemoryDevice(memory)
    with closing(open_node(disk, read_contents(disk), "vg0/span")) as device:
        device.write(0, pv0)
    node = read_contents(disk).node("vg0/span/vg0/root")
    assert node is not None
    assert node.table is not None
    assert node.table.lines[0].args[0] == "vg0/span"


def test_a_partition_behind_the_end(made: Made) -> None:
    found = read_contents(MemoryDevice(made.image[: made.disk.offsets[2]]))
    assert found.root.gpt is not None
    refused = [node.path for node in found.root.children if node.refusal is not None]
    assert refused == ["2", "3"]
    assert choose_root(found).verdict is Verdict.NONE


def test_a_file_system_larger_than_its_partition(made: Made) -> None:
    found = read_contents(MemoryDevice(nested_disk([made.volume.data[: MIB // 2]])))
    (node,) = found.root.children
    assert node.fault is not None
    assert node.fault.reason is NodeReason.DAMAGED
    assert "the ext4 has 1048576 bytes, more than the" in str(node.fault)


def test_two_things_in_one_place(made: Made) -> None:
    both = bytearray(made.volume.data)
    both[4086:4096] = b"SWAPSPACE2"
    both[1024:1024] = b""
    swap = bytearray(nested_disk([bytes(both)]))
    # A swap header needs its fields at 1024, where ext4 has its superblock: one of them is damaged, and that is said.
    (node,) = read_contents(MemoryDevice(bytes(swap))).root.children
    assert node.fault is not None
    assert choose_root(read_contents(MemoryDevice(bytes(swap)))).verdict is Verdict.NONE


def test_the_same_uuid_twice_is_said(made: Made) -> None:
    found = read_contents(MemoryDevice(nested_disk([made.volume.data, made.volume.data])))
    assert f"1 and 2 hold ext4 with the same UUID {UUID(int=11)}" in found.warnings


def test_a_tree_of_one_data_block(made: Made, tmp_path: Path) -> None:
    """There is no root block then: the root hash is that of the data."""
    for data in (made.volume.data[:4096], bytes(4096)):
        lone = protect(tmp_path, data)
        image = make_disk(tmp_path / "lone.img", lone.parts("os_1")).path.read_bytes()
        found = read_contents(MemoryDevice(image))
        tree = found.root.children[1].tree
        assert tree is not None
        assert tree.root_hash is None
        assert tree.root_hash_for("1") == lone.root_hash
        (candidate,) = choose_root(found).candidates
        assert candidate.root_hash == lone.root_hash


def test_something_that_is_no_disk() -> None:
    for content in (b"", bytes(512), b"text\n".ljust(512), bytes(MIB)):
        found = read_contents(MemoryDevice(content))
        assert found.nodes() == (found.root,)
        assert choose_root(found).verdict is Verdict.NONE


# A bad disk beneath


def test_a_logical_volume_that_reaches_past_its_disk() -> None:
    volumes = {"root": lvmdisk.logical(1, lvmdisk.segment(0, 100, "pv0", 0))}
    text = lvmdisk.group({"pv0": lvmdisk.physical(1, 100)}, volumes)
    contents = read_contents(MemoryDevice(lvmdisk.disk(1, text, size=1 << 18)))
    node = contents.node("vg/root")
    assert node is not None
    assert node.table is None
    assert "past" in str(node.refusal)


IMAGES = pytest.mark.parametrize("name", ["image", "lvm", "ubi"])


@IMAGES
def test_every_read_may_fail(made: Made, name: str) -> None:
    """The error names the lower device and the place, and there is no verdict."""
    content: bytes = getattr(made, name)
    records: list[Record] = []
    read_contents(Log(MemoryDevice(content), records.append))
    reads = [record for record in records if isinstance(record, Read)]
    assert len(reads) > 5
    for kind in (FaultKind.ERROR, FaultKind.SHORT):
        for index, read in enumerate(reads):
            with pytest.raises(DeviceError, match=f"^memory: read of {read.length} bytes at {read.offset} ") as caught:
                read_contents(Fault(MemoryDevice(content), [FaultRule(kind, after=index, count=1)]))
            assert caught.value.errno == errno.EIO


def shown(node: Node) -> tuple[object, ...]:
    """A node without its errors, which are equal to nothing but themselves, but with what they say."""
    return (node.path, node.superblocks, node.tree, node.signature, node.table, node.fault, node.warnings)


class Stale(MemoryDevice):
    """The first time a place is read it is as it is, from then on as it was before."""

    def __init__(self, now: bytes, before: bytes) -> None:
        super().__init__(now)
        self.before = before
        self.seen: set[int] = set()

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        found = bytearray(b"".join(super().read(offset, length)))
        for sector in range(offset, offset + length, 512):
            if sector in self.seen:
                found[sector - offset : sector - offset + 512] = self.before[sector : sector + 512]
            self.seen.add(sector)
        return (bytes(found),)


@IMAGES
def test_what_is_read_again_does_not_matter(made: Made, name: str) -> None:
    """Nothing is read twice: a disk that changes its answers gives what it said first, as a whole."""
    content: bytes = getattr(made, name)
    honest, choice = choose(MemoryDevice(content), made)
    again, same = choose(Log(Stale(content, bytes(len(content))), lambda record: None), made)
    assert [shown(node) for node in again.nodes()] == [shown(node) for node in honest.nodes()]
    assert (same.verdict, same.problems) == (choice.verdict, choice.problems)


@pytest.mark.parametrize("seed", range(40))
def test_corrupted_reads_never_give_a_signed_verdict_for_something_else(made: Made, seed: int) -> None:
    """A bit that flips on its way changes the verdict to a weaker one, or to none, or does not matter."""
    rule = FaultRule(FaultKind.CORRUPT, after=seed % 10, count=1 + seed // 10)
    disk = Fault(MemoryDevice(made.image), [rule], seed=seed)
    found, choice = choose(disk, made)
    assert_sound(MemoryDevice(made.image), found, choice, made)


# Hostile bytes


def assert_sound(disk: MemoryDevice, found: Contents, choice: RootChoice, made: Made) -> None:
    """A signed root whose whole tree is right holds what was signed, to the last bit."""
    for candidate in choice.chosen:
        if choice.verdict is not Verdict.SIGNED or check_candidate(disk, found, candidate):
            continue
        assert candidate.root_hash == made.volume.root_hash
        assert candidate.hashes is not None
        assert candidate.hashes.tree is not None
        length = candidate.hashes.tree.superblock.parameters.data_bytes
        with closing(open_node(disk, found, candidate.data.path)) as device:
            assert read_bytes(device, 0, length) == made.volume.data[:length]


def test_any_flipped_bit(made: Made) -> None:
    """Anywhere in what discovery reads: tables, superblocks, the tree's, the root block, the signature."""
    random = Random(5)
    places = [Extent(0, 34 * 512), Extent(len(made.image) - 33 * 512, 33 * 512)]
    places += [Extent(offset, 8192) for offset in made.disk.offsets.values()]
    image = bytearray(made.image)
    disk = MemoryDevice(image, read_only=True)
    for _ in range(120):
        place = random.choice(places)
        byte, bit = random.randrange(place.offset, place.end), 1 << random.randrange(8)
        image[byte] ^= bit
        assert_sound(disk, *choose(disk, made), made)
        image[byte] ^= bit


@IMAGES
def test_mutants(made: Made, name: str) -> None:
    """Whatever the bytes: a tree and a verdict, no other exception, and everything that is open can be read."""
    content: bytes = getattr(made, name)
    random, image = Random(6), bytearray(content)
    disk = MemoryDevice(image, read_only=True)
    for _ in range(40):
        start = random.choice([0, 512, 1024, MIB, MIB + 1024, MIB + 4096, *made.disk.offsets.values()]) % len(content)
        whole = content[start : start + 2048]
        image[start : start + len(whole)] = mutate(whole, random)[: len(whole)].ljust(len(whole), b"\0")
        found, choice = choose(disk, made)
        assert bool(choice.problems) is (not choice.boots)
        str(choice.problems).encode()
        for node in found.nodes():
            str(node.fault).encode()
            if node.refusal is None:
                with closing(open_node(disk, found, node.path)) as device:
                    assert device.size_bytes >= 0
        image[start : start + len(whole)] = whole


# The rest


def test_a_block_device_and_a_table(made: Made, tmp_path: Path) -> None:
    """Anything that is a device will do: a file, a table over it."""
    with closing(FileDevice.open(made.disk.path)) as file:
        lines = Table((TableLine(0, file.size_bytes // 512, "linear", ("disk", "0")),))
        with closing(open_table(lines, lambda _: Linear(file, 0, file.size_bytes))) as stack:
            assert choose_root(read_contents(stack)).verdict is Verdict.VERITY


def test_parts_of_other_types_are_no_candidates(made: Made, tmp_path: Path) -> None:
    home = Part(Designator.HOME, made.volume.data, UUID(int=3))
    disk = make_disk(tmp_path / "home.img", [home])
    choice = choose_root(read_contents(MemoryDevice(disk.path.read_bytes())))
    assert choice.candidates == ()
