"""Bytes and frozen values: every format is parsed and packed here, and nothing is opened, written or logged."""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
