"""An overlay that processes share: every process against a model of its own sectors, and one that is killed."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.layer import CLEAN, DIRTY, ZERO
from bootpath.block.overlay.ram import Overlay
from bootpath.core.device import checked, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import pattern

SECTOR, BLOCK = 512, 4096
BLOCKS = 64
SIZE = BLOCKS * BLOCK
PROCESSES = 4
ROUNDS = 400

# Threads that other tests have left do nothing, and what is forked here touches nothing of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def make(max_bytes: int | None = None) -> Overlay:
    return Overlay(MemoryDevice(pattern(0, SIZE)), max_bytes=max_bytes, drop_matching=False, shared=True)


@contextmanager
def forked(work: Callable[[], None]) -> Iterator[int]:
    """A process that does the work and ends, with 0 if it could."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    handle = os.pidfd_open(pid)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError, ChildProcessError):  # it has been waited for
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(handle)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def play(overlay: Overlay, me: int, seed: int) -> None:
    """Change only the sectors of every block that are `me` modulo PROCESSES; all are as this process last left them."""
    device, chance = checked(overlay), random.Random(seed)
    mine = [sector * SECTOR for sector in range(SIZE // SECTOR) if sector % PROCESSES == me]
    model = {offset: read_bytes(device, offset, SECTOR) for offset in mine}
    for step in range(ROUNDS):
        offset = chance.choice(mine)
        kind = chance.randrange(8)
        if kind < 4:
            model[offset] = pattern(offset, SECTOR, tag=step + 1)
            device.write(offset, model[offset])
        elif kind == 4:
            model[offset] = bytes(SECTOR)
            device.zero(offset, SECTOR)
        elif kind == 5:
            device.discard(offset, SECTOR)  # less than a block: nothing may change
        else:
            assert read_bytes(device, offset, SECTOR) == model[offset]
    for offset, content in model.items():
        assert read_bytes(device, offset, SECTOR) == content


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_processes_share_blocks_and_lose_nothing(seed: int) -> None:
    overlay = make()
    pids = []
    for me in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                play(overlay, me, seed + me)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    assert [ended(pid) for pid in pids] == [0] * PROCESSES
    consistent(overlay)


def test_whole_blocks_written_and_discarded_at_once() -> None:
    """One process writes blocks over and over, another discards them: a block is all of one write, or zeros."""
    overlay = make()

    def write() -> None:
        for step in range(3000):
            overlay.write(step % 4 * BLOCK, bytes((step % 255 + 1,)) * BLOCK)

    def discard() -> None:
        for step in range(3000):
            overlay.discard(step % 4 * BLOCK, BLOCK)

    with forked(write) as writer, forked(discard) as discarder:
        assert (ended(writer), ended(discarder)) == (0, 0)
    consistent(overlay)
    for block in range(4):
        content = read_bytes(checked(overlay), block * BLOCK, BLOCK)
        assert len(set(content)) == 1


def test_the_cap_is_of_all_processes() -> None:
    overlay = make(max_bytes=8 * BLOCK)

    def fill(first: int) -> Callable[[], None]:
        def work() -> None:
            for block in range(first, first + 8):
                with suppress(DeviceError):
                    overlay.write(block * BLOCK, b"x" * BLOCK)

        return work

    with forked(fill(0)) as one, forked(fill(8)) as two:
        assert (ended(one), ended(two)) == (0, 0)
    assert overlay.held_bytes == overlay.dirty_bytes == 8 * BLOCK
    with pytest.raises(DeviceError, match="overlay is full"):
        overlay.write(32 * BLOCK, b"x" * BLOCK)


def test_a_reset_is_seen_by_all() -> None:
    overlay = make()
    overlay.write(0, b"x" * BLOCK)
    with forked(overlay.reset) as pid:
        assert ended(pid) == 0
    assert overlay.held_bytes == 0
    assert read_bytes(checked(overlay), 0, BLOCK) == pattern(0, BLOCK)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), patience=st.integers(0, 400))
