"""Every target of a table, opened from the sample of its lines, equals a bytearray under any operations."""

from __future__ import annotations

import errno
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.openers import OPENERS
from bootpath.block.table.stack import open_table
from bootpath.core.device import Identity, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.table import pack_table, parse_table
from bootpath.formats.dm.targets import TARGETS, describe_line, device_names, pack_target, parse_target
from tests.property.test_block import SIZE, Operation, apply_to_device, apply_to_model, assert_equals, operations
from tests.support.targetsamples import TABLE_BYTES, TARGET_SAMPLES, Discards, Writes, sample_devices


def test_every_target_has_an_opener_and_a_sample() -> None:
    assert set(TARGETS) == set(OPENERS) == set(TARGET_SAMPLES)


@pytest.mark.parametrize("name", TARGETS)
def test_a_sample_is_of_its_target(name: str) -> None:
    table = parse_table(TARGET_SAMPLES[name].table.format(path="/path"))
    assert table.size_bytes == TABLE_BYTES == SIZE
    lines = [line for line in table.lines if line.target == name]
    assert lines
    for line in lines:
        assert pack_target(line, parse_target(line)) == line
        assert describe_line(line)
        assert set(device_names(line)) <= set(sample_devices())
    assert parse_table(pack_table(table)) == table


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25, deadline=None)
@given(sequence=operations(4096))
def test_a_target_equals_a_bytearray(name: str, sequence: list[Operation]) -> None:
    sample = TARGET_SAMPLES[name]
    devices = {
        each: MemoryDevice(bytearray(content), identity=Identity(each)) for each, content in sample_devices().items()
    }
    with tempfile.TemporaryDirectory() as folder:
        table = parse_table(sample.table.format(path=Path(folder) / "file"))
        with closing(open_table(table, devices.__getitem__)) as device:
            assert device.read_only == (sample.writes is Writes.REFUSED)
            if not sample.readable:
                with pytest.raises(DeviceError) as caught:
                    device.read(0, SIZE)
                assert caught.value.errno == errno.EIO
                return
            model = bytearray(read_bytes(device, 0, SIZE))
            for operation in sequence:
                if device.read_only and operation.name != "read":
                    with pytest.raises(DeviceError) as caught:
                        apply_to_device(device, operation)
                    assert caught.value.errno == errno.EPERM
                else:
                    apply_to_device(device, operation)
                    if sample.writes is Writes.KEPT and not (
                        operation.name == "discard" and sample.discards is Discards.AS_BEFORE
                    ):
                        whole = sample.discards is Discards.WHOLE_BLOCKS
                        apply_to_model(model, operation, whole_block_discard=whole)
                assert_equals(device, model, operation.offset, operation.length)
            assert_equals(device, model, 0, SIZE)
