"""What a device argument of a table means: another table, a partition of a given disk, or what `open_device` opens.

In this order:

1. a name that is mapped (``8:1=disk.img``) is what it is mapped to, looked up from 2 on;
2. ``NAME`` or ``/dev/mapper/NAME`` of a table of the same listing is that table's device, opened once;
3. ``PARTUUID=…``, ``PARTUUID=…/PARTNROFF=n``, ``PARTLABEL=…`` and ``/dev/disk/by-partuuid/…``,
   ``/dev/disk/by-partlabel/…`` are looked for on the disks that were given (Linux block/early-lookup.c), in a GPT or an
   MBR. A partition that is on several of them, or there twice, is refused;
4. ``MAJOR:MINOR`` is ``/dev/block/MAJOR:MINOR``, as udev has it;
5. everything else is a path or a URI.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from bootpath.block.table.stack import open_table
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Device, Identity
from bootpath.core.errors import DeviceError, FormatError, LimitError, TableError
from bootpath.core.limits import check_limit
from bootpath.formats.dm.table import Table
from bootpath.formats.partitions.gpt import Gpt, read_gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.mbr import Mbr, MbrPartition, has_partitions, read_mbr

_MAPPER = "/dev/mapper/"
_NUMBER = re.compile(r"[0-9]{1,4}:[0-9]{1,7}")
_PARTUUID = re.compile(
    r"(?:PARTUUID=|/dev/disk/by-partuuid/)(?P<guid>[0-9A-Fa-f-]{36}|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{2})(?:/PARTNROFF=(?P<off>-?[0-9]{1,3}))?"
)
_PARTLABEL = re.compile(r"(?:PARTLABEL=|/dev/disk/by-partlabel/)(?P<label>.+)", re.DOTALL)


class DeviceNames:
    """Resolves the names of a listing's `tables`; give it to `open_table`, and close it after the stack.

    `disks` are whole disks with a partition table, which stay their owner's; `open_leaf` opens paths and URIs.
    """

    def __init__(
        self,
        open_leaf: Callable[[str], Device],
        *,
        mapped: Mapping[str, str] | None = None,
        tables: Mapping[str, Table] | None = None,
        disks: Sequence[Device] = (),
    ) -> None:
        self._open_leaf = open_leaf
        self._mapped = dict(mapped or {})
        self._tables = dict(tables or {})
        self._disks = tuple(disks)
        self._opened = ExitStack()
        self._devices: dict[str, Device] = {}
        self._opening: list[str] = []

    def __call__(self, name: str) -> Device:
        """The device of that name, the caller's own to close. Raises DeviceError, or TableError from another table."""
        name = self._mapped.get(name, name)
        table_name = name.removeprefix(_MAPPER)
        if table_name in self._tables:
            return self._table_device(table_name)
        partition = self._partition(name)
        if partition is not None:
            return partition
        return self._open_leaf(f"/dev/block/{name}" if _NUMBER.fullmatch(name) else name)

    def _table_device(self, name: str) -> Device:
        """The device of a table, which all who name it share."""
        if name in self._opening:
            raise TableError("the tables stand on each other in a circle", found=" -> ".join([*self._opening, name]))
        if name not in self._devices:
            try:
                check_limit("table_depth", len(self._opening), "too many devices stand on each other")
            except LimitError as error:
                raise TableError(error.what, found=error.found, expected=error.expected, hint=error.hint) from error
            self._opening.append(name)
            try:
                stack = open_table(self._tables[name], self, identity=Identity(name))
            except TableError as error:
                raise error.at(name) from None
            finally:
                self._opening.pop()
            self._opened.callback(stack.close)
            self._devices[name] = stack
        device = self._devices[name]
        return Linear(device, 0, device.size_bytes, identity=device.identity)

    def _partition(self, name: str) -> Device | None:
        """The partition that a name means, when it means one and disks were given."""
        by_guid, by_label = _PARTUUID.fullmatch(name), _PARTLABEL.fullmatch(name)
        if not self._disks or (by_guid is None and by_label is None):
            return None
        found: list[tuple[Device, Partition | MbrPartition]] = []
        for disk in self._disks:
            try:
                table = _read_table(disk)
            except FormatError as error:
                raise DeviceError(str(error), errno=errno.EINVAL, where=disk.identity.name) from error
            for partition in table.partitions:
                name_in_table = partition.name if isinstance(partition, Partition) else None
                if by_label is not None and name_in_table == by_label["label"]:
                    found.append((disk, partition))
                elif by_guid is not None and partition.partuuid == by_guid["guid"].lower():
                    wanted = table.partition(partition.number + int(by_guid["off"] or 0))
                    if wanted is not None:
                        found.append((disk, wanted))
        if len(found) != 1:
            names = " and ".join(f"{disk.identity.name} partition {partition.number}" for disk, partition in found)
            raise DeviceError(
                "the partition is not on exactly one disk", errno=errno.ENODEV, where=name, found=names or "none"
            )
        disk, partition = found[0]
        guid = partition.guid if isinstance(partition, Partition) else None
        identity = Identity(f"{disk.identity.name} partition {partition.number}", partition_guid=guid)
        return Linear(disk, partition.offset_bytes, partition.size_bytes, identity=identity)

    def close(self) -> None:
        """Close the tables' devices, those that were opened last first."""
        self._opened.close()
        self._devices.clear()


def _read_table(disk: Device) -> Gpt | Mbr:
    """The partition table that Linux would read. Raises FormatError where there is none."""
    mbr = read_mbr(disk) if has_partitions(disk) else None
    return read_gpt(disk) if mbr is None else mbr
