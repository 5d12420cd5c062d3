from __future__ import annotations

import errno
import random
from uuid import UUID

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.linear import Linear
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import Extent
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.ring import scan_ring
from bootpath.fs.redox.values import BLOCK_BYTES, RING_BYTES
from tests.support.redoxfs import EPOCH_NS, MIB, Indirect, assert_sound, clock, new_fs, tree_of

UUID_A = UUID("aaaaaaaa-1111-4222-8333-444444444444")


def content(device: MemoryDevice) -> bytes:
    return bytes(device.read(0, device.size_bytes)[0])


def test_a_new_file_system() -> None:
    fs, device = new_fs()
    header = fs.header
    assert header.version == 8
    assert header.size_bytes == device.size_bytes
    assert header.slot == header.generation % 256
    assert not header.encrypted
    assert header.key_slots == ()
    assert header.release_block == 0
    assert fs.start_bytes == 0
    assert fs.used_bytes + fs.free_bytes == header.size_bytes
    assert fs.used_bytes < RING_BYTES + 16 * BLOCK_BYTES
    assert fs.list("/") == []
    root = fs.lookup("/")
    assert (root.id, root.permissions, root.uid, root.ctime_ns) == (1, 0o755, 0, EPOCH_NS)
    assert_sound(fs)


def test_two_new_file_systems_differ() -> None:
    assert new_fs()[0].header.uuid != new_fs()[0].header.uuid


def test_the_clock_is_an_argument() -> None:
    device = MemoryDevice(2 * MIB)
    fs = RedoxFS.create(device, clock=lambda: 42)
    assert fs.lookup("/").ctime_ns == 42
    assert fs.mkdir("d").ctime_ns == 42


def test_what_was_closed_is_there_when_opened() -> None:
    fs, device = new_fs()
    fs.mkdir("d")
    fs.mkfile("d/f")
    fs.write("d/f", b"x" * 100_000)
    header, tree = fs.header, tree_of(fs)
    fs.close()
    before = content(device)
    with RedoxFS.open(device) as fs:
        assert fs.header == header
        assert tree_of(fs) == tree
    assert content(device) == before, "opening without cleanup writes nothing"
    with RedoxFS.open(device, cleanup=True) as fs:
        assert fs.header.generation == header.generation + 1
        assert tree_of(fs) == tree


def test_a_chosen_uuid_is_in_every_slot() -> None:
    device = MemoryDevice(2 * MIB)
    fs = RedoxFS.create(device, uuid=UUID_A)
    ring = scan_ring(device)
    assert fs.header.uuid == UUID_A
    assert len(ring.valid) == 256
    assert ring.uuids == (UUID_A,)
    assert ring.newest == fs.header
    assert ring.stale == ()
    fs.close()
    assert RedoxFS.open(device, block=0).header.uuid == UUID_A
    assert RedoxFS.open(device, block=77).header.uuid == UUID_A


def test_the_same_arguments_give_the_same_bytes() -> None:
    images = []
    for fill in (b"\0", b"\xff"):
        device = MemoryDevice(bytearray(fill * (2 * MIB)))
        fs = RedoxFS.create(device, uuid=UUID_A, created_ns=EPOCH_NS, clock=clock)
        fs.mkfile("f")
        fs.write("f", b"x" * 10_000)
        images.append((content(device)[:RING_BYTES], [fs.header, tree_of(fs), fs.free_extents()]))
    assert images[0] == images[1]
    device = MemoryDevice(2 * MIB)
    RedoxFS.create(device, uuid=UUID_A, created_ns=EPOCH_NS + 1)
    assert content(device)[:RING_BYTES] != images[0][0]


def test_headers_of_an_earlier_file_system_are_gone() -> None:
    device = MemoryDevice(2 * MIB)
    old = RedoxFS.create(device, uuid=UUID_A)
    old.close()
    new = RedoxFS.create(device)
    assert new.header.generation < 256
    assert scan_ring(device).uuids == (new.header.uuid,)
    assert RedoxFS.open(device).header.uuid == new.header.uuid


def test_pristine_leaves_the_ring_alone() -> None:
    device = MemoryDevice(2 * MIB)
    RedoxFS.create(device, uuid=UUID_A).close()
    RedoxFS.create(device, pristine=True).close()
    ring = scan_ring(device)
    assert UUID_A in ring.uuids
    assert ring.elects_stale


def test_reserved_bytes_come_first() -> None:
    device = MemoryDevice(4 * MIB)
    loader = b"boot" * 2000
    fs = RedoxFS.create(device, reserved=loader)
    assert content(device)[:8000] == loader
    assert fs.start_bytes == 8192
    assert fs.header.size_bytes == 4 * MIB - 8192
    fs.mkdir("d")
    assert_sound(fs)
    assert fs.node_extents("/")[-1].extent.end <= fs.header.size_bytes
    fs.close()
    for block in (2, None):
        with RedoxFS.open(device, block=block) as fs:
            assert fs.exists("d")
    with RedoxFS.open(Linear(device, 8192, 4 * MIB - 8192)) as fs:
        assert fs.exists("d")
    with pytest.raises(FormatError, match="no valid RedoxFS header at byte 0"):
        RedoxFS.open(device)


