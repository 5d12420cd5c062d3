"""Virtual machines: a QEMU that is described by values, reports what happened, and never outlives its parent."""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
