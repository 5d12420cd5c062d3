"""A process that writes into a persistent overlay is killed with SIGKILL: what it had flushed is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.check import check_overlay
from bootpath.block.overlay.commit import overlay_info
from bootpath.block.overlay.file import OverlayFile
from bootpath.core.device import read_bytes
from tests.support.patterns import pattern, sector
from tests.support.tree import ROOT

BLOCKS = 64
SIZE = BLOCKS * 4096
ROUNDS = 6

WRITER = """
import sys
from random import Random
from bootpath.block import MemoryDevice, OverlayFile
from tests.support.patterns import pattern

path, size, seed, tag = sys.argv[1], *map(int, sys.argv[2:])
overlay = OverlayFile.open(path, MemoryDevice(pattern(0, size)))
random = Random(seed)
while True:
    for _ in range(random.randint(1, 6)):
        tag += 1
        block = random.randrange(size // 4096)
        overlay.write(block * 4096, pattern(block * 4096, 4096, tag), fua=random.random() < 0.1)
    overlay.flush()
    print(tag, flush=True)
"""


def tags(content: bytes) -> list[int]:
    """The tag of every block; a block that is not whole fails."""
    found = []
    for block in range(BLOCKS):
        data = content[block * 4096 : (block + 1) * 4096]
        tag = int.from_bytes(data[4:8], "little")
        assert data == b"".join(sector(block * 8 + index, tag) for index in range(8)), f"block {block} is a mixture"
        found.append(tag)
    return found


def test_what_was_flushed_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    base = MemoryDevice(pattern(0, SIZE))
    OverlayFile.create(path, base).close()
    random = Random(7)
    expected = [0] * BLOCKS
    tag = 0
    for seed in range(ROUNDS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(SIZE), str(seed), str(tag)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as writer:
            assert writer.stdout is not None
            flushed = tag
            for _ in range(random.randint(1, 60)):
                flushed = int(writer.stdout.readline())
            writer.kill()
            # What it said before it died counts too.
            rest = [line for line in writer.stdout.read().split("\n")[:-1] if line]
            flushed = int(rest[-1]) if rest else flushed
        assert not overlay_info(path).in_use
        assert not check_overlay(path).damaged
        overlay = OverlayFile.open(path, base)
        found = tags(read_bytes(overlay, 0, SIZE))
        # Replay the writer: its state after some write at or after the last flush it told of.
        replay, state, last = Random(seed), list(expected), tag
        matched = state == found and flushed == tag
        while not matched and last < flushed + 50:
            for _ in range(replay.randint(1, 6)):
                last += 1
                state[replay.randrange(BLOCKS)] = last
                replay.random()
                if last >= flushed and state == found:
                    matched = True
                    break
        assert matched, f"round {seed}: flushed {flushed}, found {sorted(found)[-3:]}"
        expected, tag = found, max(found)
        overlay.close()
