from __future__ import annotations

from typing import Any

import pytest

from bootpath.core.errors import FormatError, TableError
from bootpath.formats.dm.table import pack_table
from bootpath.formats.lvm2.group import format_uuid, parse_volume_group
from bootpath.formats.lvm2.volumes import VolumeGroup
from tests.support.errors import raises
from tests.support.lvmdisk import group, logical, physical, segment, uuid

DISKS = {"pv0": physical(1, 100), "pv1": physical(2, 50, start=128), "pv2": physical(3, 50)}


def parsed(volumes: dict[str, Any], disks: dict[str, Any] = DISKS, **more: Any) -> VolumeGroup:
    return parse_volume_group(group(disks, volumes, **more))


def table_of(volume: dict[str, Any], **more: Any) -> str:
    found = parsed({"lv": volume}, **more)
    return pack_table(found.table(found.logical_volumes[0]))


def test_linear_and_striped_rows() -> None:
    volume = logical(
        10,
        segment(0, 10, "pv0", 0),
        segment(10, 6, "pv0", 20, "pv1", 0, "pv2", 7, size=16),
        segment(16, 1, "pv1", 49, kind="linear"),
        segment(17, 2, kind="zero"),
        segment(19, 3, kind="error"),
    )
    assert table_of(volume).splitlines() == [
        f"0 80 linear {uuid(1)} 2048",
        f"80 48 striped 3 16 {uuid(1)} 2208 {uuid(2)} 128 {uuid(3)} 2104",
        f"128 8 linear {uuid(2)} 520",
        "136 16 zero",
        "152 24 error",
    ]


def test_devices_by_other_names() -> None:
    found = parsed({"lv": logical(10, segment(0, 1, "pv0", 3))})
    (volume,) = found.logical_volumes
    assert pack_table(found.table(volume, names={uuid(1): "/dev/sda"})) == "0 8 linear /dev/sda 2072\n"


def test_what_is_said_of_a_group() -> None:
    volumes = {
        "a": logical(10, segment(0, 2, "pv0", 0), segment(2, 3, "pv1", 0)),
        "b": logical(11, segment(0, 1, "pv0", 2), status=["READ"], flags=["ACTIVATION_SKIP"]),
    }
    found = parsed(volumes, seqno=7, system_id="host", lock_type="sanlock")
    assert (found.name, found.uuid, found.seqno, found.extent_sectors) == ("vg", uuid(900), 7, 8)
    assert (found.system_id, found.lock_type, found.exported) == ("host", "sanlock", False)
    first, second = found.logical_volumes
    assert (first.visible, first.writable, first.skips_activation, first.extents) == (True, True, False, 5)
    assert (second.visible, second.writable, second.skips_activation) == (False, False, True)
    assert found.size_bytes(first) == 5 * 4096
    assert found.volume("b") is second
    assert found.volume("c") is None
    assert [pv.name for pv in first.physical_volumes] == ["pv0", "pv1"]
    assert found.physical_volumes[0].hint == "/dev/disk1"


def refusals(found: VolumeGroup, absent: tuple[str, ...] = ()) -> dict[str, str | None]:
    """Of every volume; what refuses has no table, and what does not has one."""
    result: dict[str, str | None] = {}
    for volume in found.logical_volumes:
        refusal = found.refusal(volume, absent)
        result[volume.name] = None if refusal is None else str(refusal)
        if refusal is None:
            assert found.table(volume, absent).size_bytes == found.size_bytes(volume)
        else:
            with pytest.raises(TableError):
                found.table(volume, absent)
    return result


@pytest.mark.parametrize(
    "kind", ["thin", "thin-pool", "raid1", "mirror", "cache", "cache-pool", "writecache", "vdo", "integrity", "unknown"]
)
def test_types_that_are_not_read(kind: str) -> None:
    found = parsed(
        {
            "plain": logical(10, segment(0, 1, "pv0", 0)),
            "other": logical(11, segment(0, 1, "pv0", 1), segment(1, 4, kind=kind, chunk_size=128, metadata="m")),
        }
    )
    said = refusals(found)
    expected = "linear, striped, zero or error"
    assert said == {
        "plain": None,
        "other": f"lvm2: vg/other: volumes of this type are not read here; expected {expected}, found {kind}",
    }


def test_snapshots() -> None:
    """The origin is itself; the volume with the exceptions is not what it is called."""
    found = parsed(
        {
            "origin": logical(10, segment(0, 4, "pv0", 0)),
            "snap": logical(11, segment(0, 2, "pv0", 4)),
            "snapshot0": logical(
                12, segment(0, 4, kind="snapshot", chunk_size=8, origin="origin", cow_store="snap"), status=["READ"]
            ),
        }
    )
    said = refusals(found)
    assert said["origin"] is None
    assert said["snap"] == "lvm2: vg/snap: the extents of the volume belong to a snapshot; found snapshot0"
    assert "volumes of this type are not read here; expected linear, striped, zero or error, found snapshot" in (
        said["snapshot0"] or ""
    )


def test_a_snapshot_that_is_being_merged() -> None:
    found = parsed(
        {
            "origin": logical(10, segment(0, 4, "pv0", 0)),
            "snap": logical(11, segment(0, 2, "pv0", 4)),
            "snapshot0": logical(
                12, segment(0, 4, kind="snapshot", chunk_size=8, origin="origin", merging_store="snap")
            ),
        }
    )
    said = refusals(found)
    assert "snapshot0" in (said["origin"] or "")
    assert "snapshot0" in (said["snap"] or "")


