"""The page of ``bootpath entries``, of disks that are inspected and listed as the command does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.boot.inspection.inspect import inspect_disk
from bootpath.boot.inspection.values import LinuxInspection
from bootpath.boot.linux.listing import list_entries
from bootpath.formats.partitions.dps import Designator
from bootpath.image.entries.menu import VolumeRole
from bootpath.report.bootentries import entries_json, render_entries
from tests.support.bootdisk import boot_part, fat
from tests.support.ddi import make_disk

KERNEL = {"k": bytes(0x202) + b"HdrS" + bytes(506), "i": b"initrd"}


@pytest.fixture
def shown(tmp_path: Path) -> Any:
    def show(entries: dict[str, str], *, all_places: bool = False) -> tuple[list[str], dict[str, Any]]:
        files = {f"loader/entries/{name}": text.encode() for name, text in entries.items()}
        made = make_disk(tmp_path / "disk.img", [boot_part(Designator.ESP, fat(tmp_path, {**KERNEL, **files}), 1)])
        disk = MemoryDevice(made.path.read_bytes())
        inspection = inspect_disk(disk)
        assert isinstance(inspection, LinuxInspection)
        listing = list_entries(disk, inspection.boot, shown_roles=tuple(VolumeRole) if all_places else ())
        return render_entries(inspection, listing).splitlines(), entries_json(inspection, listing)

    return show


def test_an_entry(shown: Any) -> None:
    lines, page = shown({"a.conf": "title A\nversion 1\nsort-key x\nlinux /k\ninitrd /i\noptions quiet\n"})
    assert lines[1:3] == [" 1  A  (type 1, chosen)", "    is       version 1, sort key x"]
    assert lines[4:7] == ["    kernel   /k  1 KiB", "    initrd   /i  6 bytes", "    options  quiet"]
    assert lines[-1].startswith("Verdict: A would be booted; unverified, but allowed by the policy: kernel: ")
    assert (page["boots"], page["decision"]["entry"]["id"], page["entries"][0]["chosen"]) == (True, "a", True)
    assert page["decision"]["command_line"] == page["entries"][0]["command_line"] == "quiet"


def test_a_bad_entry_is_still_one(shown: Any) -> None:
    lines, _ = shown({"a+0-3.conf": "title A\nlinux /k\n"})
    assert "(type 1, bad: 0 left, 3 done, chosen)" in lines[1]
    assert "A would be booted, although its tries are used up: nothing better is there; " in lines[-1]


def test_nothing_and_why(shown: Any) -> None:
    lines, page = shown({"a.conf": "title A\nlinux /nothing\n"})
    assert lines[1] == "Excluded"
    assert "the kernel /nothing is missing" in lines[2]
    assert lines[-1].startswith("Verdict: does not boot: boot partitions: ")
    assert (page["boots"], page["decision"]["verdict"]) == (False, "refused")


def test_titles_that_are_alike_get_what_tells_them_apart(shown: Any) -> None:
    lines, _ = shown(
        {
            "a.conf": "title A\nversion 1\nlinux /k\n",
            "b.conf": "title A\nversion 2\nlinux /k\n",
            "c.conf": "title A\nversion 2\nlinux /k\n",
            "d.conf": "title D\nversion 2\nlinux /k\n",
        }
    )
    titles = [line[4:].partition("  (")[0] for line in lines if line[:2].strip().isdigit()]
    assert sorted(titles) == ["A (1)", "A (2) (b)", "A (2) (c)", "D"]
