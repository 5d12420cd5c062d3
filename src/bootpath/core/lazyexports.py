"""Names of a package that are imported when they are first asked for (PEP 562).

A package of many rooms re-exports from all of them; who asks for one should not wait for the others, least of all in a
guest, where each module is also a file of the initramfs::

    if TYPE_CHECKING:
        from package.room import Name          # for type checkers and readers
    __all__ = ["Name"]
    __getattr__, __dir__ = lazy_exports(__name__, {"room": "Name"})
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of `package`, whose modules have the names that `homes` lists for each."""
    module_of = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> object:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{package}.{module}"), name)
        setattr(sys.modules[package], name, value)  # asked for once
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return get, names
