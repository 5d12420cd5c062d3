"""zero, error and erased: targets with no storage behind them. The first two are Linux's, erased is ours.

Sources: Linux Documentation/admin-guide/device-mapper/zero.rst; drivers/md/dm-target.c (6.12) for the arguments of
error::

    zero
    error [<device> <start_sector>]         its limits are taken from there, nothing else
    erased                                  0xFF, as flash where nothing was written
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.formats.dm.target import DeviceOffset, Target
from bootpath.formats.dm.words import expect_words


@dataclass(frozen=True, slots=True)
class ZeroTarget(Target):
    """Zeros; writes are dropped."""

    @classmethod
    def parse(cls, args: Sequence[str]) -> ZeroTarget:
        """See `Target.parse`: there are no arguments."""
        expect_words(args, 0, 0, "")
        return cls()

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return ()

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        return "zeros; writes are dropped"


@dataclass(frozen=True, slots=True)
class ErrorTarget(Target):
    """Errors. The kernel takes the limits of a device from `limits`; nothing is ever read there."""

    limits: DeviceOffset | None = None

    @classmethod
    def parse(cls, args: Sequence[str]) -> ErrorTarget:
        """See `Target.parse`."""
        if not args:
            return cls()
        device, start = expect_words(args, 2, 2, "[<device> <start_sector>]")
        return cls(DeviceOffset.parse(device, start))

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return () if self.limits is None else self.limits.pack()

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        return "every request fails with EIO"


@dataclass(frozen=True, slots=True)
class ErasedTarget(Target):
    """0xFF, as erased flash: the unmapped eraseblocks of a UBI volume."""

    @classmethod
    def parse(cls, args: Sequence[str]) -> ErasedTarget:
        """See `Target.parse`: there are no arguments."""
        expect_words(args, 0, 0, "")
        return cls()

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`."""
        return ()

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        return "bytes of 0xFF, as erased flash; read-only"
