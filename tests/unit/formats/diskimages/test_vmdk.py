from __future__ import annotations

import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.diskimages.vmdk import read_vmdk_names
from bootpath.formats.region import Region


def region(data: bytes) -> Region:
    return Region(MemoryDevice(data.ljust(2048, b"\0")), 0, 2048)


def sparse(text: bytes, *, capacity: int = 8, at: int = 1, sectors: int = 2) -> Region:
    header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, capacity, 128, at, sectors)
    return region(header.ljust(512, b"\0") + text)


def test_extents() -> None:
    text = b'# Disk DescriptorFile\nparentCID=ffffffff\nRW 8 FLAT "a b-flat.vmdk" 0\n RDONLY 8 ZERO\nRW 8 SPARSE "/x"\n'
    names = read_vmdk_names(region(text))
    assert (names.extents, names.parent) == (("a b-flat.vmdk", "/x"), None)


@pytest.mark.parametrize(
    "line",
    [
        b'RW +8 FLAT "/etc/shadow" 0',
        b'RW 8FLAT "/etc/shadow" 0',
        b'RW 1\nRW 8 FLAT "/etc/shadow" 0',
        b'RW\n8 FLAT\n"/etc/shadow" 0',
        b'RW\v8 FLAT "/etc/shadow" 0',
        b'RW 8 FLAT "a\r" 0',
        b'RW 8 FLAT "a" "b"',
    ],
)
def test_a_line_that_only_sscanf_takes_for_an_extent(line: bytes) -> None:
    with pytest.raises(FormatError, match="the line of an extent is not valid"):
        read_vmdk_names(region(b"# Disk DescriptorFile\n" + line + b"\n"))


def test_what_is_no_extent() -> None:
    text = b'# Disk DescriptorFile\nRWX 8\r\nencoding=RW\n#RW 8\n\n \t\nRW 8 ZERO\r\nRW 9 VMFS "v"\r\n'
    assert read_vmdk_names(region(text)).extents == ("v",)


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        (b"CID=1\nparentCID=FFFFFFFF\n", None),
        (b'parentCID=12ab34cd\nparentFileNameHint="/etc/x"\n', "/etc/x"),
        (b"parentCID=12ab34cd\n", ""),
        (b'parentCID=ffffffff\nparentFileNameHint="y"\n', "y"),
    ],
)
def test_parent(text: bytes, parent: str | None) -> None:
    assert read_vmdk_names(sparse(text)).parent == parent


def test_no_descriptor() -> None:
    assert read_vmdk_names(sparse(b"parentCID=1", at=0)).parent is None
    assert read_vmdk_names(region(b"COWD")).extents == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"capacity": 0}, "has no capacity"), ({"sectors": 1 << 20}, "too large"), ({"sectors": 9}, "outside the device")],
)
def test_refusal(fields: dict[str, int], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_vmdk_names(sparse(b"", **fields))
