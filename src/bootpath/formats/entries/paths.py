"""Paths in boot entries: strings from a disk that must stay inside the file system they came from.

Sources: UAPI.1 "Type #1 Boot Loader Entry Keys": paths are "relative to the root of the file system containing the
boot entry snippet", "Paths should be normalized, i.e. not include .., . or a sequence of more than one /". U-Boot,
syslinux, extlinux and isolinux take paths of a menu relative to its directory (`formats.entries.menufiles`), and ".."
in them; it may not climb above the root.

Invariant: what these functions return begins with "/" and has no "", ".", or ".." among its names.
"""

from __future__ import annotations

import re
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.formats.entries.tries import BOOT_SPEC

MAX_PATH_BYTES = 4095  # Linux PATH_MAX with its NUL
MAX_COMPONENT_BYTES = 255  # NAME_MAX

_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def entry_path(text: str) -> str:
    """A path of a boot loader entry, from the root of its file system. Raises FormatError."""
    if ".." in text.split("/"):
        raise _fault(text, "a path without ..")
    return _absolute(text, [])


def menu_path(text: str, directory: str) -> str:
    """A path of an extlinux.conf in `directory`: from the root when it begins with "/". Raises FormatError."""
    return _absolute(text, [] if text.startswith("/") else [name for name in directory.split("/") if name])


def menu_directory(text: str, directory: str) -> str:
    """The same for a directory, which may be the root itself. Raises FormatError."""
    return menu_path(f"{text}/.directory", directory).rpartition("/")[0] or "/"


def _absolute(text: str, names: list[str]) -> str:
    if "\\" in text:
        # FAT has no such names, and to EFI a backslash is a separator: two programs would read two paths.
        raise _fault(text, "a path without backslashes")
    control = _CONTROL.search(text)
    if control:
        raise _fault(text, f"a path without {control.group()!r}")
    if len(text.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES:
        raise _fault(text, f"at most {MAX_PATH_BYTES} bytes")
    for name in text.split("/"):
        if name == "..":
            if not names:
                raise _fault(text, "a path that stays in its file system")
            names.pop()
        elif name not in ("", "."):
            if len(name.encode("utf-8", "surrogateescape")) > MAX_COMPONENT_BYTES:
                raise _fault(text, f"names of at most {MAX_COMPONENT_BYTES} bytes")
            names.append(name)
    if not names:
        raise _fault(text, "a path to a file")
    return "/" + "/".join(names)


def _fault(text: str, expected: str) -> FormatError:
    return FormatError(
        "the path is not allowed", where="boot entry", found=brief(text), expected=expected, spec=BOOT_SPEC
    )
