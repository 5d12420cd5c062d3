"""How it stands with the disk behind the preload, as one process sees it, and as several do.

Each process that serves has a late disk of its own, which it looks for when a request needs it; so some may have the
disk while others have not looked yet. Whoever has it knows best.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bootpath.block.live.late import LateDisk


class DiskState(Enum):
    """How it stands with the disk behind the preload."""

    PRESENT = "present"
    WAITING = "waiting"
    REFUSED = "refused"
    VANISHED = "vanished"
    NONE = "none"


_BEST_FIRST = (DiskState.PRESENT, DiskState.REFUSED, DiskState.VANISHED, DiskState.NONE, DiskState.WAITING)


@dataclass(frozen=True, slots=True)
class DiskStatus:
    """The disk behind the preload; `reason` is why it was refused, or why none will come."""

    name: str
    state: DiskState
    reason: str | None = None

    def pack(self) -> str:
        """As JSON."""
        return json.dumps([self.name, self.state.value, self.reason])

    @classmethod
    def unpack(cls, text: str) -> DiskStatus:
        """The opposite of `pack`."""
        name, state, reason = json.loads(text)
        return cls(name, DiskState(state), reason)


def disk_status(late: LateDisk) -> DiskStatus:
    """How it stands, without looking for the disk."""
    if late.get_nowait() is not None:
        return DiskStatus(late.name, DiskState.PRESENT)
    if late.absence is not None:
        return DiskStatus(late.name, DiskState.NONE, late.absence)
    reason = late.refusal
    if reason is not None:
        return DiskStatus(late.name, DiskState.REFUSED, reason)
    return DiskStatus(late.name, DiskState.VANISHED if late.losses else DiskState.WAITING)


def best_known(seen: Iterable[DiskStatus]) -> DiskStatus:
    """Of what several processes see, the one that knows best; there must be one."""
    return min(seen, key=lambda status: _BEST_FIRST.index(status.state))
