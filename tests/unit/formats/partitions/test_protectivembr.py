from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.partitions.gpt import read_gpt
from bootpath.formats.partitions.protectivembr import (
    has_mbr,
    pack_protective_mbr,
    protective_blocks,
    protective_mbr_fault,
)
from tests.support.errors import raises
from tests.support.gptdisk import as_device, gpt_image


def test_layout() -> None:
    sector = pack_protective_mbr(255, boot_code=b"\xeb\xfe")
    assert len(sector) == 512
    assert sector[:3] == b"\xeb\xfe\x00"
    assert sector[440:446] == bytes(6)
    assert sector[446:462].hex() == "00000200eeffffff01000000ff000000"
    assert sector[462:510] == bytes(48)
    assert sector[510:] == b"\x55\xaa"


def test_disk_too_large_for_its_record() -> None:
    sector = pack_protective_mbr(2**32)
    assert protective_blocks(sector) == 2**32 - 1
    assert protective_mbr_fault(sector, 2**32) is None


def test_boot_code_of_440_bytes_fits() -> None:
    assert pack_protective_mbr(255, boot_code=b"\x90" * 440)[:440] == b"\x90" * 440


def test_boot_code_of_441_bytes_is_refused() -> None:
    with raises(FormatError, where="mbr", found="441 bytes", expected="at most 440"):
        pack_protective_mbr(255, boot_code=bytes(441))


def edited(**changes: bytes) -> bytearray:
    sector = bytearray(pack_protective_mbr(255))
    for place, data in changes.items():
        offset = int(place.removeprefix("at"))
        sector[offset : offset + len(data)] = data
    return sector


@pytest.mark.parametrize(
    ("sector", "fault"),
    [
        (edited(at510=b"\0\0"), "the protective MBR is missing"),
        (bytearray(), "the protective MBR is missing"),
        (edited(at450=b"\x83"), "the MBR has no protective record that begins at LBA 1"),
        (edited(at454=b"\x02"), "the MBR has no protective record that begins at LBA 1"),
        (edited(at458=b"\xfe"), "the protective MBR covers 254 blocks, the disk has 255 after the first"),
        (edited(at462=b"\x80"), "the MBR is a hybrid: 2 records are in use"),
    ],
)
def test_fault(sector: bytearray, fault: str) -> None:
    assert protective_mbr_fault(bytes(sector), 255) == fault


def test_largest_size_is_right_for_every_disk() -> None:
    assert protective_mbr_fault(bytes(edited(at458=b"\xff\xff\xff\xff")), 255) is None


def test_protective_record_need_not_be_the_first() -> None:
    record = pack_protective_mbr(255)[446:462]
    assert protective_blocks(bytes(edited(at446=bytes(16), at494=record))) == 255


def test_signature() -> None:
    assert has_mbr(pack_protective_mbr(1))
    assert not has_mbr(bytes(512))
    assert not has_mbr(b"")


def test_fault_is_a_warning_of_the_table() -> None:
    image = gpt_image()
    image[510] = 0
    assert read_gpt(as_device(image)).warnings == ("the protective MBR is missing",)
