"""systemd's bootctl and binutils as judges: the order of entries, their counters, and the sections of a UKI."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from bootpath.formats.entries.entry import compare_entries, sort_entries
from bootpath.formats.entries.uki import read_uki
from bootpath.image.contents.nodes import Location
from bootpath.image.entries.bootvolumes import BootVolume
from bootpath.image.entries.default import default_entry
from bootpath.image.entries.find import menu_of
from bootpath.image.entries.menu import EntrySource, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.read import read_volume
from tests.support.bootdisk import write_tree
from tests.support.bootfiles import memory_files, read_at
from tests.support.ddi import run
from tests.support.tools import stored, tool
from tests.support.tree import ROOT

UKI_SCRIPT = ROOT / "demo/debian/uki.sh"
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
# Without checks that the directory is a partition of the right type; the file system has to be one of its own, though.
RELAXED = {"SYSTEMD_RELAX_ESP_CHECKS": "1", "SYSTEMD_RELAX_XBOOTLDR_CHECKS": "1"}
LIST = """
mount -t tmpfs none /mnt && cp -r "$1/." /mnt/ && exec bootctl list --esp-path=/mnt --no-pager --json=$2
"""


def run_bootctl(tree: Path, form: str) -> str:
    """What bootctl says of a directory, in a mount namespace of its own."""
    tool("bootctl")
    unshare = [tool("unshare"), "--mount"] if os.geteuid() == 0 else [tool("unshare"), "--user", "-r", "--mount"]
    probe = subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    if probe.returncode:
        why = "no file system can be mounted here, not even in a namespace"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    command = [*unshare, "sh", "-c", LIST, "sh", str(tree), form]
    done = subprocess.run(command, env={**os.environ, **RELAXED}, capture_output=True, text=True, check=True)
    return done.stdout


def bootctl(tree: Path) -> list[dict[str, object]]:
    """The entries that bootctl finds in a directory, in its order."""
    # One object after the other in old versions, an array in new ones.
    decoder, found, rest = json.JSONDecoder(), [], run_bootctl(tree, "short").strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found += value if isinstance(value, list) else [value]
        rest = rest[end:].lstrip()
    return found


def ours(content: dict[str, bytes]) -> list[FoundEntry]:
    files = memory_files({f"/{path}": data for path, data in content.items()}, fold_case=True)
    place = BootVolume(EntrySource(VolumeRole.ESP, Location("1")), files, None)
    found = [each for each in read_volume(place) if isinstance(each, FoundEntry)]
    order = sort_entries(each.entry for each in found)
    return sorted(found, key=lambda each: order.index(each.entry))


def random_entries(random: Random, count: int) -> dict[str, bytes]:
    """Entries with few words, so that many share some of their keys."""
    content = {"k": b"kernel"}
    for _ in range(count):
        # Neither a 0 that meets a letter, which the two compare differently, nor names that only counters tell apart.
        name = f"{random.choice('abc')}-{random.randint(1, 12)}.{random.randint(1, 3)}"
        counter = random.choice(("", "", "+3", "+2-1", "+0-3", "+00-2"))
        lines = ["linux /k", f"title {random.choice(('One', 'Two'))}"]
        if random.randrange(2):
            lines.append(f"sort-key {random.choice('xyz')}")
        if random.randrange(2):
            lines.append(f"machine-id {random.choice('ab') * 32}")
        if random.randrange(2):
            lines.append(f"version {random.choice(('6.1', '6.10', '6.9~rc1', '6.9', '6.9-1', '6.9^post'))}")
        if not any(path.startswith(f"loader/entries/{name}") for path in content):
            content[f"loader/entries/{name}{counter}.conf"] = "\n".join([*lines, ""]).encode()
    return content


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_that_of_systemd(tmp_path: Path, seed: int) -> None:
    content = random_entries(Random(seed), 40)
    theirs = bootctl(write_tree(tmp_path, content))
    found = ours(content)
    assert len(found) == len(theirs) > 20
    names = [each.source.path.rpartition("/")[2] for each in found]
    expected = [str(each["path"]).rpartition("/")[2] for each in theirs]
    assert names == expected
    for each, judged in zip(found, theirs, strict=True):
        counter = each.entry.counter
        assert judged.get("triesLeft") == (None if counter is None else counter.tries_left)
        assert f"{each.entry.id}.conf" == judged["id"]
        assert each.entry.title == judged["title"]
    assert all(compare_entries(a.entry, b.entry) < 0 for a, b in pairwise(found))


@pytest.mark.parametrize("pattern", ["b-*", "B-?.2.conf", "c-1[0-2].*", "[ab]-1.1.conf", "none", "a-1", "*"])
def test_the_default_is_that_of_systemd(tmp_path: Path, pattern: str) -> None:
    content = random_entries(Random(pattern), 40)
    content["loader/loader.conf"] = f"default {pattern}\n".encode()
    # Old versions say it in the text only.
    listed = run_bootctl(write_tree(tmp_path, content), "off").partition(" (default) ")[2]
    theirs = listed.partition(" id: ")[2].split()[0]
    files = memory_files({f"/{path}": data for path, data in content.items()}, fold_case=True)
    place = BootVolume(EntrySource(VolumeRole.ESP, Location("1")), files, None)
    chosen = default_entry(menu_of("disk", [place], roles=[VolumeRole.ESP]))
    assert chosen is not None
    assert chosen.found.entry.loader_id == theirs


def make_uki(directory: Path, command_line: str = "root=/dev/vda2 quiet") -> Path:
    tool("objcopy")
    image = directory / "os_1.efi"
    for name, size in (("kernel", 100_003), ("initrd", 50_001)):
        (directory / name).write_bytes(Random(size).randbytes(size))
    words = [UKI_SCRIPT, stored(STUB), directory / "kernel", directory / "initrd", command_line, image]
    run("sh", *words)
    return image


def test_the_sections_of_a_uki_are_those_of_binutils(tmp_path: Path) -> None:
    image = make_uki(tmp_path)
    data = image.read_bytes()
    uki = read_uki(read_at(data), len(data))
    assert uki.architecture is not None
    assert (uki.architecture.value, uki.profiles[0].command_line) == ("x64", "root=/dev/vda2 quiet")
    listing = run(tool("objdump"), "-h", image)
    rows = [line.split() for line in listing.splitlines() if line.split()[:1] and line.split()[0].isdecimal()]
    theirs = {row[1]: (int(row[2], 16), int(row[5], 16)) for row in rows}
    for name, (section,) in uki.profiles[0].sections.items():
        assert theirs[name] == (section.size_bytes, section.offset)
        part = tmp_path / "part"
        run(tool("objcopy"), "-O", "binary", f"--only-section={name}", image, part)
        content = part.read_bytes() if part.exists() else b""
        assert data[section.offset :][: section.size_bytes] == content[: section.size_bytes] or not content


def test_a_uki_is_titled_as_by_systemd(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    content = {"EFI/Linux/os_1+3-0.efi": make_uki(tmp_path).read_bytes()}
    (judged,) = bootctl(write_tree(tree, content))
    (found,) = ours(content)
    assert isinstance(found, FoundEntry)
    assert not isinstance(found, Excluded)
    assert (found.entry.title, found.entry.sort_key) == (judged["title"], judged["sortKey"])
    assert found.entry.version == judged.get("version", "")
    assert f"{found.entry.id}.efi" == judged["id"]
    assert found.command_line() == judged["options"]
    assert found.read_kernel() == (tmp_path / "kernel").read_bytes()