def test_too_small_a_device() -> None:
    with pytest.raises(FileSystemError) as error:
        RedoxFS.create(MemoryDevice(264 * BLOCK_BYTES))
    assert error.value.errno == errno.ENOSPC
    assert_sound(RedoxFS.create(MemoryDevice(265 * BLOCK_BYTES)))


def test_no_file_system() -> None:
    for device in (MemoryDevice(2 * MIB), MemoryDevice(512), MemoryDevice(0)):
        with pytest.raises(FormatError, match="no valid RedoxFS header at byte 0"):
            RedoxFS.open(device)
        with pytest.raises(FormatError, match="in the first 256 MiB"):
            RedoxFS.open(device, block=None)
    with pytest.raises(FormatError, match="at byte 4294967296"):
        RedoxFS.open(MemoryDevice(2 * MIB), block=1 << 20)


def test_a_truncated_image() -> None:
    fs, device = new_fs(4 * MIB)
    fs.close()
    for size in (2 * MIB, MIB, 16 * BLOCK_BYTES):
        with pytest.raises(FormatError, match="truncated image: a file system of 4194304 bytes"):
            RedoxFS.open(MemoryDevice(content(device)[:size]))


def test_passwords() -> None:
    device = MemoryDevice(2 * MIB)
    with RedoxFS.create(device, password=b"secret", uuid=UUID_A) as fs:
        fs.mkfile("f")
        fs.write("f", b"hidden" * 1000)
        assert fs.header.encrypted
        assert fs.header.key_slots == (0,)
        assert_sound(fs)
    assert b"hidden" not in content(device)
    with RedoxFS.open(device, password=b"secret", cleanup=True) as fs:
        assert fs.read("f") == b"hidden" * 1000
        assert_sound(fs)
    with pytest.raises(FileSystemError, match="password is wrong") as error:
        RedoxFS.open(device, password=b"Secret")
    assert error.value.errno == errno.ENOKEY
    with pytest.raises(FileSystemError, match="needs a password") as error:
        RedoxFS.open(device)
    assert error.value.errno == errno.ENOKEY
    plain = new_fs()[1]
    with pytest.raises(FileSystemError, match="not encrypted") as error:
        RedoxFS.open(plain, password=b"secret")
    assert error.value.errno == errno.EKEYREJECTED


def test_an_encrypted_file_system_can_be_opened_by_its_first_slot() -> None:
    device = MemoryDevice(2 * MIB)
    uuid = RedoxFS.create(device, password=b"secret").header.uuid
    assert scan_ring(device).uuids == (uuid,)
    assert scan_ring(device).first is not None
    RedoxFS.open(device, password=b"secret", block=0)


def test_extents() -> None:
    fs, _ = new_fs(80 * MIB)
    fs.mkfile("inline")
    fs.write("inline", b"x" * 100)
    fs.mkfile("records")
    noise = random.Random(1).randbytes(131_072)
    for offset in (0, 131_072, 20 * MIB):
        fs.write("records", noise, offset)
    assert [piece.what for piece in fs.node_extents("inline")] == ["tree"] * 4 + ["node"]
    pieces = fs.node_extents("records")
    assert sum(piece.extent.length for piece in pieces if piece.what == "data") == 3 * 131_072
    assert sum(piece.extent.length for piece in pieces if piece.what == "index") == BLOCK_BYTES
    assert {piece.what for piece in fs.node_extents("/")} == {"tree", "node", "directory"}
    assert {piece.what for piece in fs.log_extents()} == {"allocator log"}
    fs.cleanup()
    assert len(fs.log_extents()) == 1
    assert fs.free_extents().total_bytes == fs.free_bytes
    assert not fs.free_extents().intersect(Extent(0, RING_BYTES))
    assert_sound(fs)


def test_opening_reads_each_block_once() -> None:
    fs, device = new_fs(64 * MIB)
    for number in range(300):
        fs.mkfile(f"f{number}")
    log = fs.log_extents()
    fs.close()
    indirect = Indirect(device)
    RedoxFS.open(indirect)
    first, ring, *rest = indirect.calls
    assert first == ("read", 0, BLOCK_BYTES)
    assert ring == ("read", 0, RING_BYTES)
    read = sorted((offset, length) for _, offset, length in rest)
    blocks = sorted(
        (offset, BLOCK_BYTES) for piece in log for offset in range(piece.extent.offset, piece.extent.end, BLOCK_BYTES)
    )
    assert read == blocks
    assert len(read) > 5


def test_durable_flushes_around_every_header() -> None:
    device = Indirect(MemoryDevice(2 * MIB))
    with RedoxFS.create(device, durable=True) as fs:
        pass
    with RedoxFS.open(device, durable=True) as fs:
        device.calls.clear()
        fs.mkdir("d")
        writes = [call for call in device.calls if call[0] != "read"]
        assert [call[0] for call in writes[-3:]] == ["flush", "write", "flush"]
        assert writes[-2][1] < RING_BYTES
        assert [call[0] for call in writes].count("flush") == 2
        fs.flush()
        assert device.calls[-1][0] == "flush"
    with RedoxFS.open(device) as fs:
        device.calls.clear()
        fs.mkdir("e")
        assert "flush" not in {call[0] for call in device.calls}
