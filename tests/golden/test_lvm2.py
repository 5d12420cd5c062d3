"""Volume groups against LVM2: what lies where is what lvs and vgcfgbackup say.

The golden disks are made by lvm2/make.sh; what a kernel makes of such tables is compared in tests/vm/test_volumes.py.
"""

from __future__ import annotations

import gzip
import re
import struct
from collections import defaultdict
from pathlib import Path

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Identity, read_bytes
from bootpath.formats.lvm2.group import parse_volume_group
from bootpath.formats.lvm2.label import read_lvm2
from bootpath.image.contents.lvm import find_volume_groups
from tests.support.volumes import open_logical_volume

HERE = Path(__file__).parent / "lvm2"
EXTENT = 65536


def disk(name: str) -> MemoryDevice:
    content = bytearray(gzip.decompress((HERE / f"{name}.img.gz").read_bytes()))
    number = int(name[2:]) if name.startswith("pv") else 0
    # The data say where they are: in every sector, its number and the disk's. On pv1 more metadata lie behind them.
    for sector in range(128, (6225920 if name == "pv1" else len(content)) // 512):
        struct.pack_into("<II", content, sector * 512, number, sector)
    return MemoryDevice(bytes(content), identity=Identity(name))


def expected_content() -> dict[str, dict[int, bytes | None]]:
    """By volume and sector: the first bytes of what lvs says lies there, None where there is an error."""
    volumes: dict[str, dict[int, bytes | None]] = defaultdict(dict)
    for line in (HERE / "segments.txt").read_text().splitlines():
        name, _, kind, stripes, chunk, start, size, ranges = line.strip().split("|")[:8]
        places = [re.fullmatch(r"pv(\d):(\d+)-\d+", word) for word in ranges.split()]
        for sector in range(int(size)):
            if kind in ("zero", "error"):
                content = bytes(8) if kind == "zero" else None
            else:
                count, unit = int(stripes), int(chunk) or int(size)
                stripe, within = divmod(sector, unit)
                place = places[stripe % count]
                assert place is not None
                lower = 128 + int(place[2]) * EXTENT // 512 + stripe // count * unit + within
                content = struct.pack("<II", int(place[1]), lower)
            volumes[name][int(start) + sector] = content
    return volumes


def test_every_sector_of_every_volume() -> None:
    findings = find_volume_groups(disk(f"pv{number}") for number in (2, 0, 1))
    assert (findings.faults, findings.orphans) == ((), ())
    (found,) = findings.groups
    assert (found.missing, found.duplicated, found.fault) == ((), (), None)
    expected = expected_content()
    assert {volume.name for volume in found.volumes} == set(expected)
    for volume in found.volumes:
        device = open_logical_volume(found, volume)
        assert device.size_bytes == found.group.size_bytes(volume) == len(expected[volume.name]) * 512
        if volume.name != "lost":
            content = read_bytes(device, 0, device.size_bytes)
            sectors = {number: content[number * 512 : number * 512 + 8] for number in range(len(content) // 512)}
            assert sectors == expected[volume.name], volume.name
        device.close()


def test_uuids_and_permissions_are_those_lvs_shows() -> None:
    (found,) = find_volume_groups(disk(f"pv{number}") for number in range(3)).groups
    said = {line.split("|")[0].strip(): line.split("|")[1] for line in (HERE / "segments.txt").read_text().splitlines()}
    assert {volume.name: volume.uuid for volume in found.volumes} == said
    assert [volume.name for volume in found.volumes if not volume.writable] == ["dash-ed_1.x+y"]
    assert all(volume.visible for volume in found.volumes)


def test_the_text_on_the_disk_is_the_one_that_was_backed_up() -> None:
    backup = parse_volume_group((HERE / "vgcfgbackup.txt").read_text())
    member = read_lvm2(disk("pv1"))
    assert len(member.groups) == 2
    for group in member.groups:
        assert group.seqno == backup.seqno
        assert group.logical_volumes
        assert [lv.uuid for lv in group.logical_volumes] == [lv.uuid for lv in backup.logical_volumes]
        for ours, theirs in zip(group.logical_volumes, backup.logical_volumes, strict=True):
            assert group.refusal(ours) is backup.refusal(theirs) is None
            assert group.table(ours) == backup.table(theirs)


def test_the_texts_wrap_in_their_ring() -> None:
    """What make.sh went on for: a text that LVM2 itself wrote over the end of its ring."""
    content = gzip.decompress((HERE / "pv0.img.gz").read_bytes())
    size, offset, length = struct.unpack_from("<QQQ", content, 4096 + 32)
    assert offset < size < offset + length
    assert read_lvm2(disk("pv0")).faults == ()


def test_a_group_without_one_of_its_disks() -> None:
    (found,) = find_volume_groups([disk("pv0"), disk("pv1")]).groups
    assert found.missing == (read_lvm2(disk("pv2")).label.uuid,)
    refused = {volume.name for volume in found.volumes if found.refusal(volume) is not None}
    assert refused == {"span", "striped"}


def test_a_disk_without_metadata_alone() -> None:
    findings = find_volume_groups([disk("pv2")])
    assert findings.groups == ()
    (orphan,) = findings.orphans
    assert orphan.label.sector == 3


def test_an_exported_group_is_refused() -> None:
    (found,) = find_volume_groups([disk("exported"), disk("pv1"), disk("pv2")]).groups
    assert found.group.exported
    assert all("is exported" in str(found.refusal(volume)) for volume in found.volumes)
