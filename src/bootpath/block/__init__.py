"""The block floor: leaves that hold bytes, targets that map them, and the stack that a table describes.

Leaves: `FileDevice`, `MemoryDevice`, `LateDisk` (a disk that appears later), `ZeroDevice`, `ErrorDevice`. Targets:
`Linear`, `Concat`, `Overlay`, `Live`, `Log`, `Fault`. A target closes what is below it only when it `owns` it. Targets
hold no bounds code: put `core.device.checked` on top.
"""

from bootpath.block.concat import Concat
from bootpath.block.constant import ErrorDevice, ZeroDevice
from bootpath.block.fault import Fault, Kind, Rule, pack_rules, parse_rules
from bootpath.block.file import FileDevice
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
from bootpath.block.stack import TARGETS, Stack, open_table

__all__ = [
    "SCHEMES",
    "TARGETS",
    "Classic",
    "Concat",
    "ErrorDevice",
    "Fault",
    "FileDevice",
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
    "Stack",
    "ZeroDevice",
    "accept_same_disk",
    "commit_overlay",
    "discard_overlay",
    "live_disk",
    "open_device",
    "open_table",
    "overlay_info",
    "pack_rules",
    "parse_rules",
]
