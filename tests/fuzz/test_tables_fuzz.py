"""A hostile table is refused with FormatError or TableError, and one that opens reads or fails with DeviceError."""

from __future__ import annotations

import errno
import re
from contextlib import closing
from pathlib import Path
from random import Random

from bootpath.block import TARGETS, MemoryDevice, open_table
from bootpath.core import Device, DeviceError, Error, FormatError, Identity, TableError
from bootpath.formats import Row, Table, parse_listing
from bootpath.formats.snapshotstore import SnapshotHeader, pack_exceptions, pack_snapshot_header
from tests.fuzz.mutation import mutations
from tests.support.patterns import pattern

CORPUS = Path(__file__).parent / "corpus"
SIZE = 64 << 10
ROUNDS = 1500
# What makes files, waits for its clock or sleeps is opened elsewhere.
OPENED = {name: opener for name, opener in TARGETS.items() if name not in ("overlayfile", "delay", "live")}
EXTRA = (
    "0 64 linear a 8\n64 32 striped 2 8 a 0 b 8\n",
    "0 64 overlay a 4096\n64 8 zero\n72 8 error\n",
    "0 64 snapshot a store P 8\n",
    "0 64 snapshot a b N 8\n64 64 snapshot-origin a\n",
    "0 64 fault a read:error:after=1 7\n",
)


def shelf() -> dict[str, Device]:
    header = SnapshotHeader(8)
    store = pack_snapshot_header(header) + pack_exceptions([(3, 2), (1, 3)], header) + pattern(0, SIZE)
    contents = {"a": pattern(0, SIZE), "b": bytes(SIZE), "store": store}
    return {name: MemoryDevice(bytearray(content), identity=Identity(name)) for name, content in contents.items()}


def try_table(text: str) -> str:
    """What became of it: refused, opened, or failed. Any other exception is the bug that fuzzing looks for."""
    devices = shelf()

    def resolve(name: str) -> Device:
        if name not in devices:
            raise DeviceError("no such device", errno=errno.ENOENT, where=name)
        return devices[name]

    try:
        listed = parse_listing(text)
    except FormatError:
        return "refused"
    try:
        device = open_table(listed[0].table, resolve, targets=OPENED)
    except TableError as error:
        str(error).encode()
        return "refused"
    with closing(device):
        try:
            device.read(0, min(device.size_bytes, SIZE) // device.block_bytes * device.block_bytes)
            if not device.read_only:
                device.write(0, bytes(device.block_bytes))
                device.flush()
        except DeviceError as error:
            str(error).encode()
            return "failed"
    return "opened"


def test_mutants_of_tables() -> None:
    samples = [re.sub(rb"8:[0-9]+|254:0", b"a", path.read_bytes()) for path in sorted((CORPUS / "target").iterdir())]
    samples += [re.sub(rb"8:[0-9]+|254:0", b"a", path.read_bytes()) for path in sorted((CORPUS / "listing").iterdir())]
    samples += [text.encode() for text in EXTRA]
    found = {try_table(data.decode("utf-8", "replace")) for data in mutations(samples, seed=5, count=ROUNDS)}
    assert found == {"refused", "opened", "failed"}


def test_mutants_of_exception_stores() -> None:
    """The bytes of the COW device are as hostile as the table."""
    sample = bytes(shelf()["store"].read(0, 8192)[0])
    table = Table((Row(0, SIZE // 512, "snapshot", ("a", "store", "P", "8")),))
    random = Random(6)
    outcomes: set[str] = set()
    for data in mutations([sample, sample[:4096]], seed=7, count=600):
        devices = shelf()
        content = data[:8192].ljust(random.choice([8192, 12288, SIZE]), b"\0")
        devices["store"] = MemoryDevice(bytearray(content), identity=Identity("store"))
        try:
            with closing(open_table(table, devices.__getitem__)) as device:
                device.read(0, SIZE)
                device.write(512, bytes(512))
                device.flush()
            outcomes.add("opened")
        except (TableError, DeviceError) as error:
            str(error).encode()
            outcomes.add(type(error).__name__)
    assert outcomes == {"opened", "TableError", "DeviceError"}


def test_errors_are_of_the_tree() -> None:
    assert issubclass(TableError, Error)
