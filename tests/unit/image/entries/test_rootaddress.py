from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.formats.cmdline.address import Assembly, RootStyle, VolumePartitionAddress
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.image.contents.nodes import Location, Node, NodeKind
from bootpath.image.contents.read import read_contents
from bootpath.image.entries.find import find_entries
from bootpath.image.entries.menu import VolumeRole
from bootpath.image.entries.rootaddress import name_root
from bootpath.image.roots.candidates import Terms, find_candidates
from tests.support.ddi import DISK_GUID, Signer
from tests.support.linuximage import RootTree, make_volume
from tests.support.lvmdisk import uuid
from tests.support.volumeimages import make_volume_images

MIB = 1 << 20
TERMS = Terms(parse_image_policy("*"))


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bundle in both volumes: nothing in them differs."""
    directory = tmp_path_factory.mktemp("twins")
    bundle = make_volume(directory / "bundle", RootTree.demo(), Signer.make(directory))
    return make_volume_images(directory / "disk.img", {"primary": bundle, "secondary": bundle})


def test_a_partition_of_a_volume_has_the_volume_and_the_place_in_it(twins: Path) -> None:
    with closing(FileDevice.open(twins)) as disk:
        contents = read_contents(disk)
        found = [name_root(disk, contents, each) for each in find_candidates(contents, TERMS)]
    for number, (address, name) in enumerate(zip(found, ("primary", "secondary"), strict=True), start=1):
        assert address is not None
        assert isinstance(address.data, VolumePartitionAddress)
        assert (address.data.volume.group, address.data.volume.name) == ("internal", name)
        assert (address.data.volume.group_uuid, address.data.volume.uuid) == (uuid(900), uuid(number))
        assert address.data.partition.slot is not None
        assert str(address.data.partition.slot) == f"{DISK_GUID}:1:2048"
        assert address.data.first_sector == 2048
        assert address.verity is not None
        assert isinstance(address.verity.hashes, VolumePartitionAddress)
        assert address.verity.hashes.partition.number == 2


def test_twins_are_read_and_said_to_be_equal(twins: Path) -> None:
    with closing(FileDevice.open(twins)) as disk:
        contents = read_contents(disk)
    assert contents.incomplete is None
    places = {node.path for node in contents.nodes()}
    assert {f"internal/{name}/{number}" for name in ("primary", "secondary") for number in (1, 2, 3)} <= places
    assert all(node.fault is None for node in contents.nodes())


def test_how_a_menu_names_them(twins: Path) -> None:
    """Each entry by its own volume, for any initramfs, for ours and for the kernel alone."""
    with closing(FileDevice.open(twins)) as disk:
        menu = find_entries(disk, roles=[VolumeRole.ROOT], terms=TERMS)
        assert [found.source.layers[0] for found in menu.entries] == [
            "lvm internal/primary",
            "lvm internal/secondary",
        ]
        first, second = menu.entries
        assert "rd.lvm.lv=internal/secondary roothash=" in second.command_line()
        ours = RootStyle(assembly=Assembly.BOOTPATH)
        assert f"systemd.verity_root_data=LV={uuid(900)}/{uuid(1)}/1 " in first.command_line(ours)
        assert f"systemd.verity_root_data=LV={uuid(900)}/{uuid(2)}/1 " in second.command_line(ours)
        alone = second.command_line(RootStyle("/dev/vda", Assembly.KERNEL))
        assert "internal-secondary,,0,ro,0 " in alone
        assert "/dev/vda1 " in alone
        assert "root=/dev/dm-3" in alone


def test_what_holds_a_table_is_the_place_of_what_is_in_it() -> None:
    inside = Location("vg/lv/1", DISK_GUID, 1, 34)
    assert [inside.is_named(name) for name in ("vg/lv", "vg/lv/1", "vg", "1", "")] == [True, True, False, False, False]
    assert not Location("1", DISK_GUID, 1, 34).is_named("")
    assert not Node("vg/lv", NodeKind.LOGICAL_VOLUME, "lv", MIB, Location("vg/lv")).location.is_named("vg")
