"""Inspecting a disk: it is looked at once, its kind is decided, and the inspection of that kind judges it.

Only what is reported is read: of a live disk beside its contents the header ring, the allocator log, two directories
and the first bytes of kernel and initfs; of a Linux image what it takes to decide what boots; all of a root only when
that is asked for.
"""

from __future__ import annotations

from bootpath.boot.inspection.linux import inspect_linux
from bootpath.boot.inspection.live import inspect_live
from bootpath.boot.inspection.values import Inspection, InspectionRequest
from bootpath.boot.look import Look, look_at
from bootpath.core.device import Device
from bootpath.image.verity.tree import Progress


def inspect_disk(
    disk: Device,
    request: InspectionRequest | None = None,
    *,
    look: Look | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Inspect a whole disk or a bare file system, which the caller may have looked at already.

    Raises DeviceError; damage is a finding, not an error. A wrong password raises FileSystemError; a missing one leaves
    a live disk `locked`. `progress` is called with the bytes that were compared with a hash tree.
    """
    request = request or InspectionRequest()
    look = look or look_at(disk, in_parts=request.in_parts)
    if look.redoxfs is not None:
        return inspect_live(disk, look.contents, look.judged, look.redoxfs, request)
    return inspect_linux(disk, look.contents, look.judged, request, progress)
