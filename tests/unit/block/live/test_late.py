from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bootpath.block.live.late import LateDisk
from bootpath.core.device import Device, Identity
from bootpath.core.errors import DeviceError, FormatError
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import Counting, FakeTime, disk


class Slot:
    """A place where a disk may be put, as an opener."""

    def __init__(self) -> None:
        self.disk: Device | None = None
        self.error: Exception | None = None
        self.looks = 0

    def __call__(self) -> Device | None:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.disk


def late_disk(
    slot: Slot,
    time: FakeTime,
    *,
    deadline_seconds: float = 30,
    accept: Callable[[Device], None] | None = None,
    patient: bool = False,
) -> LateDisk:
    return LateDisk(
        slot,
        deadline_seconds=deadline_seconds,
        accept=accept,
        patient=patient,
        clock=time.clock,
        condition=time,
        name="the disk",
    )


def test_a_disk_that_is_there_is_opened_once() -> None:
    slot, time = Slot(), FakeTime()
    slot.disk = disk(4096)
    late = late_disk(slot, time)
    assert late.get_nowait() is None
    assert late.read_resident(0, 512) is None
    assert slot.looks == 0  # nothing is opened before it is needed
    assert late.get() is late.get() is late.get_nowait() is slot.disk
    assert late.read_resident(0, 512) is not None
    assert (slot.looks, time.waits) == (1, [])


def test_a_request_waits_for_the_disk_with_backoff() -> None:
    slot, time = Slot(), FakeTime()
    time.schedule.append((5, lambda: setattr(slot, "disk", disk(4096))))
    late = late_disk(slot, time)
    assert_pattern(b"".join(late.read(512, 512)), 512)
    assert 5 <= time.now <= 5.2
    assert time.waits[:8] == pytest.approx([0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1])
    assert slot.looks < 70  # ten a second, no more


def test_notify_wakes_the_wait() -> None:
    slot, time = Slot(), FakeTime()
    late = LateDisk(slot, deadline_seconds=30, clock=time.clock, condition=time, backoff=(10, 10))

    def arrive() -> None:
        slot.disk = disk(4096)
        late.notify()

    time.schedule.append((3, arrive))
    late.get()
    assert time.now == 3


def test_at_the_deadline_the_error_is_eio_and_says_how_long() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time)
    with pytest.raises(DeviceError, match="the disk: no disk has appeared within 30 s") as caught:
        late.read(0, 512)
    assert caught.value.errno == errno.EIO
    assert time.now == 30


def test_each_request_counts_from_when_it_came() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time)
    time.now = 100
    time.schedule.append((129, lambda: setattr(slot, "disk", disk(4096))))
    late.get()
    assert 129 <= time.now < 130


def test_an_overdue_disk_is_looked_for_but_not_waited_for_again() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time)
    with pytest.raises(DeviceError):
        late.get()
    for _ in range(100):
        with pytest.raises(DeviceError, match="no disk has appeared within 30 s"):
            late.get()
    assert time.now == 30
    looks = slot.looks
    time.now += 1
    slot.disk = disk(4096)
    late.get()
    assert slot.looks == looks + 1


def test_notify_gives_an_overdue_disk_its_time_again() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time)
    with pytest.raises(DeviceError):
        late.get()
    late.notify()
    with pytest.raises(DeviceError):
        late.get()
    assert time.now == 60


def test_no_patience_still_looks_once() -> None:
    slot, time = Slot(), FakeTime()
    slot.disk = disk(4096)
    assert late_disk(slot, time, deadline_seconds=0).get() is slot.disk
    with pytest.raises(DeviceError, match="no disk has appeared within 0 s"):
        late_disk(Slot(), time, deadline_seconds=0).get()


@pytest.mark.parametrize("error", [DeviceError("no such disk"), FileNotFoundError(2, "No such file")])
def test_an_opener_that_fails_has_no_disk_yet(error: Exception) -> None:
    slot, time = Slot(), FakeTime()
    slot.error = error
    late = late_disk(slot, time)
    with pytest.raises(DeviceError, match=r"no disk has appeared within 30 s \(.*[Nn]o such"):
        late.get()


def test_an_opener_with_a_bug_is_not_hidden_and_blocks_nobody() -> None:
    slot, time = Slot(), FakeTime()
    slot.error = ZeroDivisionError()
    late = late_disk(slot, time)
    with pytest.raises(ZeroDivisionError):
        late.get()
    slot.error, slot.disk = None, disk(4096)
    assert late.get() is slot.disk


# Accepting


def refuse_tag(wanted: bytes) -> Callable[[Device], None]:
    def accept(candidate: Device) -> None:
        if bytes(candidate.read(0, 512)[0]) != wanted:
            raise FormatError("wrong disk", where=candidate.identity.name)

    return accept


