"""Flashes to which Linux wrote, and which were cut off: what is read of them is what Linux lists (ubifs/make.py)."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.support.ubifsflash import assert_as_listed, open_root

HERE = Path(__file__).parent / "ubifs"


@pytest.mark.parametrize("name", ["journal", "cut"])
def test_what_linux_lists(name: str) -> None:
    image, listing = (gzip.decompress((HERE / f"{name}.{suffix}.gz").read_bytes()) for suffix in ("img", "listing"))
    files = open_root(image)
    assert assert_as_listed(files, listing.decode()) > 150
    (warning,) = files.warnings
    assert "was not unmounted" in warning
