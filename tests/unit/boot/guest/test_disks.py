from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.boot.guest.disks import News, SysBlock, parse_uevent


def uevent(**values: str) -> bytes:
    fields = {"ACTION": "add", "SUBSYSTEM": "block", "DEVNAME": "vda", "DEVTYPE": "disk", **values}
    pairs = "".join(f"{key}={value}\0" for key, value in fields.items())
    return f"{fields['ACTION']}@/devices/pci0000:00/block/vda\0{pairs}".encode()


def test_news_about_a_disk() -> None:
    assert parse_uevent(uevent()) == News("add", "vda")
    assert parse_uevent(uevent(ACTION="remove", DEVNAME="sda")) == News("remove", "sda")


@pytest.mark.parametrize(
    "message",
    [
        uevent(SUBSYSTEM="net"),
        uevent(DEVTYPE="partition", DEVNAME="vda1"),
        uevent(DEVNAME="pmem0"),
        uevent(DEVNAME="nbd0"),
        uevent(SYNTH_UUID="0"),  # udevadm trigger: nothing has come
        b"libudev\0\xfe\xed\xca\xfe",
        b"",
    ],
)
def test_news_about_something_else(message: bytes) -> None:
    assert parse_uevent(message) is None


@given(st.binary())
def test_any_message_is_news_or_none(message: bytes) -> None:
    parse_uevent(message)
    parse_uevent(b"add@" + message)


class Machine:
    """A /sys/block and a /dev of files."""

    def __init__(self, root: Path) -> None:
        self.sys, self.dev = root / "sys", root / "dev"
        self.sys.mkdir()
        self.dev.mkdir()

    def plug(self, name: str, size_bytes: int, sequence: int) -> None:
        (self.sys / name).mkdir()
        (self.sys / name / "diskseq").write_text(f"{sequence}\n")
        (self.dev / name).write_bytes(bytes(size_bytes))

    def unplug(self, name: str) -> None:
        (self.sys / name / "diskseq").unlink()
        (self.sys / name).rmdir()
        (self.dev / name).unlink()


def test_disks_appear_go_and_are_replaced(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    disks = SysBlock(machine.sys, machine.dev)
    assert disks.present() == []
    machine.plug("pmem0", 4096, 1)
    machine.plug("vda", 8192, 2)
    machine.plug("sr1", 4096, 3)
    (first,) = disks.present()
    assert first.size_bytes == 8192
    assert disks.present() == [first]

    machine.unplug("vda")
    machine.plug("vda", 4096, 4)
    (second,) = disks.present()
    assert second is not first
    assert second.size_bytes == 4096
    assert len(b"".join(first.read(0, 512))) == 512, "somebody may still be reading it"
    disks.close()


def test_a_disk_without_a_medium_or_a_node_is_not_there(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.plug("sda", 0, 1)
    machine.plug("sdb", 512, 2)
    (machine.dev / "sdb").unlink()
    disks = SysBlock(machine.sys, machine.dev)
    assert disks.names() == ["sda", "sdb"]
    assert disks.present() == []
    disks.close()
