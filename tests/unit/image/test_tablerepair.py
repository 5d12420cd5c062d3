"""The order of a repair's writes: whatever interrupts it, one copy of the table is whole."""

from __future__ import annotations

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.iolog import Flush, Write
from bootpath.formats.partitions.gpt import GptVerdict, read_gpt
from bootpath.image.tablerepair import RepairReason, apply_repair, plan_repair
from tests.support.gptdisk import gpt_image, sample_gpt


def as_device(image: bytes | bytearray, block_bytes: int = 512) -> MemoryDevice:
    return MemoryDevice(bytearray(image), block_bytes=block_bytes)


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_each_write_is_stable_before_the_next(block_bytes: int) -> None:
    sound = gpt_image(sample_gpt(block_bytes))
    damaged = bytearray(sound)
    damaged[block_bytes] ^= 1
    repair = plan_repair(as_device(damaged, block_bytes))
    assert [step.reason for step in repair.steps] == [RepairReason.FIRST_COPY]
    assert [type(record) for record in repair.records] == [Write, Flush] * (len(repair.records) // 2)
    writes = [record for record in repair.records if isinstance(record, Write)]
    assert repair.written_bytes == sum(write.length for write in writes)
    for count in range(len(writes) + 1):
        image = bytearray(damaged)
        for write in writes[:count]:
            assert write.data is not None
            image[write.offset : write.offset + write.length] = write.data
        assert read_gpt(as_device(image, block_bytes)).partitions == repair.gpt.partitions
    device = as_device(damaged, block_bytes)
    assert apply_repair(device, repair).verdict is GptVerdict.SOUND


def test_a_table_of_512_on_a_device_of_4096() -> None:
    """What is around the table's blocks stays as it is."""
    sound = gpt_image()
    damaged = bytearray(sound)
    damaged[512:1024] = bytes(512)
    device = as_device(damaged, 4096)
    apply_repair(device, plan_repair(device))
    assert b"".join(bytes(view) for view in device.read(0, len(sound))) == bytes(sound)


def test_copies_that_differ() -> None:
    image, other = gpt_image(), gpt_image(sample_gpt(partitions=()))
    image[128 * 512 :] = other[128 * 512 :]
    device = as_device(image)
    repair = plan_repair(device)
    assert [step.reason for step in repair.steps] == [RepairReason.DIFFERENT_BACKUP]
    assert apply_repair(device, repair).partitions == repair.gpt.partitions != ()


def test_nothing_to_do() -> None:
    repair = plan_repair(as_device(gpt_image()))
    assert (repair.steps, repair.records, repair.written_bytes) == ((), (), 0)


def test_an_mbr_without_any_record() -> None:
    """Linux does not look for a GPT behind it; the boot code stays."""
    image = gpt_image()
    image[:2] = b"\xeb\xfe"
    sound = bytes(image)
    image[446:510] = bytes(64)
    device = as_device(image)
    repair = plan_repair(device)
    assert [step.reason for step in repair.steps] == [RepairReason.MBR]
    assert apply_repair(device, repair).protected
    assert b"".join(bytes(view) for view in device.read(0, len(sound))) == sound
