from __future__ import annotations

from uuid import UUID

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.ring import probe_redoxfs, scan_ring
from bootpath.fs.redox.values import BLOCK_BYTES, RING_BYTES
from tests.support.redoxfs import MIB, Indirect

UUID_A = UUID("aaaaaaaa-1111-4222-8333-444444444444")


def new_image(uuid: UUID | None = None) -> bytearray:
    image = bytearray(2 * MIB)
    RedoxFS.create(MemoryDevice(image), uuid=uuid, pristine=True).close()
    return image


def test_a_young_ring() -> None:
    image = new_image()
    ring = scan_ring(MemoryDevice(image))
    assert [header.slot for header in ring.valid] == list(range(len(ring.valid)))
    assert ring.first == ring.valid[0]
    assert ring.newest == ring.valid[-1]
    assert ring.zero_slots == 256 - len(ring.valid)
    assert ring.invalid_slots == 0
    assert ring.uuid == ring.valid[0].uuid
    assert not ring.elects_stale
    assert ring.misplaced == ()


def test_a_ring_that_went_round() -> None:
    image = new_image(UUID_A)
    ring = scan_ring(MemoryDevice(image))
    assert ring.newest is not None
    assert ring.newest.generation > 255
    assert ring.newest.slot == ring.newest.generation % 256
    assert ring.uuids == (UUID_A,)


def test_damage() -> None:
    image = new_image(UUID_A)
    image[100] ^= 1
    image[5 * BLOCK_BYTES : 6 * BLOCK_BYTES] = bytes(BLOCK_BYTES)
    image[8 * BLOCK_BYTES : 9 * BLOCK_BYTES] = image[9 * BLOCK_BYTES : 10 * BLOCK_BYTES]
    ring = scan_ring(MemoryDevice(image))
    assert ring.first is None
    assert ring.zero_slots == 1
    assert ring.invalid_slots == 1
    assert [header.slot for header in ring.misplaced] == [8]


def test_a_stale_ring_is_seen_and_what_it_elects() -> None:
    image = new_image(UUID_A)
    device = MemoryDevice(image)
    fs = RedoxFS.create(device, pristine=True)
    uuid = fs.header.uuid
    ring = scan_ring(device)
    assert ring.uuid == uuid
    assert len(ring.stale) == 256 - fs.header.generation - 1
    assert {header.uuid for header in ring.stale} == {UUID_A}
    assert ring.newest is not None
    assert ring.newest.uuid == UUID_A
    assert ring.elects_stale


def test_nothing_at_all() -> None:
    ring = scan_ring(MemoryDevice(2 * MIB))
    assert (ring.valid, ring.newest, ring.first, ring.uuid, ring.stale) == ((), None, None, None, ())
    assert ring.zero_slots == 256
    assert not ring.elects_stale


def test_the_end_of_a_device() -> None:
    image = new_image(UUID_A)
    ring = scan_ring(MemoryDevice(image[: 10 * BLOCK_BYTES]))
    assert len(ring.valid) == 10
    assert ring.invalid_slots == 246
    assert scan_ring(MemoryDevice(512)).invalid_slots == 256
    assert scan_ring(MemoryDevice(512), 4096).invalid_slots == 256


def test_a_ring_behind_something_else() -> None:
    image = bytes(3 * BLOCK_BYTES) + new_image(UUID_A)
    device = Indirect(MemoryDevice(image))
    ring = scan_ring(device, 3 * BLOCK_BYTES)
    assert device.calls == [("read", 3 * BLOCK_BYTES, RING_BYTES)]
    assert ring.uuid == UUID_A
    assert probe_redoxfs(device, 3 * BLOCK_BYTES) == ring.newest


def test_probing_reads_one_block_when_there_is_nothing() -> None:
    device = Indirect(MemoryDevice(2 * MIB))
    assert probe_redoxfs(device) is None
    assert device.calls == [("read", 0, BLOCK_BYTES)]
    assert probe_redoxfs(device, 2 * MIB) is None
    image = new_image()
    image[:MIB] = b"RedoxFS\0".ljust(MIB, b"?")
    assert probe_redoxfs(MemoryDevice(image)) is None
