"""Each parser of the formats floor has an entry; and partition tables whose checksums are right in spite of all."""

from __future__ import annotations

from random import Random
from zlib import crc32

import pytest

from bootpath import formats
from bootpath.core.errors import FormatError
from bootpath.formats import bzimage, overlayfile
from bootpath.formats import exceptionstore as snapshotstore
from bootpath.formats.dm import verity as veritytable
from bootpath.formats.entries import authenticode
from bootpath.formats.partitions import imagepolicy
from bootpath.formats.pkcs7 import PKCS7_MAX_BYTES, parse_pkcs7
from tests.fuzz.formats import FORMATS, check_gpt
from tests.fuzz.mutation import mutate
from tests.support.gptdisk import get_field, gpt_image, sample_gpt

ROUNDS = 1000

# Every parse_*, read_* and find_* of the floor, and the entry that feeds it.
COVERED = {
    "parse_image_policy": "image_policy",
    "parse_handoff": "handoff",
    "parse_table": "table",
    "parse_row": "row",
    "parse_listing": "listing",
    "parse_target": "target",
    "parse_snapshot_header": "snapshot_header",
    "parse_dm_create": "dm_create",
    "parse_nbd_uri": "nbd_uri",
    "parse_plan": "plan",
    "parse_trace": "trace",
    "read_gpt": "gpt",
    "parse_cpio": "cpio",
    "parse_verity_superblock": "verity",
    "parse_verity_args": "verity_args",
    "parse_verity_signature": "verity_signature",
    "parse_pkcs7": "pkcs7",
    "parse_signed_pe": "signed_pe",
    "parse_enclosed": "signed_pe",
    "parse_header": "overlay_header",
    "parse_log": "overlay_log",
    "parse_bzimage": "bzimage",
    "find_pvh_entry": "vmlinux",
}


def test_every_parser_is_fuzzed() -> None:
    names = (
        *formats.__all__,
        *vars(authenticode),
        *vars(bzimage),
        *vars(imagepolicy),
        *vars(overlayfile),
        *vars(snapshotstore),
        *vars(veritytable),
    )
    parsers = {name for name in names if name.startswith(("parse_", "read_", "find_"))}
    assert parsers == set(COVERED)
    assert set(COVERED.values()) == {entry.name for entry in FORMATS}


@pytest.mark.parametrize("head", [b"", b"\x30\x84\x00\x0f\xff\xf0\x06\x84\x00\x0f\xff\xe0"])
def test_tags_and_identifiers_without_end(head: bytes) -> None:
    """They are refused at once; asn1crypto would be busy for half an hour."""
    with pytest.raises(FormatError, match="tag or an object identifier"):
        parse_pkcs7(head.ljust(PKCS7_MAX_BYTES, b"\xff"))


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_headers_with_good_checksums(block_bytes: int) -> None:
    """Mutants that a checksum would stop: seal them again, so that the fields behind it are reached."""
    sound = gpt_image(sample_gpt(block_bytes))
    random = Random(4)
    last_lba = len(sound) // block_bytes - 1
    for _ in range(ROUNDS):
        image = sound.copy()
        for lba in random.choice([(1,), (last_lba,), (1, last_lba)]):
            start = lba * block_bytes
            header = mutate(bytes(image[start + 8 : start + 92]), random)[:84].ljust(84, b"\0")
            array = get_field(image, lba, "entries_lba", block_bytes) * block_bytes
            entry = array + 128 * random.randrange(6)
            image[entry : entry + 128] = mutate(bytes(image[entry : entry + 128]), random)[:128].ljust(128, b"\0")
            image[start + 8 : start + 92] = header
            if random.randrange(4):
                image[start + 8 : start + 16] = sound[start + 8 : start + 16]
                image[start + 20 : start + 24] = bytes(4)
            if random.randrange(4):
                image[start + 72 : start + 88] = sound[start + 72 : start + 88]
                image[start + 88 : start + 92] = crc32(image[array : array + 128 * 128]).to_bytes(4, "little")
            image[start + 16 : start + 20] = bytes(4)
            image[start + 16 : start + 20] = crc32(image[start : start + 92]).to_bytes(4, "little")
        try:
            check_gpt(bytes(image))
        except FormatError as error:
            str(error).encode()
