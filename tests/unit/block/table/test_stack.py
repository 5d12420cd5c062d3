from __future__ import annotations

import errno
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.block.table.openers import OPENERS
from bootpath.block.table.stack import open_table
from bootpath.core.device import Device, Identity, read_bytes
from bootpath.core.errors import DeviceError, IntegrityError, TableError
from bootpath.formats.dm.table import Table, TableLine, parse_table
from bootpath.formats.dm.verity import VerityTarget
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.verity.tree import build_tree
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, MIB, Counting, disk, whole


class Shelf:
    """Devices by name, and how often each was asked for."""

    def __init__(self, **devices: Device) -> None:
        self.devices = devices
        self.asked: list[str] = []

    def __call__(self, name: str) -> Device:
        self.asked.append(name)
        if name not in self.devices:
            raise DeviceError("no such device", errno=errno.ENOENT, where=name)
        return self.devices[name]


def test_a_single_linear_line_reaches_the_disk_directly() -> None:
    shelf = Shelf(sda=disk(MIB))
    stack = open_table(parse_table("0 8 linear sda 2"), shelf, identity=Identity("part"))
    assert (stack.size_bytes, stack.identity.name, stack.read_only) == (4 * KIB, "part", True)
    assert_pattern(whole(stack), 1024)
    direct = stack.direct()
    assert direct is not None
    assert direct.offset == 1024


def test_lines_are_laid_end_to_end() -> None:
    shelf = Shelf(sda=disk(MIB), sdb=disk(MIB, tag=1))
    stack = open_table(
        parse_table("0 8 linear sdb 0\n8 8 zero\n16 8 error\n24 8 linear sda 100\n32 1 linear sda 0"), shelf
    )
    assert stack.size_bytes == 33 * 512
    expected = pattern(0, 4 * KIB, tag=1) + bytes(4 * KIB)
    assert read_bytes(stack, 0, 8 * KIB) == expected
    assert_pattern(read_bytes(stack, 12 * KIB, 4 * KIB), 100 * 512)
    with pytest.raises(DeviceError, match="error target"):
        stack.read(7 * KIB, 2 * KIB)
    assert shelf.asked == ["sdb", "sda"]


def test_the_stack_is_checked() -> None:
    stack = open_table(parse_table("0 8 zero"), Shelf())
    with pytest.raises(DeviceError) as caught:
        stack.read(4 * KIB, 512)
    assert caught.value.errno == errno.EINVAL


def test_closing_closes_each_device_once() -> None:
    lower = Counting(bytes(MIB))
    stack = open_table(parse_table("0 8 linear sda 0\n8 8 overlay sda"), Shelf(sda=lower))
    stack.close()
    stack.close()
    assert lower.closed == 1


def test_a_table_that_cannot_be_opened_closes_what_it_opened() -> None:
    lower = Counting(bytes(MIB))
    with pytest.raises(TableError):
        open_table(parse_table("0 8 linear sda 0\n8 8 linear sdb 0"), Shelf(sda=lower))
    assert lower.closed == 1


def test_overlay_line() -> None:
    base = disk(MIB)
    stack = open_table(parse_table("0 16 overlay sda 4096"), Shelf(sda=base))
    assert isinstance(stack.lower, Overlay)
    stack.write(0, pattern(0, 4 * KIB, tag=1))
    assert_pattern(read_bytes(stack, 0, 4 * KIB), 0, tag=1)
    with pytest.raises(DeviceError, match="full"):
        stack.write(4 * KIB, pattern(4 * KIB, 4 * KIB, tag=1))
    assert_pattern(whole(base), 0)


def test_fault_line() -> None:
    stack = open_table(parse_table("0 16 fault sda read:error:extent=4096+1 7"), Shelf(sda=disk(MIB)))
    stack.read(0, 4 * KIB)
    with pytest.raises(DeviceError, match="fault rule 0"):
        stack.read(4 * KIB, 512)


LIVE = "0 128 live ram sda 0 0+8192,16384+4096"


def ram(tag: int = 0) -> MemoryDevice:
    return MemoryDevice(pattern(0, 8192, tag) + pattern(16384, 4096, tag))


def test_live_line() -> None:
    stack = open_table(parse_table(LIVE), Shelf(ram=ram(), sda=disk(64 * KIB)))
    assert_pattern(whole(stack), 0)
    assert [segment.source for segment in stack.extents(0, 64 * KIB)] == ["preload", "disk", "preload", "disk"]


def test_live_line_finds_its_disk_later_and_again() -> None:
    first, second = Counting(pattern(0, 64 * KIB)), Counting(pattern(0, 64 * KIB))
    shelf = Shelf(ram=ram())
    stack = open_table(parse_table(LIVE), shelf)
    assert_pattern(read_bytes(stack, 0, 8 * KIB), 0)
    with pytest.raises(DeviceError, match=r"sda: no disk has appeared within 0 s \(sda: no such device\)"):
        stack.read(8 * KIB, 512)
    shelf.devices["sda"] = first
    live = stack.lower
    live.late.notify()  # type: ignore[attr-defined]  # what a hot-plug event does
    assert_pattern(read_bytes(stack, 8 * KIB, 512), 8 * KIB)
    first.broken = True
    shelf.devices["sda"] = second
    assert_pattern(read_bytes(stack, 9 * KIB, 512), 9 * KIB)
    stack.close()
    assert (first.closed, second.closed) == (1, 1)


