"""The environment block: upstream's is read as it is, ours adds keys, and nothing malformed is read as a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent
from bootpath.formats.handoff import HANDOFF_MAX_BYTES, Handoff, pack_handoff, parse_handoff
from tests.support.errors import raises

# As redox-os/bootloader's main.rs writes it: a live boot from UEFI, one screen and a second.
UPSTREAM_LIVE = b"""\
RSDP_ADDR=000000000f77e014
RSDP_SIZE=0000000000000024
DISK_LIVE_ADDR=0000000100000000
DISK_LIVE_SIZE=0000000040000000
REDOXFS_BLOCK=0000000000000000
REDOXFS_UUID=6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d
REDOXFS_PASSWORD_ADDR=000000000e000000
REDOXFS_PASSWORD_SIZE=0000000000000008
FRAMEBUFFER_ADDR=0000000080000000
FRAMEBUFFER_VIRT=ffff800080000000
FRAMEBUFFER_WIDTH=0000000000000400
FRAMEBUFFER_HEIGHT=0000000000000300
FRAMEBUFFER_STRIDE=0000000000000400
FRAMEBUFFER1=0x90000000,1024,768,1024
"""

OURS = b"""\
DISK_LIVE_ADDR=0000000100000000
DISK_LIVE_SIZE=0000000000103000
DISK_LIVE_PARTIAL=1
DISK_LIVE_EXTENTS=0+101000,bf901000+1000,200000+1000
DISK_PHYS_BLOCK=0000000000000200
REDOXFS_FULL_SIZE=00000000ffd00000
DISK_GUID=5a0c3b5e-90a1-4b1f-8c4b-0123456789ab
PARTITION_GUID=11111111-2222-4333-8444-555555555505
REDOXFS_BLOCK=0000000000000000
REDOXFS_UUID=6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d
"""

HEX_KEYS = ["RSDP_ADDR", "DTB_SIZE", "DISK_LIVE_ADDR", "DISK_LIVE_SIZE", "DISK_PHYS_BLOCK", "REDOXFS_FULL_SIZE"]


def fault(text: str | bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_handoff(text)
    assert caught.value.where == "handoff"
    return str(caught.value)


def test_upstream_live_environment() -> None:
    handoff = parse_handoff(UPSTREAM_LIVE)
    assert handoff == Handoff(
        rsdp_addr=0xF77E014,
        rsdp_size_bytes=0x24,
        live_addr=0x1_0000_0000,
        live_size_bytes=0x4000_0000,
        redoxfs_block=0,
        redoxfs_uuid=UUID("6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d"),
        password_addr=0xE000000,
        password_size_bytes=8,
        extra=(
            ("FRAMEBUFFER_ADDR", "0000000080000000"),
            ("FRAMEBUFFER_VIRT", "ffff800080000000"),
            ("FRAMEBUFFER_WIDTH", "0000000000000400"),
            ("FRAMEBUFFER_HEIGHT", "0000000000000300"),
            ("FRAMEBUFFER_STRIDE", "0000000000000400"),
            ("FRAMEBUFFER1", "0x90000000,1024,768,1024"),
        ),
    )
    assert handoff.is_live
    assert handoff.preload_extents == (Extent(0, 0x4000_0000),)
    assert pack_handoff(handoff) == UPSTREAM_LIVE


def test_upstream_environment_that_is_not_live() -> None:
    text = b"DTB_ADDR=0000000000001000\nDTB_SIZE=0000000000000800\nREDOXFS_BLOCK=0000000000000200\n"
    handoff = parse_handoff(text)
    assert not handoff.is_live
    assert handoff.preload_extents == ()
    assert handoff.redoxfs_block == 512
    assert pack_handoff(handoff) == text


def test_our_environment() -> None:
    handoff = parse_handoff(OURS.decode())
    assert handoff.live_partial
    assert handoff.live_extents == (Extent(0, 0x101000), Extent(0xBF901000, 0x1000), Extent(0x200000, 0x1000))
    assert handoff.preload_extents == handoff.live_extents
    assert handoff.phys_offset_bytes == 2 * 1024 * 1024
    assert handoff.full_size_bytes == 0xFFD00000
    assert handoff.disk_guid == UUID("5a0c3b5e-90a1-4b1f-8c4b-0123456789ab")
    assert handoff.partition_guid == UUID("11111111-2222-4333-8444-555555555505")
    assert pack_handoff(handoff) == OURS


def test_partial_prefix_has_no_extents() -> None:
    text = b"DISK_LIVE_ADDR=%016x\nDISK_LIVE_SIZE=%016x\nDISK_LIVE_PARTIAL=1\nREDOXFS_FULL_SIZE=%016x\n" % (
        4096,
        8192,
        16384,
    )
    handoff = parse_handoff(text)
    assert handoff.preload_extents == (Extent(0, 8192),)
    assert handoff.phys_offset_bytes is None
    assert pack_handoff(handoff) == text


def test_nothing_at_all() -> None:
    assert parse_handoff(b"") == Handoff()
    assert pack_handoff(Handoff()) == b""


def test_short_and_upper_case_numbers_are_read_and_made_canonical() -> None:
    assert pack_handoff(parse_handoff("REDOXFS_FULL_SIZE=AB\n")) == b"REDOXFS_FULL_SIZE=00000000000000ab\n"


def test_keys_in_any_order_and_empty_lines_from_the_editor() -> None:
    handoff = parse_handoff("\nDISK_LIVE_SIZE=1000\n\nB=2\nDISK_LIVE_ADDR=0\nA=1\n\n")
    assert (handoff.live_addr, handoff.live_size_bytes) == (0, 4096)
    assert handoff.extra == (("B", "2"), ("A", "1"))


def test_values_of_unknown_keys_are_kept_as_they_are() -> None:
    assert parse_handoff("A==x = ü\r\nB=\n").extra == (("A", "=x = ü\r"), ("B", ""))


@pytest.mark.parametrize("key", HEX_KEYS)
@pytest.mark.parametrize(
    "value",
    ["", "0x10", "0X10", "+10", "-10", "1_0", " 10", "10 ", "10\r", "1" * 17, "g", "٣", "１０", "1.0", "10h", "\t1"],
)
def test_malformed_hex_is_reported_and_never_zero(key: str, value: str) -> None:
    assert (
        fault(f"{key}={value}\n")
        == f"handoff: {key} is not a number; expected 1 to 16 hexadecimal digits, found {value!r}"
    )


@pytest.mark.parametrize("key", ["DISK_GUID", "PARTITION_GUID", "REDOXFS_UUID"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "6d4b1f6e5f1c4f0e9f578f0f3c1a2b3d",
        "6D4B1F6E-5F1C-4F0E-9F57-8F0F3C1A2B3D",
        "{6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d}",
        "6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3",
        "6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d ",
        "6d4b1f6e5-f1c-4f0e-9f57-8f0f3c1a2b3d",
    ],
)
def test_malformed_uuid(key: str, value: str) -> None:
    assert "is not a UUID; expected a dashed UUID in lower case, found " in fault(f"{key}={value}\n")


@pytest.mark.parametrize("key", ["REDOXFS_UUID", "DISK_LIVE_ADDR", "ANYTHING"])
def test_duplicate_key(key: str) -> None:
    value = "6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d" if key == "REDOXFS_UUID" else "0"
    assert fault(f"{key}={value}\nX=1\n{key}={value}\n") == f"handoff: {key} is repeated on line 3"


@pytest.mark.parametrize("line", ["novalue", "=value", " "])
def test_line_without_key_or_value(line: str) -> None:
    assert fault(f"A=1\n{line}\n") == f"handoff: line 2 has no key and value; expected KEY=value, found {line!r}"


def test_block_that_was_cut_short() -> None:
    assert "the last line has no line feed; the block was cut short" in fault(OURS[:-10])


def test_nul() -> None:
    assert "byte 4 is NUL" in fault(b"A=1\n\0\0\0\0")


def test_bytes_that_are_not_utf8() -> None:
    assert "not UTF-8" in fault(b"A=\xff\n")


def test_text_with_a_lone_surrogate() -> None:
    assert "not UTF-8" in fault("A=\ud800\n")


def test_block_of_64_kib_fits_and_one_byte_more_does_not() -> None:
    full = b"A=" + b"x" * (HANDOFF_MAX_BYTES - 3) + b"\n"
    handoff = parse_handoff(full)
    assert pack_handoff(handoff) == full
    assert fault(b"A" + full) == "handoff: the block is too long; expected at most 65536, found 65537 bytes"
    with raises(FormatError, found="65537 bytes"):
        pack_handoff(replace(handoff, extra=(("AA", handoff.extra[0][1]),)))


@pytest.mark.parametrize("name", ["RSDP", "DTB", "DISK_LIVE", "REDOXFS_PASSWORD"])
def test_address_and_size_come_together(name: str) -> None:
    assert fault(f"{name}_ADDR=0\n") == f"handoff: {name}_ADDR is given without {name}_SIZE"
    assert fault(f"{name}_SIZE=0\n") == f"handoff: {name}_SIZE is given without {name}_ADDR"


@pytest.mark.parametrize("name", ["RSDP", "DTB", "DISK_LIVE", "REDOXFS_PASSWORD"])
def test_region_ends_within_the_address_space(name: str) -> None:
    parse_handoff(f"{name}_ADDR=fffffffffffff000\n{name}_SIZE=1000\n")
    assert "expected at most 2^64, found 0x10000000000000001" in fault(
        f"{name}_ADDR=fffffffffffff000\n{name}_SIZE=1001\n"
    )


@pytest.mark.parametrize("key", ["DISK_PHYS_BLOCK", "REDOXFS_BLOCK"])
def test_file_system_ends_within_64_bits(key: str) -> None:
    parse_handoff(f"{key}=000ffffffffffffe\nREDOXFS_FULL_SIZE=2000\n")
    assert f"the end of the file system at {key} is out of range" in fault(
        f"{key}=000ffffffffffffe\nREDOXFS_FULL_SIZE=2001\n"
    )
    assert "expected at most 2^64" in fault(f"{key}=0010000000000001\n")


LIVE = "DISK_LIVE_ADDR=0\nDISK_LIVE_SIZE=3000\nREDOXFS_FULL_SIZE=10000\n"


@pytest.mark.parametrize("value", ["0", "2", "0000000000000000"])
def test_partiality_is_1_or_absent(value: str) -> None:
    assert "expected 1, or no such key" in fault(f"{LIVE}DISK_LIVE_PARTIAL={value}\n")


def test_partiality_written_like_a_number() -> None:
    assert parse_handoff(f"{LIVE}DISK_LIVE_PARTIAL=0000000000000001\n").live_partial


@pytest.mark.parametrize("line", ["DISK_LIVE_PARTIAL=1", "DISK_LIVE_EXTENTS=0+1000"])
def test_partiality_without_a_preload(line: str) -> None:
    assert "is given without DISK_LIVE_SIZE" in fault(f"{line}\n")


def test_short_preload_must_say_that_it_is_partial() -> None:
    message = fault(LIVE)
    assert "DISK_LIVE_SIZE is smaller than the file system" in message
    assert message.endswith("expected REDOXFS_FULL_SIZE (0x10000) or DISK_LIVE_PARTIAL=1, found 0x3000")


def test_whole_preload_must_not_say_that_it_is_partial() -> None:
    text = LIVE.replace("=3000", "=10000")
    assert not parse_handoff(text).live_partial
    assert "DISK_LIVE_PARTIAL is 1, but DISK_LIVE_SIZE is all" in fault(f"{text}DISK_LIVE_PARTIAL=1\n")


def test_preload_larger_than_the_file_system() -> None:
    assert "DISK_LIVE_SIZE is larger than the file system; expected at most REDOXFS_FULL_SIZE (0x2000)" in fault(
        LIVE.replace("=10000", "=2000")
    )


def test_packed_preload_must_say_that_it_is_partial() -> None:
    text = "DISK_LIVE_ADDR=0\nDISK_LIVE_SIZE=2000\nDISK_LIVE_EXTENTS=1000+1000,0+1000\n"
    assert "DISK_LIVE_EXTENTS is given without DISK_LIVE_PARTIAL=1" in fault(text)
    # Packed in another order, even the whole file system is not the file system from end to end.
    assert parse_handoff(f"{text}REDOXFS_FULL_SIZE=2000\nDISK_LIVE_PARTIAL=1\n").live_partial


@pytest.mark.parametrize(
    ("extents", "message"),
    [
        ("", "has an item of the wrong form; expected offset+length, found ''"),
        ("0-3000", "has an item of the wrong form; expected offset+length, found '0-3000'"),
        ("0+1000,,1000+2000", "has an item of the wrong form; expected offset+length, found ''"),
        ("0x0+3000", "is not a number; expected 1 to 16 hexadecimal digits, found '0x0'"),
        ("0+", "is not a number; expected 1 to 16 hexadecimal digits, found ''"),
        ("0+1000+2000", "is not a number; expected 1 to 16 hexadecimal digits, found '1000+2000'"),
        ("0+3000,4000+0", "has an extent that is empty or not on blocks; expected multiples of 4096, found 4000+0"),
        ("1+3000", "has an extent that is empty or not on blocks; expected multiples of 4096, found 1+3000"),
        ("0+2fff", "has an extent that is empty or not on blocks; expected multiples of 4096, found 0+2fff"),
        ("0+2000,1000+1000", "has byte 1000 twice"),
        ("4000+1000,0+1000,4000+1000", "has byte 4000 twice"),
        ("f000+2000,0+1000", "has an extent past the end; expected an end of at most 10000, found f000+2000"),
        ("0+2000", "has the wrong sum; expected DISK_LIVE_SIZE (0x3000), found 0x2000"),
        ("0+4000", "has the wrong sum; expected DISK_LIVE_SIZE (0x3000), found 0x4000"),
    ],
)
def test_extents_refusal(extents: str, message: str) -> None:
    assert f"DISK_LIVE_EXTENTS {message}" in fault(f"{LIVE}DISK_LIVE_PARTIAL=1\nDISK_LIVE_EXTENTS={extents}\n")


def test_extents_without_the_file_system_size_end_within_64_bits() -> None:
    text = "DISK_LIVE_ADDR=0\nDISK_LIVE_SIZE=2000\nDISK_LIVE_PARTIAL=1\nDISK_LIVE_EXTENTS=fffffffffffff000+2000\n"
    assert "expected an end of at most ffffffffffffffff" in fault(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Handoff(live_addr=-1, live_size_bytes=0),
        lambda: Handoff(live_addr=0, live_size_bytes=2**64),
        lambda: Handoff(redoxfs_block=-1),
        lambda: Handoff(full_size_bytes=2**64),
    ],
)
def test_value_that_is_not_64_bits(make: Callable[[], Handoff]) -> None:
    with pytest.raises(FormatError, match="expected an unsigned 64-bit number"):
        make()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ((("", "x"),), "is empty, known, repeated"),
        ((("A=B", "x"),), "is empty, known, repeated"),
        ((("DISK_GUID", "x"),), "is empty, known, repeated"),
        ((("A", "1"), ("A", "2")), "is empty, known, repeated"),
        ((("A", "1\nDISK_LIVE_ADDR=0"),), "has a line feed or a NUL"),
        ((("A\nB", "1"),), "has a line feed or a NUL"),
        ((("A", "\0"),), "has a line feed or a NUL"),
    ],
)
def test_extra_key_refusal(extra: tuple[tuple[str, str], ...], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Handoff(extra=extra)


@pytest.mark.parametrize("extra", [("A", "\ud800"), ("\udfff", "")])
def test_extra_key_with_a_lone_surrogate(extra: tuple[str, str]) -> None:
    with pytest.raises(FormatError, match="lone surrogate"):
        Handoff(extra=(extra,))
