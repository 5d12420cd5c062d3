"""A disk that appears later.

The live disk is served before any disk driver has started, on purpose: a hung driver must not hang a live boot. So the
disk behind the preload arrives late, may be the wrong one, and may go away again.

- A request that needs the disk waits for it, at most `deadline_seconds` from the moment it came; then EIO. Mounts do
  not retry, so the waiting must happen here.
- Once one request has waited its deadline in vain, the disk is *overdue*: later requests look for it but do not wait
  again, until it arrives or `notify` is called. A root file system without its disk fails in one deadline, not in one
  for every block.
- A disk that arrives is judged once, by `accept`. A refused disk is an error, with its reason, for every request, until
  `notify` is called or the opener gives another disk (another identity or size) or none. Nothing is ever read from it.
  A `patient` late disk, whose opener looks among several disks, goes on waiting meanwhile, as for a disk that is not
  there: the one in the machine may be refused before the stick that was booted is found.
- A disk that fails a read and whose first block cannot be read either has *vanished*. It is looked for again, accepted
  again, and the request that met the failure is tried once more.

Waiting is on a condition, with exponential backoff between looks, shared by all waiters; one of them looks at a time.
The opener must not block: one that hangs holds up the request that called it, but no other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootpath.block.views import read_wide, read_wide_resident
from bootpath.core.device import Buffer, Device, FileRange, Identity, resident_ranges
from bootpath.core.errors import DeviceError, Error


@dataclass(frozen=True, slots=True)
class _Refusal:
    identity: Identity
    size_bytes: int
    reason: str

    def same(self, candidate: Device) -> bool:
        return candidate.identity == self.identity and candidate.size_bytes == self.size_bytes


class LateDisk:
    """Finds, judges, keeps and reads a disk that is not there yet.

    `opener` returns the disk, or None (or raises DeviceError or OSError) while there is none; the device it returns
    belongs to the LateDisk, which closes it. `accept` raises an Error to refuse it. `backoff` is the shortest and the
    longest time between two looks, in seconds. `patient` says that after a refused disk another may come. `clock` and
    `condition` are there for tests.
    """

    def __init__(
        self,
        opener: Callable[[], Device | None],
        *,
        deadline_seconds: float,
        accept: Callable[[Device], None] | None = None,
        patient: bool = False,
        clock: Callable[[], float] = time.monotonic,
        backoff: tuple[float, float] = (0.001, 0.1),
        condition: threading.Condition | None = None,
        name: str = "disk",
    ) -> None:
        if not 0 < backoff[0] <= backoff[1]:
            raise ValueError(f"backoff is {backoff}, must be ascending and positive")
        self.name = name
        self.deadline_seconds = deadline_seconds
        self._opener = opener
        self._accept = accept
        self._patient = patient
        self._clock = clock
        self._backoff = backoff
        self._condition = condition or threading.Condition()
        self._disk: Device | None = None
        self._retired: list[Device] = []
        self._refusal: _Refusal | None = None
        self._absent: str | None = None  # set when no disk will ever come
        self._last_error: Exception | None = None
        self._looking = False
        self._generation = 0  # counts notify, so that a look that began before it is not believed
        self._delay = backoff[0]
        self._next_look = float("-inf")
        self._overdue = False

    @classmethod
    def none(cls, reason: str = "no fallback disk") -> LateDisk:
        """A disk that will never come (netboot, a USB stick without a driver): every request is EIO at once."""
        late = cls(lambda: None, deadline_seconds=0)
        late._absent = reason
        return late

    @classmethod
    def ready(cls, disk: Device) -> LateDisk:
        """A disk that is there already, and has been judged."""
        late = cls(lambda: None, deadline_seconds=0, name=disk.identity.name)
        late._disk = disk
        return late

    def get_nowait(self) -> Device | None:
        """The disk if it has arrived and was accepted, without looking for it."""
        return self._disk

    @property
    def refusal(self) -> str | None:
        """Why the disk that was found is refused, or None."""
        refusal = self._refusal
        return None if refusal is None else refusal.reason

    @property
    def absence(self) -> str | None:
        """Why no disk will ever come, or None."""
        return self._absent

    @property
    def losses(self) -> int:
        """How many disks have vanished."""
        return len(self._retired)

    def get(self) -> Device:
        """The disk, waiting for it. EIO when it is absent at the deadline, or refused."""
        disk = self._disk
        if disk is not None:
            return disk
        deadline = self._clock() + self.deadline_seconds
        with self._condition:
            while True:
                if self._disk is not None:
                    return self._disk
                if self._absent is not None:
                    raise DeviceError(self._absent, where=self.name)
                now = self._clock()
                if not self._looking and now >= self._next_look:
                    self._look()
                    continue
                late = self._overdue or now >= deadline
                if self._refusal is not None and (late or not self._patient):
                    self._overdue = late
                    raise DeviceError(f"the disk is refused: {self._refusal.reason}", where=self.name)
                if late:
                    self._overdue = True
                    raise DeviceError(self._overdue_text(), where=self.name)
                # A look by another thread ends with a wake-up only if it found something; so never wait longer than
                # the time to the next look.
                pause = self._backoff[1] if self._looking else self._next_look - now
                self._condition.wait(min(pause, deadline - now))

    def look(self) -> Device | None:
        """Look for the disk once, now: it, or None. Why a disk was refused is then in `refusal`."""
        with self._condition:
            while self._looking:
                self._condition.wait(self._backoff[1])
            if self._disk is None and self._absent is None:
                self._look()
            return self._disk

    def _overdue_text(self) -> str:
        because = "" if self._last_error is None else f" ({self._last_error})"
        return f"no disk has appeared within {self.deadline_seconds:g} s{because}"

    def _look(self) -> None:
        """Look for the disk once. Called, and returns, with the lock held; it is not held meanwhile."""
        self._looking = True
        generation = self._generation
        refusal = self._refusal
        found: Device | None = None
        refused: _Refusal | None = None
        self._condition.release()
        try:
            found, refused = self._find(refusal)
        finally:
            self._condition.acquire()
            self._looking = False
            self._next_look = self._clock() + self._delay
            self._delay = min(2 * self._delay, self._backoff[1])
        if self._absent is not None:  # closed meanwhile
            if found is not None:
                found.close()
            return
        if generation != self._generation and found is None:
            self._next_look = float("-inf")  # what was seen is older than the news
            return
        self._refusal = refused
        if found is not None:
            self._disk = found
            self._overdue = False
            self._delay = self._backoff[0]
        if found is not None or refused is not None:
            self._condition.notify_all()

    def _find(self, refusal: _Refusal | None) -> tuple[Device | None, _Refusal | None]:
        """(an accepted disk, why a disk was refused): at most one of them."""
        try:
            candidate = self._opener()
        except (DeviceError, OSError) as error:
            self._last_error = error
            return None, None
        if candidate is None:
            return None, None
        if refusal is not None and refusal.same(candidate):
            candidate.close()
            return None, refusal
        if self._accept is not None:
            try:
                self._accept(candidate)
            except Error as error:
                candidate.close()
                return None, _Refusal(candidate.identity, candidate.size_bytes, str(error))
        return candidate, None

    def notify(self) -> None:
        """Something about disks has changed: look now, wait again, and judge a refused disk anew."""
        with self._condition:
            self._generation += 1
            self._refusal = None
            self._overdue = False
            self._delay = self._backoff[0]
            self._next_look = float("-inf")
            self._condition.notify_all()

    def vanished(self, disk: Device) -> None:
        """Forget `disk`: it is gone. It stays open until `close`, since other threads may still be reading it."""
        with self._condition:
            if self._disk is disk:
                self._disk = None
                self._retired.append(disk)
                self._overdue = False
                self._next_look = float("-inf")

    def failed(self, disk: Device) -> bool:
        """A read of `disk` failed: True when it has vanished, False when it is there but that range is bad."""
        try:
            disk.read(0, disk.block_bytes)
        except DeviceError:
            self.vanished(disk)
            return True
        return False

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """Read any byte range of the disk, waiting for it. EIO as `get`, or as the disk fails."""
        disk = self.get()
        try:
            return read_wide(disk, offset, length)
        except DeviceError:
            if not self.failed(disk):
                raise
        return read_wide(self.get(), offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """The same without waiting for anything; None when the disk is not there or would have to be waited for."""
        disk = self._disk
        return None if disk is None else read_wide_resident(disk, offset, length)

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`; None too when the disk is not there."""
        disk = self._disk
        if disk is None or (offset | length) & (disk.block_bytes - 1):
            return None
        return resident_ranges(disk, offset, length)

    def close(self) -> None:
        """Close the disk, and every one that vanished. Requests that wait fail with EIO."""
        with self._condition:
            disks = [*self._retired, *([] if self._disk is None else [self._disk])]
            self._retired.clear()
            self._disk = None
            self._absent = self._absent or "closed"
            self._condition.notify_all()
        for disk in disks:
            disk.close()
