from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import BootError
from bootpath.formats.cmdline.address import (
    Assembly,
    DiskAddress,
    LogicalVolumeAddress,
    PartitionAddress,
    RootAddress,
    RootStyle,
    RootVerity,
    UbiAddress,
    VolumePartitionAddress,
    mapper_device,
    partition_device,
)
from bootpath.formats.cmdline.appendroot import check_options, root_parameters
from bootpath.formats.cmdline.devices import Slot
from bootpath.formats.cmdline.parameters import Parameter, join_parameters, split_parameters
from bootpath.formats.cmdline.root import pack_root_parameters, parse_root_parameters
from bootpath.formats.dm.table import Table, TableLine, pack_line
from bootpath.formats.verity.tree import VerityParameters

GUID = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
VG, LV = "PBcCoW-3nMh-bxAi-F2Sl-As4J-0Shv-rL03fk", "dCjLNb-92cp-wDlj-obHQ-RPgV-ZrvR-rRWr8d"
DATA = PartitionAddress("11111111-2222-3333-4444-555555555555", 2, Slot(GUID, 2, 2048))
HASH = PartitionAddress("66666666-7777-8888-9999-aaaaaaaaaaaa", 3, Slot(GUID, 3, 4096))
ROOT_HASH = bytes(range(32))
VERITY = RootVerity(HASH, ROOT_HASH, VerityParameters(256, salt=b"\1\2"))
TABLE = Table((TableLine(0, 2048, "linear", ("2", "2048")), TableLine(2048, 2048, "linear", ("3", "2048"))))
VOLUME = LogicalVolumeAddress("vg-0", "root", VG, LV, TABLE, (("2", DATA), ("3", HASH)))
INNER = UUID("0fc63daf-8483-4772-8e79-3d69d8477de5")
INSIDE = VolumePartitionAddress(VOLUME, PartitionAddress(DATA.partuuid, 1, Slot(INNER, 1, 34)), 34, 2048)
INSIDE_HASH = VolumePartitionAddress(VOLUME, PartitionAddress(HASH.partuuid, 2, Slot(INNER, 2, 2082)), 2082, 64)
INSIDE_ROOT = RootAddress(INSIDE, RootVerity(INSIDE_HASH, ROOT_HASH, VERITY.parameters))
OURS, KERNEL, FIXED = RootStyle(assembly=Assembly.BOOTPATH), RootStyle(assembly=Assembly.KERNEL), RootStyle("/dev/vda")
PARTUUID, HASH_PARTUUID = f"PARTUUID={DATA.partuuid}", f"PARTUUID={HASH.partuuid}"

CHECKED = f"roothash={ROOT_HASH.hex()} systemd.verity_root_data={PARTUUID} systemd.verity_root_hash={HASH_PARTUUID}"

INSIDE_CHECKED = CHECKED.replace(PARTUUID, f"LV={VG}/{LV}/1").replace(HASH_PARTUUID, f"LV={VG}/{LV}/2")


