"""bootpath: from the partition table of a disk image to its mounted root."""

from bootpath.core.lazyexports import lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__ = lazy_exports(__name__, __file__)
