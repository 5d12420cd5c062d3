"""Entries whose tries are counted, and entries that this loader cannot boot: what is chosen, and what is said of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, NextCandidate, RefusalReason
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.menu import LoaderReason
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from bootpath.core.reasons import Explanation
from bootpath.formats.cpio import parse_cpio
from bootpath.report.linuxboot import linux_boot_json, render_linux_boot
from bootpath.report.page import page
from tests.support.images import digest
from tests.support.linuximage import ENTRY, RootTree, fake_initrd, make_linux_disk, make_volume
from tests.support.tree import schema

ENTRIES = "/loader/entries"
SCHEMA = schema("linuxboot")


def make(directory: Path, *roots: Mapping[str, str]) -> Path:
    """A disk with roots in versions 1, 2 and so on, each with these files of /loader/entries."""
    volumes = []
    for number, entries in enumerate(roots, start=1):
        files = {f"{ENTRIES}/{name}": text.encode() for name, text in entries.items()}
        tree = RootTree({**RootTree.demo(entry="").files, **files})
        volumes.append((f"demo_{number}", make_volume(directory / str(number), tree, None)))
    return make_linux_disk(directory / "disk.img", volumes).path


def load(path: Path, next_candidate: NextCandidate = NextCandidate.NEVER, entry: str | None = None) -> LinuxBoot:
    with closing(FileDevice.open(path)) as disk:
        return load_linux(disk, LinuxRequest(next_candidate=next_candidate, entry=entry), Timeline(time.monotonic))


def booted(boot: LinuxBoot) -> tuple[str, str]:
    assert boot.loaded is not None, boot.refusal
    assert boot.plan is not None
    assert boot.chosen is not None
    return boot.chosen.label, boot.plan.entry.source.path.rpartition("/")[2]


def test_only_bad_entries_come_after_all_others(tmp_path: Path) -> None:
    entries = {"d+0-3.conf": ENTRY, "c+0.conf": ENTRY, "b+3-0.conf": ENTRY, "a.conf": ENTRY}
    assert booted(load(make(tmp_path, entries))) == ("demo_1", "b+3-0.conf")
    (tmp_path / "2").mkdir()
    del entries["b+3-0.conf"]
    assert booted(load(make(tmp_path / "2", entries))) == ("demo_1", "a.conf")


def test_a_try_is_shown_and_not_counted(tmp_path: Path) -> None:
    path = make(tmp_path, {"a+03-0.conf": ENTRY})
    before = digest(path)
    boot = load(path)
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.plan.counted_name == "a+02-1.conf"
    said = render_linux_boot("disk.img", boot)
    assert "entry a (type 1, root /loader/entries/a+03-0.conf): chosen, on trial: 3 left, 0 done" in said
    assert "a loader that counts would rename a+03-0.conf to a+02-1.conf" in said
    report = linux_boot_json("disk.img", boot)
    jsonschema.validate(json.loads(json.dumps(page(report))), SCHEMA)
    assert report["runs"]["counted_name"] == "a+02-1.conf"
    assert [(each["tries_left"], each["tries_done"]) for each in report["attempts"][0]["entries"]] == [(3, 0)]
    assert digest(path) == before


def test_a_bad_entry_is_booted_where_there_is_nothing_else(tmp_path: Path) -> None:
    boot = load(make(tmp_path, {"a+0-3.conf": ENTRY}))
    assert booted(boot) == ("demo_1", "a+0-3.conf")
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.plan.counted_name is None
    assert "chosen, bad: 0 left, 3 done" in render_linux_boot("disk.img", boot)


@pytest.fixture(scope="module")
def newer_is_bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("bad"), {"a.conf": ENTRY}, {"a+0-3.conf": ENTRY})


def test_an_older_root_is_not_booted_for_a_newer_ones_counters_unless_that_is_allowed(newer_is_bad: Path) -> None:
    assert booted(load(newer_is_bad)) == ("demo_2", "a+0-3.conf")
    boot = load(newer_is_bad, NextCandidate.POLICY)
    assert booted(boot) == ("demo_1", "a.conf")
    assert [attempt.failure for attempt in boot.attempts] == [RefusalReason.NO_TRIES_LEFT(), None]
    assert "FAILED: no entry of it has a try left" in render_linux_boot("disk.img", boot)


def test_an_entry_that_is_named_is_meant(newer_is_bad: Path) -> None:
    assert booted(load(newer_is_bad, NextCandidate.POLICY, "a")) == ("demo_2", "a+0-3.conf")


def test_where_all_are_bad_the_newest_is_booted(tmp_path: Path) -> None:
    boot = load(make(tmp_path, {"a+0-1.conf": ENTRY}, {"a+0-3.conf": ENTRY}), NextCandidate.POLICY)
    assert booted(boot) == ("demo_2", "a+0-3.conf")
    assert len(boot.attempts) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("efi /boot/vmlinuz\n", LoaderReason.EFI_PROGRAM("/boot/vmlinuz")),
        (f"{ENTRY}devicetree /boot/initrd\ndevicetree-overlay /boot/initrd\n", LoaderReason.DEVICETREE_OVERLAYS()),
    ],
)
def test_an_entry_that_this_loader_cannot_boot_is_excluded(
    tmp_path: Path, text: str, why: Explanation[LoaderReason]
) -> None:
    """It is the first by its name, and stands in nobody's way."""
    boot = load(make(tmp_path, {"b.conf": text, "a.conf": ENTRY}))
    assert booted(boot) == ("demo_1", "a.conf")
    assert f"excluded root {ENTRIES}/b.conf: {why}" in render_linux_boot("disk.img", boot)
    (tmp_path / "alone").mkdir()
    alone = load(make(tmp_path / "alone", {"b.conf": text}))
    assert alone.verdict is LinuxVerdict.REFUSED
    assert str(why) in str(alone.refusal)


def test_extra_resources_come_behind_the_initrds(tmp_path: Path) -> None:
    entry = f"{ENTRY}extra /etc/me.cred\nextra /etc/what.iso\n"
    tree = RootTree({**RootTree.demo(entry="").files, f"{ENTRIES}/a.conf": entry.encode()})
    tree.files.update({"/etc/me.cred": b"secret", "/etc/what.iso": b"iso"})
    boot = load(make_linux_disk(tmp_path / "disk.img", [("demo_1", make_volume(tmp_path / "v", tree, None))]).path)
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.initrd.startswith(fake_initrd(1))
    extras = parse_cpio(boot.loaded.initrd[-(-len(fake_initrd(1)) // 4) * 4 :])
    assert [entry.path for entry in extras if entry.data] == [".extra/credentials/me.cred"]
    assert [(part.what, part.origin) for part in boot.plan.parts if part.what == "extra"] == [("extra", "/etc/me.cred")]
    said = render_linux_boot("disk.img", boot)
    jsonschema.validate(json.loads(json.dumps(page(linux_boot_json("disk.img", boot)))), SCHEMA)
    assert "warning: extra /etc/what.iso has none of .cred, .sysext.raw, .confext.raw" in said