@pytest.mark.parametrize(
    ("address", "style", "line"),
    [
        (RootAddress(DATA), RootStyle(), f"root={PARTUUID}"),
        (RootAddress(DATA), FIXED, "root=/dev/vda2"),
        (RootAddress(DATA), RootStyle("/dev/mmcblk0"), "root=/dev/mmcblk0p2"),
        (RootAddress(DATA), KERNEL, f"root={PARTUUID}"),
        (RootAddress(DATA), OURS, f"root={PARTUUID} bootpath.slot={GUID}:2:2048"),
        (RootAddress(DiskAddress()), FIXED, "root=/dev/vda"),
        (
            RootAddress(DATA, VERITY),
            RootStyle(),
            CHECKED,
        ),
        (
            RootAddress(DATA, VERITY),
            FIXED,
            f"roothash={ROOT_HASH.hex()} systemd.verity_root_data=/dev/vda2 systemd.verity_root_hash=/dev/vda3",
        ),
        (
            RootAddress(DATA, VERITY),
            OURS,
            f"{CHECKED} bootpath.slot={GUID}:2:2048 bootpath.hash_slot={GUID}:3:4096",
        ),
        (RootAddress(VOLUME), RootStyle(), "rd.lvm.lv=vg-0/root root=/dev/mapper/vg--0-root"),
        (RootAddress(VOLUME), OURS, f"root=LV={VG}/{LV}"),
        (
            RootAddress(VOLUME, VERITY),
            OURS,
            f"{CHECKED} bootpath.hash_slot={GUID}:3:4096".replace(PARTUUID, f"LV={VG}/{LV}", 1),
        ),
        (INSIDE_ROOT, RootStyle(), f"rd.lvm.lv=vg-0/root {CHECKED}"),
        (RootAddress(INSIDE), OURS, f"root=LV={VG}/{LV}/1 bootpath.slot={INNER}:1:34"),
        (
            INSIDE_ROOT,
            RootStyle("/dev/vda", Assembly.BOOTPATH),
            f"{INSIDE_CHECKED} bootpath.slot={INNER}:1:34 bootpath.hash_slot={INNER}:2:2082",
        ),
        (RootAddress(UbiAddress("rootfs", 1)), RootStyle(), "root=/dev/ubiblock0_1 ubi.block=0,rootfs"),
        (
            RootAddress(UbiAddress("rootfs", 1)),
            RootStyle("nand"),
            "root=/dev/ubiblock0_1 ubi.mtd=nand ubi.block=0,rootfs",
        ),
        (RootAddress(UbiAddress("rootfs", 1)), RootStyle("nand", Assembly.BOOTPATH), "root=UBI=nand:rootfs"),
        (RootAddress(UbiAddress("root fs", 1, True)), RootStyle(), 'root="ubi0:root fs" rootfstype=ubifs'),
        (
            RootAddress(UbiAddress("rootfs", 1, True)),
            RootStyle("nand", Assembly.KERNEL),
            "root=ubi0:rootfs rootfstype=ubifs ubi.mtd=nand",
        ),
        (
            RootAddress(UbiAddress("rootfs", 1, True)),
            RootStyle("0", Assembly.BOOTPATH),
            "root=UBI=0:rootfs rootfstype=ubifs",
        ),
    ],
)
def test_how_each_root_is_named(address: RootAddress, style: RootStyle, line: str) -> None:
    assert join_parameters(packed(address, style)) == line


def packed(address: RootAddress, style: RootStyle) -> tuple[Parameter, ...]:
    return pack_root_parameters(root_parameters(address, style))


names = st.from_regex(r"[A-Za-z0-9_.][A-Za-z0-9+_.-]{0,8}", fullmatch=True)
slots = st.none() | st.builds(Slot, st.uuids(), st.integers(1, 128), st.integers(0, 2**64 - 1))
partitions = st.builds(PartitionAddress, st.uuids().map(str), st.integers(1, 128), slots)
volumes = st.builds(
    LogicalVolumeAddress,
    names,
    names,
    st.sampled_from([VG, ""]),
    st.just(LV),
    st.none() | st.just(TABLE),
    st.just((("2", DATA), ("3", HASH))),
)
flash = st.builds(
    UbiAddress, st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), st.integers(0, 127), st.booleans()
)
inside = st.builds(VolumePartitionAddress, volumes, partitions, st.integers(0, 2**40), st.integers(1, 2**40))
devices = st.one_of(st.just(DiskAddress()), partitions, volumes, inside, flash)
verities = st.builds(
    RootVerity,
    devices,
    st.binary(min_size=32, max_size=32),
    st.builds(VerityParameters, st.integers(1, 2**32), salt=st.binary(max_size=32)),
    st.integers(0, 2**20),
)


@given(
    st.builds(RootAddress, devices, st.none() | verities),
    st.builds(RootStyle, st.sampled_from([None, "/dev/vda", "/dev/nvme0n1", "nand"]), st.sampled_from(Assembly)),
)
def test_all_that_a_loader_writes_is_read_back(address: RootAddress, style: RootStyle) -> None:
    try:
        root = root_parameters(address, style)
    except BootError:
        return
    assert parse_root_parameters(pack_root_parameters(root)) == root
    assert parse_root_parameters(join_parameters(pack_root_parameters(root), limit_bytes=8192)) == root


