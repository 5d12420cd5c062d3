"""Tables for the kernel: refused when it could not take them as they are meant.

The kernel knows its own targets and block devices only. Our targets (`overlay`, `live`, …) are named and refused, never
mapped to something like them, and so are device arguments that are paths of files or URIs: they must be given the name
that they have where the table is loaded.
"""

from __future__ import annotations

import re
from enum import Enum

from bootpath.core.errors import FormatError
from bootpath.formats.dm.create import MappedDevice, pack_dm_create
from bootpath.formats.dm.crypt import CryptTarget
from bootpath.formats.dm.listing import ListedTable, pack_concise_listing, pack_listing
from bootpath.formats.dm.targets import KERNEL_TARGETS, TARGETS, device_names, parse_target

_KERNEL_DEVICE = re.compile(r"/dev/\S+|[0-9]{1,4}:[0-9]{1,7}|PART(?:UUID|LABEL)=\S+")


class ExportFormat(Enum):
    """Who reads it: dmsetup create, the same with --concise, or the kernel on its command line."""

    DMSETUP = "dmsetup"
    CONCISE = "concise"
    COMMAND_LINE = "dm-mod.create"


def export_listing(listed: tuple[ListedTable, ...], to: ExportFormat) -> str:
    """The text for dmsetup (lines), or the whole dm-mod.create="…". Raises FormatError that names what cannot be."""
    for each in listed:
        _check(each)
    if to is ExportFormat.DMSETUP:
        return pack_listing(listed)
    if to is ExportFormat.CONCISE:
        return f"{pack_concise_listing(listed)}\n"
    devices = tuple(MappedDevice(each.name, each.uuid, each.minor, each.read_only, each.table) for each in listed)
    return f'dm-mod.create="{pack_dm_create(devices)}"\n'


def _check(listed: ListedTable) -> None:
    where = f"{listed.name}: " if listed.name else ""
    for number, line in enumerate(listed.table.lines, start=1):
        at = f"{where}line {number}: {line.target}"
        if line.target not in KERNEL_TARGETS:
            what = "the target is one of this package" if line.target in TARGETS else "the target is unknown"
            raise FormatError(what, where=at, expected="a target of the kernel")
        if line.target not in TARGETS:
            continue  # nothing is known of its words
        value = parse_target(line)
        if isinstance(value, CryptTarget) and value.hidden:
            raise FormatError("the key is all zeros", where=at, hint="dmsetup table hides keys: use --showkeys")
        for name in device_names(line):
            if _KERNEL_DEVICE.fullmatch(name) is None:
                raise FormatError(
                    "the kernel cannot find the device by this name",
                    where=at,
                    found=repr(name),
                    expected="a block device: /dev/…, MAJOR:MINOR, PARTUUID=…",
                    hint="give the name that it has there: --device NAME=/dev/…",
                )
