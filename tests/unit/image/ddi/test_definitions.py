"""Definition files: which of a directory's are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.core.errors import Error
from bootpath.formats.partitions.dps import Architecture
from bootpath.image.ddi.definitions import holds_definitions, read_definitions


def test_which_files_count(tmp_path: Path) -> None:
    for name in ("20-b.conf", "10-a.conf"):
        (tmp_path / name).write_text("[Partition]\nType=root\n")
    (tmp_path / ".hidden.conf").write_text("nonsense")
    (tmp_path / "readme").write_text("nonsense")
    (tmp_path / "15-empty.conf").touch()
    (tmp_path / "16-masked.conf").symlink_to("/dev/null")
    assert [each.name for each in read_definitions(tmp_path, Architecture.X86_64)] == ["10-a.conf", "20-b.conf"]


def test_nothing_but_masks(tmp_path: Path) -> None:
    (tmp_path / "10-a.conf").touch()
    assert not holds_definitions(tmp_path)
    with pytest.raises(Error, match="holds no definition"):
        read_definitions(tmp_path, Architecture.X86_64)


def test_drop_ins_are_refused(tmp_path: Path) -> None:
    (tmp_path / "10-a.conf").write_text("[Partition]\nType=root\n")
    (tmp_path / "10-a.conf.d").mkdir()
    with pytest.raises(Error, match="drop-in directories are not read"):
        read_definitions(tmp_path, Architecture.X86_64)
