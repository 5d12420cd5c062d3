from __future__ import annotations

from bootpath.formats.appendroot import DiskSpot, LogicalVolumeSpot, RootPlace
from bootpath.formats.dmtable import Row, Table
from bootpath.formats.imagepolicy import parse_image_policy
from bootpath.formats.superblocks import scan_superblocks
from bootpath.image.bootmenu import PlaceRole
from bootpath.image.bootplaces import BootPlace, find_places
from bootpath.image.candidates import Terms
from bootpath.image.nodes import Contents, Location, Node, NodeKind
from tests.support.filetrees import as_device, golden_image, golden_names

EXT4 = next(name for name in golden_names() if name.startswith("ext4"))


def volume(path: str, below: str, size_bytes: int, **fields: object) -> Node:
    table = Table((Row(0, size_bytes // 512, "linear", (below, "0")),))
    name = path.rpartition("/")[2]
    return Node(path, NodeKind.LOGICAL_VOLUME, name, size_bytes, Location(path), table=table, **fields)  # type: ignore[arg-type]


def test_a_volume_on_a_volume_has_no_table_for_the_kernel() -> None:
    """A physical volume inside a logical one: its own carrier is a volume again, however deep that goes."""
    disk = as_device(golden_image(EXT4))
    found = scan_superblocks(disk).found
    carrier = volume("vg0/a", ".", disk.size_bytes)
    upper = volume("vg1/b", "vg0/a", disk.size_bytes, superblocks=found)
    contents = Contents(
        "disk", Node("", NodeKind.DISK, "disk", disk.size_bytes, Location(""), children=(carrier, upper))
    )
    (place,) = [
        each
        for each in find_places(disk, contents, [PlaceRole.ROOT], Terms(parse_image_policy("*")))
        if isinstance(each, BootPlace)
    ]
    assert place.source.layers == ("lvm vg1/b",)
    assert place.root == RootPlace(LogicalVolumeSpot("vg1", "b"))


def test_the_disk_itself() -> None:
    disk = as_device(golden_image(EXT4))
    found = scan_superblocks(disk).found
    contents = Contents("disk", Node("", NodeKind.DISK, "disk", disk.size_bytes, Location(""), superblocks=found))
    (place,) = find_places(disk, contents, list(PlaceRole), Terms(parse_image_policy("*")))
    assert isinstance(place, BootPlace)
    assert (place.root, place.follows_links) == (RootPlace(DiskSpot()), True)
