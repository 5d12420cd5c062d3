"""What is on a disk: its contents and the choice of a root, discovery of RedoxFS, layout, inspection, and the builders.

Names are imported when they are first asked for: a guest needs one room of these (`image.redox.discovery`).
"""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