def test_a_refused_disk_is_an_error_for_every_request_and_judged_once() -> None:
    judged: list[Device] = []

    def accept(candidate: Device) -> None:
        judged.append(candidate)
        raise DeviceError("wrong disk", where=candidate.identity.name)

    slot, time = Slot(), FakeTime()
    wrong = Counting(bytes(4096), identity=Identity("sdb"))
    slot.disk = wrong
    late = late_disk(slot, time, accept=accept)
    for _ in range(5):
        with pytest.raises(DeviceError, match="the disk: the disk is refused: sdb: wrong disk") as caught:
            late.read(0, 512)
        assert caught.value.errno == errno.EIO
        time.now += 1
    assert len(judged) == 1
    assert wrong.reads == []
    assert wrong.closed == slot.looks  # every one that was opened is closed
    assert late.get_nowait() is None
    assert time.waits == []


def test_a_patient_late_disk_waits_on_after_a_refusal() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time, accept=refuse_tag(pattern(0, 512)), patient=True)
    slot.disk = disk(4096, tag=1, identity=Identity("sdb"))
    right = disk(4096, identity=Identity("sdc"))
    time.schedule.append((15, lambda: setattr(slot, "disk", right)))
    assert late.get() is right
    assert 15 <= time.now <= 15.2


def test_a_patient_late_disk_says_at_its_deadline_why_it_refused() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time, accept=refuse_tag(pattern(0, 512)), patient=True)
    slot.disk = disk(4096, tag=1, identity=Identity("sdb"))
    with pytest.raises(DeviceError, match="the disk is refused: sdb: wrong disk"):
        late.get()
    assert time.now == 30
    with pytest.raises(DeviceError, match="the disk is refused"):
        late.get()
    assert time.now == 30, "it is overdue: nobody waits again"


def test_a_look_is_one_look() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time, accept=refuse_tag(pattern(0, 512)), patient=True)
    assert late.look() is None
    assert late.refusal is None
    slot.disk = disk(4096, tag=1, identity=Identity("sdb"))
    assert late.look() is None
    assert late.refusal == "sdb: wrong disk"
    slot.disk = disk(4096, identity=Identity("sdc"))
    assert late.look() is slot.disk
    assert late.look() is slot.disk
    assert time.waits == []
    late.close()
    assert late.look() is None


def test_another_disk_is_judged_anew() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time, accept=refuse_tag(pattern(0, 512)))
    slot.disk = disk(4096, tag=1, identity=Identity("sdb"))
    with pytest.raises(DeviceError, match="refused"):
        late.get()
    slot.disk = disk(4096, identity=Identity("sdc"))
    time.now += 1
    assert late.get() is slot.disk


def test_a_refused_disk_that_is_pulled_is_waited_for_again() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time, accept=refuse_tag(pattern(0, 512)))
    slot.disk = disk(4096, tag=1)
    with pytest.raises(DeviceError, match="refused"):
        late.get()
    time.now += 1
    slot.disk = None
    with pytest.raises(DeviceError, match="no disk has appeared within 30 s"):
        late.get()


def test_notify_judges_the_same_disk_again() -> None:
    slot, time = Slot(), FakeTime()
    late = late_disk(slot, time, accept=refuse_tag(pattern(0, 512)))
    slot.disk = disk(4096, tag=1, identity=Identity("sdb"))
    with pytest.raises(DeviceError, match="refused"):
        late.get()
    slot.disk = disk(4096, identity=Identity("sdb"))  # repaired in place
    late.notify()
    assert late.get() is slot.disk


def test_a_judgement_that_began_before_notify_does_not_count() -> None:
    slot, time = Slot(), FakeTime()
    verdicts: list[str] = []

    def accept(candidate: Device) -> None:
        verdicts.append(candidate.identity.name)
        if len(verdicts) == 1:
            slot.disk = good
            late.notify()
            raise DeviceError("wrong disk")

    good = disk(4096, identity=Identity("good"))
    slot.disk = disk(4096, identity=Identity("bad"))
    late = late_disk(slot, time, accept=accept)
    assert late.get() is good
    assert verdicts == ["bad", "good"]


def test_an_accept_with_a_bug_is_not_a_refusal() -> None:
    def accept(candidate: Device) -> None:
        raise ZeroDivisionError

    slot, time = Slot(), FakeTime()
    slot.disk = disk(4096)
    late = late_disk(slot, time, accept=accept)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            late.get()
        time.now += 1


# Vanishing


def test_a_disk_that_vanishes_and_returns_is_accepted_again_and_the_read_repeated() -> None:
    judged: list[Device] = []
    slot, time = Slot(), FakeTime()
    first = Counting(pattern(0, 4096))
    slot.disk = first
    late = late_disk(slot, time, accept=judged.append)
    late.read(0, 512)
    first.broken = True
    slot.disk = None
    second = Counting(pattern(0, 4096))
    time.schedule.append((2, lambda: setattr(slot, "disk", second)))
    assert_pattern(b"".join(late.read(512, 512)), 512)
    assert time.now >= 2
    assert judged == [first, second]
    assert first.closed == 0  # another thread may still be reading it
    late.close()
    assert (first.closed, second.closed) == (1, 1)


