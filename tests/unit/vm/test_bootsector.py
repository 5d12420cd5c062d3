from __future__ import annotations

import pytest

from bootpath.vm.bootsector import MAX_WORD_BYTES, serial_boot_sector


def test_layout() -> None:
    sector = serial_boot_sector(b"word", exit_value=0x14, exit_port=0x501)
    assert len(sector) == 512
    assert sector.endswith(b"\x55\xaa")
    address = int.from_bytes(sector[6:8], "little") - 0x7C00  # mov si, word
    assert sector[address : address + 5] == b"word\0"
    assert sector[0x1F:0x24] == bytes.fromhex("ba0105b014")  # mov dx, 0x501; mov al, 0x14


def test_the_word_is_followed_by_its_end() -> None:
    assert serial_boot_sector(b"x" * MAX_WORD_BYTES)[-3:] == b"\0\x55\xaa"
    for word in (b"x" * (MAX_WORD_BYTES + 1), b"a\0b"):
        with pytest.raises(ValueError, match="no NUL"):
            serial_boot_sector(word)
