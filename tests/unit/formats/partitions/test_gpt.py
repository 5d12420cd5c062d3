"""Reading a partition table: what is believed, what is a fault of one copy, what is only a warning."""

from __future__ import annotations

import struct
from dataclasses import replace
from uuid import UUID

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.partitions.gpt import GptVerdict, probe_gpt, read_gpt
from bootpath.formats.partitions.gptheader import EFI_SYSTEM, Partition, parse_array, parse_header
from tests.support.errors import raises
from tests.support.gptdisk import (
    DISK_BYTES,
    as_device,
    get_field,
    gpt_image,
    moved,
    sample_gpt,
    sample_partitions,
    set_entry,
    set_fields,
)

LAST = DISK_BYTES[512] // 512 - 1
BLOCK_SIZES = pytest.mark.parametrize("block_bytes", [512, 4096])


def primary_fault(image: bytearray) -> str:
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.PRIMARY_DAMAGED
    return str(gpt.primary_fault)


def backup_fault(image: bytearray) -> str:
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.BACKUP_DAMAGED
    return str(gpt.backup_fault)


def warnings_with(*entries: Partition) -> tuple[str, ...]:
    image = gpt_image()
    for entry in entries:
        set_entry(image, entry)
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.SOUND
    return gpt.warnings


@BLOCK_SIZES
def test_sound_disk_is_read_as_written(block_bytes: int) -> None:
    gpt = sample_gpt(block_bytes)
    assert read_gpt(as_device(gpt_image(gpt), block_bytes)) == gpt
    assert gpt.verdict is GptVerdict.SOUND
    assert gpt.warnings == ()


@pytest.mark.parametrize(("table", "device"), [(512, 4096), (4096, 512)])
def test_block_size_is_found_from_the_disk_and_not_from_the_device(table: int, device: int) -> None:
    gpt = sample_gpt(table)
    image = gpt_image(gpt)
    assert len(image) % device == 0
    assert read_gpt(as_device(image, device)) == gpt


@pytest.mark.parametrize(("table", "device"), [(512, 4096), (4096, 512)])
def test_block_size_is_found_from_the_backup_alone(table: int, device: int) -> None:
    gpt = sample_gpt(table)
    image = gpt_image(gpt)
    image[:8192] = bytes(8192)
    found = read_gpt(as_device(image, device))
    assert found.block_bytes == table
    assert found.partitions == gpt.partitions
    assert found.verdict is GptVerdict.PRIMARY_DAMAGED


def test_a_whole_table_beats_a_stale_header_for_the_other_block_size() -> None:
    image = gpt_image(sample_gpt(4096))
    image[512:1024] = gpt_image()[512:1024]  # left over from a time with blocks of 512
    assert read_gpt(as_device(image, 512)).block_bytes == 4096


def test_partition_places_itself_in_bytes() -> None:
    partition = Partition(1, EFI_SYSTEM, UUID(int=1), 6, 7, block_bytes=4096)
    assert (partition.offset_bytes, partition.size_bytes) == (24576, 8192)


def test_type_names() -> None:
    bios, _, redox = sample_partitions()
    assert (bios.type_name, redox.type_name) == ("BIOS boot", "Linux file system")
    assert replace(bios, type_guid=UUID(int=9)).type_name == str(UUID(int=9))


def test_partition_by_number() -> None:
    gpt = sample_gpt()
    assert gpt.partition(5) == gpt.partitions[2]
    assert gpt.partition(3) is None


def test_guids_are_mixed_endian_on_disk() -> None:
    image = gpt_image()
    assert (
        image[1024 + 128 : 1024 + 144].hex() == "28732ac11ff8d211ba4b00a0c93ec93b"
    )  # EFI system, UEFI 2.10 appendix A


@pytest.mark.parametrize("size_bytes", [0, 512, 1024, 4096, 8192, 65536])
def test_disk_without_table(size_bytes: int) -> None:
    device = as_device(bytes(size_bytes))
    assert not probe_gpt(device)
    with pytest.raises(FormatError, match="gpt: there is no GPT"):
        read_gpt(device)


