"""Headers of kernels, and the note by which one can be entered."""

from __future__ import annotations

import struct

import pytest

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent
from bootpath.formats.kernels.bzimage import find_pvh_entry, parse_bzimage
from tests.support.kernels import ENTRY, make_bzimage, make_vmlinux
from tests.support.tools import guest_kernel

PAYLOAD = b"packed" + (1000).to_bytes(4, "little")


@pytest.mark.parametrize(("sectors", "start"), [(1, 1024), (4, 2560), (0, 2560), (31, 16384)])
def test_where_the_payload_lies(sectors: int, start: int) -> None:
    image = parse_bzimage(make_bzimage(PAYLOAD, setup_sectors=sectors))
    assert image.payload == Extent(start + 64, len(PAYLOAD))
    assert image.kernel_bytes == 1000


def test_a_kernel_of_the_distribution() -> None:
    data = guest_kernel().read_bytes()
    image = parse_bzimage(data)
    assert image.version >= 0x20C
    assert image.kernel_bytes > image.payload.length > len(data) // 2


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "there is no HdrS header"),
        (b"MZ" + bytes(1022), "there is no HdrS header"),
        (make_bzimage(PAYLOAD, version=0x209), "the kernel's boot protocol is too old; expected 0x020a or newer"),
        (make_bzimage(b""), "the payload is not inside the file"),
        (make_bzimage(PAYLOAD)[:2633], "the payload is not inside the file"),
        (make_bzimage(PAYLOAD, init_bytes=999), "the kernel is larger than its memory"),
    ],
)
def test_what_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        parse_bzimage(data)


def test_the_entry_is_found_behind_other_notes() -> None:
    assert find_pvh_entry(make_vmlinux()) == ENTRY


def test_no_entry() -> None:
    whole = make_vmlinux(body_bytes=0)
    assert find_pvh_entry(make_vmlinux(name=b"Xem\0")) is None
    assert find_pvh_entry(make_vmlinux(kind=17)) is None
    for length in range(len(whole)):
        assert find_pvh_entry(whole[:length]) is None
    beyond = bytearray(whole)
    struct.pack_into("<Q", beyond, 32, 2**64 - 8)  # the table of program headers
    assert find_pvh_entry(bytes(beyond)) is None
    assert find_pvh_entry(b"\x7fELF\x01\x01" + whole[6:]) is None
