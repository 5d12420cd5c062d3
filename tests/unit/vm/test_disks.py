from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.core.errors import FormatError
from bootpath.vm.disks import Disk, Interface, disk_device, disk_node, dotted


def test_a_file() -> None:
    assert disk_node(Disk("root", Path("a,b.img"), read_only=True)) == {
        "driver": "raw",
        "node-name": "root",
        "read-only": True,
        "discard": "unmap",
        "file": {"driver": "file", "filename": "a,b.img"},
    }


@pytest.mark.parametrize(
    ("source", "server", "export"),
    [
        ("nbd://host/live", {"type": "inet", "host": "host", "port": "10809"}, "live"),
        ("nbd://[::1]:10810", {"type": "inet", "host": "::1", "port": "10810"}, ""),
        ("nbd+unix:///live?socket=/run/a.sock", {"type": "unix", "path": "/run/a.sock"}, "live"),
        ("nbd:unix:/run/a.sock", {"type": "unix", "path": "/run/a.sock"}, ""),
        ("nbd:unix:/run/a.sock:exportname=live", {"type": "unix", "path": "/run/a.sock"}, "live"),
    ],
)
def test_a_server(source: str, server: dict[str, str], export: str) -> None:
    node = disk_node(Disk("late", source, reconnect_seconds=9))
    assert node["file"] == {"driver": "nbd", "server": server, "export": export, "reconnect-delay": 9}


@pytest.mark.parametrize(
    ("interface", "driver"),
    [(Interface.VIRTIO, "virtio-blk-pci"), (Interface.AHCI, "ide-hd"), (Interface.VIRTIO_SCSI, "scsi-hd")],
)
def test_what_the_guest_sees(interface: Interface, driver: str) -> None:
    device = disk_device(Disk("a", Path("a.img"), interface, serial="S1", boot_index=0, block_bytes=4096), "bus7")
    assert device == {
        "driver": driver,
        "id": "a",
        "bus": "bus7",
        "drive": "a",
        "logical_block_size": 4096,
        "physical_block_size": 4096,
        "serial": "S1",
        "bootindex": 0,
    }


def test_dotted() -> None:
    assert dotted({"a": 1, "b": {"c": True, "d": {"e": "x"}}}) == {"a": 1, "b.c": True, "b.d.e": "x"}


@pytest.mark.parametrize("name", ["", "1a", "a b", "a,b", "a" * 32, "ä"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Disk(name, Path("x"))


@pytest.mark.parametrize("source", ["disk.img", "http://host/a", "nbds://host/a"])
def test_bad_sources(source: str) -> None:
    with pytest.raises(ValueError, match=r"source|TLS"):
        Disk("a", source)


@pytest.mark.parametrize("source", ["nbd://", "nbd:unix:", "nbd://host/a?what=1"])
def test_broken_addresses(source: str) -> None:
    with pytest.raises(FormatError):
        Disk("a", source)


def test_impossible_disks() -> None:
    with pytest.raises(ValueError, match="read-only AHCI"):
        Disk("a", Path("a"), Interface.AHCI, read_only=True)
    with pytest.raises(ValueError, match="512 or 4096"):
        Disk("a", Path("a"), block_bytes=1024)


def test_an_optical_medium_is_read_only_and_has_its_own_blocks() -> None:
    disk = Disk("disc", Path("disc.iso"), Interface.OPTICAL, read_only=True, boot_index=0)
    assert disk_device(disk, "ide.0") == {
        "driver": "ide-cd",
        "id": "disc",
        "bus": "ide.0",
        "drive": "disc",
        "bootindex": 0,
    }
    assert disk_node(disk)["read-only"] is True
    for wrong in ({"read_only": False}, {"read_only": True, "block_bytes": 4096}):
        with pytest.raises(ValueError, match="an optical medium is read only"):
            Disk("disc", Path("disc.iso"), Interface.OPTICAL, **wrong)