def test_a_bad_range_is_not_a_vanished_disk() -> None:
    class BadSector(Counting):
        def read(self, offset: int, length: int) -> list[memoryview]:
            if offset == 512:
                raise DeviceError("bad sector")
            return [memoryview(bytes(length))]

    slot, time = Slot(), FakeTime()
    slot.disk = BadSector(bytes(4096))
    late = late_disk(slot, time)
    for _ in range(3):
        with pytest.raises(DeviceError, match="bad sector"):
            late.read(512, 512)
    assert slot.looks == 1


def test_a_disk_that_keeps_failing_is_tried_once_more_not_for_ever() -> None:
    slot, time = Slot(), FakeTime()
    broken = Counting(bytes(4096))
    broken.broken = True
    slot.disk = broken
    late = late_disk(slot, time)
    with pytest.raises(DeviceError, match="gone"):
        late.read(512, 512)
    assert [read for read in broken.reads if read[0] == 512] == [(512, 512)] * 2


def test_another_disk_after_vanishing_is_refused() -> None:
    slot, time = Slot(), FakeTime()
    first = Counting(pattern(0, 4096))
    slot.disk = first
    late = late_disk(slot, time, accept=refuse_tag(pattern(0, 512)))
    late.read(0, 512)
    first.broken = True
    slot.disk = disk(4096, tag=1, identity=Identity("sdb"))
    with pytest.raises(DeviceError, match="refused"):
        late.read(0, 512)


def test_vanished_of_an_old_disk_does_not_drop_the_new_one() -> None:
    slot, time = Slot(), FakeTime()
    slot.disk = disk(4096)
    late = late_disk(slot, time)
    old = late.get()
    late.vanished(old)
    slot.disk = disk(4096)
    new = late.get()
    late.vanished(old)
    assert late.get_nowait() is new


# Without waiting at all


def test_a_disk_that_never_comes_is_eio_at_once() -> None:
    late = LateDisk.none()
    with pytest.raises(DeviceError, match="no fallback disk") as caught:
        late.read(0, 512)
    assert caught.value.errno == errno.EIO
    assert late.read_resident(0, 512) is None


def test_a_disk_that_is_ready() -> None:
    device = Counting(pattern(0, 4096), block_bytes=4096)
    late = LateDisk.ready(device)
    assert_pattern(b"".join(late.read(1000, 24)), 1000)  # any byte range, whatever the disk's blocks
    assert device.reads == [(0, 4096)]
    device.resident = True
    views = late.read_resident(1000, 24)
    assert views is not None
    assert_pattern(b"".join(views), 1000)
    late.close()
    assert device.closed == 1
    with pytest.raises(DeviceError, match="closed"):
        late.get()


@pytest.mark.parametrize("backoff", [(0, 1), (2, 1)])
def test_a_backoff_that_would_be_a_busy_loop_is_refused(backoff: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="ascending and positive"):
        LateDisk(Slot(), deadline_seconds=1, backoff=backoff)


# Threads


def test_closing_wakes_those_who_wait() -> None:
    looked = threading.Event()

    def look() -> None:
        looked.set()

    late = LateDisk(look, deadline_seconds=600)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(late.get)
        assert looked.wait(60)
        late.close()
        with pytest.raises(DeviceError, match="closed"):
            waiting.result(10)


def test_a_disk_found_while_closing_is_closed() -> None:
    found = Counting(bytes(4096))

    def look() -> Device:
        late.close()
        return found

    late = LateDisk(look, deadline_seconds=600)
    with pytest.raises(DeviceError, match="closed"):
        late.get()
    assert found.closed == 1


def test_an_opener_that_hangs_holds_up_nobody_else() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert leave.wait(60)

    time = FakeTime()
    late = LateDisk(hang, deadline_seconds=30, clock=time.clock, condition=time)
    with ThreadPoolExecutor() as pool:
        hung = pool.submit(late.get)
        assert entered.wait(60)
        other = pool.submit(late.get)
        with pytest.raises(DeviceError, match="no disk has appeared within 30 s"):  # at its own deadline
            other.result(10)
        leave.set()
        with pytest.raises(DeviceError, match="no disk has appeared within 30 s"):
            hung.result(10)


def test_many_waiters_share_the_looking() -> None:
    looks: list[bool] = []
    looked, present = threading.Event(), threading.Event()
    device = disk(4096)

    def look() -> Device | None:
        looks.append(present.is_set())
        looked.set()
        return device if looks[-1] else None

    late = LateDisk(look, deadline_seconds=600, backoff=(500, 500))
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(late.get) for _ in range(8)]
        assert looked.wait(60)
        present.set()
        late.notify()
        assert all(each.result(10) is device for each in waiting)
    assert len(looks) <= 3  # one in vain, one for the news, and one if the news came during the first