@pytest.mark.parametrize(
    ("candidate", "text"), [(disk(64 * KIB, tag=1), "the disk differs from the preload"), (disk(60 * KIB), "truncated")]
)
def test_live_line_refuses_another_disk(candidate: Device, text: str) -> None:
    stack = open_table(parse_table(LIVE), Shelf(ram=ram(), sda=candidate))
    with pytest.raises(DeviceError, match=text):
        stack.read(8 * KIB, 512)


def test_live_line_without_a_disk() -> None:
    lower = Counting(pattern(0, 8192))
    lower.direct = lambda: None  # type: ignore[method-assign]  # not in RAM: it is copied there
    stack = open_table(parse_table("0 128 live ram - 30 0+8192"), Shelf(ram=lower))
    assert_pattern(read_bytes(stack, 0, 8 * KIB), 0)
    assert lower.reads == [(0, 8192)]
    with pytest.raises(DeviceError, match="no fallback disk"):
        stack.read(8 * KIB, 512)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("0 8 linear", "table line 1: linear: the arguments do not fit the target"),
        ("0 8 zero\n8 8 linear sda 0 1", "table line 2: linear: the arguments do not fit the target"),
        ("0 8 linear sda -1", "table line 1: linear: start_sector is not a number"),
        ("0 8 linear sda ٣", "start_sector"),
        ("0 8 linear sda " + "9" * 5000, "start_sector"),
        ("0 8 linear sdx 0", "table line 1: linear: sdx: no such device"),
        ("0 8 linear sda 2048", "table line 1: linear: .* truncated"),
        ("0 8 zero 1", "table line 1: zero: the arguments do not fit the target"),
        ("0 8 error 1", "table line 1: error: the arguments do not fit the target"),
        (
            "0 8 thin sda 0",
            "table line 1: thin: Linux has this target, but it cannot be opened here",
        ),
        ("0 8 overlay sda x", "max_bytes"),
        ("0 8 overlay sda 1 2", "arguments"),
        ("0 8192 overlay sda", "truncated"),
        ("0 8 overlayfile sda", "the arguments do not fit the target"),
        ("0 8 overlayfile sda /nowhere/at/all", "table line 1: overlayfile: .*No such file"),
        ("0 8 fault sda read:explode", "table line 1: fault: fault rule 'read:explode'"),
        ("0 8 fault sda read:error x", "seed"),
        ("0 8 live sda sda x 0+512", "deadline_seconds"),
        ("0 8 live sda sda 1 0-512", "the offset of an extent is not a number"),
        ("0 8 live sda - x 0+512", "deadline_seconds"),
        ("0 8 live sda sda 1 512", "the length of an extent is not a number"),
        ("0 8 live sda - 1 0+1048577", "the preload is too short"),
        ("0 8 live sda - 1", "arguments"),
        ("0 7 linear big 0\n7 1 zero", "table line 1: linear: .* misaligned"),
        ("0 8 linear big 0\n8 1 zero", "table: zero: part 1 does not end on a block"),
    ],
)
def test_errors_name_the_line_and_the_target(table: str, text: str) -> None:
    shelf = Shelf(sda=disk(MIB), big=disk(MIB, block_bytes=4096))
    with pytest.raises(TableError, match=text):
        open_table(parse_table(table), shelf)


def test_a_target_without_an_opener_is_refused() -> None:
    openers = {name: opener for name, opener in OPENERS.items() if name != "linear"}
    with pytest.raises(TableError, match="table line 1: linear: this target is not opened here"):
        open_table(parse_table("0 8 linear sda 0"), Shelf(sda=disk(MIB)), openers=openers)


def test_overlay_file_line(tmp_path: Path) -> None:
    lower = disk(16 * KIB)
    table = parse_table(f"0 32 overlayfile sda {tmp_path / 'changes'}")
    for expected in (pattern(4096, 4096), b"\xcd" * 4096):
        stack = open_table(table, Shelf(sda=lower))
        assert read_bytes(stack, 4096, 4096) == expected
        stack.write(4096, b"\xcd" * 4096)
        stack.close()
    assert_pattern(read_bytes(lower, 0, 16 * KIB), 0)
    with pytest.raises(TableError, match=r"line 1: overlayfile: .*content of the first"):
        open_table(table, Shelf(sda=disk(16 * KIB, tag=1)))
    capped = open_table(parse_table(f"0 32 overlayfile sda {tmp_path / 'capped'} 4096"), Shelf(sda=lower))
    capped.write(4096, b"\x01" * 4096)
    with pytest.raises(DeviceError, match="full") as caught:
        capped.write(8192, b"\x01" * 4096)
    assert caught.value.errno == errno.ENOSPC
    capped.close()


VERITY = VerityParameters(64, salt=b"\x12\x34")


