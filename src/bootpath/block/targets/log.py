"""log: passes everything through and records it, in the I/O vocabulary of `core.iolog`.

A record is emitted when its operation has ended, failed ones too, with their errno; so the order of records is the
order of completion. A resident read that is not answered leaves no record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bootpath.block.targets.filter import Filter
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError
from bootpath.core.iolog import Discard, Flush, Mark, Read, Record, Sink, Write, Zero


class Log(Filter):
    """Logs the operations on `lower` to `sink`, which is called on the thread of the operation.

    `keep_data` keeps what was written (crash exploration replays it); `sources` asks the lower device, before each
    read, where the bytes will come from, and joins several sources with "+".
    """

    def __init__(
        self, lower: Device, sink: Sink, *, keep_data: bool = False, sources: bool = False, owns: bool = False
    ) -> None:
        super().__init__(lower, owns=owns)
        self._sink = sink
        self._keep_data = keep_data
        self._sources = sources

    def mark(self, name: str) -> None:
        """Name what follows."""
        self._sink(Mark(name))

    def _logged(self, operation: Callable[[], None], record: Callable[[int], Record]) -> None:
        """Run the operation and emit its record, with errno 0 or the errno of its failure."""
        try:
            operation()
        except DeviceError as error:
            self._sink(record(error.errno))
            raise
        self._sink(record(0))

    def _source(self, offset: int, length: int) -> str:
        if not self._sources:
            return ""
        try:
            return "+".join(dict.fromkeys(segment.source for segment in self.lower.extents(offset, length)))
        except DeviceError:
            return ""  # the read that follows will fail too, and is logged with its errno

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        source = self._source(offset, length)
        try:
            views = self.lower.read(offset, length)
        except DeviceError as error:
            self._sink(Read(offset, length, source, error.errno))
            raise
        self._sink(Read(offset, length, source))
        return views

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`."""
        source = self._source(offset, length)
        try:
            views = self.lower.read_resident(offset, length)
        except DeviceError as error:
            self._sink(Read(offset, length, source, error.errno))
            raise
        if views is not None:
            self._sink(Read(offset, length, source))
        return views

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        kept = bytes(data) if self._keep_data else None
        length = len(data)
        self._logged(
            lambda: self.lower.write(offset, data, fua=fua),
            lambda code: Write(offset, length, kept, fua, code),
        )

    def flush(self) -> None:
        """See `Device.flush`."""
        self._logged(self.lower.flush, Flush)

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        self._logged(lambda: self.lower.discard(offset, length), lambda code: Discard(offset, length, code))

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        self._logged(lambda: self.lower.zero(offset, length), lambda code: Zero(offset, length, code))
