"""The load of the test guests finds what is wrong, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.fileload import PAGE_BYTES, Load
from tests.support.images import digest


def test_a_file_that_keeps_what_it_is_given(tmp_path: Path) -> None:
    load = Load(str(tmp_path / "file"), 1, direct=False)
    found = load.run(300)
    load.close()
    assert found == digest(tmp_path / "file")
    again = Load(str(tmp_path / "again"), 1, direct=False)
    assert again.run(300) == found
    again.close()


def test_a_page_that_was_changed_behind_its_back(tmp_path: Path) -> None:
    load = Load(str(tmp_path / "file"), 1, direct=False)
    load.run(50)
    os.truncate(tmp_path / "file", 0)
    os.truncate(tmp_path / "file", max(len(load.model), PAGE_BYTES))
    with pytest.raises(AssertionError, match=r"operation \d+: .*read .*expected"):
        load.run(50)
    load.close()
