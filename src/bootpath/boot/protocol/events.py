"""What the guest reports about its boot: one console line for each event, which the host reads.

::

    bootpath: @12.345 50_rootfs mounted: disk_reads=0 disk_bytes=0

The seconds are the guest's monotonic clock, which starts with its kernel. Then come the unit, what happened in small
letters and spaces, and after a colon the details. The console is shared, so an event may stand behind other text in its
line; nothing of ours stands behind an event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "bootpath: @"
_EVENT = re.compile(r"bootpath: @(\d{1,12}\.\d{3}) ([A-Za-z0-9_.-]{1,40}) ([a-z]+(?: [a-z]+)*)(?:: (.*))?$")
_COUNT = re.compile(r"\b([a-z_]+)=(\d{1,19})\b")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at `seconds` of the guest's clock in `unit`."""

    seconds: float
    unit: str
    what: str
    detail: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """The ``name=number`` pairs of the detail."""
        return {name: int(number) for name, number in _COUNT.findall(self.detail)}

    def __str__(self) -> str:
        text = f"{MARK}{self.seconds:.3f} {self.unit} {self.what}"
        detail = " ".join(self.detail.split())
        return f"{text}: {detail}" if detail else text


def parse_event(line: str) -> Event | None:
    """The event in a console line, or None when there is none."""
    start = line.rfind(MARK)
    match = None if start < 0 else _EVENT.match(line, start)
    if match is None:
        return None
    return Event(float(match[1]), match[2], match[3], match[4] or "")