def test_probe_sees_either_copy() -> None:
    image = gpt_image()
    assert probe_gpt(as_device(image))
    without_primary = image.copy()
    without_primary[512:1024] = bytes(512)
    assert probe_gpt(as_device(without_primary))
    without_backup = image.copy()
    without_backup[-512:] = bytes(512)
    assert probe_gpt(as_device(without_backup))


def test_neither_copy_usable_names_both_faults() -> None:
    image = gpt_image()
    image[512 + 60] ^= 1
    image[-512 + 8] ^= 1
    with pytest.raises(
        FormatError, match=r"header at LBA 1: the header's CRC.*header at LBA 255: the header's CRC"
    ) as caught:
        read_gpt(as_device(image))
    assert caught.value.where == "gpt"


def test_faults_are_of_the_block_size_that_has_a_signature() -> None:
    image = gpt_image(sample_gpt(4096))
    image[4096 + 60] ^= 1
    image[-4096 + 60] ^= 1
    with pytest.raises(FormatError, match=r"header at LBA 1: the header's CRC.*header at LBA 63: the header's CRC"):
        read_gpt(as_device(image, 512))


HEADER_REFUSALS = [
    ({"signature": b"EFI PARU"}, "the header's signature is wrong; expected b'EFI PART', found b'EFI PARU'"),
    ({"header_bytes": 91}, "the header's size is out of range; expected 92 to 512, found 91"),
    ({"header_bytes": 513}, "the header's size is out of range"),
    ({"revision": 0x00010001}, "the header's revision is unknown; expected 0x00010000, found 0x00010001"),
    ({"reserved": 1}, "the header's reserved field is not zero; expected 0, found 0x00000001"),
    ({"my_lba": 2}, "the header's own LBA is wrong; expected 1, found 2"),
    ({"alternate_lba": 0}, "the LBA of the other copy is wrong"),
    ({"alternate_lba": 1}, "the LBA of the other copy is wrong"),
    ({"entry_bytes": 0}, "the entry size is not valid"),
    ({"entry_bytes": 64}, "the entry size is not valid"),
    ({"entry_bytes": 384}, "the entry size is not valid; expected 128 * 2^n, at most 4096, found 384"),
    ({"entry_bytes": 8192}, "the entry size is not valid"),
    ({"entry_count": 0}, "the number of entries is out of range"),
    ({"entry_count": 16385}, "the number of entries is out of range"),
    ({"entry_count": 16384, "entry_bytes": 256}, "the entry array is too large; expected at most 2097152"),
    ({"first_usable_lba": 1}, "the usable range is not valid"),
    ({"first_usable_lba": 300}, "the usable range is not valid"),
    ({"last_usable_lba": LAST}, "the usable range is not valid"),
    ({"last_usable_lba": 2**64 - 1}, "the usable range is"),
    ({"entries_lba": 0}, "the entry array is in the wrong place; expected inside LBA 2 to 33, found LBA 0 to 31"),
    ({"entries_lba": 1}, "the entry array is in the wrong place"),
    ({"entries_lba": 3}, "the entry array is in the wrong place"),
    ({"entries_lba": 2**64 - 1}, "the entry array is in the wrong place"),
    ({"entry_count": 132}, "the entry array is in the wrong place"),
]


@pytest.mark.parametrize(("fields", "message"), HEADER_REFUSALS, ids=[str(fields) for fields, _ in HEADER_REFUSALS])
def test_header_refusal(fields: dict[str, int | bytes], message: str) -> None:
    image = gpt_image()
    set_fields(image, 1, 512, **fields)
    fault = primary_fault(image)
    assert fault.startswith(f"gpt: header at LBA 1: {message}")
    assert fault.endswith("(UEFI 2.10 §5.3)")


def test_backup_array_must_lie_between_usable_range_and_header() -> None:
    image = gpt_image()
    set_fields(image, LAST, entries_lba=222)
    assert "the entry array is in the wrong place; expected inside LBA 223 to 254" in backup_fault(image)


def test_header_inside_the_usable_range() -> None:
    image = gpt_image()
    block = image[512:1024]
    block[24:32] = struct.pack("<Q", 100)
    set_fields(block, 0)
    with raises(FormatError, found="LBA 34 to 222"):
        parse_header(bytes(block), lba=100, last_lba=LAST)


