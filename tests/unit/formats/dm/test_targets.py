from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.crypt import CryptRow
from bootpath.formats.dm.flakey import CorruptByte, FlakeyRow
from bootpath.formats.dm.mapping import Delay, DelayRow, DeviceOffset, ErrorRow, LinearRow, StripedRow, ZeroRow
from bootpath.formats.dm.own import ErasedRow, FaultRow, LiveRow, OverlayFileRow, OverlayRow
from bootpath.formats.dm.snapshot import SnapshotOriginRow, SnapshotRow, Store
from bootpath.formats.dm.table import pack_row, parse_row, parse_table
from bootpath.formats.dm.targets import (
    KERNEL_TARGETS,
    TARGET_FORMATS,
    device_names,
    hide_key,
    pack_target,
    parse_target,
    rename_devices,
)

KEY = bytes(range(64))
ROWS = {
    "0 8 linear 8:1 34": LinearRow(DeviceOffset("8:1", 34)),
    "0 96 striped 3 16 a 0 b 8 c 4096": StripedRow(
        16, (DeviceOffset("a", 0), DeviceOffset("b", 8), DeviceOffset("c", 4096))
    ),
    "0 8 zero": ZeroRow(),
    "0 8 error": ErrorRow(),
    "0 8 error 8:1 34": ErrorRow(DeviceOffset("8:1", 34)),
    "0 8 delay a 0 500": DelayRow(Delay(DeviceOffset("a", 0), 500)),
    "0 8 delay a 0 5 b 8 7 c 9 0": DelayRow(
        Delay(DeviceOffset("a", 0), 5), Delay(DeviceOffset("b", 8), 7), Delay(DeviceOffset("c", 9), 0)
    ),
    "0 8 flakey a 1 2 3": FlakeyRow(DeviceOffset("a", 1), 2, 3),
    "0 8 flakey a 1 2 3 2 error_reads error_writes": FlakeyRow(
        DeviceOffset("a", 1), 2, 3, error_reads=True, error_writes=True
    ),
    "0 8 flakey a 0 1 1 6 drop_writes corrupt_bio_byte 32 r 1 0": FlakeyRow(
        DeviceOffset("a", 0), 1, 1, drop_writes=True, corrupt=CorruptByte(32, False, 1, 0)
    ),
    "0 8 flakey a 0 1 1 4 random_read_corrupt 5 random_write_corrupt 7": FlakeyRow(
        DeviceOffset("a", 0), 1, 1, random_read_corrupt=5, random_write_corrupt=7
    ),
    f"0 8 crypt aes-xts-plain64 {KEY.hex()} 0 8:1 4096": CryptRow("aes-xts-plain64", KEY, 0, DeviceOffset("8:1", 4096)),
    f"0 8 crypt aes-xts-plain64 {KEY.hex()} 8 a 0 2 sector_size:4096 iv_large_sectors": CryptRow(
        "aes-xts-plain64", KEY, 8, DeviceOffset("a", 0), ("sector_size:4096", "iv_large_sectors")
    ),
    "0 8 crypt aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 a 0": CryptRow(
        "aes-xts-plain64", b"", 0, DeviceOffset("a", 0), keyring=":64:logon:cryptsetup:x-d0"
    ),
    "0 8 crypt cipher_null-ecb - 0 a 0": CryptRow("cipher_null-ecb", b"", 0, DeviceOffset("a", 0)),
    "0 8 snapshot 254:11 254:12 P 16": SnapshotRow("254:11", "254:12", Store.PERSISTENT, 16),
    "0 8 snapshot a b PO 0 1 discard_zeroes_cow": SnapshotRow(
        "a", "b", Store.PERSISTENT_OVERFLOW, 0, ("discard_zeroes_cow",)
    ),
    "0 8 snapshot a b N 32 2 discard_zeroes_cow discard_passdown_origin": SnapshotRow(
        "a", "b", Store.TRANSIENT, 32, ("discard_zeroes_cow", "discard_passdown_origin")
    ),
    "0 8 snapshot-origin 254:11": SnapshotOriginRow("254:11"),
    "0 8 overlay a": OverlayRow("a"),
    "0 8 overlay a 4096": OverlayRow("a", 4096),
    "0 8 overlayfile a /changes 4096": OverlayFileRow("a", "/changes", 4096),
    "0 8 fault a read:error 7": FaultRow("a", "read:error", 7),
    "0 8 fault a read:error": FaultRow("a", "read:error"),
    "0 8 erased": ErasedRow(),
}


@pytest.mark.parametrize("text", ROWS)
def test_a_row_is_a_value_and_comes_back(text: str) -> None:
    row = parse_row(text)
    value = parse_target(row)
    assert value == ROWS[text]
    assert pack_row(pack_target(row, value)) == text


