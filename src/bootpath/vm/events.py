"""What QEMU's monitor reports by itself.

Source: QEMU's docs/interop/qmp-spec.rst, "Asynchronous events"; the QMP reference for their names and data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """Something QEMU reported: `number` counts them, `seconds` is since the machine's start."""

    number: int
    seconds: float
    name: str
    data: Mapping[str, object] = field(default_factory=dict)
