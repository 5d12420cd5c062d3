"""Inspecting a disk: it is read once, its kind is decided, and the inspection of that kind judges it.

Only what is reported is read: of a live disk beside its contents the header ring, the allocator log, two directories
and the first bytes of kernel and initfs; all of a root only when that is asked for.
"""

from __future__ import annotations

from bootpath.core.device import Device
from bootpath.image.contents.read import read_contents
from bootpath.image.inspection.linux import inspect_linux
from bootpath.image.inspection.live import inspect_live
from bootpath.image.inspection.values import Inspection, InspectionRequest
from bootpath.image.kind import DiskKind, disk_kind
from bootpath.image.redox.discovery import Discovery, search_redoxfs
from bootpath.image.verity.tree import Progress


def inspect_disk(
    disk: Device, request: InspectionRequest | None = None, *, progress: Progress | None = None
) -> Inspection:
    """Look at a whole disk or a bare file system. Raises DeviceError; damage is a finding, not an error.

    A wrong password raises FileSystemError; a missing one leaves a live disk `locked`. `progress` is called with the
    bytes that were compared with a hash tree.
    """
    request = request or InspectionRequest()
    contents = read_contents(disk, in_parts=request.in_parts)
    kind = disk_kind(contents)
    if kind.kind is not DiskKind.LINUX:
        found = search_redoxfs(disk, contents.root.gpt)
        if found:
            discovery = Discovery(contents.root.gpt, contents.root.gpt_fault, found)
            return inspect_live(disk, contents, kind, discovery, request)
    return inspect_linux(disk, contents, kind, request, progress)