def test_live_rows() -> None:
    for disk in ("-", "sda"):
        row = parse_row(f"0 8 live ram {disk} 30 0+512,1024+512")
        value = parse_target(row)
        assert isinstance(value, LiveRow)
        assert value.disk == (None if disk == "-" else disk)
        assert pack_target(row, value) == row
        assert device_names(row) == (("ram",) if disk == "-" else ("ram", "sda"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linear a", "linear: arguments are 'a', expected '<device> <start_sector>'"),
        ("linear a 18446744073709551616", "linear: start_sector is 18446744073709551616, expected 0 to"),
        ("striped 0 16 a 0", "striped: #stripes is 0"),
        ("striped 2 16 a 0", "striped: 2 stripes have 2 words, expected 4"),
        ("striped 1 0 a 0", "chunk_sectors is 0"),
        ("striped 1 16 a 0", "striped: num_sectors is 8, expected a multiple of 1 chunks of 16"),
        ("striped 1 4294967296 a 0", "chunk_sectors is 4294967296"),
        ("zero 1", "zero: arguments are '1'"),
        ("error a", "error: arguments are 'a'"),
        ("delay a 0", "delay: arguments are"),
        ("delay a 0 5 b", "delay: arguments are 4, expected 3, 6 or 9"),
        ("delay a 0 5s", "delay: the delay is '5s'"),
        ("flakey a 0 0 0", "flakey: the intervals add up to 0"),
        ("flakey a 0 4294967295 1", "flakey: the intervals add up to 4294967296"),
        ("flakey a 0 1 1 2 drop_writes", "the number of feature words is 2, expected 1, as follow"),
        ("flakey a 0 1 1 2 drop_writes drop_writes", "drop_writes is there twice"),
        ("flakey a 0 1 1 2 drop_writes error_writes", "exclude each other"),
        ("flakey a 0 1 1 6 drop_writes corrupt_bio_byte 1 w 1 0", "cannot be corrupted"),
        ("flakey a 0 1 1 3 random_write_corrupt 5 error_writes", "cannot be corrupted"),
        ("flakey a 0 1 1 1 corrupt_bio_byte", "corrupt_bio_byte ends too early"),
        ("flakey a 0 1 1 5 corrupt_bio_byte 0 r 1 0", "the byte to corrupt is 0"),
        ("flakey a 0 1 1 5 corrupt_bio_byte 1 x 1 0", "the direction is 'x'"),
        ("flakey a 0 1 1 5 corrupt_bio_byte 1 r 256 0", "the value is 256"),
        ("flakey a 0 1 1 2 random_read_corrupt 1000000001", "random_read_corrupt is 1000000001"),
        ("flakey a 0 1 1 1 explode", "feature is 'explode'"),
        ("crypt aes-xts-plain64 00", "crypt: arguments are 2 words"),
        ("crypt aes-xts-plain64 0g 0 a 0", "crypt: the key has 2 characters, expected pairs of hexadecimal"),
        ("crypt aes-xts-plain64 :64:magic:x 0 a 0", "crypt: the key is"),
        ("crypt aes-xts-plain64 00 0 a 0 1 explode", "option is 'explode'"),
        ("crypt aes-xts-plain64 00 0 a 0 2 allow_discards allow_discards", "each at most once"),
        ("crypt aes-xts-plain64 00 0 a 0 1 sector_size:513", "sector_size is 513"),
        ("crypt aes-xts-plain64 00 0 a 0 1 sector_size", "option is 'sector_size'"),
        ("crypt aes-xts-plain64 00 3 a 0 2 sector_size:4096 iv_large_sectors", "iv_offset is 3, expected a multiple"),
        ("crypt aes-xts-plain64 " + "00" * 300 + " 0 a 0", "the key has 300 bytes"),
        ("snapshot a b", "snapshot: arguments are"),
        ("snapshot a b X 16", "the store is 'X', expected P, PO or N"),
        ("snapshot a b P 12", "chunk_sectors is 12"),
        ("snapshot a b P 16 1 discard_passdown_origin", "features are 'discard_passdown_origin'"),
        ("snapshot-origin", "arguments are ''"),
        ("thin a 0", "thin: unknown target, which Linux has and this package cannot open, expected one of crypt delay"),
        ("magic a 0", "magic: unknown target, expected"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_target(parse_row(f"0 8 {text}"))
    assert message in str(caught.value)


def test_a_refused_key_is_not_shown() -> None:
    with pytest.raises(FormatError) as caught:
        parse_target(parse_row(f"0 8 crypt aes-xts-plain64 {KEY.hex()} x a 0"))
    assert KEY.hex()[:16] not in str(caught.value)


def test_keys_can_be_hidden() -> None:
    row = parse_row(f"0 8 crypt aes-xts-plain64 {KEY.hex()} 0 8:1 4096")
    hidden = hide_key(row)
    assert pack_row(hidden) == f"0 8 crypt aes-xts-plain64 {'0' * 128} 0 8:1 4096"
    value = parse_target(hidden)
    assert isinstance(value, CryptRow)
    assert value.hidden
    linear = parse_row("0 8 linear a 0")
    assert hide_key(linear) == linear


def test_names_of_devices() -> None:
    assert device_names(parse_row("0 96 striped 3 16 a 0 b 8 c 4096")) == ("a", "b", "c")
    assert device_names(parse_row("0 8 zero")) == ()
    root = "00" * 32
    fec = f"0 8 verity 1 d h 4096 4096 1 1 sha256 {root} - 8 use_fec_from_device f fec_blocks 2 fec_start 2 fec_roots 2"
    assert device_names(parse_row(fec)) == ("d", "h", "f")
    table = parse_table("0 32 striped 2 16 a 0 b 8\n32 8 thin pool 0\n40 8 delay a 0 0 a 0 0\n")
    renamed = rename_devices(table, {"a": "8:1", "b": "8:2"}.__getitem__)
    assert [" ".join(row.args) for row in renamed.rows] == ["2 16 8:1 0 8:2 8", "pool 0", "8:1 0 0 8:1 0 0"]


def test_ours_are_not_the_kernels() -> None:
    assert {"overlay", "overlayfile", "live", "fault"} <= set(TARGET_FORMATS) - KERNEL_TARGETS
    assert {"linear", "striped", "crypt", "verity", "snapshot", "thin", "raid"} <= KERNEL_TARGETS
