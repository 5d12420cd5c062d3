"""Images made to break the reader: every one ends in an error of ours, in bounded time, with the process alive."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError, FileSystemError, FormatError
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.values import BLOCK_BYTES
from tests.support.redoxfs import EPOCH_NS, MIB, assert_sound, clock, new_fs, tree_of
from tests.support.surgeon import (
    DIRECTORY_COUNT,
    LOG_POINTER,
    NODE_BLOCKS,
    NODE_FLAGS,
    NODE_LEVELS,
    NODE_RECORD_LEVEL,
    NODE_SIZE,
    RELEASE_POINTER,
    Surgeon,
    seahash,
)

NOISE = random.Random(3).randbytes(200_000)


def make_image(password: bytes | None = None) -> bytes:
    image = bytearray(2 * MIB)
    with RedoxFS.create(MemoryDevice(image), created_ns=EPOCH_NS, clock=clock, password=password, pristine=True) as fs:
        fs.mkdir("d")
        fs.mkfile("d/packed")
        fs.write("d/packed", b"abc" * 50_000)
        fs.mkfile("noise")
        fs.write("noise", NOISE)
        fs.mkfile("small")
        fs.write("small", b"x" * 100)
        fs.symlink("d/packed", "link")
        for number in range(30):
            fs.mkfile(f"d/{number} {'n' * 150}")
    return bytes(image)


GOOD = make_image()


def surgeon() -> Surgeon:
    return Surgeon(bytearray(GOOD))


def exercise(device: Device, password: bytes | None = None) -> None:
    """Read everything, then change what there is."""
    with RedoxFS.open(device, clock=clock, password=password) as fs:
        for path, node in fs.walk():
            fs.node_extents(path, follow=False)
            if node.is_file:
                fs.read(path, 0, min(node.size_bytes, 1 << 20))
        fs.log_extents()
        fs.free_extents()
        fs.mkfile("new")
        fs.write("new", b"n" * 10_000)
        fs.truncate("d/packed", 5000)
        fs.unlink("noise")
        fs.rename("small", "d/small")
        fs.unlink("d/packed")
        fs.cleanup()


def survives(device: Device, password: bytes | None = None) -> str:
    """What the image was refused for, "" when it was not."""
    try:
        exercise(device, password)
    except (FormatError, FileSystemError, DeviceError) as error:
        return str(error)
    return ""


def corrupt(image: bytearray, call: Callable[[RedoxFS], object], match: str) -> None:
    with RedoxFS.open(MemoryDevice(image), clock=clock) as fs, pytest.raises(FormatError, match=match):
        call(fs)


def unopenable(image: bytearray, match: str, *, block: int | None = 0) -> None:
    with pytest.raises(FormatError, match=match):
        RedoxFS.open(MemoryDevice(image), block=block)


def test_the_surgeon_knows_the_format() -> None:
    assert seahash(bytes(4072)) == 0xE81FFCB86026FF96
    patient = surgeon()
    for block in list(patient.blocks.values()):
        patient.seal(block)
    assert patient.image == GOOD
    assert survives(MemoryDevice(patient.image)) == ""


# Panics of the crate


def panicking() -> bytearray:
    """A compressed record that says it is longer than its block."""
    patient = surgeon()
    patient.patch(patient.block("data"), 0, b"\xff\xff")
    return patient.image


def test_a_panic_is_an_error_and_poisons_the_object(capfd: pytest.CaptureFixture[str]) -> None:
    image = panicking()
    fs = RedoxFS.open(MemoryDevice(image))
    assert fs.exists("d/packed")
    with pytest.raises(
        FormatError, match=r"memory: d/packed: the image is corrupt: redoxfs gave up: range end index 65537 out of"
    ) as e:
        fs.read("d/packed")
    assert "(redoxfs-0.9.1/src/transaction.rs:" in str(e.value)
    for call in (lambda: fs.list("/"), lambda: fs.header, fs.flush, fs.cleanup):
        with pytest.raises(FormatError, match="unusable since redoxfs failed: range end"):
            call()
    fs.close()
    assert capfd.readouterr() == ("", "")
    with RedoxFS.open(MemoryDevice(image)) as again:
        assert again.read("noise") == NOISE


def test_a_directory_block_that_counts_wrong() -> None:
    patient = surgeon()
    patient.patch(patient.block("directory"), DIRECTORY_COUNT, b"\xff\xff")
    corrupt(patient.image, lambda fs: list(fs.walk()), r"redoxfs gave up: .*dir\.rs")


def test_block_counts_that_underflow() -> None:
    patient = surgeon()
    for block in [block for block in patient.blocks.values() if block.what == "node"]:
        patient.patch(block, NODE_BLOCKS, struct.pack("<Q", 0))
    corrupt(patient.image, lambda fs: fs.truncate("noise", 10), "node block count underflow")


def test_record_levels_that_overflow() -> None:
    for level, match in ((60, "gave up"), (64, "shift left with overflow"), (2**32 - 1, "gave up")):
        patient = surgeon()
        node = patient.blocks[patient.blocks[patient.block("data").index].parent or 0]
        patient.patch(node, NODE_RECORD_LEVEL, struct.pack("<I", level))
        corrupt(patient.image, lambda fs: fs.read("d/packed", 0, 10), match)


# Headers


def test_a_header_in_the_wrong_slot() -> None:
    patient = surgeon()
    header = patient.image[patient.header_offset : patient.header_offset + BLOCK_BYTES]
    patient.image[:BLOCK_BYTES] = header
    unopenable(patient.image, f"the header in block 0 belongs in slot {patient.slot}")


@pytest.mark.parametrize("size", [0, 4096, 2 * MIB + 1, 2 * MIB - 1, 2 * MIB + 4096, 2**63, 2**64 - 4096])
def test_sizes_that_cannot_be(size: int) -> None:
    patient = surgeon()
    patient.patch_header(32, struct.pack("<Q", size))
    unopenable(patient.image, "truncated image|the header says a size")


def test_generations_that_end() -> None:
    patient = surgeon()
    patient.patch_header(40, struct.pack("<Q", 2**64 - 1))
    with RedoxFS.open(MemoryDevice(patient.image)) as fs, pytest.raises(FormatError, match="overflow"):
        fs.mkdir("x")


# The allocator log


def test_counts_that_would_never_end() -> None:
    for index, count in ((300, 2**62), (300, -(2**62)), (300, -(2**63)), (2**64 - 1, 5), (255, 2), (10, 1)):
        patient = surgeon()
        patient.patch(patient.block("log"), 16, struct.pack("<Qq", index, count))
        unopenable(patient.image, r"the allocator log (frees|allocates) \d+ blocks at block \d+ outside")


def test_blocks_that_are_freed_or_allocated_twice() -> None:
    last = 2 * MIB // BLOCK_BYTES - 1
    patient = surgeon()
    patient.patch(patient.block("log", -1), 16, struct.pack("<QqQq", last, 1, last - 1, 2))
    unopenable(patient.image, "frees 2 blocks at block 510 that are free already")
    patient = surgeon()
    patient.patch(patient.block("log", -1), 16, struct.pack("<QqQq", last, 1, last - 1, -2))
    unopenable(patient.image, "allocates 2 blocks at block 510 that are not free")


def test_a_log_that_rewrites_the_disk_for_ever() -> None:
    fs, device = new_fs(4 * MIB)
    fs.close()
    image = bytearray(device.read(0, 4 * MIB)[0])
    patient = Surgeon(image)
    blocks = 4 * MIB // BLOCK_BYTES
    turn = struct.pack("<QqQq", 600, blocks - 600, 600, 600 - blocks) * 127
    previous = bytes(16)
    for index in range(300, 500):
        block = (previous + turn).ljust(BLOCK_BYTES, b"\0")
        image[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES] = block
        previous = struct.pack("<QQ", index << 8, seahash(block))
    patient.patch_header(LOG_POINTER, previous)
    unopenable(image, "after rewriting the file system too often")


def test_a_log_that_leads_nowhere() -> None:
    for address in (0x1FF << 8 | 1, 2**63, 100 << 8, 512 << 8):
        patient = surgeon()
        patient.patch_header(LOG_POINTER, struct.pack("<Q", address))
        unopenable(patient.image, "of the allocator log (lies outside|does not match)")


# Nodes and directories


def test_a_pointer_past_the_end() -> None:
    patient = surgeon()
    node = patient.blocks[patient.block("data").parent or 0]
    patient.patch(node, NODE_LEVELS, struct.pack("<QQ", (1 << 40) << 8 | 5, 1))
    corrupt(patient.image, lambda fs: fs.read("d/packed"), "corrupt: read of 131072 bytes at byte .* past the end")


def test_names_that_leave_the_directory() -> None:
    for name in (b"..", b"a/", b"\0\0", b"\xff\xfe"):
        patient = surgeon()
        directory = patient.below(1)
        patient.patch(directory, 4, bytes([len(name)]) + name)
        with RedoxFS.open(MemoryDevice(patient.image)) as fs, pytest.raises(FormatError):
            fs.list("/")


def test_a_directory_that_holds_itself() -> None:
    patient = surgeon()
    directory = patient.below(1)
    patient.patch(directory, 0, struct.pack("<I", 1))
    corrupt(patient.image, lambda fs: list(fs.walk()), "a directory is reached twice")


def test_a_name_without_a_node() -> None:
    patient = surgeon()
    directory = patient.below(1)
    patient.patch(directory, 0, struct.pack("<I", 0xFDFD))
    corrupt(patient.image, lambda fs: fs.list("/"), "directory node 1 names a node that does not exist")


def deep_directory(patient: Surgeon, levels: int) -> None:
    """Make the directory "d" a tree in which every pointer of a level leads to the same block below."""
    node = patient.blocks[patient.nodes[2]]
    root = patient.below(2)
    address, digest = struct.unpack_from("<QQ", patient.image, node.index * BLOCK_BYTES + NODE_LEVELS + 16)
    assert address >> 8 == root.index
    free = 2 * MIB // BLOCK_BYTES - 1
    for index in range(free, free - levels, -1):
        block = (struct.pack("<IQQ", 0, address, digest) * 204).ljust(BLOCK_BYTES, b"\0")
        patient.image[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES] = block
        address, digest = index << 8, seahash(block)
    marker = struct.pack("<QQ", 2**64 - 16 + levels + 1, 2**64 - 1)
    patient.patch(node, NODE_LEVELS, marker + struct.pack("<QQ", address, digest))


def test_directories_that_multiply() -> None:
    patient = surgeon()
    deep_directory(patient, 10)
    corrupt(patient.image, lambda fs: fs.list("d"), "is linked twice")
    corrupt(patient.image, lambda fs: fs.node_extents("d"), "is linked twice")
    patient = surgeon()
    deep_directory(patient, 10)
    for entry in range(204):
        # Every hash is equal and matches the name that is looked up.
        digest = struct.pack("<I", seahash(b"x") & 0xFFFFFFFF)
        for index in range(511, 501, -1):
            start = index * BLOCK_BYTES + entry * 20
            patient.image[start : start + 4] = digest
    relink(patient)
    for call in (
        lambda fs: fs.exists("d/x"),
        lambda fs: fs.mkfile("d/x"),
        lambda fs: fs.unlink("d/x"),
        lambda fs: fs.rename("small", "d/x"),
    ):
        corrupt(patient.image, call, "more blocks are linked than a sound file system has")


def relink(patient: Surgeon) -> None:
    """Make the pointers of the chain that `deep_directory` built right again."""
    digest = 0
    for index in range(511, 501, -1):
        start = index * BLOCK_BYTES
        if index < 511:
            for entry in range(204):
                struct.pack_into("<Q", patient.image, start + entry * 20 + 12, digest)
        digest = seahash(patient.image[start : start + BLOCK_BYTES])
    node = patient.blocks[patient.nodes[2]]
    patient.patch(node, NODE_LEVELS + 24, struct.pack("<Q", digest))


def test_index_blocks_that_multiply() -> None:
    patient = surgeon()
    node = patient.blocks[patient.block("data").parent or 0]
    block = bytes(BLOCK_BYTES)
    free = 511
    patient.image[free * BLOCK_BYTES :] = block
    pointer = struct.pack("<QQ", free << 8, seahash(block))
    patient.patch(node, NODE_LEVELS + 128 * 16, pointer * 2)
    corrupt(patient.image, lambda fs: fs.node_extents("d/packed"), "index block 511 is linked twice")


def test_sizes_that_would_take_all_memory() -> None:
    patient = surgeon()
    patient.patch(patient.blocks[patient.block("data").parent or 0], NODE_SIZE, struct.pack("<Q", 2**62))
    with RedoxFS.open(MemoryDevice(patient.image)) as fs:
        assert fs.lookup("d/packed").size_bytes == 2**62
        assert len(fs.read("d/packed", 2**40, 10)) == 10
        with pytest.raises(FileSystemError, match="file too large"):
            fs.read("d/packed")
        fs.truncate("d/packed", 5)
        assert fs.read("d/packed") == b"abcab"
        assert_sound(fs)


def test_records_that_would_take_all_time() -> None:
    patient = surgeon()
    node = patient.blocks[patient.block("data").parent or 0]
    patient.patch(node, NODE_SIZE, struct.pack("<Q", 2**62))
    level4 = NODE_LEVELS + 16 * (128 + 64 + 32 + 16)
    patient.patch(node, level4, struct.pack("<QQ", 400 << 8, 0))
    with RedoxFS.open(MemoryDevice(patient.image)) as fs:
        with pytest.raises(FileSystemError, match="file too large"):
            fs.truncate("d/packed", 5)
        with pytest.raises(FileSystemError, match="file too large"):
            fs.unlink("d/packed")


def test_a_link_of_many_bytes() -> None:
    patient = surgeon()
    for node_id, index in patient.nodes.items():
        mode, flags = (
            struct.unpack_from("<H", patient.image, index * BLOCK_BYTES)[0],
            struct.unpack_from("<I", patient.image, index * BLOCK_BYTES + NODE_FLAGS)[0],
        )
        if mode & 0xF000 == 0xA000:
            assert flags == 1, node_id
            patient.patch(patient.blocks[index], NODE_SIZE, struct.pack("<Q", 2**50))
    corrupt(patient.image, lambda fs: fs.readlink("link"), "symbolic link is too long.*1125899906842624")


def test_released_nodes_are_checked_before_cleanup() -> None:
    patient = surgeon()
    node = patient.blocks[patient.block("data").parent or 0]
    node_id = next(key for key, index in patient.nodes.items() if index == node.index)
    patient.patch(node, NODE_SIZE, struct.pack("<Q", 2**60))
    block = bytes(16) + struct.pack("<I", node_id) + bytes(BLOCK_BYTES - 20)
    patient.image[511 * BLOCK_BYTES :] = block
    patient.patch_header(RELEASE_POINTER, struct.pack("<QQ", 511 << 8, seahash(block)))
    with RedoxFS.open(MemoryDevice(patient.image)) as fs:
        assert fs.log_extents()[-1].what == "release list"
        with pytest.raises(FormatError, match="has an impossible size"):
            fs.cleanup()
    with pytest.raises(FormatError, match="has an impossible size"):
        RedoxFS.open(MemoryDevice(patient.image), cleanup=True)


# Random damage


def test_flipped_bytes_are_found_or_do_not_matter() -> None:
    whole = RedoxFS.open(MemoryDevice(GOOD))
    expected = tree_of(whole)
    rng = random.Random(4)
    used = [offset for offset in range(0, len(GOOD), BLOCK_BYTES) if any(GOOD[offset : offset + BLOCK_BYTES])]
    refused = 0
    for _ in range(300):
        image = bytearray(GOOD)
        image[rng.choice(used) + rng.randrange(BLOCK_BYTES)] ^= 1 << rng.randrange(8)
        try:
            with RedoxFS.open(MemoryDevice(image)) as fs:
                # An older header may be elected: then the tree is an older one, but sound.
                if fs.header.generation == whole.header.generation:
                    assert tree_of(fs) == expected
        except FormatError:
            refused += 1
    assert refused > 50


def test_scrambled_blocks_with_right_hashes() -> None:
    pristine = surgeon()
    rng = random.Random(5)
    values = (0, 1, 2**62, 2**63, 2**64 - 1)
    refused: set[str] = set()
    for _ in range(250):
        patient = pristine.copy()
        for _ in range(rng.choice((1, 1, 2, 3))):
            block = rng.choice(list(patient.blocks.values()))
            offset = rng.choice((rng.randrange(block.length), rng.randrange(160), rng.randrange(24)))
            data = rng.choice((bytes([rng.randrange(256)]), struct.pack("<Q", rng.choice(values)), rng.randbytes(40)))
            patient.patch(block, offset, data[: block.length - offset])
        refused.add(survives(MemoryDevice(patient.image)))
    assert len(refused) > 30


def test_scrambled_encrypted_images() -> None:
    good = make_image(b"secret")
    rng = random.Random(6)
    used = [offset for offset in range(MIB, len(good), BLOCK_BYTES) if any(good[offset : offset + BLOCK_BYTES])]
    refused = 0
    for _ in range(12):
        image = bytearray(good)
        offset = rng.choice(used)
        image[offset : offset + 64] = rng.randbytes(64)
        refused += survives(MemoryDevice(image), b"secret") != ""
    assert refused > 3


def test_what_survives_is_still_sound() -> None:
    with RedoxFS.open(MemoryDevice(bytearray(GOOD)), clock=clock) as fs:
        assert_sound(fs)
