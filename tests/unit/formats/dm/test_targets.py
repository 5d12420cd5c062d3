from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.constant import ErasedTarget, ErrorTarget, ZeroTarget
from bootpath.formats.dm.crypt import CryptTarget
from bootpath.formats.dm.fault import Delay, DelayTarget, FaultTarget
from bootpath.formats.dm.flakey import CorruptByte, FlakeyTarget
from bootpath.formats.dm.mapping import LinearTarget, StripedTarget
from bootpath.formats.dm.overlay import LiveTarget, OverlayFileTarget, OverlayTarget
from bootpath.formats.dm.snapshot import SnapshotOriginTarget, SnapshotStore, SnapshotTarget
from bootpath.formats.dm.table import pack_line, parse_line, parse_table
from bootpath.formats.dm.target import DeviceOffset
from bootpath.formats.dm.targets import (
    KERNEL_TARGETS,
    TARGETS,
    device_names,
    hide_key,
    pack_target,
    parse_target,
    rename_devices,
)

KEY = bytes(range(64))
LINES = {
    "0 8 linear 8:1 34": LinearTarget(DeviceOffset("8:1", 34)),
    "0 96 striped 3 16 a 0 b 8 c 4096": StripedTarget(
        16, (DeviceOffset("a", 0), DeviceOffset("b", 8), DeviceOffset("c", 4096))
    ),
    "0 8 zero": ZeroTarget(),
    "0 8 error": ErrorTarget(),
    "0 8 error 8:1 34": ErrorTarget(DeviceOffset("8:1", 34)),
    "0 8 delay a 0 500": DelayTarget(Delay(DeviceOffset("a", 0), 500)),
    "0 8 delay a 0 5 b 8 7 c 9 0": DelayTarget(
        Delay(DeviceOffset("a", 0), 5), Delay(DeviceOffset("b", 8), 7), Delay(DeviceOffset("c", 9), 0)
    ),
    "0 8 flakey a 1 2 3": FlakeyTarget(DeviceOffset("a", 1), 2, 3),
    "0 8 flakey a 1 2 3 2 error_reads error_writes": FlakeyTarget(
        DeviceOffset("a", 1), 2, 3, error_reads=True, error_writes=True
    ),
    "0 8 flakey a 0 1 1 6 drop_writes corrupt_bio_byte 32 r 1 0": FlakeyTarget(
        DeviceOffset("a", 0), 1, 1, drop_writes=True, corrupt=CorruptByte(32, False, 1, 0)
    ),
    "0 8 flakey a 0 1 1 4 random_read_corrupt 5 random_write_corrupt 7": FlakeyTarget(
        DeviceOffset("a", 0), 1, 1, random_read_corrupt=5, random_write_corrupt=7
    ),
    f"0 8 crypt aes-xts-plain64 {KEY.hex()} 0 8:1 4096": CryptTarget(
        "aes-xts-plain64", KEY, 0, DeviceOffset("8:1", 4096)
    ),
    f"0 8 crypt aes-xts-plain64 {KEY.hex()} 8 a 0 2 sector_size:4096 iv_large_sectors": CryptTarget(
        "aes-xts-plain64", KEY, 8, DeviceOffset("a", 0), ("sector_size:4096", "iv_large_sectors")
    ),
    "0 8 crypt aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 a 0": CryptTarget(
        "aes-xts-plain64", b"", 0, DeviceOffset("a", 0), keyring=":64:logon:cryptsetup:x-d0"
    ),
    "0 8 crypt cipher_null-ecb - 0 a 0": CryptTarget("cipher_null-ecb", b"", 0, DeviceOffset("a", 0)),
    "0 8 snapshot 254:11 254:12 P 16": SnapshotTarget("254:11", "254:12", SnapshotStore.PERSISTENT, 16),
    "0 8 snapshot a b PO 0 1 discard_zeroes_cow": SnapshotTarget(
        "a", "b", SnapshotStore.PERSISTENT_OVERFLOW, 0, ("discard_zeroes_cow",)
    ),
    "0 8 snapshot a b N 32 2 discard_zeroes_cow discard_passdown_origin": SnapshotTarget(
        "a", "b", SnapshotStore.TRANSIENT, 32, ("discard_zeroes_cow", "discard_passdown_origin")
    ),
    "0 8 snapshot-origin 254:11": SnapshotOriginTarget("254:11"),
    "0 8 overlay a": OverlayTarget("a"),
    "0 8 overlay a 4096": OverlayTarget("a", 4096),
    "0 8 overlayfile a /changes 4096": OverlayFileTarget("a", "/changes", 4096),
    "0 8 overlayfile a /changes no_checksums": OverlayFileTarget("a", "/changes", checksums=False),
    "0 8 overlayfile a /changes 4096 no_checksums": OverlayFileTarget("a", "/changes", 4096, checksums=False),
    "0 8 fault a read:error 7": FaultTarget("a", "read:error", 7),
    "0 8 fault a read:error": FaultTarget("a", "read:error"),
    "0 8 erased": ErasedTarget(),
}


