"""The block floor: leaves that hold bytes, targets that map them, and the stack that a table describes.

Leaves: `FileDevice`, `MemoryDevice`, `LateDisk` (a disk that appears later), `ZeroDevice`, `ErrorDevice`,
`ErasedDevice`. Targets:
`Linear`, `Striped`, `Concat`, `Overlay`, `Snapshot`, `Live`, `Crypt`, `Verity`, `Log`, `Fault`, `Flakey`. A target
closes what is below it only when it `owns` it. Targets hold no bounds code: put `core.device.checked` on top.
"""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
