"""RedoxFS through its upstream crate: open, read, write, archive, mount, and the ring of headers."""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
