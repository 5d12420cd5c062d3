"""The boot path: loader, plan, handoff applied, the simulation of all of it, and the same in a machine.

Names are imported when they are first asked for (PEP 562): the part that runs in a guest (`bootpath.boot.guest`) lives
below this package, and must not bring the planner and the simulation into an initramfs.
"""

from bootpath.core.lazyexports import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, __file__)
