from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from bootpath.core.errors import FormatError
from bootpath.formats.dm.listing import ListedTable, pack_listing, parse_listing
from bootpath.formats.dm.table import parse_line
from bootpath.formats.dm.targets import describe_line
from bootpath.report.dmpicture import draw_listing
from bootpath.report.dmtable import listing_json, normalised, render_listing

KEY = bytes(range(64)).hex()
ROOT = "ab" * 32
LISTING = parse_listing(f"""\
low: 0 2048 linear 8:1 2048
low: 2048 4096 striped 2 16 8:1 0 8:2 0
enc: 0 6144 crypt aes-xts-plain64 {KEY} 0 /dev/mapper/low 0
other: 0 8 zero
""")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 2048 linear 8:1 34", "1 MiB of 8:1 from sector 34"),
        (
            "0 96 striped 3 16 a 0 b 8 c 0",
            "chunks of 8 KiB in turn from 3 stripes: a from sector 0, b from sector 8, c from sector 0",
        ),
        ("0 8 zero", "zeros; writes are dropped"),
        ("0 8 error", "every request fails with EIO"),
        ("0 8 delay a 0 500", "a from sector 0, 500 ms late"),
        ("0 8 delay a 0 5 b 8 7", "a from sector 0, 5 ms late; writes to b from sector 8, 7 ms late"),
        ("0 8 flakey a 0 60 10", "a from sector 0; 60 good operations, then 10 bad, in turn: everything fails"),
        (
            "0 8 flakey a 0 6 1 8 error_reads corrupt_bio_byte 3 w 9 0 random_read_corrupt 500000000",
            "in turn: reads fail, byte 3 of what is written becomes 9, a byte of what is read changes in 50 % of cases",
        ),
        ("0 8 flakey a 0 6 1 1 drop_writes", "writes are dropped"),
        ("0 8 flakey a 0 6 1 1 error_writes", "writes fail"),
        (
            f"0 8 verity 1 d h 4096 4096 1 1 sha256 {ROOT} - 1 ignore_zero_blocks",
            f"each checked with the sha256 tree on h from block 1 (no salt), root hash {ROOT}; ignore_zero_blocks",
        ),
        (
            f"0 8 crypt aes-xts-plain64 {KEY} 7 a 0",
            "a from sector 0, decrypted with aes-xts-plain64 and a key of 512 bits, IVs from 7",
        ),
        (
            f"0 8 crypt aes-xts-plain64 {KEY} 0 a 0 2 sector_size:4096 iv_large_sectors",
            "a key of 512 bits, in units of 4096 bytes that also count the IVs",
        ),
        ("0 8 crypt aes-xts-plain64 :64:logon:k 0 a 0", "a key of the kernel's keyring"),
        (f"0 8 crypt aes-xts-plain64 {'0' * 64} 0 a 0", "a key that is not shown"),
        ("0 8 snapshot a b P 16", "a writable view of a; changed chunks of 8 KiB are kept on b"),
        ("0 8 snapshot a b N 0", "changed chunks of the store's size are kept in memory, at most the size of b"),
        ("0 8 snapshot-origin a", "a, which has snapshots; read-only here"),
        ("0 8 overlay a 4096", "a, with changes in RAM, at most 4 KiB"),
        ("0 8 overlayfile a /f", "a, with changes in the file /f"),
        ("0 8 overlayfile a /f no_checksums", "a, with changes in the file /f, without checksums if it is made"),
        ("0 8 live ram sda 30 0+4096", "4 KiB from RAM, preloaded from ram; the rest from sda, which may come later"),
        ("0 8 live ram - 30 0+4096", "there is nothing behind it"),
        ("0 8 fault a read:error 7", "a, with faults: read:error (seed 7)"),
        ("0 8 erased", "bytes of 0xFF, as erased flash; read-only"),
        ("0 8 thin 254:0 1", "thin: a target of Linux, which cannot be opened here"),
        ("0 8 magic", "magic: unknown, which cannot be opened here"),
    ],
)
def test_words(line: str, words: str) -> None:
    assert words in describe_line(parse_line(line))


def test_wrong_words_are_refused() -> None:
    with pytest.raises(FormatError, match="linear: the arguments do not fit the target"):
        describe_line(parse_line("0 8 linear a"))


def test_the_stack_is_a_tree() -> None:
    assert render_listing(LISTING) == (
        "enc: 3 MiB, 1 line\n"
        "└─ 0 +3 MiB  crypt: /dev/mapper/low from sector 0, decrypted with aes-xts-plain64 and a key of 512 bits\n"
        "   low: 3 MiB\n"
        "   ├─ 0 +1 MiB  linear: 1 MiB of 8:1 from sector 2048\n"
        "   └─ 2048 +2 MiB  striped: chunks of 8 KiB in turn from 2 stripes: 8:1 from sector 0, 8:2 from sector 0\n"
        "other: 4 KiB, 1 line\n"
        "└─ 0 +4 KiB  zero: zeros; writes are dropped"
    )


def test_circles_end() -> None:
    assert render_listing(parse_listing("a: 0 8 linear b 0\nb: 0 8 linear a 0")) == (
        "a: stands on itself\nb: stands on itself"
    )
    text = render_listing(parse_listing("a: 0 8 linear b 0\nb: 0 8 linear b 0"))
    assert "b: stands on itself" in text


def test_keys_are_hidden_unless_asked_for() -> None:
    assert KEY not in pack_listing(normalised(LISTING))
    assert KEY in pack_listing(normalised(LISTING, show_keys=True))
    assert KEY not in str(listing_json(LISTING))
    assert KEY not in render_listing(LISTING)
    assert normalised(parse_listing("0 8 thin a 0  b"))[0].table.lines[0].args == ("a", "0", "b")


def test_the_picture_has_every_device() -> None:
    canvas = draw_listing(
        (
            *LISTING,
            ListedTable(
                "many",
                parse_listing("\n".join(f"{8 * number} 8 linear 8:{number % 5} 0" for number in range(300)))[0].table,
            ),
        )
    )
    text = canvas.to_svg()
    for name in ("low", "enc", "other", "many", "8:1", "8:4", "/dev/mapper/low", "striped"):
        assert f">{name}</text>" in text
    image = Image.open(BytesIO(canvas.to_png()))
    assert image.size == (canvas.width * 2, canvas.height * 2)
