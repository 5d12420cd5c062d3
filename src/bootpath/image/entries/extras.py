"""The extra resources of a boot entry: credentials and extension images, which a kernel gets in its initrd.

Source: UAPI.1 ``extra``: "The file name must be suffixed with a recognized suffix which indicates the type of
additional resource [...] implementations must gracefully handle unrecognized suffixes". Where they are looked for, and
with which permissions, is systemd-stub(7)'s: an archive behind the entry's own, with::

    .extra/credentials   *.cred          directory 0500, files 0400
    .extra/sysext        *.sysext.raw    0555, 0444
    .extra/confext       *.confext.raw   0555, 0444
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio


@dataclass(frozen=True, slots=True)
class _Kind:
    suffix: str
    directory: str
    directory_permissions: int
    permissions: int


_KINDS = (
    _Kind(".cred", ".extra/credentials", 0o500, 0o400),
    _Kind(".sysext.raw", ".extra/sysext", 0o555, 0o444),
    _Kind(".confext.raw", ".extra/confext", 0o555, 0o444),
)
EXTRA_SUFFIXES = tuple(kind.suffix for kind in _KINDS)


def is_extra(path: str) -> bool:
    """True when the suffix of a resource is one that is recognized, in any case."""
    return path.lower().endswith(EXTRA_SUFFIXES)


def pack_extras(resources: Iterable[tuple[str, bytes]]) -> bytes:
    """The archive of resources, by their paths; empty when none has a suffix that is recognized.

    Raises FormatError when two different ones have the same name.
    """
    entries = []
    for path, content in resources:
        name = path.rpartition("/")[2]
        for kind in _KINDS:
            if name.lower().endswith(kind.suffix):
                entries.append(CpioEntry.directory(kind.directory, kind.directory_permissions))
                entries.append(CpioEntry.file(f"{kind.directory}/{name}", content, kind.permissions))
    return pack_cpio(arrange_cpio(entries)) if entries else b""
