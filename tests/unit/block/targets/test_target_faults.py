"""Whatever read of a lower device fails: the reader gets EIO that names it and the place, never other bytes."""

from __future__ import annotations

import errno
from contextlib import closing

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.stack import open_table
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.device import Device, Identity, read_bytes
from bootpath.core.errors import DeviceError, Error
from bootpath.formats.dm.table import Table, parse_table
from tests.support.patterns import pattern
from tests.unit.block.support import KIB

SIZE = 64 * KIB
KEY = bytes(range(64)).hex()
TABLES = {
    "linear": "0 64 linear a 8\n64 32 linear b 0",
    "striped": "0 96 striped 3 8 a 0 b 0 c 8",
    "delay": "0 64 delay a 0 0",
    "flakey": "0 64 flakey a 0 1000000 0",
    "crypt": f"0 64 crypt aes-xts-plain64 {KEY} 0 a 8",
    "snapshot": "0 96 snapshot a b P 8",
    "transient": "0 96 snapshot a b N 8",
    "snapshot-origin": "0 96 snapshot-origin a",
    "overlay": "0 96 overlay a",
    "fault": "0 96 fault a write:error",
}


def lower(rules: str | None) -> dict[str, Device]:
    devices: dict[str, Device] = {}
    for tag, name in enumerate("abc"):
        content = bytes(SIZE) if name == "b" else pattern(0, SIZE, tag)
        memory = MemoryDevice(bytearray(content), identity=Identity(name))
        devices[name] = memory if rules is None else Fault(memory, parse_rules(rules))
    return devices


@pytest.mark.parametrize("name", TABLES)
def test_each_read_in_turn_fails(name: str) -> None:
    table = parse_table(TABLES[name])
    with closing(open_table(table, lower(None).__getitem__)) as device:
        good = read_bytes(device, 0, device.size_bytes)
    for number in range(100):
        faulty = lower(f"read:error:after={number}:count=1")
        content, error = read_all(table, faulty)
        if error is None:
            assert number > 0
            assert content == good
            return
        failed = [each for each in faulty.values() if isinstance(each, Fault) and each.hits]
        (hit,) = failed[0].hits
        assert f"{failed[0].identity.name}: read of {hit.length} bytes at {hit.offset} failed" in str(error)
        assert not isinstance(error, DeviceError) or error.errno == errno.EIO
    raise AssertionError("it never ends")


def read_all(table: Table, devices: dict[str, Device]) -> tuple[bytes, Error | None]:
    try:
        with closing(open_table(table, devices.__getitem__)) as device:
            return read_bytes(device, 0, device.size_bytes), None
    except Error as error:
        return b"", error


@pytest.mark.parametrize("name", ["linear", "striped", "crypt", "snapshot", "flakey", "delay"])
def test_a_write_that_fails_is_told(name: str) -> None:
    faulty = lower("write:error:count=1")
    with closing(open_table(parse_table(TABLES[name]), faulty.__getitem__)) as device:
        with pytest.raises(DeviceError, match=r"[ab]: write of \d+ bytes at \d+ failed") as caught:
            device.write(0, bytes(4 * KIB))
        assert caught.value.errno == errno.EIO
        device.write(0, bytes(4 * KIB))
        device.flush()
        assert read_bytes(device, 0, 4 * KIB) == bytes(4 * KIB)


@pytest.mark.parametrize("number", range(3))  # of an area, the header, the area again
def test_a_commit_that_fails_can_be_tried_again(number: int) -> None:
    devices = lower(None)
    devices["b"] = Fault(devices["b"], parse_rules(f"write:error:after={number + 1}:count=1"))
    table = parse_table(TABLES["snapshot"])
    with closing(open_table(table, devices.__getitem__)) as device:
        device.write(0, b"\x11" * 4 * KIB)
        with pytest.raises(DeviceError, match="b: write of 4096 bytes"):
            device.flush()
        device.flush()
    with closing(open_table(table, devices.__getitem__)) as device:
        assert read_bytes(device, 0, 4 * KIB) == b"\x11" * 4 * KIB


def test_a_delay_waits_for_what_it_says() -> None:
    with closing(open_table(parse_table("0 64 delay a 0 1500 a 0 250 a 0 7"), lower(None).__getitem__)) as device:
        fault = device.lower
        assert isinstance(fault, Fault)
        assert [(sorted(rule.operations), rule.delay_seconds) for rule in fault.rules] == [
            (["read"], 1.5),
            (["discard", "write", "zero"], 0.25),
            (["flush"], 0.007),
        ]
