"""A group with volumes of every kind that LVM2 has, restored by LVM2 from a description of ours.

What is not read here is named, and condemns neither the group nor its other volumes; and so does no damage to one
physical volume, nor to one copy of the metadata. LVM2 itself says what is in the group.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.cli.main import main
from bootpath.core.device import read_bytes
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from bootpath.image.contents.read import open_node, read_contents
from tests.support import lvmdisk
from tests.support.ddi import DISK_GUID, LINUX_LVM
from tests.support.patterns import pattern
from tests.support.tools import missing, tool

MIB = 1 << 20
DISKS, DISK_BYTES = 4, 32 * MIB
EXTENT_BYTES, FIRST_EXTENT = 64 << 10, MIB
READ = {"root": (0, 0, 20), "orig": (3, 8, 8), "last": (3, 24, 20)}  # disk, its first extent, extents
NOT_READ = {
    "mir": "mirror",
    "r0": "raid0",
    "r1": "raid1",
    "r5": "raid5_ls",
    "r10": "raid10",
    "pool": "thin-pool",
    "thin": "thin",
    "cached": "cache",
}


class Description:
    """The text of the group. Extents of each disk are given out in their order."""

    def __init__(self) -> None:
        self.volumes: dict[str, Any] = {}
        self.used = [0] * DISKS

    def add(self, name: str, *segments: Mapping[str, Any], visible: bool = True) -> None:
        status = ["READ", "WRITE", "VISIBLE"] if visible else ["READ", "WRITE"]
        self.volumes[name] = lvmdisk.logical(100 + len(self.volumes), *segments, status=status)

    def linear(self, name: str, disk: int, extents: int, *, visible: bool = False) -> None:
        self.add(name, lvmdisk.segment(0, extents, f"pv{disk}", self.used[disk]), visible=visible)
        self.used[disk] += extents

    def raid(self, name: str, kind: str, images: int, extents: int, **more: Any) -> None:
        parts = [f"{name}_r{part}_{number}" for number in range(images) for part in ("meta", "image")]
        self.add(name, lvmdisk.segment(0, 8, kind=kind, device_count=images, region_size=1024, raids=parts, **more))
        for number in range(images):
            self.linear(f"{name}_rmeta_{number}", number, 1)
            self.linear(f"{name}_rimage_{number}", number, extents)

    def text(self) -> str:
        disks = {f"pv{number}": lvmdisk.physical(number + 1, 240, dev_size=65536) for number in range(DISKS)}
        more = {"extent_size": EXTENT_BYTES // 512, "max_lv": 0, "max_pv": 0}
        return "creation_time = 1\n" + lvmdisk.group(disks, self.volumes, name="kinds", **more)


def describe() -> Description:
    found = Description()
    segment = lvmdisk.segment
    found.linear("root", 0, 20, visible=True)
    mirrors = ["mir_mimage_0", 0, "mir_mimage_1", 0]
    found.add("mir", segment(0, 8, kind="mirror", mirror_count=2, region_size=1024, mirrors=mirrors))
    for number in range(2):
        found.linear(f"mir_mimage_{number}", number, 8)
    found.raid("r1", "raid1", 2, 8)
    found.raid("r5", "raid5_ls", 3, 4, stripe_size=128)
    found.raid("r10", "raid10", 4, 4, stripe_size=128)
    stripes = ["r0_rimage_0", "r0_rimage_1"]
    found.add("r0", segment(0, 8, kind="raid0", device_count=2, stripe_size=128, raid0_lvs=stripes))
    for number in range(2):
        found.linear(f"r0_rimage_{number}", number, 4)
    pool: dict[str, Any] = {"metadata": "pool_tmeta", "pool": "pool_tdata", "transaction_id": 1, "chunk_size": 128}
    found.add("pool", segment(0, 20, kind="thin-pool", discards="passdown", zero_new_blocks=1, **pool))
    found.linear("pool_tmeta", 0, 32)
    found.linear("pool_tdata", 1, 20)
    found.add("thin", segment(0, 40, kind="thin", thin_pool="pool", transaction_id=0, device_id=1))
    cache: dict[str, Any] = {"data": "cpool_cdata", "metadata": "cpool_cmeta", "metadata_format": 2, "chunk_size": 128}
    found.add(
        "cpool", segment(0, 16, kind="cache-pool", cache_mode="writethrough", policy="smq", **cache), visible=False
    )
    found.linear("cpool_cdata", 2, 16)
    found.linear("cpool_cmeta", 2, 32)
    found.add("cached", segment(0, 8, kind="cache", cache_pool="cpool", origin="cached_corig"))
    found.used[3] = 24 - 8 - 8
    found.linear("orig", 3, 8, visible=True)
    found.linear("snap", 3, 8, visible=True)
    found.linear("last", 3, 20, visible=True)
    found.linear("cached_corig", 3, 8)
    exceptions = segment(0, 8, kind="snapshot", chunk_size=8, origin="orig", cow_store="snap")
    found.add("snapshot0", exceptions, visible=False)
    return found


class Lvm:
    """lvm2 on loop devices that only it sees, without device-mapper: nothing is activated on this machine."""

    def __init__(self, loops: list[str]) -> None:
        self._loops = loops

    def run(self, *words: str) -> str:
        seen = ",".join(f'"a|^{loop}$|"' for loop in self._loops)
        config = (
            f'devices {{ filter=[{seen},"r|.*|"] use_devicesfile=0 }} backup {{ backup=0 archive=0 }} '
            "activation { udev_sync=0 udev_rules=0 monitoring=0 } global { event_activation=0 }"
        )
        environment = {**os.environ, "LVM_SUPPRESS_FD_WARNINGS": "1"}
        command = [tool("lvm"), *words, "--driverloaded", "n", "--config", config]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], dict[str, str]]:
    """The physical volumes, and the types of the visible volumes as lvs has them."""
    folder = tmp_path_factory.mktemp("lvm")
    loops: list[str] = []
    try:
        for number in range(DISKS):
            with (folder / f"pv{number}").open("wb") as file:
                file.truncate(DISK_BYTES)
            command = [tool("losetup"), "-f", "--show", str(folder / f"pv{number}")]
            attached = subprocess.run(command, capture_output=True, text=True)
            if attached.returncode:
                missing(f"losetup cannot make a loop device: {attached.stderr.strip()}")
            loops.append(attached.stdout.strip())
        lvm = Lvm(loops)
        (folder / "text").write_text(describe().text())
        for number, loop in enumerate(loops):
            lvm.run("pvcreate", "-q", "-y", "-u", lvmdisk.uuid(number + 1), "--norestorefile", loop)
        lvm.run("vgcfgrestore", "-f", str(folder / "text"), "--force", "-y", "kinds")
        lvm.run("vgck", "kinds")
        report = lvm.run("lvs", "-o", "lv_name,segtype", "--noheadings", "kinds")
    finally:
        for loop in loops:
            subprocess.run([tool("losetup"), "-d", loop], check=True)
    rows = [line.split() for line in report.splitlines()]
    types = {row[0]: row[1] for row in rows}
    return [(folder / f"pv{number}").read_bytes() for number in range(DISKS)], types


class Disk:
    """A disk with the physical volumes as its partitions, which can be damaged; what is read has a pattern."""

    def __init__(self, path: Path, volumes: list[bytes]) -> None:
        self.path = path
        image = bytearray((1 + DISKS * 32 + 1) * MIB)
        sectors = DISK_BYTES // 512
        parts = []
        for number, content in enumerate(volumes):
            start = MIB + number * DISK_BYTES
            image[start : start + DISK_BYTES] = content
            first = start // 512
            parts.append(Partition(number + 1, LINUX_LVM, UUID(int=number + 1), first, first + sectors - 1))
        for name, (disk, extent, extents) in READ.items():
            start = MIB + disk * DISK_BYTES + FIRST_EXTENT + extent * EXTENT_BYTES
            image[start : start + extents * EXTENT_BYTES] = pattern(len(name), extents * EXTENT_BYTES)
        for place, content in pack_gpt(new_gpt(len(image), DISK_GUID, parts)):
            image[place : place + len(content)] = content
        path.write_bytes(image)

    def wipe(self, disk: int, offset: int, count: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(MIB + disk * DISK_BYTES + offset)
            file.write(bytes(count))

    def inspected(self, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
        """The volumes as `inspect --json` has them, by name."""
        assert main(["inspect", str(self.path), "--json"]) == 3
        value = json.loads(capsys.readouterr().out)
        return {child["name"]: child for child in value["contents"]["children"] if child["kind"] == "logical volume"}

    def check_content(self, *names: str) -> None:
        with closing(FileDevice.open(self.path)) as device:
            contents = read_contents(device)
            for name in names:
                extents = READ[name][2]
                volume = open_node(device, contents, f"kinds/{name}")
                assert read_bytes(volume, 0, volume.size_bytes) == pattern(len(name), extents * EXTENT_BYTES)


@pytest.fixture
def disk(made: tuple[list[bytes], dict[str, str]], tmp_path: Path) -> Disk:
    return Disk(tmp_path / "disk.img", made[0])


def test_every_kind_is_named_and_the_others_are_read(
    disk: Disk, made: tuple[list[bytes], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    found, types = disk.inspected(capsys), made[1]
    assert {name: kind for name, kind in types.items() if name in NOT_READ} == NOT_READ
    assert found.keys() == types.keys()
    for name, kind in NOT_READ.items():
        assert found[name]["fault"]["reason"] == "unsupported"
        assert found[name]["fault"]["text"].endswith(f"expected linear, striped, zero or error, found {kind}")
    assert found["snap"]["fault"]["reason"] == "unsupported"
    assert all(found[name]["fault"] is None for name in READ)
    disk.check_content(*READ)
    main(["inspect", str(disk.path)])
    shown = capsys.readouterr().out
    assert "not read: lvm2: kinds/r1: volumes of this type are not read here" in shown
    assert "BAD" not in shown


def test_a_damaged_metadata_area_is_made_up_for_by_the_other_disks(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.wipe(0, 4096, 8192)
    assert disk.inspected(capsys)["root"]["fault"] is None
    disk.check_content(*READ)
    main(["inspect", str(disk.path)])
    assert (
        "partition 1: lvm2: metadata area at 4096: the magic of the metadata area is wrong" in capsys.readouterr().out
    )


@pytest.mark.parametrize("label", [512, 2048], ids=["label", "label and what follows"])
def test_a_lost_disk_takes_only_its_own_volumes(label: int, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    disk.wipe(3, 512, label)
    found = disk.inspected(capsys)
    assert found["root"]["fault"] is None
    disk.check_content("root")
    for name in ("orig", "last"):
        assert "physical volumes are missing" in found[name]["fault"]["text"]
    assert found["r1"]["fault"]["reason"] == "unsupported"
