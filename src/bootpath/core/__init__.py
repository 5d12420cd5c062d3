"""What everything stands on: errors, extents, the Device contract and the I/O log's records."""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
