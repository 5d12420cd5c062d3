"""The block floor: leaves that hold bytes, targets that map them, and the stack that a table describes.

Leaves: `FileDevice`, `MemoryDevice`, `LateDisk` (a disk that appears later), `ZeroDevice`, `ErrorDevice`,
`ErasedDevice`. Targets:
`Linear`, `Striped`, `Concat`, `Overlay`, `Snapshot`, `Live`, `Crypt`, `Verity`, `Log`, `Fault`, `Flakey`. A target
closes what is below it only when it `owns` it. Targets hold no bounds code: put `core.device.checked` on top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootpath.core.lazyexports import lazy_exports

if TYPE_CHECKING:
    from bootpath.block.leaves.constant import ErasedDevice, ErrorDevice, ZeroDevice
    from bootpath.block.leaves.file import FileDevice
    from bootpath.block.leaves.memory import MemoryDevice
    from bootpath.block.leaves.open import SCHEMES, open_device
    from bootpath.block.live.disk import Classic, Live, accept_same_disk, live_disk
    from bootpath.block.live.hydration import Hydration
    from bootpath.block.live.late import LateDisk
    from bootpath.block.live.preload import Preload
    from bootpath.block.overlay.commit import OverlayInfo, commit_overlay, discard_overlay, overlay_info
    from bootpath.block.overlay.file import OverlayFile
    from bootpath.block.overlay.ram import Overlay
    from bootpath.block.table.devicenames import DeviceNames
    from bootpath.block.table.stack import TARGETS, Stack, open_table
    from bootpath.block.targets.concat import Concat
    from bootpath.block.targets.crypt import Crypt
    from bootpath.block.targets.exceptionstore import ExceptionStore
    from bootpath.block.targets.fault import Fault, Kind, Rule, pack_rules, parse_rules
    from bootpath.block.targets.flakey import Flakey
    from bootpath.block.targets.linear import Linear
    from bootpath.block.targets.log import Log
    from bootpath.block.targets.sectorcipher import open_cipher
    from bootpath.block.targets.snapshot import Snapshot
    from bootpath.block.targets.striped import Striped

__all__ = [
    "SCHEMES",
    "TARGETS",
    "Classic",
    "Concat",
    "Crypt",
    "DeviceNames",
    "ErasedDevice",
    "ErrorDevice",
    "ExceptionStore",
    "Fault",
    "FileDevice",
    "Flakey",
    "Hydration",
    "Kind",
    "LateDisk",
    "Linear",
    "Live",
    "Log",
    "MemoryDevice",
    "Overlay",
    "OverlayFile",
    "OverlayInfo",
    "Preload",
    "Rule",
    "Snapshot",
    "Stack",
    "Striped",
    "ZeroDevice",
    "accept_same_disk",
    "commit_overlay",
    "discard_overlay",
    "live_disk",
    "open_cipher",
    "open_device",
    "open_table",
    "overlay_info",
    "pack_rules",
    "parse_rules",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "targets.concat": "Concat",
        "leaves.constant": "ErasedDevice ErrorDevice ZeroDevice",
        "targets.crypt": "Crypt",
        "table.devicenames": "DeviceNames",
        "targets.exceptionstore": "ExceptionStore",
        "targets.fault": "Fault Kind Rule pack_rules parse_rules",
        "leaves.file": "FileDevice",
        "targets.flakey": "Flakey",
        "live.hydration": "Hydration",
        "live.late": "LateDisk",
        "targets.linear": "Linear",
        "live.disk": "Classic Live accept_same_disk live_disk",
        "targets.log": "Log",
        "leaves.memory": "MemoryDevice",
        "leaves.open": "SCHEMES open_device",
        "overlay.ram": "Overlay",
        "overlay.commit": "OverlayInfo commit_overlay discard_overlay overlay_info",
        "overlay.file": "OverlayFile",
        "live.preload": "Preload",
        "targets.sectorcipher": "open_cipher",
        "targets.snapshot": "Snapshot",
        "table.stack": "Stack TARGETS open_table",
        "targets.striped": "Striped",
    },
)
