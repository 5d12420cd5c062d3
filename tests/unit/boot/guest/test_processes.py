from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from bootpath.boot.guest.counters import Counts, DiskCounters
from bootpath.boot.guest.processes import LAST, Worker
from bootpath.boot.guest.syscalls import Ending
from bootpath.boot.guest.system import ending
from bootpath.core.errors import BootError


def nothing() -> None:
    return


def fails(what: str) -> Callable[[], None]:
    def body() -> None:
        raise BootError(what, where="50_rootfs")

    return body


def status_of(worker: Worker) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])


def test_orders_are_done_in_the_child_and_faults_come_back() -> None:
    counters = DiskCounters()
    worker = Worker(
        "w", lambda: {"count": lambda: counters.add(reads=1, bytes_read=7), "bad": fails("no"), LAST: nothing}
    )
    worker.order("count")
    worker.order("count")
    with pytest.raises(BootError, match="50_rootfs: no"):
        worker.order("bad")
    worker.order("count")
    assert counters.counts() == Counts(3, 21, 0, 0)
    assert counters.counts().detail() == "disk_reads=3 disk_bytes=21 disk_waits=0 disk_failures=0"
    worker.order(LAST)
    assert status_of(worker) == 0
    with pytest.raises(BootError, match="w is gone"):
        worker.order("count")
    worker.close()


def test_a_worker_that_cannot_begin() -> None:
    with pytest.raises(BootError, match="50_rootfs: nothing to serve"):
        Worker("w", fails("nothing to serve"))  # type: ignore[arg-type]


def test_a_worker_that_dies() -> None:
    worker = Worker("w", lambda: {"die": lambda: os._exit(9)})
    with pytest.raises(BootError, match="w ended without an answer"):
        worker.order("die")
    assert status_of(worker) == 9
    worker.close()


def test_a_worker_ends_when_nobody_gives_orders() -> None:
    worker = Worker("w", dict)
    worker.close()
    assert status_of(worker) == 0


@pytest.mark.parametrize(
    ("status", "asked"), [(2, Ending.POWER_OFF), (1, Ending.RESTART), (9, None), (0, None), (1 << 8, None)]
)
def test_how_a_system_ended(status: int, asked: Ending | None) -> None:
    assert ending(status) is asked
