from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.block.overlay.commit import overlay_info
from bootpath.core.errors import DeviceError
from bootpath.serve.live.opening import overlay_in_file
from tests.unit.block.support import KIB, disk

SIZE = 64 * KIB


@pytest.mark.parametrize("checksums", [True, False])
def test_an_overlay_in_a_file_keeps_what_it_was_made_with(tmp_path: Path, checksums: bool) -> None:
    path = tmp_path / "changes"
    for wanted in (checksums, not checksums):
        overlay_in_file(path, checksums=wanted, max_bytes=None)(disk(SIZE)).close()
        assert overlay_info(path).checksums is checksums


def test_the_cap_counts_for_a_file_that_exists_too(tmp_path: Path) -> None:
    for _ in range(2):
        overlay = overlay_in_file(tmp_path / "changes", max_bytes=4 * KIB)(disk(SIZE))
        overlay.write(0, bytes(4 * KIB))
        with pytest.raises(DeviceError, match="overlay is full"):
            overlay.write(4 * KIB, bytes(4 * KIB))
        overlay.close()
