"""``40_drivers``: the physical disks of a machine. Those of a simulation appear some time after their driver starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bootpath.boot.timeline import Clock
from bootpath.core.device import Device

DRIVERS = "40_drivers"


class PhysicalDisks(Protocol):
    """The disks that a machine has at the moment."""

    def present(self) -> Sequence[Device]:
        """The disks that have appeared so far, and have not gone. They stay this object's."""
        ...


@dataclass(slots=True)
class Drivers:
    """A closed set of disks that all appear `delay_seconds` after `start`. An empty set: no disk will ever come."""

    disks: Sequence[Device]
    delay_seconds: float
    clock: Clock
    _started: float | None = None

    def start(self) -> None:
        """The driver begins to probe."""
        self._started = self.clock()

    @property
    def ready(self) -> bool:
        """True when the disks are there."""
        return self._started is not None and self.clock() - self._started >= self.delay_seconds

    def present(self) -> Sequence[Device]:
        """The disks that have appeared so far."""
        return self.disks if self.ready else ()