@pytest.mark.parametrize("text", LINES)
def test_a_line_is_a_value_and_comes_back(text: str) -> None:
    line = parse_line(text)
    value = parse_target(line)
    assert value == LINES[text]
    assert pack_line(pack_target(line, value)) == text


def test_live_lines() -> None:
    for disk in ("-", "sda"):
        line = parse_line(f"0 8 live ram {disk} 30 0+512,1024+512")
        value = parse_target(line)
        assert isinstance(value, LiveTarget)
        assert value.disk == (None if disk == "-" else disk)
        assert pack_target(line, value) == line
        assert device_names(line) == (("ram",) if disk == "-" else ("ram", "sda"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linear a", "linear: the arguments do not fit the target"),
        ("linear a 18446744073709551616", "linear: start_sector is out of range"),
        ("striped 0 16 a 0", "striped: #stripes is out of range"),
        ("striped 2 16 a 0", "striped: the number of stripes is not that of the devices and sectors that follow it"),
        ("striped 1 0 a 0", "chunk_sectors is out of range"),
        ("striped 1 16 a 0", "striped: num_sectors does not end on a round of chunks"),
        ("striped 1 4294967296 a 0", "chunk_sectors is out of range"),
        ("zero 1", "zero: the arguments do not fit the target"),
        ("error a", "error: the arguments do not fit the target"),
        ("delay a 0", "delay: the arguments do not fit the target"),
        ("delay a 0 5 b", "delay: the number of arguments is wrong"),
        ("delay a 0 5s", "delay: the delay is not a number"),
        ("flakey a 0 0 0", "flakey: the sum of the intervals is out of range"),
        ("flakey a 0 4294967295 1", "flakey: the sum of the intervals is out of range"),
        ("flakey a 0 1 1 2 drop_writes", "the number of feature words is not that of the words that follow it"),
        ("flakey a 0 1 1 2 drop_writes drop_writes", "drop_writes is given twice"),
        ("flakey a 0 1 1 2 drop_writes error_writes", "exclude each other"),
        ("flakey a 0 1 1 6 drop_writes corrupt_bio_byte 1 w 1 0", "cannot be corrupted"),
        ("flakey a 0 1 1 3 random_write_corrupt 5 error_writes", "cannot be corrupted"),
        ("flakey a 0 1 1 1 corrupt_bio_byte", "corrupt_bio_byte has too few arguments"),
        ("flakey a 0 1 1 5 corrupt_bio_byte 0 r 1 0", "the byte to corrupt is out of range"),
        ("flakey a 0 1 1 5 corrupt_bio_byte 1 x 1 0", "the direction is wrong"),
        ("flakey a 0 1 1 5 corrupt_bio_byte 1 r 256 0", "the value is out of range"),
        ("flakey a 0 1 1 2 random_read_corrupt 1000000001", "random_read_corrupt is out of range"),
        ("flakey a 0 1 1 1 explode", "there is no such feature"),
        ("crypt aes-xts-plain64 00", "crypt: the arguments do not fit the target"),
        ("crypt aes-xts-plain64 0g 0 a 0", "crypt: the key is not hexadecimal"),
        ("crypt aes-xts-plain64 :64:magic:x 0 a 0", "crypt: the name of the key is wrong"),
        ("crypt aes-xts-plain64 00 0 a 0 1 explode", "there is no such option"),
        ("crypt aes-xts-plain64 00 0 a 0 2 allow_discards allow_discards", "each at most once"),
        ("crypt aes-xts-plain64 00 0 a 0 1 sector_size:513", "sector_size is not one of the kernel's"),
        ("crypt aes-xts-plain64 00 0 a 0 1 sector_size", "there is no such option"),
        (
            "crypt aes-xts-plain64 00 3 a 0 2 sector_size:4096 iv_large_sectors",
            "iv_offset does not begin on a unit of encryption",
        ),
        ("crypt aes-xts-plain64 " + "00" * 300 + " 0 a 0", "the key is too long"),
        ("snapshot a b", "snapshot: the arguments do not fit the target"),
        ("snapshot a b X 16", "there is no such store"),
        ("snapshot a b P 12", "chunk_sectors is not a size of chunks"),
        ("snapshot a b P 16 1 discard_passdown_origin", "the features do not go together"),
        ("snapshot-origin", "the arguments do not fit the target"),
        ("thin a 0", "thin: Linux has this target, but it cannot be opened here"),
        ("magic a 0", "magic: there is no such target"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_target(parse_line(f"0 8 {text}"))
    assert message in str(caught.value)


def test_a_refused_key_is_not_shown() -> None:
    with pytest.raises(FormatError) as caught:
        parse_target(parse_line(f"0 8 crypt aes-xts-plain64 {KEY.hex()} x a 0"))
    assert KEY.hex()[:16] not in str(caught.value)


def test_keys_can_be_hidden() -> None:
    line = parse_line(f"0 8 crypt aes-xts-plain64 {KEY.hex()} 0 8:1 4096")
    hidden = hide_key(line)
    assert pack_line(hidden) == f"0 8 crypt aes-xts-plain64 {'0' * 128} 0 8:1 4096"
    value = parse_target(hidden)
    assert isinstance(value, CryptTarget)
    assert value.hidden
    linear = parse_line("0 8 linear a 0")
    assert hide_key(linear) == linear


def test_names_of_devices() -> None:
    assert device_names(parse_line("0 96 striped 3 16 a 0 b 8 c 4096")) == ("a", "b", "c")
    assert device_names(parse_line("0 8 zero")) == ()
    root = "00" * 32
    fec = f"0 8 verity 1 d h 4096 4096 1 1 sha256 {root} - 8 use_fec_from_device f fec_blocks 2 fec_start 2 fec_roots 2"
    assert device_names(parse_line(fec)) == ("d", "h", "f")
    table = parse_table("0 32 striped 2 16 a 0 b 8\n32 8 thin pool 0\n40 8 delay a 0 0 a 0 0\n")
    renamed = rename_devices(table, {"a": "8:1", "b": "8:2"}.__getitem__)
    assert [" ".join(line.args) for line in renamed.lines] == ["2 16 8:1 0 8:2 8", "pool 0", "8:1 0 0 8:1 0 0"]


def test_ours_are_not_the_kernels() -> None:
    assert {"overlay", "overlayfile", "live", "fault"} <= set(TARGETS) - KERNEL_TARGETS
    assert {"linear", "striped", "crypt", "verity", "snapshot", "thin", "raid"} <= KERNEL_TARGETS
