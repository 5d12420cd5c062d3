from __future__ import annotations

from typing import Any

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.device import Identity, read_bytes
from bootpath.core.errors import DeviceError, TableError
from bootpath.image.contents.lvm import FoundGroup, find_volume_groups
from tests.support.lvmdisk import disk, group, logical, physical, segment, uuid
from tests.support.volumes import open_logical_volume

DISKS = {"pv0": physical(1, 8, start=256), "pv1": physical(2, 8, start=256)}
VOLUMES = {
    "first": logical(10, segment(0, 2, "pv0", 1)),
    "both": logical(11, segment(0, 4, "pv0", 4, "pv1", 0, size=8)),
}


def text(seqno: int = 1, volumes: dict[str, Any] = VOLUMES, **more: Any) -> str:
    return group(DISKS, volumes, seqno=seqno, **more)


def device(number: int, content: str | None, name: str | None = None) -> MemoryDevice:
    image = disk(number, content)
    for extent in range(8):
        image[131072 + extent * 4096 : 131072 + (extent + 1) * 4096] = bytes([number * 16 + extent]) * 4096
    return MemoryDevice(bytes(image), identity=Identity(name or f"disk{number}"))


def only(*devices: MemoryDevice) -> FoundGroup:
    (found,) = find_volume_groups(devices).groups
    return found


def refusal(found: FoundGroup, name: str) -> str | None:
    volume = found.group.volume(name)
    assert volume is not None
    said = found.refusal(volume)
    if said is None:
        open_logical_volume(found, volume).close()
        return None
    with pytest.raises(TableError):
        open_logical_volume(found, volume)
    return str(said)


def test_volumes_are_opened() -> None:
    first, second = device(1, text()), device(2, text())
    found = only(first, second)
    volume = found.group.volume("both")
    assert volume is not None
    opened = open_logical_volume(found, volume)
    assert [read_bytes(opened, offset, 1024)[0] for offset in range(0, 16384, 4096)] == [0x14, 0x20, 0x15, 0x21]
    opened.close()
    assert read_bytes(first, 0, 512)  # which is ours, not the stack's


def test_the_highest_number_is_true_wherever_it_is() -> None:
    for one, other in ((1, 2), (2, 1)):
        texts = {1: text(1, {}), 2: text(2)}
        found = only(device(1, texts[one]), device(2, texts[other]))
        assert found.group.seqno == 2
        assert refusal(found, "both") is None


def test_one_disk_without_metadata() -> None:
    assert refusal(only(device(1, text()), device(2, None)), "both") is None


def test_a_missing_disk() -> None:
    found = only(device(1, text()))
    assert found.missing == (uuid(2),)
    assert refusal(found, "first") is None
    assert "physical volumes are missing" in (refusal(found, "both") or "")


def test_two_copies_of_one_disk() -> None:
    found = only(device(1, text()), device(2, text()), device(2, text(), "copy"))
    assert found.duplicated == (uuid(2),)
    assert refusal(found, "first") is None
    assert refusal(found, "both") == (
        f"lvm2: vg/both: more than one device is the physical volume; found {uuid(2)}; "
        "take the copies away, or give them new UUIDs with vgimportclone"
    )


def test_two_descriptions_with_one_number() -> None:
    found = only(device(1, text(5)), device(2, text(5, {"first": VOLUMES["first"]})))
    assert "two different descriptions of the group have the sequence number 5" in (refusal(found, "first") or "")
    found = only(device(1, text(5)), device(2, text(5, {"first": VOLUMES["first"]})), device(3, text(6)))
    assert refusal(found, "first") is None


def test_two_groups_of_one_name() -> None:
    other = group({"pv0": physical(3, 8)}, {"first": logical(10, segment(0, 1, "pv0", 0))}, number=901)
    findings = find_volume_groups([device(1, text()), device(2, text()), device(3, other)])
    assert len(findings.groups) == 2
    for found in findings.groups:
        assert "another volume group has the same name" in (refusal(found, "first") or "")


def test_damaged_members_are_told_with_their_names() -> None:
    bad_label = bytearray(disk(2, text()))
    bad_label[600] ^= 1
    bad_text = bytearray(disk(1, text()))
    bad_text[4096 + 700] ^= 1
    findings = find_volume_groups(
        [
            MemoryDevice(bytes(bad_label), identity=Identity("left")),
            MemoryDevice(bytes(bad_text), identity=Identity("right")),
            MemoryDevice(4096, identity=Identity("no volume")),
        ]
    )
    assert findings.groups == ()
    assert [str(fault).split(":")[0] for fault in findings.faults] == ["left", "right"]
    assert [orphan.label.uuid for orphan in findings.orphans] == [uuid(1)]


def test_a_disk_shorter_than_its_extents() -> None:
    image = disk(1, text())
    short = MemoryDevice(bytes(image[: 131072 + 4096]))
    found = only(short, device(2, text()))
    volume = found.group.volume("first")
    assert volume is not None
    with pytest.raises(TableError, match="ends past the device"):
        open_logical_volume(found, volume)


def test_every_read_may_fail() -> None:
    lower = device(1, text())
    counting = Fault(lower, parse_rules("read:delay:delay=0"))
    find_volume_groups([counting])
    for index, hit in enumerate(counting.hits):
        with pytest.raises(DeviceError, match=rf"read of {hit.length} bytes at {hit.offset}\b"):
            find_volume_groups([Fault(lower, parse_rules(f"read:error:after={index}:count=1")), device(2, text())])
