"""first error: passes reads on, and keeps the first error of them.

A parser may take a file that it cannot read for one that is missing, and go on without it. Whoever hands it this
filter can find out afterwards.

Invariants: reads return what the lower device returns; nothing can be written; the lower device stays open.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootpath.block.targets.readonly import ReadOnlyFilter
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError


class FirstError(ReadOnlyFilter):
    """`lower`, read-only; `error` is the first error of a read, None while there was none."""

    def __init__(self, lower: Device) -> None:
        super().__init__(lower)
        self.error: DeviceError | None = None

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        try:
            return self.lower.read(offset, length)
        except DeviceError as error:
            self.error = self.error or error
            raise
