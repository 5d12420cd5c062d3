"""What the file of an overlay may cost who opens it, and that no more is written than is read again."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from bootpath.block.leaves.constant import ZeroDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay import journal as overlayjournal
from bootpath.block.overlay import writer as overlaywriter
from bootpath.block.overlay.file import OverlayFile, load_for
from bootpath.block.overlay.journal import log_clusters, read_header, read_log
from bootpath.block.overlay.state import lay_out, load
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.overlayfile import (
    HEADER_BYTES,
    pack_entries,
    pack_header,
    parse_header,
)
from tests.support.crashstorage import CrashStorage
from tests.support.errors import raises
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, MIB, disk, whole

SIZE = 64 * KIB
BLOCK = 4096


def test_a_header_with_a_huge_log_is_refused_before_the_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    OverlayFile.create(path, disk(SIZE)).close()
    with path.open("r+b") as file:
        header = replace(parse_header(file.read(HEADER_BYTES)), log_clusters=1 << 24)  # 64 GiB
        file.seek(0)
        file.write(pack_header(header) * 2)
        file.truncate(1 << 40)
    with raises(LimitError, what="the log of the overlay is too long", found="64 GiB", expected="at most 128 MiB"):
        OverlayFile.open(path, disk(SIZE))


@pytest.mark.parametrize("checksums", [True, False])
def test_what_is_held_can_be_changed_when_the_log_is_too_long_for_more(
    monkeypatch: pytest.MonkeyPatch, checksums: bool
) -> None:
    monkeypatch.setattr(overlayjournal, "LOG_MIN_BYTES", 2048)
    monkeypatch.setattr(overlaywriter, "_COMMIT_ENTRIES", 20)
    storage, base = CrashStorage(), ZeroDevice(64 * MIB)
    overlay = OverlayFile(storage, lay_out(storage, base, checksums=checksums), base)
    with limits_raised(overlay_log_bytes=64 * KIB):
        written: list[int] = []
        with raises(DeviceError, errno=errno.ENOSPC) as error:
            for index in range(4000):
                offset = index * 3 * BLOCK  # far apart: an entry each
                overlay.write(offset, pattern(offset, BLOCK, tag=1))
                written.append(offset)
        assert error.value.what.startswith("the overlay is full")
        assert len(written) > 1000
        for offset in written * 2:
            overlay.write(offset, pattern(offset, BLOCK, tag=2))
        overlay.close()
        again = OverlayFile(storage, load_for(storage, base, writable=True), base)
        for offset in written:
            assert_pattern(read_bytes(again, offset, BLOCK), offset, tag=2)
        again.reset()
        again.write(2 * BLOCK, pattern(2 * BLOCK, BLOCK, tag=1))
        again.close()


@pytest.mark.parametrize("checksums", [True, False])
def test_blocks_that_were_written_again_and_again_count_once(checksums: bool) -> None:
    storage, base = CrashStorage(), disk(SIZE)
    overlay = OverlayFile(storage, lay_out(storage, base, checksums=checksums), base)
    for tag in range(1, 200):
        overlay.write(0, pattern(0, SIZE, tag=tag), fua=True)
    overlay.close()
    assert len(read_log(storage, read_header(storage)[0]).records) > 190
    with limits_raised(overlay_map_bytes=8192):
        assert_pattern(whole(OverlayFile(storage, load_for(storage, base, writable=True), base)), 0, tag=199)


@pytest.mark.parametrize("name", ["overlay_log_bytes", "overlay_map_bytes"])
def test_what_would_not_be_read_again_is_not_written(name: str) -> None:
    size = 64 << 20
    storage, base = CrashStorage(), MemoryDevice(size)
    overlay = OverlayFile(storage, lay_out(storage, base), base)
    limit = {"overlay_log_bytes": (log_clusters() + 16) * 4096, "overlay_map_bytes": 64 << 10}[name]
    offsets = [offset for start in range(0, 256 << 10, 8192) for offset in range(start, size, 256 << 10)]
    written = set()

    def fill() -> None:
        for offset in offsets:  # blocks apart from each other, which need an entry each
            overlay.write(offset, pattern(offset, 4096, tag=1), fua=True)
            written.add(offset)

    with limits_raised(**{name: limit}):
        with pytest.raises(DeviceError, match=f"the overlay is full: .*BOOTPATH_LIMITS={name}=N") as refused:
            fill()
        assert refused.value.errno_name == "ENOSPC"
        overlay.close()
        again = OverlayFile(storage, load_for(storage, base, writable=True), base)
        assert again.held_bytes == len(written) * 4096


def test_a_log_that_maps_more_than_memory_can_hold_is_refused() -> None:
    storage = CrashStorage()
    journal = lay_out(storage, disk(SIZE)).journal
    journal.append(pack_entries([(0, 1 << 10, 1 << 31)] * 2), b"")
    with raises(LimitError, what="the log of the overlay maps too many blocks", found="16 GiB"):
        load(storage, writable=False)
