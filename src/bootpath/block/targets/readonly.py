"""Devices that cannot be written: the refusing half of any of them, and a filter that protects a lower device."""

from __future__ import annotations

import errno
from dataclasses import replace

from bootpath.block.targets.filter import Filter
from bootpath.core.device import Buffer, Direct, Identity, direct_access
from bootpath.core.errors import DeviceError


class ReadOnly:
    """The base of devices that only read: everything else is refused with EPERM, as the contract's table says."""

    identity: Identity

    @property
    def read_only(self) -> bool:
        """Always true."""
        return True

    def _refuse(self, operation: str, offset: int) -> DeviceError:
        return DeviceError(
            f"{operation} at {offset} is refused: the device is read-only", errno=errno.EPERM, where=self.identity.name
        )

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`: EPERM."""
        raise self._refuse("write", offset)

    def flush(self) -> None:
        """See `Device.flush`: nothing was written."""

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: EPERM."""
        raise self._refuse("discard", offset)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: EPERM."""
        raise self._refuse("zero", offset)


class ReadOnlyFilter(ReadOnly, Filter):
    """`lower`, to be read only; also what the target `snapshot-origin` is here."""

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`: the lower device's, not writable."""
        lower = direct_access(self.lower)
        return None if lower is None else replace(lower, writable=False)
