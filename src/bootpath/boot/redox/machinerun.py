"""What a boot in a machine was: one timeline of host and guest, what was read from the disk, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bootpath.boot.machine.watched import WatchedRun
from bootpath.boot.protocol.events import Event, parse_event
from bootpath.boot.redox.loader import Handover
from bootpath.boot.redox.placement import ReservedMemory
from bootpath.boot.redox.rootfs import ROOTFS
from bootpath.boot.timeline import Step
from bootpath.vm.blocks import BlockStatistics
from bootpath.vm.console import ConsoleLine

KERNEL = "kernel"
LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of the guest, and when its line came: seconds since the machine's start."""

    seconds: float
    event: Event


def heard_events(lines: Iterable[ConsoleLine]) -> list[Heard]:
    """The events in a console's lines, in their order."""
    found = ((line.seconds, parse_event(line.text)) for line in lines)
    return [Heard(seconds, event) for seconds, event in found if event is not None]


def clock_offset(heard: Sequence[Heard]) -> float:
    """What the guest's clock showed less than the host's, in seconds: by the line that was least late."""
    return min((entry.seconds - entry.event.seconds for entry in heard), default=0.0)


def merge(host: Sequence[Step], started: float, heard: Sequence[Heard]) -> list[Step]:
    """One timeline: the host's steps, then the guest's events by its own clock. `started` is when the machine was."""
    offset = started + clock_offset(heard)
    guest = [_step(entry.event, offset) for entry in heard]
    kernel = (
        [] if not guest else [Step(KERNEL, "start", started, guest[0].start_seconds - started, 0, "", failed=False)]
    )
    return sorted((*host, *kernel, *guest), key=lambda step: step.start_seconds)


def _step(event: Event, offset: float) -> Step:
    failed = event.what in ("failed", "died", "read failed")
    read = event.counts.get("disk_bytes", 0)
    return Step(event.unit, event.what, offset + event.seconds, 0.0, read, event.detail, failed=failed)


@dataclass(slots=True, kw_only=True)
class MachineRun(WatchedRun):
    """What happened in a machine with our guest. Times are seconds since the loader began.

    `fallback` is what lived had asked the physical disk for when the root was mounted, by its own count (empty: not
    mounted); `disk` is what QEMU says the guest read from the disk in all, None when the machine had ended by itself.
    """

    handover: Handover | None = None
    memory: ReservedMemory | None = None
    fallback: dict[str, int] | None = None
    disk: BlockStatistics | None = None
    seconds_to_root: float | None = None

    @property
    def mounted(self) -> bool:
        """True when the root was mounted."""
        return self.seconds_to_root is not None

    def take_timeline(self, host: Sequence[Step], started: float, heard: Sequence[Heard]) -> None:
        """Take over the timeline and what it says about the mount."""
        self.steps = merge(host, started, heard)
        offset = started + clock_offset(heard)
        for entry in heard:
            if (entry.event.unit, entry.event.what) == (ROOTFS, "mounted"):
                self.seconds_to_root = offset + entry.event.seconds
                self.fallback = entry.event.counts
