from __future__ import annotations

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.errors import DeviceError, FormatError, TableError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.registry import probe_superblocks
from bootpath.formats.ubi.attach import Ubi, UbiVolume, check_ubi_volume, read_leb, read_ubi
from bootpath.formats.ubi.table import ubi_table
from tests.support.errors import raises
from tests.support.ubiimage import (
    DATA,
    EMPTY_RECORD,
    LEB,
    PEB,
    Flash,
    content_of,
    copied_header,
    ec_header,
    record,
    static_header,
    table,
    vid_header,
)


def flash() -> Flash:
    """With one dynamic volume of four eraseblocks, and its table."""
    return Flash({0: record("data", 4)}).layout()


def mapped(ubi: Ubi, name: str = "data") -> dict[int, int]:
    volume = ubi.volume(name)
    assert volume is not None
    return {leb.lnum: leb.peb for leb in volume.lebs}


def test_a_dynamic_volume() -> None:
    image = flash()
    second = image.peb(vid_header(0, 2, sqnum=9), content_of(2))
    first = image.peb(vid_header(0, 0, sqnum=8), content_of(0))
    image.peb()
    ubi = read_ubi(image.device())
    assert mapped(ubi) == {0: first, 2: second}
    assert (ubi.peb_bytes, ubi.data_offset, ubi.leb_bytes, ubi.image_seq) == (PEB, DATA, LEB, 77)
    (volume,) = ubi.volumes
    assert (volume.size_bytes, volume.usable_bytes, volume.refusal) == (4 * LEB, LEB, None)
    counts = ubi.counts
    assert (counts.used, counts.free, counts.erased, counts.corrupted, counts.stale) == (4, 1, 0, 0, 0)
    sectors = LEB // 512
    rows = [(row.start_sector, row.num_sectors, row.target, row.args) for row in ubi_table(ubi, volume, "dev").lines]
    assert rows == [
        (0, sectors, "linear", ("dev", str((first * PEB + DATA) // 512))),
        (sectors, sectors, "erased", ()),
        (2 * sectors, sectors, "linear", ("dev", str((second * PEB + DATA) // 512))),
        (3 * sectors, sectors, "erased", ()),
    ]


def test_probing() -> None:
    device = flash().device()
    (found,) = probe_superblocks(device)
    assert (found.kind, found.uuid) == ("ubi", "77")
    assert not probe_superblocks(MemoryDevice(4096))
    assert not probe_superblocks(MemoryDevice(b"\xff" * (1 << 20)))


def test_the_newer_of_two() -> None:
    for numbers in ((5, 6), (6, 5)):
        image = flash()
        pebs = [image.peb(vid_header(0, 1, sqnum=number), content_of(number)) for number in numbers]
        ubi = read_ubi(image.device())
        assert mapped(ubi) == {1: pebs[numbers.index(6)]}
        assert ubi.counts.stale == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize(("broken", "winner"), [((), 2), ((2,), 1), ((1, 2), 0), ((0, 1, 2), 0)])
def test_a_copy_counts_when_its_data_are_whole(order: tuple[int, ...], broken: tuple[int, ...], winner: int) -> None:
    image = flash()
    pebs: dict[int, int] = {}
    for number in order:
        data = content_of(number, 700)
        header = copied_header(0, 1, data, sqnum=10 + number)
        pebs[number] = image.peb(header, data[:-1] + b"?" if number in broken else data)
    assert mapped(read_ubi(image.device())) == {1: pebs[winner]}


def test_an_original_is_believed_without_a_checksum() -> None:
    image = flash()
    image.peb(copied_header(0, 1, b"whole", sqnum=10), b"whole")
    newest = image.peb(vid_header(0, 1, sqnum=11), b"anything")
    assert mapped(read_ubi(image.device())) == {1: newest}


def test_one_sequence_number_twice() -> None:
    image = flash()
    image.peb(vid_header(0, 1, sqnum=5))
    image.peb(vid_header(0, 1, sqnum=5))
    with pytest.raises(
        FormatError, match="ubi: data: eraseblocks claim logical eraseblock 1 with one sequence number; "
    ):
        read_ubi(image.device())


def static(*parts: bytes, used: int | None = None, **more: int) -> tuple[Flash, list[int]]:
    image = Flash({3: record("static", 8, kind=2, **more)}).layout()
    count = len(parts) if used is None else used
    return image, [image.peb(static_header(3, lnum, part, count), part) for lnum, part in enumerate(parts) if part]


def only(image: Flash) -> tuple[MemoryDevice, Ubi, UbiVolume]:
    device = image.device()
    ubi = read_ubi(device)
    (volume,) = ubi.volumes
    return device, ubi, volume


def test_a_static_volume() -> None:
    image, pebs = static(content_of(1), content_of(2), content_of(3, 1000))
    device, ubi, volume = only(image)
    assert (volume.size_bytes, volume.refusal) == (2 * LEB + 1000, None)
    assert [leb.peb for leb in volume.lebs] == pebs
    check_ubi_volume(device, ubi, volume)
    assert read_leb(Region(device), ubi, volume, volume.lebs[2]) == content_of(3, 1000)
    rows = ubi_table(ubi, volume, "dev").lines
    assert [row.num_sectors for row in rows] == [14, 14, 1]  # the last 488 bytes are no sector


def test_a_static_volume_that_was_changed() -> None:
    image, pebs = static(content_of(1), content_of(2, 1000))
    peb = bytearray(image.pebs[pebs[1]])
    peb[DATA + 999] ^= 1
    image.pebs[pebs[1]] = bytes(peb)
    device, ubi, volume = only(image)
    with raises(FormatError, where="ubi: static", found="0xcdee54e2"):
        check_ubi_volume(device, ubi, volume)


def test_a_static_volume_with_a_hole() -> None:
    image, _ = static(content_of(1), b"", content_of(3))
    device, ubi, volume = only(image)
    assert str(volume.refusal) == "ubi: static: logical eraseblocks are missing; found 1"
    with pytest.raises(TableError, match="are missing"):
        ubi_table(ubi, volume, "dev")
    with pytest.raises(FormatError, match="are missing"):
        check_ubi_volume(device, ubi, volume)


def test_static_volumes_that_hold_nothing() -> None:
    for parts in ((), (b"x" * 511,)):
        _, _, volume = only(static(*parts)[0])
        assert "the volume is too small" in str(volume.refusal)


def test_an_update_that_was_interrupted() -> None:
    image, _ = static(content_of(1), used=5, updating=1)
    _, _, volume = only(image)
    assert "an update of the volume was interrupted" in str(volume.refusal)


def test_aligned_volumes_use_less_of_a_leb() -> None:
    pad = LEB % 2048
    image = Flash({0: record("aligned", 2, alignment=2048, pad=pad)}).layout()
    image.peb(vid_header(0, 0, sqnum=5, pad=pad))
    _, ubi, volume = only(image)
    assert (volume.usable_bytes, volume.size_bytes) == (LEB - pad, 2 * (LEB - pad))
    assert [row.num_sectors for row in ubi_table(ubi, volume, "dev").lines] == [(LEB - pad) // 512] * 2


def test_sectors_that_do_not_fit() -> None:
    image = Flash({0: record("odd", 2, alignment=1000, pad=LEB % 1000)}).layout()
    _, _, volume = only(image)
    assert "the size of a logical eraseblock is not a multiple of sectors" in str(volume.refusal)


def test_bad_headers() -> None:
    image = flash()
    erased = len(image.pebs)
    image.pebs.append(b"\xff" * PEB)
    image.peb(b"garbage")  # over erased data: the erasure never ended
    image.peb(b"garbage", b"data")
    lost_counter = image.peb(vid_header(0, 0, sqnum=5), ec=b"garbage")
    image.peb(b"garbage", b"data", ec=b"garbage")
    image.peb(ec=b"garbage")
    ubi = read_ubi(image.device())
    assert mapped(ubi) == {0: lost_counter}
    assert erased == 2
    counts = ubi.counts
    assert (counts.erased, counts.unfinished, counts.corrupted, counts.free) == (1, 2, 1, 1)
    assert ubi.corrupted == 1


def test_too_much_corruption() -> None:
    image = flash()
    for _ in range(8):
        image.peb(b"garbage", b"data")
    with raises(FormatError, where="ubi", found=8, expected="below 8"):
        read_ubi(image.device())
    image.pebs.pop()
    assert read_ubi(image.device()).corrupted == 7


def test_the_volume_table_has_two_copies() -> None:
    for copies in ((0,), (1,)):
        ubi = read_ubi(_padded(Flash({0: record("data", 4)}).layout(*copies)))
        assert [volume.name for volume in ubi.volumes] == ["data"]
        assert f"copy {1 - copies[0]} of the table is missing" in str(ubi.table_fault)


def _padded(image: Flash) -> MemoryDevice:
    while len(image.pebs) < 4:
        image.peb()
    return image.device()


def test_a_damaged_copy_of_the_table() -> None:
    old, new = table({0: record("old", 4)}), table({0: record("new", 4)})
    broken = new[:50] + b"?" + new[51:]
    for first, second, name in ((new, old, "new"), (broken, old, "old"), (new, broken, "new")):
        image = Flash().layout(0, content=first).layout(1, content=second)
        ubi = read_ubi(_padded(image))
        assert [volume.name for volume in ubi.volumes] == [name]
        assert (ubi.table_fault is not None) == (first is broken)
    with pytest.raises(
        FormatError, match="ubi: layout volume: copy 0: volume table: record 0: the CRC of the record does not match"
    ):
        read_ubi(_padded(Flash().layout(content=broken)))


def test_no_table_or_a_third_copy() -> None:
    with pytest.raises(FormatError, match="there is no volume table"):
        read_ubi(_padded(Flash()))
    with raises(FormatError, found=2, expected="0 or 1"):
        read_ubi(_padded(Flash().layout(0, 1, 2)))


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({0: record("a", 1), 5: record("a", 1)}, "volumes 0 and 5 have the same name"),
        ({0: record("", 1)}, "the length of the name is wrong"),
        ({0: record("a", 2**31)}, "the eraseblocks, the alignment or the padding is not valid"),
        ({0: record("a", 1, alignment=0)}, "the eraseblocks, the alignment or the padding is not valid"),
        ({0: record("a", 1, alignment=LEB + 1)}, "the eraseblocks, the alignment or the padding is not valid"),
        ({0: record("a", 1, alignment=1000)}, "the eraseblocks, the alignment or the padding is not valid"),
        ({0: record("a", 1, kind=3)}, "the type or the update marker is not valid"),
        ({0: record("a", 1, updating=2)}, "the type or the update marker is not valid"),
        ({0: record("a", 0)}, "the record has no eraseblocks, but other fields"),
    ],
)
def test_records_that_make_no_sense(records: dict[int, bytes], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_ubi(_padded(Flash(records).layout()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (vid_header(0, 4, sqnum=5), "ubi: data: the number of a logical eraseblock is out of range; expected below 4"),
        (static_header(0, 0, b"x", 1), "logical eraseblock 0 and the volume table do not agree"),
        (vid_header(0, 0, pad=8), "logical eraseblock 0 and the volume table do not agree"),
        (
            vid_header(0x7FFFF000, 0, compat=5),
            "ubi: eraseblock 2: the image has an internal volume that is not supported",
        ),
    ],
)
def test_headers_that_cannot_be_true(header: bytes, message: str) -> None:
    image = flash()
    image.peb(header)
    with pytest.raises(FormatError) as caught:
        read_ubi(image.device())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        vid_header(200, 0),
        vid_header(0, 2**31),
        vid_header(0, 0, kind=0),
        vid_header(0, 0, copy=2),
        vid_header(0, 0, compat=1),
        vid_header(0x7FFFF000, 0),
        vid_header(0, 0, pad=LEB),
        vid_header(0, 0, used=1),
        vid_header(0, 0, data_bytes=1),
        vid_header(0, 0, crc=1),
        vid_header(0, 0, copy=1),
        vid_header(0, 0, copy=1, data_bytes=LEB + 1),
        vid_header(0, 0, kind=2),
        vid_header(0, 0, kind=2, used=1),
        vid_header(0, 0, kind=2, used=2, data_bytes=5),
        vid_header(0, 1, kind=2, used=1, data_bytes=5),
        vid_header(0, 0, kind=2, used=1, data_bytes=LEB + 1),
    ],
)
def test_headers_that_break_their_rules_are_bad_ones(header: bytes) -> None:
    image = flash()
    image.peb(header)
    assert read_ubi(image.device()).counts.unfinished == 1


def test_volumes_that_are_gone_and_internal_ones() -> None:
    image = flash()
    image.peb(vid_header(9, 0, sqnum=5))
    image.peb(vid_header(0x7FFFF000, 0, compat=1))
    ubi = read_ubi(image.device())
    assert (ubi.counts.stale, ubi.counts.internal) == (1, 1)


def test_leftovers_of_another_image() -> None:
    image = flash()
    image.peb(ec=ec_header(image_seq=78))
    with raises(FormatError, where="ubi: eraseblock 2", found=78, expected=77):
        read_ubi(image.device())
    image.pebs[-1] = image.pebs[-1].replace(ec_header(image_seq=78), ec_header(image_seq=0))
    assert read_ubi(image.device()).counts.free == 1  # old implementations wrote 0


def test_offsets_that_change() -> None:
    image = flash()
    image.peb(ec=ec_header(data=2048))
    with raises(FormatError, found="512 and 2048", expected="512 and 1024"):
        read_ubi(image.device())


def test_the_erase_counter() -> None:
    image = flash()
    image.peb(ec=ec_header(erases=1234))
    assert read_ubi(image.device()).max_erase_count == 1234
    image.peb(ec=ec_header(erases=2**40))
    assert read_ubi(image.device()).max_erase_count == 1234


@pytest.mark.parametrize("peb_bytes", [1 << bits for bits in range(11, 18)])
def test_the_size_of_an_eraseblock_is_found(peb_bytes: int) -> None:
    """At every size, also with as many bad ones as a flash may have, and with another image inside the data."""
    inner = b"".join(flash().pebs)
    head = ec_header(vid=512, data=1024)
    pebs = [bytearray(head.ljust(peb_bytes, b"\xff")) for _ in range(20)]
    for index in (1, 4):
        pebs[index] = bytearray(b"\xff" * peb_bytes)
    for index in (6, 7, 8):
        pebs[index][1024:] = inner.ljust(peb_bytes - 1024, b"\0")[: peb_bytes - 1024]
    device = MemoryDevice(b"".join(bytes(peb) for peb in pebs))
    with pytest.raises(FormatError, match="there is no volume table"):
        read_ubi(device)
    with pytest.raises(FormatError, match="there is no volume table"):
        read_ubi(device, peb_bytes)


def test_a_size_that_cannot_be_told() -> None:
    image = Flash().layout()
    for device in (MemoryDevice(image.pebs[0]), MemoryDevice(image.pebs[0] + bytes(100 * 512))):
        with pytest.raises(FormatError, match="ubi: the eraseblock size cannot be told; give it"):
            read_ubi(device)
    for size in (0, 5, 1023, DATA, 32 << 20):
        with pytest.raises(FormatError, match="the eraseblock size is"):
            read_ubi(image.device(), size)
    with raises(FormatError, found=0):
        read_ubi(image.device(), 1 << 20)


def test_an_eraseblock_size_that_is_no_power_of_two() -> None:
    image = flash()
    longer = table(image.records) + EMPTY_RECORD * 3  # a larger eraseblock has room for more records
    pebs = [peb[:DATA] + longer.ljust(LEB + 512, b"\xff") for peb in image.pebs]
    ubi = read_ubi(MemoryDevice(b"".join(pebs)), PEB + 512)
    assert ubi.leb_bytes == LEB + 512


def test_a_damaged_first_eraseblock() -> None:
    image = flash()
    image.pebs[0] = b"\0" * PEB
    assert read_ubi(image.device(), PEB).table_fault is not None
    assert read_ubi(image.device()).volumes == read_ubi(image.device(), PEB).volumes
    with raises(FormatError, where="ubi: no eraseblock is sound, eraseblock 0: EC header", found="00000000"):
        read_ubi(MemoryDevice(bytes(PEB * 4)))
    with pytest.raises(FormatError, match="no eraseblock is sound"):
        read_ubi(MemoryDevice(bytes(PEB * 4)), PEB)


@pytest.mark.parametrize(
    "header",
    [
        ec_header(version=2),
        ec_header(vid=10),
        ec_header(data=500),
        ec_header(data=2**32 - 1),
        ec_header(vid=2**32 - 200, data=2**32 - 1),
        ec_header(erases=2**31),
    ],
)
def test_first_headers_that_make_no_sense(header: bytes) -> None:
    image = flash()
    image.pebs[0] = header + image.pebs[0][64:]
    with pytest.raises(FormatError, match="ubi: "):
        read_ubi(image.device())


@pytest.mark.parametrize("place", [0, 4, 8, 16, 20, 24, 60])
def test_a_flipped_bit_in_the_first_header(place: int) -> None:
    image = flash()
    peb = bytearray(image.pebs[0])
    peb[place] ^= 1
    image.pebs[0] = bytes(peb)
    assert read_ubi(image.device()).volumes == read_ubi(flash().device()).volumes


@pytest.mark.parametrize("erased", range(1, 5))
def test_erased_first_eraseblocks(erased: int) -> None:
    """As a flash has them, and as a dump of one begins (openwrt issue 12895): an image of UBI all the same."""
    image = flash()
    for _ in range(8):
        image.peb(ec=ec_header())  # free ones
    image.pebs[:0] = [b"\xff" * PEB] * erased
    (found,) = probe_superblocks(image.device())
    assert (found.kind, found.uuid) == ("ubi", "77")
    ubi = read_ubi(image.device())
    assert [volume.name for volume in ubi.volumes] == [volume.name for volume in read_ubi(flash().device()).volumes]
    assert ubi.counts.erased == erased


@pytest.mark.parametrize("content", [b"\0" * PEB, b"a boot loader" * 700, b"UBI? " * 2000])
def test_first_eraseblocks_with_something_else(content: bytes) -> None:
    """A flash as it is read from a chip, with a boot loader before UBI, or one whose first eraseblock is broken."""
    for count in range(1, 4):
        image = flash()
        image.peb(vid_header(0, 0, sqnum=5), b"\0" * LEB)
        for _ in range(8):
            image.peb(ec=ec_header())
        image.pebs[:0] = [content[:PEB].ljust(PEB, b"x")] * count
        (found,) = probe_superblocks(image.device())
        assert (found.kind, found.uuid) == ("ubi", "77")
        ubi = read_ubi(image.device())
        assert (mapped(ubi), ubi.counts.corrupted, ubi.counts.unfinished) == ({0: count + 2}, 0, count)


def test_a_disk_with_a_boot_sector_is_not_the_flash_in_one_of_its_partitions() -> None:
    image = flash()
    for _ in range(8):
        image.peb(ec=ec_header())
    image.pebs[:0] = [b"boot code".ljust(510, b"\0") + b"\x55\xaa" + bytes(PEB - 512)]
    assert probe_superblocks(image.device()) == ()


def test_what_nothing_is_on_costs_a_read_for_each_place_where_an_eraseblock_may_begin() -> None:
    counting = Fault(MemoryDevice(64 << 20), parse_rules("read:delay:delay=0"))
    assert probe_superblocks(counting) == ()
    assert len(counting.hits) < 60


@pytest.mark.parametrize(
    ("tail", "what"),
    [
        (
            ec_header() + b"\xff" * 448,
            "truncated: the last eraseblock is not whole; expected 8192 bytes, found 512 bytes",
        ),
        (b"\xff" * 1024, "the last eraseblock is not whole; expected 8192 bytes, found 1024 bytes"),
        (b"", None),
    ],
)
def test_an_image_that_was_cut(tail: bytes, what: str | None) -> None:
    ubi = read_ubi(MemoryDevice(b"".join(flash().pebs) + tail))
    assert ubi.pebs == 2
    assert (None if ubi.cut is None else str(ubi.cut)) == (None if what is None else f"ubi: {what}")


def test_an_image_full_of_claims_is_read_once() -> None:
    """Everything claims to be one logical eraseblock, in copies that are all torn: each is read twice at most."""
    image = flash()
    for number in range(200):
        image.peb(vid_header(0, 1, copy=1, data_bytes=LEB, crc=1, sqnum=10 + number), b"x")
    counting = Fault(image.device(), parse_rules("read:delay:delay=0"))
    ubi = read_ubi(counting)
    assert ubi.counts.stale == 199
    assert len(counting.hits) < 450


def test_a_reserved_size_beyond_the_image() -> None:
    """An image file has only the eraseblocks in use; a volume of 16 TiB costs one row."""
    image = Flash({0: record("vast", 2**31 - 1)}).layout()
    image.peb(vid_header(0, 2**31 - 2, sqnum=5))
    _, ubi, volume = only(image)
    rows = ubi_table(ubi, volume, "dev").lines
    assert [row.target for row in rows] == ["erased", "linear"]
    assert rows[-1].end_sector * 512 == volume.size_bytes == (2**31 - 1) * LEB


@pytest.mark.parametrize("kind", ["error", "short"])
def test_every_read_may_fail(kind: str) -> None:
    image = flash()
    image.peb(copied_header(0, 1, b"one", sqnum=10), b"one")
    image.peb(copied_header(0, 1, b"two", sqnum=11), b"two")
    image.peb(b"garbage", b"data")
    for _ in range(12):
        image.peb()
    lower = image.device()
    counting = Fault(lower, parse_rules("read:delay:delay=0"))
    sound = read_ubi(counting)
    assert mapped(sound) == {1: 3}
    for index, hit in enumerate(counting.hits):
        with pytest.raises(DeviceError, match=rf"read of {hit.length} bytes at {hit.offset}\b"):
            read_ubi(Fault(lower, parse_rules(f"read:{kind}:after={index}:count=1")))


def test_truncated_images() -> None:
    content = b"".join(flash().pebs)
    for size in range(512, len(content), 512):
        with pytest.raises(FormatError):
            read_ubi(MemoryDevice(content[:size]))
