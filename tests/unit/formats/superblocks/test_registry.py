from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.registry import PROBERS, probe_superblocks, scan_superblocks
from bootpath.formats.superblocks.value import Superblock
from bootpath.formats.verity.tree import VerityParameters, VeritySuperblock, pack_verity_superblock
from tests.support.errors import raises
from tests.support.superblocks import NAMES, SEALS, device, head

# What of an image the checksum of its superblock covers, in bytes.
COVERED = {
    "ext4": range(1024, 2048),
    "erofs": range(1024, 4096),
    "xfs": range(512),
    "btrfs-crc32c": range(65536, 65536 + 4096),
    "btrfs-sha256": range(65536, 65536 + 4096),
    "btrfs-blake2": range(65536, 65536 + 4096),
    "exfat": range(11 * 512),
    "luks2": range(16384),
}
# Places where a changed byte makes it another format, or nothing.
MAGIC = {
    "ext4": {1080, 1081},
    "erofs": set(range(1024, 1028)),
    "xfs": set(range(4)),
    "btrfs-crc32c": set(range(65600, 65608)),
    "btrfs-sha256": set(range(65600, 65608)),
    "btrfs-blake2": set(range(65600, 65608)),
    "exfat": {*range(3, 11), 510, 511},
    "luks2": set(range(6)),
}
# ... and where it is not covered, or where it says whether there is a checksum at all.
UNCOVERED = {
    "ext4": {1024 + 101},  # metadata_csum
    "erofs": {1024 + 8},  # the feature
    "xfs": {101},  # version 5
    "exfat": {106, 107, 112},
    "btrfs-crc32c": set(range(65536 + 4, 65536 + 32)),  # room for a longer checksum
    "luks2": set(range(448 + 32, 512)),
}


@pytest.mark.parametrize("name", COVERED)
def test_a_flipped_bit_is_never_believed(name: str) -> None:
    """Somewhere in what the checksum covers: a FormatError, or another copy (LUKS2), or not this format at all."""
    random = Random(name)
    image, original = head(name), head(name)
    sound = probe_superblocks(device(name, image))
    for place in {*random.sample(COVERED[name], 60), COVERED[name][0], COVERED[name][-1]}:
        if place in UNCOVERED.get(name, ()):
            continue
        image[place] ^= 1 << random.randrange(8)
        result = scan_superblocks(device(name, image))
        assert result.found != sound, place
        if place not in MAGIC[name] and name != "luks2":
            assert result.found == (), place
            assert len(result.faults) == 1, place
        image[place] = original[place]


@pytest.mark.parametrize("name", SEALS)
def test_the_seal_of_the_tests_is_right(name: str) -> None:
    image = head(name)
    SEALS[name](image)
    assert image == head(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_place_inside_a_bigger_device(name: str) -> None:
    """What is at 3 MiB of a disk is what it is on its own; nothing is found a sector beside it."""
    image = head(name)
    alone = scan_superblocks(device(name, image))
    disk = MemoryDevice((3 << 20) + device(name).size_bytes)
    disk.write(3 << 20, image)
    assert scan_superblocks(disk, 3 << 20).found == alone.found
    assert scan_superblocks(disk, 0).found == ()
    assert alone.found not in ((), scan_superblocks(disk, (3 << 20) + 512).found)


@pytest.mark.parametrize("name", NAMES)
def test_every_read_may_fail(name: str) -> None:
    """Whichever read fails, the error says where; no verdict is reached without what was not read."""
    lower = device(name)
    counting = Fault(lower, parse_rules("read:delay:delay=0"))
    sound = scan_superblocks(counting)
    reads = [(hit.offset, hit.length) for hit in counting.hits]
    assert 1 <= len(reads) <= 4
    for kind in ("error:errno=EIO", "short"):
        for index, (offset, length) in enumerate(reads):
            with pytest.raises(DeviceError, match=rf"read of {length} bytes at {offset}\b"):
                scan_superblocks(Fault(lower, parse_rules(f"read:{kind}:after={index}:count=1")))
    assert scan_superblocks(lower) == sound


@pytest.mark.parametrize("size", [512, 1024, 1536, 2048, 4096, 65536])
def test_a_device_too_small_for_what_it_holds(size: int) -> None:
    for name in NAMES:
        image = bytes(head(name)[:size])
        scan_superblocks(MemoryDevice(image.ljust(size, b"\0")))


def test_nothing_is_on_an_empty_disk() -> None:
    for content in (bytes(1 << 17), b"\xff" * (1 << 17), bytes(range(256)) * 512):
        assert scan_superblocks(MemoryDevice(content)) == scan_superblocks(MemoryDevice(512))


def test_probe_raises_the_fault() -> None:
    image = head("ext4")
    image[1024 + 120] ^= 1
    with raises(FormatError, where="memory: ext", found="0xdd41fbf2", expected="0xf2cd03a7"):
        probe_superblocks(device("ext4", image))


def test_probe_notes_the_other_faults() -> None:
    image = head("stale")
    image[20] ^= 0xFF
    image[65536] ^= 1
    with pytest.raises(FormatError, match="squashfs") as caught:
        probe_superblocks(device("stale", image))
    assert any("btrfs" in note for note in caught.value.__notes__)


def test_a_prober_of_a_higher_floor_joins() -> None:
    def probe(region: Region) -> Superblock | None:
        if region.peek(0, 5) != b"MAGIC":
            return None
        return Superblock(kind="mine", offset=0, uuid=None, label="", block_bytes=512, size_bytes=0)

    disk = MemoryDevice(b"MAGIC".ljust(512, b"\0"))
    assert probe_superblocks(disk) == ()
    (found,) = probe_superblocks(disk, probers={**PROBERS, "mine": probe})
    assert found.kind == "mine"


def test_verity_hashes_are_found() -> None:
    superblock = VeritySuperblock(VerityParameters(1000), uuid=UUID(int=5))
    disk = MemoryDevice(pack_verity_superblock(superblock))
    (found,) = probe_superblocks(disk)
    assert (found.kind, found.uuid, found.read_only) == ("DM_verity_hash", str(superblock.uuid), True)
    assert found.size_bytes == (1 + 8 + 1) * 4096


def test_a_fault_that_is_kept_keeps_nothing_that_was_read() -> None:
    """Its frames would: and as they hold the list of faults too, until the garbage is collected."""
    image = head("ext4")
    image[0x400 + 0x3FC] ^= 1  # the checksum of the superblock
    device = MemoryDevice(bytes(image).ljust(1 << 20, b"\0"))
    (fault,) = scan_superblocks(device).faults
    assert (fault.__traceback__, fault.__context__, fault.__cause__) == (None, None, None)
    assert "CRC" in str(fault) or "checksum" in str(fault)
