"""Threads for what may wait: a late disk, a cold page, a flush.

Python runs one thread at a time, so a few busy workers are enough; but one that waits for a disk runs nothing, and must
not keep another's place. So a job that has run for `_WAITING_SECONDS` counts as waiting, and another thread is started
in its place, up to a cap. Jobs queue per lane, one for every export, and lanes take turns; a lane has a cap of its own
below the whole, and every lane may always run one job, so that one stalled disk leaves the other exports their threads.

`tick` must be called about every `_WAITING_SECONDS` while `pressed`, since nobody else notices that all workers wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from bootpath.serve.nbd.session import Job

_log = logging.getLogger(__name__)

_WAITING_SECONDS = 0.0005
_IDLE_SECONDS = 5.0


class Lane:
    """The jobs of one export, and how many of them run."""

    __slots__ = ("jobs", "running")

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.running = 0


class Workers:
    """At most `workers` threads that run, and `waiting` more in place of ones that wait; at most `per_lane` for a lane.

    Jobs must not raise.
    """

    def __init__(
        self, *, workers: int, waiting: int, per_lane: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workers = workers
        self._most = workers + waiting
        self._per_lane = per_lane
        self._clock = clock
        self._lock = threading.Lock()
        self._ready: deque[Lane] = deque()  # lanes with jobs, each once
        self._started: dict[int, float] = {}  # thread: when its job began
        self._idle: list[threading.Lock] = []  # one for each idle thread; releasing it wakes the thread
        self._threads = 0
        self.queued = 0
        self._stopping = False

    def submit(self, lane: Lane, jobs: Sequence[Job]) -> None:
        """Run the jobs, some time, on some thread. After `stop` they are dropped."""
        with self._lock:
            if self._stopping:
                return
            if not lane.jobs:
                self._ready.append(lane)
            lane.jobs.extend(jobs)
            self.queued += len(jobs)
            self._grow(len(jobs))

    def tick(self) -> None:
        """Notice workers that wait, and start others in their place."""
        with self._lock:
            self._grow(self.queued)

    @property
    def pressed(self) -> bool:
        """True when jobs are queued that another thread could run, so that `tick` should be called."""
        return self.queued > 0 and self._can_start()

    @property
    def depth(self) -> int:
        """Jobs that are queued or running."""
        return self.queued + len(self._started)

    @property
    def waiting(self) -> int:
        """Jobs that have run for so long that they count as waiting."""
        return len(self._started) - self._active()

    def stop(self) -> None:
        """Threads end when their job does; what is queued is dropped."""
        with self._lock:
            self._stopping = True
            for lane in self._ready:
                lane.jobs.clear()
            self._ready.clear()
            self.queued = 0
            while self._idle:
                self._idle.pop().release()

    def _active(self) -> int:
        since = self._clock() - _WAITING_SECONDS
        return sum(begun > since for begun in list(self._started.values()))

    def _can_start(self) -> bool:
        """True when some lane has a job that it may run now, and there is, or may be, a thread for it."""
        room = self._threads < self._most or bool(self._idle)
        return any(lane.running < (self._per_lane if room else 1) for lane in tuple(self._ready))

    def _grow(self, wanted: int) -> None:
        """Wake or start threads for up to `wanted` jobs, with the lock held."""
        if not self._can_start():
            return
        for _ in range(min(wanted, self._workers - self._active())):
            if self._idle:
                self._idle.pop().release()
                continue
            if self._threads >= self._most and all(lane.running for lane in self._ready):
                return
            try:
                threading.Thread(target=self._work, name="nbd-worker", daemon=True).start()
            except RuntimeError as error:  # the kernel gives us none now (ulimit -u): `tick` tries again
                _log.warning("cannot start a worker: %s", error)
                return
            self._threads += 1

    def _next(self) -> tuple[Lane, Job] | None:
        """The next job of the next lane that may run one, with the lock held."""
        for _ in range(len(self._ready)):
            lane = self._ready.popleft()
            if lane.running < self._per_lane:
                job = lane.jobs.popleft()
                if lane.jobs:
                    self._ready.append(lane)
                self.queued -= 1
                lane.running += 1
                return lane, job
            self._ready.append(lane)
        return None

    def _work(self) -> None:
        me = threading.get_ident()
        gate = threading.Lock()
        gate.acquire()
        lane: Lane | None = None
        while True:
            with self._lock:
                if lane is not None:
                    del self._started[me]
                    lane.running -= 1
                    lane = None
                if self._stopping:
                    self._threads -= 1
                    return
                found = self._next()
                if found is None:
                    self._idle.append(gate)
                else:
                    lane, job = found
                    self._started[me] = self._clock()
            if lane is not None:
                job()
            elif not gate.acquire(timeout=_IDLE_SECONDS):
                with self._lock:
                    if gate in self._idle:
                        self._idle.remove(gate)
                        self._threads -= 1
                        return
                gate.acquire()  # woken in the very moment in which we gave up
