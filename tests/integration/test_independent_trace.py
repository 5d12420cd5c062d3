"""The plan against an independent witness: the upstream program under strace."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.redox.planning import plan_boot
from bootpath.core.extents import Extent, ExtentSet
from tests.support.images import MIB, copy
from tests.support.mounts import mounted
from tests.support.tools import tool
from tests.support.upstream import upstream

CALL = re.compile(r"p(read|write)64\((\d+), .*, (\d+), (\d+)\) += (\d+)")


def upstream_touches(program: Path, image: Path, mountpoint: Path, log: Path) -> tuple[ExtentSet, ExtentSet]:
    """(read before it was written, written) by the upstream program while it mounts and unmounts a bare image."""
    command: list[str | Path] = [tool("strace"), "-f", "-o", log, "-e", "trace=pread64,pwrite64", "--string-limit=0"]
    command += [program, "--no-daemon", image, mountpoint, "0"]
    with mounted(command, mountpoint):
        pass
    reads, writes = ExtentSet(), ExtentSet()
    for line in log.read_text().splitlines():
        match = CALL.search(line)
        if match is not None and int(match[5]) > 0:
            extent = Extent(int(match[4]), int(match[5]))
            if match[1] == "write":
                writes.add(extent)
            else:
                for fresh in writes.gaps(extent):
                    reads.add(fresh)
    return reads, writes


def test_the_plan_is_what_upstream_reads(image: Path, tmp_path: Path) -> None:
    bare = copy(image, tmp_path / "whole.img")
    content = bare.read_bytes()[2 * MIB : -MIB]
    bare.write_bytes(content)
    with closing(FileDevice.open(bare)) as disk:
        planned = plan_boot(disk)
    system = [part for part in planned.plan.extents if part.step == "50_rootfs"]
    opened = ExtentSet(part.extent for part in system if part.why in ("ring", "allocator log", "release list", "open"))
    looked_at = ExtentSet(part.extent for part in system)
    reads, _ = upstream_touches(upstream("redoxfs"), bare, tmp_path / "mount", tmp_path / "strace")
    # Open reads exactly this much; the kernel may look at the root directory before it is unmounted.
    for extent in opened:
        assert reads.covers(extent)
    for extent in reads:
        assert looked_at.covers(extent)