def test_header_crc_covers_its_whole_size() -> None:
    image = gpt_image()
    image[512 + 100] = 7  # behind the 92 bytes: not covered, ignored
    assert read_gpt(as_device(image)).verdict is GptVerdict.SOUND
    set_fields(image, 1, header_bytes=128)  # covered now
    assert read_gpt(as_device(image)).verdict is GptVerdict.SOUND
    image[512 + 100] = 8
    assert "the header's CRC does not match" in primary_fault(image)


def test_array_crc() -> None:
    image = gpt_image()
    image[1024 + 56] ^= 0x20
    assert "gpt: entries at LBA 2: the CRC of the entry array does not match" in primary_fault(image)


def test_entry_that_ends_before_it_begins() -> None:
    image = gpt_image()
    backward = moved(sample_partitions()[0], 40, 39)
    set_entry(image, backward)
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.SOUND
    assert (gpt.backward, gpt.partitions) == ((backward,), sample_partitions()[1:])
    assert (backward.backward, backward.size_bytes) == (True, 0)
    assert gpt.warnings == ("partition 1 (LBA 40 to 39) ends before it begins",)


def test_when_linux_has_to_be_forced() -> None:
    """block/partitions/efi.c: an MBR that protects the table, and a good first copy; else ``gpt``, and the end."""
    image = gpt_image()
    assert not read_gpt(as_device(image)).needs_force
    image[450] = 0x83
    gpt = read_gpt(as_device(image))
    assert (gpt.needs_force, gpt.protected, gpt.misplaced_lba) == (True, False, None)
    image = gpt_image()
    image[512:1024] = bytes(512)
    gpt = read_gpt(as_device(image))
    assert (gpt.needs_force, gpt.header_lba, gpt.misplaced_lba) == (True, LAST, None)
    grown = as_device(image + bytes(64 * 512))
    assert probe_gpt(grown)
    assert read_gpt(grown).misplaced_lba == LAST


def test_array_behind_the_end_of_the_disk() -> None:
    header, crc = parse_header(bytes(gpt_image()[512:1024]), lba=1, last_lba=LAST)
    with raises(FormatError, found="LBA 2", expected="all of it before LBA 21"):
        parse_header(bytes(gpt_image()[512:1024]), lba=1, last_lba=20)
    with pytest.raises(FormatError, match="the CRC of the entry array"):
        parse_array(bytes(header.array_bytes), header, crc, block_bytes=512)


@pytest.mark.parametrize("length", [0, 1, 8, 91])
def test_header_of_a_few_bytes(length: int) -> None:
    with pytest.raises(FormatError):
        parse_header(bytes(gpt_image()[512 : 512 + length]), lba=1, last_lba=LAST)


def test_backup_where_the_primary_says_and_not_at_the_end() -> None:
    image = gpt_image() + bytes(64 * 512)
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.SOUND
    assert gpt.warnings == (
        "the protective MBR covers 255 blocks, the disk has 319 after the first",
        "the backup copy is at LBA 255, the disk ends at LBA 319",
    )


def test_backup_of_a_grown_disk_is_found_by_the_protective_mbr() -> None:
    image = gpt_image() + bytes(64 * 512)
    image[512:1024] = bytes(512)
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.PRIMARY_DAMAGED
    assert gpt.partitions == sample_partitions()


def test_truncated_disk_has_no_backup_and_says_which_partitions_are_cut() -> None:
    image = gpt_image()[: 60 * 512]
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.BACKUP_DAMAGED
    assert "header at LBA 255: the header is not on the disk; expected a block that exists, found last LBA 59" in str(
        gpt.backup_fault
    )
    assert "partition 5 (LBA 54 to 73) ends after the disk, which ends at LBA 59" in gpt.warnings


def test_damaged_array_with_a_good_header_still_tells_where_the_backup_is() -> None:
    image = gpt_image() + bytes(64 * 512)
    image[446:510] = bytes(64)  # no protective MBR to help
    image[1024] ^= 1
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.PRIMARY_DAMAGED
    assert gpt.partitions == sample_partitions()


