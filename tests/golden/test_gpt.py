"""Partition tables against GPT fdisk: we read what it wrote, and it is content with what we write.

The golden images are made by gpt/make.sh; what is asserted here is what that script asked for.
"""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.formats.partitions.gpt import GptVerdict, read_gpt
from bootpath.formats.partitions.gptheader import BIOS_BOOT, EFI_SYSTEM, LINUX_FS, Partition
from bootpath.formats.partitions.gptwrite import pack_gpt, repair_gpt
from tests.support.gptdisk import apply, as_device, gpt_image, sample_gpt
from tests.support.tools import tool

HERE = Path(__file__).parent / "gpt"
BLOCK_SIZES = pytest.mark.parametrize("block_bytes", [512, 4096])


def golden(block_bytes: int) -> bytearray:
    return bytearray(gzip.decompress((HERE / f"sgdisk-{block_bytes}.img.gz").read_bytes()))


def asked_for(block_bytes: int) -> tuple[Partition, ...]:
    unit = block_bytes // 512
    guid = "11111111-2222-4333-8444-55555555550"
    return tuple(
        Partition(
            number, kind, UUID(f"{guid}{number}"), first // unit, (last + 1) // unit - 1, flags, name, block_bytes
        )
        for number, kind, first, last, flags, name in (
            (1, BIOS_BOOT, 128, 159, 0, "BIOS"),
            (2, EFI_SYSTEM, 160, 255, 0, "EFI"),
            (5, LINUX_FS, 256, 1599, 1 << 60, "REDOX ❄ 𝔯"),
        )
    )


@BLOCK_SIZES
def test_golden_is_read(block_bytes: int) -> None:
    gpt = read_gpt(as_device(golden(block_bytes)))
    assert gpt.verdict is GptVerdict.SOUND
    assert gpt.warnings == ()
    assert gpt.block_bytes == block_bytes
    assert gpt.disk_guid == UUID("5a0c3b5e-90a1-4b1f-8c4b-0123456789ab")
    assert gpt.partitions == asked_for(block_bytes)
    assert (gpt.entry_count, gpt.entry_bytes) == (128, 128)
    assert (gpt.first_usable_lba, gpt.last_usable_lba) == ((34, 2014) if block_bytes == 512 else (6, 250))


@BLOCK_SIZES
def test_golden_is_packed_byte_for_byte(block_bytes: int) -> None:
    image = golden(block_bytes)
    ours = bytearray(len(image))
    apply(ours, pack_gpt(read_gpt(as_device(image))))
    # Boot code, disk signature and the CHS address of the last block are free; all else is the table.
    assert ours[451:454] == b"\xff\xff\xff"
    assert ours[446:451] + ours[454:512] == image[446:451] + image[454:512]
    assert ours[512:] == image[512:]


@BLOCK_SIZES
@pytest.mark.parametrize("lba", [1, 2, -1, -2])
def test_golden_is_mended_byte_for_byte(block_bytes: int, lba: int) -> None:
    sound = golden(block_bytes)
    image = sound.copy()
    place = lba * block_bytes % len(image)
    image[place : place + block_bytes] = bytes(block_bytes) if place < len(image) // 2 else b"\xff" * block_bytes
    if image != sound:
        apply(image, repair_gpt(as_device(image)))
    assert image == sound


def sgdisk(*arguments: str | Path) -> str:
    result = subprocess.run([tool("sgdisk"), *arguments], capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def test_sgdisk_finds_no_problem_in_ours(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(gpt_image(sample_gpt()))
    assert sgdisk("--verify", path).lstrip().startswith("No problems found")  # no warning before it
    printed = sgdisk("--info=5", path)
    redox = sample_gpt().partitions[2]
    assert f"Partition GUID code: {LINUX_FS}".upper() in printed.upper()
    assert f"Partition unique GUID: {redox.guid}".upper() in printed.upper()
    assert "First sector: 54" in printed
    assert "Last sector: 73" in printed
    assert "Attribute flags: 1000000000000000" in printed
    assert "Partition name: 'REDOX ❄'" in printed
    assert str(sample_gpt().disk_guid).upper() in sgdisk("--print", path)


@pytest.mark.parametrize(
    ("lba", "part"),
    [(1, "Main header"), (2, "Main partition table"), (255, "Backup header"), (223, "Backup partition table")],
)
def test_sgdisk_finds_the_damage_and_then_our_repair(tmp_path: Path, lba: int, part: str) -> None:
    image = gpt_image(sample_gpt())
    image[lba * 512 + 40] ^= 1
    path = tmp_path / "disk.img"
    path.write_bytes(image)
    assert f"{part}: ERROR" in sgdisk("--verify", path)
    apply(image, repair_gpt(as_device(image)))
    path.write_bytes(image)
    assert sgdisk("--verify", path).lstrip().startswith("No problems found")


def test_we_read_what_sgdisk_writes_now(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    sgdisk("--clear", "--new=3:64:127", "--typecode=3:EF00", "--change-name=3:ESP", path)
    gpt = read_gpt(as_device(path.read_bytes()))
    assert (gpt.verdict, gpt.warnings) == (GptVerdict.SOUND, ())
    (esp,) = gpt.partitions
    assert (esp.number, esp.type_guid, esp.first_lba, esp.last_lba, esp.name) == (3, EFI_SYSTEM, 64, 127, "ESP")


def test_we_repair_what_sgdisk_wrote_as_it_would(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(golden(512))
    sgdisk("--resize-table=256", "--move-second-header", path)
    sound = bytearray(path.read_bytes())
    assert read_gpt(as_device(sound)).entry_count == 256
    image = sound.copy()
    image[512:1024] = bytes(512)
    apply(image, repair_gpt(as_device(image)))
    assert image == sound
