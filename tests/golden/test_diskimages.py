"""Disk images of programs that are not in a distribution."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.open import open_device
from bootpath.core.device import read_bytes
from bootpath.core.diskimage import disk_images

pytest.importorskip("zstandard")

IMAGE = Path(__file__).parent / "diskimages" / "seekable.zst"
CONTENT = b"".join(bytes([n]) * 3000 + n.to_bytes(2, "big") * 500 for n in range(10))


def test_a_seekable_file_is_read_in_place() -> None:
    with closing(open_device(str(IMAGE))) as device:
        assert str(disk_images(device)[0]) == "zstd (10 frames, read in place)"
        assert read_bytes(device, 0, device.size_bytes) == CONTENT + bytes(-len(CONTENT) % 512)
        assert read_bytes(device, 8192, 512) == CONTENT[8192:8704]
