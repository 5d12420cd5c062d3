"""What the parent of several server processes keeps, without the processes; those are in tests/integration."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from bootpath.serve.live.diskstate import DiskState, DiskStatus, best_known
from bootpath.serve.server.forked import CLIENT, Report
from bootpath.serve.server.forking import _Process
from bootpath.serve.server.forkserver import channel_pair
from bootpath.serve.statistics import Counters, Statistics


def counted(reads: int, *, trims: int = 0, errors: int = 0) -> Statistics:
    counters = Counters(reads=reads, read_bytes=reads * 512, errors=errors, protocol_errors=1)
    counters.other["trim"] = trims
    return counters.snapshot(connections=2, queue_depth=3, waiting_workers=1)


@pytest.fixture
def channels() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = channel_pair()
    with ours, theirs:
        yield ours, theirs


def test_statistics_add_up() -> None:
    total = counted(3, trims=1) + counted(4, trims=2, errors=5)
    assert (total.requests["read"], total.bytes["read"], total.requests["trim"]) == (7, 7 * 512, 3)
    assert (total.errors, total.protocol_errors, total.connections) == (5, 2, 4)
    assert (total.queue_depth, total.waiting_workers) == (6, 2)
    assert counted(3) + Statistics.nothing() == counted(3)


def test_a_report_says_what_was_packed() -> None:
    report = Report(17, 4, counted(3, errors=1), "news")
    assert Report.unpack(report.pack()) == report


def test_a_process_has_the_clients_that_it_has_not_reported_gone(
    channels: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = channels
    process = _Process(ours, 0.0)
    assert process.hand(theirs)
    assert process.hand(theirs)
    assert process.clients == 2
    message, fds, _, _ = socket.recv_fds(theirs, 16, 1)
    assert message == CLIENT
    assert os.path.sameopenfile(fds[0], theirs.fileno())
    os.close(fds[0])
    process.report = Report(17, 1, counted(0))
    assert process.clients == 1


def test_a_process_that_takes_nothing_is_given_nothing(channels: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = channels
    process = _Process(ours, 0.0)
    handed = 0
    while process.hand(ours):  # until its channel is full: nobody waits for it
        handed += 1
    assert process.clients == handed
    theirs.close()
    assert not process.hand(ours)


@pytest.mark.parametrize("state", [DiskState.REFUSED, DiskState.VANISHED, DiskState.NONE])
def test_the_best_known_state_of_a_disk_counts(state: DiskState) -> None:
    waiting, other = DiskStatus("disk", DiskState.WAITING), DiskStatus("disk", state, "why")
    present = DiskStatus("disk", DiskState.PRESENT)
    assert best_known([waiting, other]) == other
    assert best_known([waiting, other, present]) == present
    assert DiskStatus.unpack(other.pack()) == other
