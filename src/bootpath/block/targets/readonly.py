"""The writing half of a device that cannot be written: EPERM, as the contract's table says."""

from __future__ import annotations

import errno

from bootpath.core.device import Buffer, Identity
from bootpath.core.errors import DeviceError


class ReadOnly:
    """Base of the targets that only read."""

    identity: Identity

    @property
    def read_only(self) -> bool:
        """Always true."""
        return True

    def _refuse(self, operation: str, offset: int) -> DeviceError:
        return DeviceError(f"{operation} at {offset}: device is read-only", errno=errno.EPERM, where=self.identity.name)

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
