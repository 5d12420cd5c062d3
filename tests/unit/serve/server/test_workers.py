from __future__ import annotations

import threading

from bootpath.serve.server.workers import Lane, Workers

SECONDS = 60.0


class Job:
    """A job that says when it runs and waits until it is let go."""

    def __init__(self) -> None:
        self.runs = threading.Event()
        self.may_end = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> None:
        self.runs.set()
        assert self.may_end.wait(SECONDS)
        self.ended.set()


def submit(workers: Workers, lane: Lane, count: int) -> list[Job]:
    jobs = [Job() for _ in range(count)]
    workers.submit(lane, jobs)
    return jobs


def release(*jobs: Job) -> None:
    for job in jobs:
        job.may_end.set()


def test_jobs_run() -> None:
    workers = Workers(workers=2, waiting=0, per_lane=2)
    jobs = submit(workers, Lane(), 5)
    release(*jobs)
    assert all(job.ended.wait(SECONDS) for job in jobs)
    workers.stop()


def test_a_job_that_waits_does_not_keep_a_place() -> None:
    now = 0.0
    workers = Workers(workers=1, waiting=4, per_lane=5, clock=lambda: now)
    lane = Lane()
    (stalled,) = submit(workers, lane, 1)
    assert stalled.runs.wait(SECONDS)
    (second,) = submit(workers, lane, 1)
    workers.tick()
    assert not second.runs.is_set()
    now = 1.0
    assert workers.waiting == 1
    workers.tick()
    assert second.runs.wait(SECONDS)
    release(stalled, second)
    assert second.ended.wait(SECONDS)
    workers.stop()


def test_every_lane_may_run_one() -> None:
    now = 0.0
    workers = Workers(workers=1, waiting=1, per_lane=2, clock=lambda: now)
    stalled = submit(workers, Lane(), 2)
    assert stalled[0].runs.wait(SECONDS)
    now = 1.0
    workers.tick()
    assert stalled[1].runs.wait(SECONDS)
    now = 2.0
    (other,) = submit(workers, Lane(), 1)
    assert other.runs.wait(SECONDS), "all threads belong to the stalled export"
    release(*stalled, other)
    workers.stop()


def test_a_lane_has_a_cap() -> None:
    now = 0.0
    workers = Workers(workers=4, waiting=4, per_lane=1, clock=lambda: now)
    first, second = submit(workers, Lane(), 2)
    assert first.runs.wait(SECONDS)
    now = 1.0
    workers.tick()
    assert not workers.pressed
    assert not second.runs.is_set()
    release(first, second)
    assert second.ended.wait(SECONDS)
    workers.stop()


def test_stop_drops_what_is_queued() -> None:
    workers = Workers(workers=1, waiting=0, per_lane=1)
    lane = Lane()
    first, second = submit(workers, lane, 2)
    assert first.runs.wait(SECONDS)
    assert workers.depth == 2
    workers.stop()
    release(first, second)
    assert first.ended.wait(SECONDS)
    workers.submit(lane, [second])
    assert workers.depth <= 1
    assert not second.runs.is_set()
