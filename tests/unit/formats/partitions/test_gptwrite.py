"""Writing a partition table: what is refused, in which order it is written, and how a damaged one is repaired."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.partitions.gpt import GptVerdict, read_gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt, repair_gpt
from tests.support.errors import raises
from tests.support.gptdisk import (
    DISK_BYTES,
    DISK_GUID,
    apply,
    as_device,
    gpt_image,
    moved,
    sample_gpt,
    sample_partitions,
    set_entry,
    set_fields,
)

LAST = DISK_BYTES[512] // 512 - 1


@pytest.mark.parametrize(("block_bytes", "first", "last"), [(512, 34, 222), (4096, 6, 58)])
def test_new_table_has_the_largest_usable_range(block_bytes: int, first: int, last: int) -> None:
    gpt = sample_gpt(block_bytes)
    assert (gpt.first_usable_lba, gpt.last_usable_lba) == (first, last)
    assert gpt.last_lba == DISK_BYTES[block_bytes] // block_bytes - 1


def test_writes_are_whole_blocks_backup_first_headers_after_arrays() -> None:
    assert [(offset, len(data)) for offset, data in pack_gpt(sample_gpt())] == [
        (223 * 512, 32 * 512),
        (255 * 512, 512),
        (2 * 512, 32 * 512),
        (512, 512),
        (0, 512),
    ]
    assert [(offset, len(data)) for offset, data in pack_gpt(sample_gpt(4096))] == [
        (59 * 4096, 4 * 4096),
        (63 * 4096, 4096),
        (2 * 4096, 4 * 4096),
        (4096, 4096),
        (0, 4096),
    ]


def test_any_prefix_of_an_update_leaves_a_whole_copy() -> None:
    before = sample_gpt()
    after = replace(before, partitions=before.partitions[:2])
    writes = pack_gpt(after)
    for count in range(len(writes) + 1):
        image = gpt_image(before)
        apply(image, writes[:count])
        assert read_gpt(as_device(image)).partitions in (before.partitions, after.partitions)


def test_boot_code_is_kept() -> None:
    offset, data = pack_gpt(sample_gpt(4096), boot_code=b"\xeb\x3c")[-1]
    assert (offset, len(data), data[:2], data[510:512]) == (0, 4096, b"\xeb\x3c", b"\x55\xaa")


def test_array_shorter_than_a_block_is_padded() -> None:
    gpt = new_gpt(DISK_BYTES[512], DISK_GUID, sample_partitions()[:1], entry_count=1)
    assert (gpt.first_usable_lba, gpt.last_usable_lba) == (3, 253)
    assert read_gpt(as_device(gpt_image(gpt))) == gpt


BIOS, EFI, REDOX = sample_partitions()
REFUSALS: list[tuple[Partition, str]] = [
    (replace(BIOS, number=0), "the partition's number is out of range; expected 1 to 128, found 0"),
    (replace(BIOS, number=129), "the partition's number is out of range"),
    (replace(BIOS, number=2), "the partition's number is used twice"),
    (replace(BIOS, type_guid=UUID(int=0)), "the partition's type is zero"),
    (replace(BIOS, flags=2**64), "the partition's LBAs or flags are out of range"),
    (replace(BIOS, flags=-1), "the partition's LBAs or flags are out of range"),
    (replace(BIOS, name="x" * 37), "the partition's name is too long or has a NUL"),
    (replace(BIOS, name="𝔯" * 19), "the partition's name is too long or has a NUL"),
    (replace(BIOS, name="a\0b"), "at most 36 UTF-16 code units, none of them NUL"),
    (replace(BIOS, name="\ud800"), "Unicode without lone surrogates"),
    (replace(BIOS, block_bytes=4096), "partition 1 has another block size than the table; expected 512 bytes"),
    (replace(BIOS, guid=EFI.guid), "partition 2 has the GUID"),
    (moved(BIOS, 33, 35), "partition 1 is outside the usable range; expected inside LBA 34 to 222, found LBA 33 to 35"),
    (moved(BIOS, 200, 223), "partition 1 is outside the usable range"),
    (moved(BIOS, 36, 35), "partition 1 is outside the usable range"),
    (moved(BIOS, 34, 38), "partitions 1 and 2 overlap"),
]


@pytest.mark.parametrize(("partition", "message"), REFUSALS, ids=[message for _, message in REFUSALS])
def test_refusal(partition: Partition, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        sample_gpt(partitions=(partition, EFI, REDOX))
    assert message in str(caught.value)


@pytest.mark.parametrize("size_bytes", [0, 512, 66 * 512])
def test_disk_too_small(size_bytes: int) -> None:
    with pytest.raises(FormatError, match="the usable range is"):
        new_gpt(size_bytes, DISK_GUID, ())


def test_smallest_disk() -> None:
    gpt = new_gpt(68 * 512, DISK_GUID, (moved(BIOS, 34, 34),))
    assert read_gpt(as_device(gpt_image(gpt))) == gpt


def test_block_size_of_neither_512_nor_4096() -> None:
    with raises(FormatError, found=1024, expected="512 or 4096"):
        new_gpt(DISK_BYTES[512], DISK_GUID, (), 1024)


@pytest.mark.parametrize(
    "changes",
    [
        {"first_usable_lba": 33},
        {"last_usable_lba": 223},
        {"last_usable_lba": 255},
        {"entry_count": 0},
        {"entry_count": 256},
        {"entry_bytes": 96},
    ],
    ids=str,
)
def test_table_that_does_not_fit(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError):
        pack_gpt(replace(sample_gpt(partitions=()), **changes))  # type: ignore[arg-type]  # all are integers


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_sound_table_needs_no_repair(block_bytes: int) -> None:
    assert repair_gpt(as_device(gpt_image(sample_gpt(block_bytes)), block_bytes)) == []


@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize("lba", [1, 2, -1, -2], ids=["header", "array", "backup header", "backup array"])
def test_repair_restores_the_disk_byte_for_byte(lba: int, block_bytes: int) -> None:
    sound = gpt_image(sample_gpt(block_bytes))
    image = sound.copy()
    start = lba * block_bytes if lba > 0 else len(image) + lba * block_bytes
    image[start : start + block_bytes] = b"\xa5" * block_bytes
    writes = repair_gpt(as_device(image, block_bytes))
    assert all(offset % block_bytes == 0 and len(data) % block_bytes == 0 for offset, data in writes)
    assert len(writes) == 2
    apply(image, writes)
    assert image == sound


def test_repair_of_differing_copies_takes_the_primary() -> None:
    sound = gpt_image()
    image = sound.copy()
    set_fields(image, LAST, first_usable_lba=40)
    apply(image, repair_gpt(as_device(image)))
    assert image == sound


def test_repair_of_the_primary_makes_the_backup_point_at_it() -> None:
    sound = gpt_image()
    image = sound.copy()
    image[512:1024] = bytes(512)
    set_fields(image, LAST, alternate_lba=7)
    apply(image, repair_gpt(as_device(image)))
    assert image == sound


def test_repair_keeps_what_it_does_not_understand() -> None:
    image = gpt_image()
    set_entry(image, replace(BIOS, name="A\0hidden"))  # bytes behind a name's NUL are nobody's
    sound = image.copy()
    image[512:1024] = bytes(512)
    apply(image, repair_gpt(as_device(image)))
    assert image == sound


def test_repair_keeps_an_array_that_is_not_at_lba_2() -> None:
    gpt = replace(sample_gpt(partitions=()), first_usable_lba=80)
    image = gpt_image(gpt)
    image[40 * 512 : 72 * 512] = image[2 * 512 : 34 * 512]
    image[2 * 512 : 34 * 512] = b"boot" * 4096  # what some boards load from there
    set_fields(image, 1, entries_lba=40)
    sound = image.copy()
    image[40 * 512] = 1
    apply(image, repair_gpt(as_device(image)))
    assert image == sound


def test_repair_writes_a_missing_mbr_and_keeps_its_code() -> None:
    sound = gpt_image()
    sound[:4] = b"code"
    image = sound.copy()
    image[440:512] = bytes(72)
    apply(image, repair_gpt(as_device(image)))
    assert image == sound


def test_repair_leaves_a_hybrid_mbr_alone() -> None:
    image = gpt_image()
    image[462] = 0x80
    assert repair_gpt(as_device(image)) == []


def test_repair_of_a_truncated_disk_is_refused() -> None:
    with pytest.raises(
        FormatError, match=r"the backup copy belongs beyond the end of the disk.* found LBA 255 .* was cut short"
    ):
        repair_gpt(as_device(gpt_image()[: 100 * 512]))


def test_repair_without_a_whole_copy_is_refused() -> None:
    with pytest.raises(FormatError, match="there is no GPT"):
        repair_gpt(as_device(bytes(65536)))


def test_repair_makes_the_verdict_sound() -> None:
    image = gpt_image()
    image[1024] ^= 1
    assert read_gpt(as_device(image)).verdict is GptVerdict.PRIMARY_DAMAGED
    apply(image, repair_gpt(as_device(image)))
    assert read_gpt(as_device(image)).verdict is GptVerdict.SOUND
