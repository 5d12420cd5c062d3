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
    from bootpath.block.concat import Concat
    from bootpath.block.constant import ErasedDevice, ErrorDevice, ZeroDevice
    from bootpath.block.crypt import Crypt
    from bootpath.block.devicenames import DeviceNames
    from bootpath.block.exceptionstore import ExceptionStore
    from bootpath.block.fault import Fault, Kind, Rule, pack_rules, parse_rules
    from bootpath.block.file import FileDevice
    from bootpath.block.flakey import Flakey
    from bootpath.block.hydration import Hydration
    from bootpath.block.late import LateDisk
    from bootpath.block.linear import Linear
    from bootpath.block.live import Classic, Live, accept_same_disk, live_disk
    from bootpath.block.log import Log
    from bootpath.block.memory import MemoryDevice
    from bootpath.block.open import SCHEMES, open_device
    from bootpath.block.overlay import Overlay
    from bootpath.block.overlaycommit import OverlayInfo, commit_overlay, discard_overlay, overlay_info
    from bootpath.block.overlayfile import OverlayFile
    from bootpath.block.preload import Preload
    from bootpath.block.sectorcipher import open_cipher
    from bootpath.block.snapshot import Snapshot
    from bootpath.block.stack import TARGETS, Stack, open_table
    from bootpath.block.striped import Striped

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
        "concat": "Concat",
        "constant": "ErasedDevice ErrorDevice ZeroDevice",
        "crypt": "Crypt",
        "devicenames": "DeviceNames",
        "exceptionstore": "ExceptionStore",
        "fault": "Fault Kind Rule pack_rules parse_rules",
        "file": "FileDevice",
        "flakey": "Flakey",
        "hydration": "Hydration",
        "late": "LateDisk",
        "linear": "Linear",
        "live": "Classic Live accept_same_disk live_disk",
        "log": "Log",
        "memory": "MemoryDevice",
        "open": "SCHEMES open_device",
        "overlay": "Overlay",
        "overlaycommit": "OverlayInfo commit_overlay discard_overlay overlay_info",
        "overlayfile": "OverlayFile",
        "preload": "Preload",
        "sectorcipher": "open_cipher",
        "snapshot": "Snapshot",
        "stack": "Stack TARGETS open_table",
        "striped": "Striped",
    },
)