def test_a_root_behind_verity_is_never_named_by_its_partition() -> None:
    for assembly in Assembly:
        parameters = packed(RootAddress(DATA, VERITY), RootStyle(assembly=assembly))
        assert not any(each.text == f"root={PARTUUID}" for each in parameters)
        assert ROOT_HASH.hex() in join_parameters(parameters)


def test_the_kernel_makes_verity() -> None:
    named = root_parameters(RootAddress(DATA, VERITY), KERNEL)
    (device,) = named.mapped_devices
    assert (named.root, device.minor, device.read_only) == ("/dev/dm-0", 0, True)
    (line,) = device.table.lines
    assert (line.num_sectors, line.target, line.args[1:3]) == (2048, "verity", (PARTUUID, HASH_PARTUUID))
    assert line.args[8:10] == (ROOT_HASH.hex(), "0102")


def test_the_kernel_makes_volumes_and_what_stands_on_them() -> None:
    named = root_parameters(RootAddress(VOLUME), KERNEL)
    (device,) = named.mapped_devices
    assert (named.root, device.name) == ("/dev/dm-0", "vg--0-root")
    assert [line.args for line in device.table.lines] == [(PARTUUID, "2048"), (HASH_PARTUUID, "2048")]
    named = root_parameters(RootAddress(VOLUME, VERITY), RootStyle("/dev/sda", Assembly.KERNEL))
    volume, verity = named.mapped_devices
    assert named.root == "/dev/dm-1"
    assert [line.args[0] for line in volume.table.lines] == ["/dev/sda2", "/dev/sda3"]
    assert verity.table.lines[0].args[1:3] == ("/dev/dm-0", "/dev/sda3")


def test_the_kernel_makes_the_partitions_of_a_volume_that_it_makes_once() -> None:
    named = root_parameters(INSIDE_ROOT, KERNEL)
    volume, data, hashes, verity = named.mapped_devices
    assert named.root == "/dev/dm-3"
    assert [volume.name, data.name, hashes.name] == ["vg--0-root", "vg--0-rootp1", "vg--0-rootp2"]
    assert [pack_line(device.table.lines[0]) for device in (data, hashes)] == [
        "0 2048 linear /dev/dm-0 34",
        "0 64 linear /dev/dm-0 2082",
    ]
    assert verity.table.lines[0].args[1:3] == ("/dev/dm-1", "/dev/dm-2")


@pytest.mark.parametrize(
    ("place", "style"),
    [
        (RootAddress(DiskAddress()), RootStyle()),
        (RootAddress(UbiAddress("a", 0)), OURS),
        (RootAddress(UbiAddress("a", 0), VERITY), KERNEL),
        (RootAddress(LogicalVolumeAddress("a", "b")), KERNEL),
        (RootAddress(VolumePartitionAddress(LogicalVolumeAddress("a", "b"), DATA, 34, 8)), OURS),
        (RootAddress(VolumePartitionAddress(LogicalVolumeAddress("a", "b"), DATA, 34, 8)), KERNEL),
    ],
)
def test_roots_that_nothing_names(place: RootAddress, style: RootStyle) -> None:
    with pytest.raises(BootError):
        root_parameters(place, style)


@pytest.mark.parametrize(
    "options",
    ["quiet", "quiet -- root=/dev/sda1", f"root={PARTUUID}", "root=/dev/mapper/root", "root", "roothash rw"],
)
def test_options_that_name_no_other_root(options: str) -> None:
    check_options(split_parameters(options), packed(RootAddress(DATA), RootStyle()))


@pytest.mark.parametrize("other", ["root=/dev/sda1", "roothash=00", "bootpath.lv=x", "dm_mod.create=x"])
def test_options_that_name_another_root_are_refused(other: str) -> None:
    with pytest.raises(BootError, match=f"and names one itself: {other}"):
        check_options(split_parameters(f"quiet {other}"), packed(RootAddress(DATA, VERITY), RootStyle()))


def test_names_of_devices() -> None:
    assert [partition_device(disk, 2) for disk in ("/dev/vda", "/dev/nvme0n1")] == ["/dev/vda2", "/dev/nvme0n1p2"]
    assert mapper_device("a-b", "c--d") == "/dev/mapper/a--b-c----d"