@pytest.mark.parametrize(
    "fields",
    [{"alternate_lba": 3}, {"first_usable_lba": 35}, {"last_usable_lba": 221}],
    ids=lambda fields: next(iter(fields)),
)
def test_copies_that_differ(fields: dict[str, int]) -> None:
    image = gpt_image()
    set_fields(image, LAST, **fields)
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.COPIES_DIFFER
    assert "the two copies of the table differ" in gpt.warnings
    assert (gpt.first_usable_lba, gpt.last_usable_lba) == (34, 222)  # the primary is believed


def test_copies_with_different_entries() -> None:
    image = gpt_image()
    other = gpt_image(sample_gpt(partitions=sample_partitions()[:1]))
    image[128 * 512 :] = other[128 * 512 :]
    gpt = read_gpt(as_device(image))
    assert gpt.verdict is GptVerdict.COPIES_DIFFER
    assert gpt.partitions == sample_partitions()


def test_every_verdict_has_advice() -> None:
    advice = {verdict.advice for verdict in GptVerdict}
    assert len(advice) == len(GptVerdict)
    assert all(sentence.endswith(".") and sentence.count(".") == 1 for sentence in advice)


def test_warning_of_overlap() -> None:
    bios, efi, _ = sample_partitions()
    assert warnings_with(moved(efi, bios.last_lba, efi.last_lba)) == ("partitions 1 and 2 overlap at LBA 37",)


def test_warning_of_overlap_with_an_earlier_long_partition() -> None:
    bios, *_ = sample_partitions()
    assert warnings_with(moved(bios, 34, 60)) == (
        "partitions 1 and 2 overlap at LBA 38",
        "partitions 1 and 5 overlap at LBA 54",
    )


def test_warning_of_duplicate_guid() -> None:
    bios, efi, _ = sample_partitions()
    assert warnings_with(replace(efi, guid=bios.guid)) == (f"partitions 1 and 2 have the same GUID {bios.guid}",)


def test_warning_of_entry_outside_the_usable_range() -> None:
    _, _, redox = sample_partitions()
    assert warnings_with(moved(redox, 220, 223)) == (
        "partition 5 (LBA 220 to 223) is outside the usable range, LBA 34 to 222",
    )


def test_warning_of_entry_past_the_disk() -> None:
    _, _, redox = sample_partitions()
    assert warnings_with(moved(redox, 200, 2**64 - 1)) == (
        "partition 5 (LBA 200 to 18446744073709551615) ends after the disk, which ends at LBA 255",
    )


def test_name_ends_at_its_nul_and_a_lone_surrogate_is_replaced() -> None:
    image = gpt_image()
    set_entry(image, replace(sample_partitions()[0], name="A\0rest"))
    set_entry(image, replace(sample_partitions()[1], name="B\ud800"))
    gpt = read_gpt(as_device(image))
    assert [partition.name for partition in gpt.partitions[:2]] == ["A", "B�"]


def test_name_of_36_units_has_no_nul() -> None:
    image = gpt_image()
    set_entry(image, replace(sample_partitions()[0], name="x" * 36))
    assert read_gpt(as_device(image)).partitions[0].name == "x" * 36


def test_larger_entries_are_read() -> None:
    gpt = replace(sample_gpt(), entry_count=64, entry_bytes=256)
    assert read_gpt(as_device(gpt_image(gpt))) == gpt


@pytest.mark.parametrize("position", [0, 127])
def test_entry_at_either_end_of_the_array(position: int) -> None:
    partition = replace(sample_partitions()[0], number=position + 1)
    gpt = sample_gpt(partitions=[partition])
    assert read_gpt(as_device(gpt_image(gpt))).partitions == (partition,)


def test_reading_touches_only_the_tables() -> None:
    gpt = sample_gpt()
    image = gpt_image(gpt)
    for lba in range(gpt.first_usable_lba, gpt.last_usable_lba + 1):
        image[lba * 512 : (lba + 1) * 512] = b"EFI PART" * 64
    assert read_gpt(as_device(image)) == gpt
    assert get_field(image, 1, "alternate_lba") == LAST
