"""Names of a package that are imported when they are first asked for (PEP 562), and written once.

A package of many rooms exports from all of them; who asks for one name should not wait for the others, least of all in
a guest, where each module is also a file of the initramfs. So a package has two files. ``__init__.pyi`` is what type
checkers read, and has a line for each name::

    from package.room import Name as Name

``__init__.py`` reads those lines when a name is asked for, and not before::

    __getattr__, __dir__ = lazy_exports(__name__, __file__)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module

_EXPORT = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)


def lazy_exports(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of `package`, whose ``__init__`` is `file`."""

    @lru_cache(maxsize=1)
    def homes() -> Mapping[str, str]:
        with open(file.removesuffix("c") + "i", encoding="utf-8") as stub:
            return {name: module for module, name in _EXPORT.findall(stub.read())}

    def get(name: str) -> object:
        if name == "__all__":
            return sorted(homes())
        # Private names are no exports: `from bootpath import _native` has to work in a guest too, which has no stubs.
        if name.startswith("_") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(homes()[name]), name)
        setattr(sys.modules[package], name, value)  # asked for once
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes()})

    return get, names
