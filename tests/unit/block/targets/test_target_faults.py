"""Whatever read of a lower device fails: the reader gets EIO that names it and the place, never other bytes."""

from __future__ import annotations

import errno
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.openers import OPENERS
from bootpath.block.table.stack import open_table
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.device import Device, Identity, read_bytes
from bootpath.core.errors import DeviceError, Error
from bootpath.formats.dm.table import Table, parse_table
from tests.support.targetsamples import KIB, TARGET_SAMPLES, TargetSample, Writes, sample_devices

SAMPLES = {
    **TARGET_SAMPLES,
    "transient snapshot": TargetSample("0 96 snapshot a b N 8"),
    "delay of one part": TargetSample("0 64 delay a 0 0\n64 32 linear b 0"),
}
READERS = [name for name in {**OPENERS, **SAMPLES} if name not in SAMPLES or SAMPLES[name].reads_devices]
WRITERS = [name for name in READERS if name in SAMPLES and SAMPLES[name].writes is Writes.KEPT]
BUFFERED = {"overlay", "overlayfile", "transient snapshot"}  # their lower device is never written


def lower(rules: str | None) -> dict[str, Device]:
    devices: dict[str, Device] = {}
    for name, content in sample_devices().items():
        memory = MemoryDevice(bytearray(content), identity=Identity(name))
        devices[name] = memory if rules is None else Fault(memory, parse_rules(rules))
    return devices


def table_of(name: str, folder: Path, number: int = 0) -> Table:
    return parse_table(SAMPLES[name].table.format(path=folder / f"file{number}"))


@pytest.mark.parametrize("name", READERS)
def test_each_read_in_turn_fails(name: str, tmp_path: Path) -> None:
    with closing(open_table(table_of(name, tmp_path), lower(None).__getitem__)) as device:
        good = read_bytes(device, 0, device.size_bytes)
    for number in range(100):
        faulty = lower(f"read:error:after={number}:count=1")
        content, error = read_all(table_of(name, tmp_path, number + 1), faulty)
        if error is None:
            assert number > 0
            assert content == good
            return
        failed = [each for each in faulty.values() if isinstance(each, Fault) and each.hits]
        hits = [hit for each in failed for hit in each.hits]
        messages = [f"{failed[0].identity.name}: read of {hit.length} bytes at {hit.offset} failed" for hit in hits]
        assert any(message in str(error) for message in messages)
        assert not isinstance(error, DeviceError) or error.errno == errno.EIO
    raise AssertionError("it never ends")


def read_all(table: Table, devices: dict[str, Device]) -> tuple[bytes, Error | None]:
    try:
        with closing(open_table(table, devices.__getitem__)) as device:
            return read_bytes(device, 0, device.size_bytes), None
    except Error as error:
        return b"", error


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in BUFFERED])
def test_a_write_that_fails_is_an_error(name: str, tmp_path: Path) -> None:
    faulty = lower("write:error:count=1")
    with closing(open_table(table_of(name, tmp_path), faulty.__getitem__)) as device:
        with pytest.raises(DeviceError, match=r"[ab]: write of \d+ bytes at \d+ failed") as caught:
            device.write(0, bytes(4 * KIB))
        assert caught.value.errno == errno.EIO
        device.write(0, bytes(4 * KIB))
        device.flush()
        assert read_bytes(device, 0, 4 * KIB) == bytes(4 * KIB)


@pytest.mark.parametrize("number", range(3))  # of an area, the header, the area again
def test_a_commit_that_fails_can_be_tried_again(number: int, tmp_path: Path) -> None:
    devices = lower(None)
    devices["b"] = Fault(devices["b"], parse_rules(f"write:error:after={number + 1}:count=1"))
    table = table_of("snapshot", tmp_path)
    with closing(open_table(table, devices.__getitem__)) as device:
        device.write(0, b"\x11" * 4 * KIB)
        with pytest.raises(DeviceError, match="b: write of 4096 bytes"):
            device.flush()
        device.flush()
    with closing(open_table(table, devices.__getitem__)) as device:
        assert read_bytes(device, 0, 4 * KIB) == b"\x11" * 4 * KIB


def test_a_delay_waits_for_its_milliseconds() -> None:
    with closing(open_table(parse_table("0 64 delay a 0 1500 a 0 250 a 0 7"), lower(None).__getitem__)) as device:
        fault = device.lower
        assert isinstance(fault, Fault)
        assert [(sorted(rule.operations), rule.delay_seconds) for rule in fault.rules] == [
            (["read"], 1.5),
            (["discard", "write", "zero"], 0.25),
            (["flush"], 0.007),
        ]