def test_missing_physical_volumes() -> None:
    disks = {**DISKS, "pv2": physical(3, 50, flags=["MISSING"])}
    found = parsed(
        {
            "a": logical(10, segment(0, 1, "pv0", 0)),
            "b": logical(11, segment(0, 1, "pv1", 0)),
            "c": logical(12, segment(0, 1, "pv2", 0)),
            "d": logical(13, segment(0, 4, "pv1", 1, "pv0", 1, size=8)),
        },
        disks,
    )
    assert refusals(found)["c"] == (
        f"lvm2: vg/c: physical volumes are missing; found {uuid(3)} (last seen as /dev/disk3)"
    )
    said = refusals(found, (uuid(2),))
    assert [name for name, text in said.items() if text is None] == ["a"]
    assert uuid(2) in (said["b"] or "")
    assert uuid(2) in (said["d"] or "")


def test_an_exported_group() -> None:
    found = parsed({"a": logical(10, segment(0, 1, "pv0", 0))}, status=["READ", "WRITE", "EXPORTED"])
    assert found.exported
    assert "the volume group is exported" in (refusals(found)["a"] or "")


def test_a_volume_on_a_volume_and_one_of_nothing() -> None:
    found = parsed(
        {"a": logical(10, segment(0, 1, "b", 0)), "b": logical(11, segment(0, 1, "pv0", 0)), "c": logical(12)}
    )
    said = refusals(found)
    assert said["a"] == "lvm2: vg/a: a segment stands on the logical volume; found b"
    assert said["c"] == "lvm2: vg/c: the volume has no segments"


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (logical(10, segment(1, 1, "pv0", 0)), "lvm2/vg/logical_volumes/lv: segment1 does not begin where"),
        (
            logical(10, segment(0, 1, "pv0", 0), segment(2, 1, "pv0", 2)),
            "segment2 does not begin where the segment before",
        ),
        (logical(10, segment(0, 0, "pv0", 0)), "extent_count is zero; expected at least 1, found 0"),
        (logical(10, segment(0, 101, "pv0", 0)), "a segment ends beyond pv0; expected at most extent 100"),
        (logical(10, segment(0, 1, "pv0", 2**63)), "a segment ends beyond pv0"),
        (logical(10, segment(0, 1, "pv7", 0)), "lvm2: vg/lv: a segment lies on a volume that does not exist"),
        (
            logical(10, segment(0, 2, "pv0", 0), segment(2, 2, "pv0", 1)),
            "extents 1 to 2 of pv0 belong to another segment too",
        ),
        (
            logical(10, segment(0, 3, "pv0", 0, "pv1", 0, size=8)),
            "extent_count is not a multiple of the number of stripes",
        ),
        (
            logical(10, segment(0, 2, "pv0", 0, "pv1", 0)),
            "stripe_size is not valid; expected a number of 0 or more, found missing",
        ),
        (logical(10, segment(0, 2, "pv0", 0, "pv1", 0, size=3)), "stripe_size is not a power of two"),
        (logical(10, segment(0, 2, "pv0", 0, "pv1", 0, size=2**40)), "stripe_size is not a power of two"),
        (logical(10, segment(0, 1, "pv0", 0, stripe_count=2)), "stripe_count is not the number of stripes; expected 1"),
        (logical(10, segment(0, 1, stripe_count=0, stripes=[])), "stripe_count is not the number of stripes"),
        (
            logical(10, segment(0, 1)),
            "stripes is not valid; expected a list of names and numbers in turn, found missing",
        ),
        (logical(10, segment(0, 1, "pv0", -1)), "expected a name and a number"),
        (logical(10, segment(0, 2**62, kind="zero")), "it ends past 2^64 bytes"),
        (logical(10, segment(0, 1, "pv0", 0), segment_count=2), "segment_count is not the number of segments"),
        (logical(10, segment(0, 1, "pv0", 0), segment_count=2**60), "segment_count is"),
        (logical(10, segment(0, 1, "pv0", 0), id="short"), "the UUID has the wrong form"),
        (logical(10, segment(0, 1, kind="snapshot")), "cow_store is not valid; expected a string, found missing"),
    ],
)
def test_volumes_that_make_no_sense(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parsed({"lv": volume})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"extent_size": 0}, "extent_size is out of range"),
        ({"extent_size": 2**32}, "extent_size is out of range"),
        ({"seqno": "x"}, "seqno is not valid"),
        ({"id": "x"}, "the UUID has the wrong form"),
        ({"name": ".."}, "the name is not allowed"),
        ({"name": "x" * 128}, "the name is not allowed"),
        ({"name": "a/b"}, "the name is not allowed"),
        ({"status": [1]}, "status is not valid; expected a string, found 1"),
    ],
)
def test_groups_that_make_no_sense(more: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parsed({}, **more)
    assert message in str(caught.value)


def test_physical_volumes_that_make_no_sense() -> None:
    with pytest.raises(FormatError, match="two physical volumes have the same UUID"):
        parsed({}, {"pv0": physical(1, 1), "pv1": physical(1, 1)})
    with pytest.raises(FormatError, match=r"its extents end past 2\^64 bytes"):
        parsed({}, {"pv0": physical(1, 2**60)})


def test_texts_with_no_group_or_two() -> None:
    with raises(FormatError, found=0, expected=1):
        parse_volume_group("version = 1")
    with raises(FormatError, found=2, expected=1):
        parse_volume_group("a { } b { }")


def test_uuids() -> None:
    raw = b"abcdefghijklmnopqrstuvwxyzABCDEF"
    assert format_uuid(raw) == "abcdef-ghij-klmn-opqr-stuv-wxyz-ABCDEF"
    for wrong in (raw[:-1], b"\0" * 32, b"\xff" * 32, raw[:-1] + b"#"):
        with pytest.raises(FormatError, match="the UUID has the wrong form"):
            format_uuid(wrong)
