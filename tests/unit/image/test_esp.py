from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootpath.core import Error
from bootpath.image import make_esp
from tests.support.tools import tool

LOADER = bytes(range(256)) * 1200


@pytest.mark.parametrize("mib", [1, 8, 40, 300])
def test_fsck_and_mtools_agree(tmp_path: Path, mib: int) -> None:
    volume = tmp_path / "esp.img"
    volume.write_bytes(make_esp(mib << 20, {"EFI/BOOT/BOOTX64.EFI": LOADER, "EMPTY": b"", "A.TXT": b"a"}, serial=7))
    subprocess.run([tool("fsck.fat"), "-n", volume], check=True, capture_output=True)
    copy = tmp_path / "copy"
    subprocess.run([tool("mcopy"), "-i", volume, "::EFI/BOOT/BOOTX64.EFI", copy], check=True)
    assert copy.read_bytes() == LOADER


def test_same_input_same_bytes() -> None:
    files = {"EFI/BOOT/BOOTX64.EFI": LOADER}
    assert make_esp(1 << 20, files) == make_esp(1 << 20, dict(reversed(files.items())))


def test_loader_that_does_not_fit() -> None:
    with pytest.raises(Error, match=r"boot loader does not fit found .*|boot loader does not fit .*--efi-size"):
        make_esp(1 << 20, {"A": bytes(1 << 20)})


@pytest.mark.parametrize("name", ["lower.efi", "TOOLONGNAME.EFI", "A.LONG", "", "Ä"])
def test_names_that_are_not_8_3(name: str) -> None:
    with pytest.raises(Error, match=r"not an upper-case 8\.3 name"):
        make_esp(1 << 20, {name: b"x"})


@pytest.mark.parametrize("size", [0, 8192, 3 << 30])
def test_sizes_out_of_range(size: int) -> None:
    with pytest.raises(Error, match=r"too small|too large"):
        make_esp(size, {})


def test_a_file_cannot_be_a_directory() -> None:
    with pytest.raises(Error, match="is a file and a directory"):
        make_esp(1 << 20, {"A": b"x", "A/B": b"y"})
