from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import Error
from bootpath.image.filesystems.fatnames import entry_count, pack_long, short_names


def test_short_names() -> None:
    names = ["BOOTX64.EFI", "Linux 6.1.0.efi", "linux-6.1.0.efi", ".hidden", "a", "A.B", "long.extension"]
    assert short_names(names, where="/") == {
        ".hidden": b"HIDDEN~1   ",
        "A.B": b"A       B  ",
        "BOOTX64.EFI": b"BOOTX64 EFI",
        "Linux 6.1.0.efi": b"LINUX6~1EFI",
        "a": b"A~1        ",
        "linux-6.1.0.efi": b"LINUX-~1EFI",
        "long.extension": b"LONG~1  EXT",
    }


def test_more_than_nine_of_a_kind() -> None:
    found = short_names([f"a very long name {number:03}" for number in range(120)], where="/")
    assert len(set(found.values())) == 120
    assert found["a very long name 119"] == b"AVER~120   "


@pytest.mark.parametrize("name", ["a/b", "a:b", "end.", "end ", "", "x" * 256, "tab\t", "\udc80"])
def test_what_fat_cannot_hold(name: str) -> None:
    with pytest.raises(Error, match=r"cannot be written on FAT|is not UTF-8"):
        short_names([name], where="/")


def test_case_tells_no_files_apart() -> None:
    with pytest.raises(Error, match="two names differ only in what FAT ignores; found 'A' and 'a'"):
        short_names(["a", "A"], where="/")


@given(
    st.text(
        st.characters(codec="utf-8", exclude_characters='"*/:<>?\\|', categories=["L", "N", "P", "S", "Zs"]),
        min_size=1,
        max_size=40,
    )
)
def test_the_long_entries_hold_the_name(name: str) -> None:
    try:
        (short,) = short_names([name], where="/").values()
    except Error:
        return
    packed = pack_long(name, short)
    assert len(packed) == 32 * (entry_count(name) - 1)
    if packed:
        units = b"".join(
            packed[at + 1 : at + 11] + packed[at + 14 : at + 26] + packed[at + 28 : at + 32]
            for at in range(len(packed) - 32, -1, -32)
        )
        text = units.decode("utf-16-le").split("\0")[0]
        assert text == name
