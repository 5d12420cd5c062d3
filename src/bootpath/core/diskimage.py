"""What a disk is packed in: the file formats between a file and the disk that is read through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class DiskImage:
    """One packing: `kind` is its name, `detail` what more is known of it, `size_bytes` that of the file.

    `program` is the process that reads it, None where none does. What it serves cannot be shared by several processes.
    """

    kind: str
    detail: str
    size_bytes: int
    program: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


@runtime_checkable
class SupportsDiskImages(Protocol):
    """A device that knows what its disk is packed in."""

    @property
    def disk_images(self) -> tuple[DiskImage, ...]:
        """The packings, the file's own first."""
        ...


def disk_images(device: object) -> tuple[DiskImage, ...]:
    """What the disk is packed in, of any device; nothing when it is as it is, or when the device does not say."""
    return device.disk_images if isinstance(device, SupportsDiskImages) else ()
