"""The block layer: leaves that hold bytes, targets that map them, and the stack that a table describes.

`leaves` have nothing below them (a file, memory, an NBD server), `targets` map a device below them; `overlay` keeps
what is written, `live` is a preload with a disk behind it, and `table` opens all of them from device-mapper lines. A
target closes what is below it only when it `owns` it. Targets hold no bounds code: put `core.device.checked` on top.
"""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