def verity_table(root_hash: bytes, *, options: tuple[str, ...] = (), sectors: int = 64 * 8) -> Table:
    args = VerityTarget("data", "hashes", VERITY, 0, root_hash, options).pack()
    return Table((TableLine(0, sectors, "verity", args),))


def test_verity() -> None:
    data, hashes = MemoryDevice(64 * 4096), MemoryDevice(VERITY.tree_blocks() * 4096)
    data.write(0, pattern(0, 64 * 4096))
    root_hash = build_tree(data, hashes, VERITY, start_block=0)
    named = {"data": data, "hashes": hashes}
    with closing(open_table(verity_table(root_hash, sectors=63 * 8), named.__getitem__)) as device:
        assert device.size_bytes == 63 * 4096
        assert read_bytes(device, 4096, 8192) == pattern(4096, 8192)
    data.write(4096, bytes(4096))
    for options in ((), ("restart_on_corruption",), ("panic_on_corruption",)):
        with closing(open_table(verity_table(root_hash, options=options), named.__getitem__)) as device:
            with pytest.raises(IntegrityError, match="data block 1 "):
                device.read(4096, 4096)
            if options:
                with pytest.raises(IntegrityError):
                    device.read(0, 4096)
    with closing(open_table(verity_table(root_hash, options=("ignore_corruption",)), named.__getitem__)) as device:
        assert read_bytes(device, 4096, 4096) == bytes(4096)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("1 data", "at least 10"),
        ("1 data hashes 4096 4096 64 0 sha256 00 -", "the root hash has another length than the algorithm's digest"),
        ("1 data hashes 4096 4096 64 0 md5 00 -", "algorithm is"),
        ("1 data hashes 4096 4096 64 0 sha256 " + "00" * 32 + " - 1 use_fec_from_device", "option "),
        ("1 data hashes 4096 4096 64 0 sha256 " + "00" * 32 + " - 3 ignore_corruption", "#opt_params"),
        (
            "1 data hashes 4096 4096 65 0 sha256 " + "00" * 32 + " -",
            "the data device is too short for its hash tree; expected at least 266240",
        ),
    ],
)
def test_verity_lines_that_cannot_be(args: str, message: str) -> None:
    named = {"data": MemoryDevice(64 * 4096), "hashes": MemoryDevice(64 * 4096)}
    with pytest.raises(TableError, match=message):
        open_table(Table((TableLine(0, 64 * 8, "verity", tuple(args.split())),)), named.__getitem__)


KEY = bytes(range(64)).hex()


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("0 10 striped 2 4 sda 0 sda 8", "striped: num_sectors does not end on a round of chunks"),
        ("0 16 striped 2 8 sda 0 sda 2048", "line 1: striped: .* ends past the device"),
        ("0 8 delay sda 0 5 sda 8 5", "line 1: delay: sda: reads and writes go to different places"),
        ("0 8 flakey sda 0 1 1 5 corrupt_bio_byte 1 r 1 32", "line 1: flakey: .* bio flags"),
        (f"0 8 crypt aes-cbc-plain {KEY} 0 sda 0", "sda: this cipher is not supported"),
        ("0 8 crypt aes-xts-plain64 :64:logon:k 0 sda 0", "line 1: crypt: sda: the key is in the kernel's keyring"),
        (f"0 8 crypt aes-xts-plain64 {'0' * 128} 0 sda 0", "line 1: crypt: sda: the key is all zeros; .* --showkeys"),
        (f"0 8 crypt aes-xts-plain64 {KEY} 0 sda 0 1 integrity:28:aead", "line 1: crypt: sda: .* integrity metadata"),
        (f"0 8 crypt aes-xts-plain64 {KEY} 0 sda 2048", "line 1: crypt: .* ends past the device"),
        (
            f"0 9 crypt aes-xts-plain64 {KEY} 0 sda 0 1 sector_size:4096",
            r"crypt\(sda\[0\+4608\]\): the device does not end on a unit of encryption",
        ),
        ("0 4096 snapshot sda sdb P 8", "line 1: snapshot: .* ends past the device"),
        ("0 8 snapshot sda sda P 8", "snapshot store: the device holds something else than a snapshot store"),
        ("0 8 snapshot sdb big P 1", "memory: a chunk is no whole number of blocks"),
    ],
)
def test_lines_of_linux_that_cannot_be(table: str, text: str) -> None:
    shelf = Shelf(
        sda=disk(MIB, identity=Identity("sda")), sdb=MemoryDevice(bytes(MIB)), big=MemoryDevice(MIB, block_bytes=4096)
    )
    with pytest.raises(TableError, match=text):
        open_table(parse_table(table), shelf)


def test_transient_snapshots_are_in_memory_as_large_as_their_device() -> None:
    cow = MemoryDevice(8 * KIB)
    with closing(open_table(parse_table("0 64 snapshot sda cow N 8"), Shelf(sda=disk(32 * KIB), cow=cow))) as stack:
        stack.write(0, bytes(8 * KIB))
        with pytest.raises(DeviceError, match="full") as caught:
            stack.write(8 * KIB, bytes(4 * KIB))
        assert caught.value.errno == errno.ENOSPC
    assert whole(cow) == bytes(8 * KIB)
