"""The entries of tables: a hostile one is refused, and one that opens reads and writes, or fails with DeviceError."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from contextlib import closing

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.openers import OPENERS
from bootpath.block.table.stack import open_table
from bootpath.core.device import Device, Identity
from bootpath.core.errors import DeviceError, FormatError, TableError
from bootpath.formats.dm.listing import parse_listing
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.exceptionstore import SnapshotHeader, pack_exceptions, pack_snapshot_header
from tests.fuzz.entry import CORPUS, Entry
from tests.support.patterns import pattern
from tests.support.targetsamples import TARGET_SAMPLES

SIZE = 64 << 10
_PATTERN = pattern(0, SIZE)
STORE_BYTES = 8192
# What makes files, waits for its clock or sleeps is opened elsewhere.
OPENED = {name: opener for name, opener in OPENERS.items() if name not in ("overlayfile", "delay", "live")}
EXTRA = (
    "0 64 linear a 8\n64 32 striped 2 8 a 0 b 8\n",
    "0 64 overlay a 4096\n64 8 zero\n72 8 error\n",
    "0 64 snapshot a store P 8\n",
    "0 64 snapshot a b N 8\n64 64 snapshot-origin a\n",
    "0 64 fault a read:error:after=1 7\n",
)
SNAPSHOT = Table((TableLine(0, SIZE // 512, "snapshot", ("a", "store", "P", "8")),))
ERRORS = (FormatError, TableError, DeviceError)


def sound_store() -> bytes:
    header = SnapshotHeader(8)
    return pack_snapshot_header(header) + pack_exceptions([(3, 2), (1, 3)], header)


def shelf(store: bytes) -> dict[str, Device]:
    contents = {"a": _PATTERN, "b": bytes(SIZE), "store": store}
    return {name: MemoryDevice(bytearray(content), identity=Identity(name)) for name, content in contents.items()}


def _open(data: bytes) -> None:
    devices = shelf(sound_store() + _PATTERN)

    def resolve(name: str) -> Device:
        if name not in devices:
            raise DeviceError("no such device", errno=errno.ENOENT, where=name)
        return devices[name]

    listed = parse_listing(data.decode("utf-8", "replace"))
    with closing(open_table(listed[0].table, resolve, openers=OPENED)) as device:
        device.read(0, min(device.size_bytes, SIZE) // device.block_bytes * device.block_bytes)
        if not device.read_only:
            device.write(0, bytes(device.block_bytes))
            device.flush()


def _exception_store(data: bytes) -> None:
    """The bytes of the COW device are as hostile as the table; the first of them says how large it is."""
    size = (STORE_BYTES, STORE_BYTES + 4096, SIZE)[data[0] % 3 if data else 0]
    store = data[1 : STORE_BYTES + 1].ljust(size, b"\0")
    with closing(open_table(SNAPSHOT, shelf(store).__getitem__)) as device:
        device.read(0, SIZE)
        device.write(512, bytes(512))
        device.flush()


def _lines() -> Sequence[bytes]:
    """The samples of all targets, and what the corpora have, over the devices of the shelf."""
    paths = sorted(path for folder in ("target", "listing") for path in (CORPUS / folder).iterdir())
    return [re.sub(rb"8:[0-9]+|254:0", b"a", path.read_bytes()) for path in paths] + [
        text.encode() for text in (*EXTRA, *(sample.table for sample in TARGET_SAMPLES.values()))
    ]


def _stores() -> Sequence[bytes]:
    sample = (sound_store() + _PATTERN)[:STORE_BYTES]
    return [bytes([size]) + data for size in range(3) for data in (sample, sample[:4096])]


TABLES = (
    Entry("open_table", _open, ERRORS, made=_lines, rounds=1500),
    Entry("exception_store", _exception_store, ERRORS, made=_stores, max_bytes=STORE_BYTES + 1, rounds=600),
)