def test_a_process_that_is_killed_leaves_a_usable_overlay(seed: int, patience: int) -> None:
    overlay = make()
    ours, theirs = socket.socketpair()

    def work() -> None:
        chance = random.Random(seed)
        for step in range(1 << 30):
            first = chance.randrange(BLOCKS - 4) * BLOCK
            length = chance.randrange(1, 5) * BLOCK
            change = chance.randrange(4)
            if change == 0:
                overlay.discard(first, length)
            elif change == 1:
                overlay.zero(first + SECTOR, length - SECTOR)
            else:
                overlay.write(first, bytes((step % 255 + 1,)) * length)
            theirs.send(b".")

    with forked(work) as pid, ours, theirs:
        select.select([ours], [], [])  # it has begun
        for _ in range(patience):
            ours.recv(1)
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        seen = b"".join(bytes(view) for view in overlay.read(0, SIZE))
        consistent(overlay)
        assert b"".join(bytes(view) for view in overlay.read(0, SIZE)) == seen
        play(overlay, 0, seed)
        consistent(overlay)


@pytest.mark.parametrize(
    ("before", "change"),
    [
        *((before, change) for before in (CLEAN, DIRTY, ZERO) for change in ("write", "discard")),
        *((before, "part") for before in (CLEAN, ZERO)),  # a part of a DIRTY block is written as it is
    ],
)
@pytest.mark.parametrize("marked", [False, True])
def test_a_process_that_is_killed_in_the_middle_of_a_change(before: int, change: str, marked: bool) -> None:
    """Killed at the worst moments: memory written but not marked, or marked but not given back."""
    overlay = make()
    if before != CLEAN:
        overlay.write(BLOCK, b"o" * BLOCK)
    if before == ZERO:
        overlay.discard(BLOCK, BLOCK)
    old = read_bytes(checked(overlay), BLOCK, BLOCK)

    def work() -> None:
        layer = overlay._layer
        mark = layer.mark

        def killed(first: int, stop: int, state: int) -> None:
            if marked:
                mark(first, stop, state)
            os.kill(os.getpid(), signal.SIGKILL)

        type(layer).mark = lambda self, first, stop, state: killed(first, stop, state)  # type: ignore[method-assign]
        if change == "write":
            overlay.write(0, b"n" * (4 * BLOCK))
        elif change == "discard":
            overlay.discard(0, 4 * BLOCK)
        else:
            overlay.write(BLOCK + SECTOR, b"n" * SECTOR)

    with forked(work) as pid:
        assert ended(pid) == -signal.SIGKILL
    new = {
        "write": b"n" * BLOCK,
        "discard": bytes(BLOCK),
        "part": old[:SECTOR] + b"n" * SECTOR + old[2 * SECTOR :],
    }[change]
    overlay.write(32 * BLOCK, b"x" * BLOCK)  # takes the lock
    consistent(overlay)
    assert read_bytes(checked(overlay), BLOCK, BLOCK) in (old, new)
    overlay.zero(BLOCK, SECTOR)
    assert read_bytes(checked(overlay), BLOCK, SECTOR) == bytes(SECTOR)


def test_what_is_compared_is_not_shared() -> None:
    with pytest.raises(ValueError, match="does not compare"):
        Overlay(MemoryDevice(bytes(SIZE)), shared=True)


def consistent(overlay: Overlay) -> None:
    """States, memory and the count of blocks agree, once nobody changes anything and the lock has been taken."""
    with overlay._lock:
        pass
    layer = overlay._layer
    states = layer.states[0:BLOCKS]
    assert layer.held_blocks == states.count(DIRTY)
    assert set(states) <= {CLEAN, DIRTY, ZERO}
    for block, state in enumerate(states):
        if state != DIRTY:
            assert not any(layer.view[block * BLOCK : (block + 1) * BLOCK]), (block, state)
