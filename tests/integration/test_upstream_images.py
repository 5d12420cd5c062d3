"""Images that upstream made boot here, and what we write is read by upstream."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.linear import Linear
from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.boot.redox.simulation import SimulationMode, SimulationSetup, simulate
from bootpath.core.device import checked
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.image.redox.discovery import choose_place, find_redoxfs, place_device
from tests.support.images import MIB, copy
from tests.support.tools import tool
from tests.support.upstream import upstream, upstream_mount

SIZE = 48 * MIB


def archived(tree: Path, directory: Path) -> Path:
    """A bare image from redoxfs-ar."""
    image = directory / "ar.redoxfs"
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run([upstream("redoxfs-ar"), image, tree], check=True, capture_output=True)
    return image


def test_an_image_of_redoxfs_ar_boots_from_its_plan(tree: Path, tmp_path: Path) -> None:
    with closing(FileDevice.open(archived(tree, tmp_path))) as disk:
        plan = PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk).plan)
        result = simulate(disk, SimulationSetup(plan, []), clock=time.monotonic, pause=time.sleep)
    assert result.failure is None


def test_the_classic_daemon_misses_its_log_when_the_preload_ends_before_it(tree: Path, tmp_path: Path) -> None:
    with closing(FileDevice.open(archived(tree, tmp_path))) as disk:
        planned = plan_boot(disk)
        log = next(part for part in planned.plan.extents if part.why == "allocator log")
        prefix = PreloadChoice(PreloadKind.PREFIX, prefix_bytes=log.offset)
        result = simulate(
            disk, SimulationSetup(prefix, [disk], SimulationMode.CLASSIC), clock=time.monotonic, pause=time.sleep
        )
    miss = planned.classic_miss(log.offset)
    assert miss is not None
    assert result.failed_access is not None
    assert result.failed_access.offset == miss.offset == log.offset
    assert not result.mounted


def test_what_an_overlay_commits_is_mounted_by_upstream(image: Path, tmp_path: Path) -> None:
    whole = copy(image, tmp_path / "copy.img")
    with closing(FileDevice.open(whole, writable=True)) as disk:
        discovery = find_redoxfs(disk)
        place = choose_place(discovery, where="copy")
        offset = place.offset_bytes
        base = place_device(disk, discovery, place)
        overlay = Overlay(base)
        with RedoxFS.open(checked(overlay), cleanup=True) as fs:
            fs.mkfile("/etc/written")
            fs.write("/etc/written", b"through the overlay" * 9999)
            fs.unlink("/etc/passwd")
            fs.cleanup()
        overlay.commit(base)
        content = b"".join(bytes(part) for part in Linear(disk, offset, base.size_bytes).read(0, base.size_bytes))
    bare = tmp_path / "bare.redoxfs"
    bare.write_bytes(content)
    mountpoint = tmp_path / "mount"
    mountpoint.mkdir()
    with upstream_mount(bare, mountpoint):
        written = (mountpoint / "etc/written").read_bytes()
        names = {entry.name for entry in (mountpoint / "etc").iterdir()}
    assert written == b"through the overlay" * 9999
    assert names == {"written"}


def test_sgdisk_is_content(image: Path) -> None:
    said = subprocess.run([tool("sgdisk"), "-v", image], check=True, capture_output=True, text=True).stdout
    assert "No problems found" in said
