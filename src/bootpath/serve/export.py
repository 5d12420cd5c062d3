"""Exports: a name, a device and the flags that clients see.

A device says which reads it can answer without waiting (`read_resident`), and at which alignment its writes do not wait
(`write_granularity`). All other requests go to a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bootpath.block.targets.anybytes import WriteGate
from bootpath.core.device import Checked, Device, checked
from bootpath.formats.nbd.transmission import BASE_ALLOCATION, SOURCE, SOURCES, TransmissionFlag

CONTEXTS: Mapping[str, int] = {BASE_ALLOCATION: 1, SOURCE: 2}  # name: id


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """One device under one name. The device stays its owner's, unless the exports are made per connection.

    `read_only` refuses writing to a device that could be written. `shared` says that every connection reaches this
    same device object, so that a client may use several (NBD_FLAG_CAN_MULTI_CONN). `count_access` is called with the
    offset of a request in every batch (`live.histogram`). Exports of one device share a `gate`.
    """

    name: str
    device: Device
    description: str = ""
    read_only: bool = False
    shared: bool = True
    count_access: Callable[[int], None] | None = None
    gate: WriteGate = field(default_factory=WriteGate)

    @property
    def refuses_writes(self) -> bool:
        """True when the client may only read."""
        return self.read_only or self.device.read_only

    def checked(self) -> Checked:
        """The device with its contract enforced."""
        return checked(self.device)

    def flags(self, *, chunked: bool, status_payload: bool) -> int:
        """NBD_FLAG_* for a client that negotiated structured or extended replies (`chunked`)."""
        flags = (
            TransmissionFlag.HAS_FLAGS
            | TransmissionFlag.SEND_FLUSH
            | TransmissionFlag.SEND_FUA
            | TransmissionFlag.SEND_CACHE
        )
        if self.refuses_writes:
            flags |= TransmissionFlag.READ_ONLY
        else:
            flags |= TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO
        if self.shared:
            flags |= TransmissionFlag.CAN_MULTI_CONN
        # "MUST leave this flag clear if structured replies have not been negotiated"
        if chunked:
            flags |= TransmissionFlag.SEND_DF
        if status_payload:
            flags |= TransmissionFlag.BLOCK_STATUS_PAYLOAD
        return int(flags)


Exports: TypeAlias = Mapping[str, Export]
ExportSource: TypeAlias = Exports | Callable[[], Exports]


def find_export(exports: Exports, name: str) -> Export | None:
    """The export of that name. The empty name is the default export: the one called "", or the only one there is."""
    export = exports.get(name)
    if export is None and name == "" and len(exports) == 1:
        return next(iter(exports.values()))
    return export


def source_number(source: str) -> int:
    """The number of a source in bootpath:source."""
    return SOURCES.get(source, 0)
