"""The one rule for untrusted bytes: a value or FormatError, nothing else; and a value can be packed and parsed again.

Every parser of the formats floor is in PARSERS; its samples are in corpus/<format>/, small and interesting, named
good-* or bad-*. pytest shows the mutant of a failure: put it into the corpus when you have mended the parser.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from random import Random
from zlib import crc32

import pytest

from bootpath import formats
from bootpath.core.errors import FormatError
from bootpath.formats import (
    authenticode,
    device_names,
    pack_cpio,
    pack_dm_create,
    pack_handoff,
    pack_listing,
    pack_nbd_uri,
    pack_plan,
    pack_row,
    pack_table,
    pack_target,
    pack_trace,
    pack_verity_signature,
    pack_verity_superblock,
    parse_cpio,
    parse_dm_create,
    parse_handoff,
    parse_listing,
    parse_nbd_uri,
    parse_pkcs7,
    parse_plan,
    parse_row,
    parse_table,
    parse_target,
    parse_trace,
    parse_verity_signature,
    parse_verity_superblock,
    probe_gpt,
    read_gpt,
    repair_gpt,
)
from bootpath.formats import imagepolicy as image_policy
from bootpath.formats import overlayfile as overlay_file
from bootpath.formats import snapshotstore as snapshot_store
from bootpath.formats import veritytable as verity_table
from bootpath.formats.authenticode import hash_pe, parse_signed_pe
from bootpath.formats.overlayfile import (
    DIGEST_BYTES,
    ENTRY,
    HEADER_BYTES,
    iter_entries,
    pack_entries,
    pack_header,
    pack_record,
    parse_header,
    parse_log,
    record_bytes,
)
from bootpath.formats.snapshotstore import (
    EXCEPTION_BYTES,
    iter_exceptions,
    pack_exceptions,
    pack_snapshot_header,
    parse_snapshot_header,
)
from bootpath.formats.veritytable import pack_verity_args, parse_verity_args
from tests.fuzz.mutation import mutate, mutations
from tests.support.gptdisk import as_device, get_field, gpt_image, sample_gpt

CORPUS = Path(__file__).parent / "corpus"
ROUNDS = 4000
LOG_KEY = bytes(range(16))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _image_policy(data: bytes) -> None:
    policy = image_policy.parse_image_policy(_text(data))
    assert image_policy.parse_image_policy(image_policy.pack_image_policy(policy)) == policy


def _handoff(data: bytes) -> None:
    handoff = parse_handoff(data)
    assert parse_handoff(pack_handoff(handoff)) == handoff


def _table(data: bytes) -> None:
    table = parse_table(_text(data))
    assert parse_table(pack_table(table)) == table


def _row(data: bytes) -> None:
    row = parse_row(_text(data))
    assert parse_row(pack_row(row)) == row


def _listing(data: bytes) -> None:
    listed = parse_listing(_text(data))
    tables = tuple((each.name, each.table) for each in listed)
    assert tuple((each.name, each.table) for each in parse_listing(pack_listing(listed))) == tables


def _target(data: bytes) -> None:
    row = parse_row(_text(data))
    value = parse_target(row)
    assert parse_target(pack_target(row, value)) == value
    assert set(device_names(row)) <= set(row.args)


def _snapshot_header(data: bytes) -> None:
    header = parse_snapshot_header(data)
    if header is not None:
        assert parse_snapshot_header(pack_snapshot_header(header)) == header
        area = data[512:][: header.chunk_bytes]
        area = area[: len(area) // EXCEPTION_BYTES * EXCEPTION_BYTES]
        exceptions = list(iter_exceptions(area))
        assert pack_exceptions(exceptions, header).startswith(area[: len(exceptions) * EXCEPTION_BYTES])


def _dm_create(data: bytes) -> None:
    devices = parse_dm_create(_text(data))
    assert parse_dm_create(pack_dm_create(devices)) == devices


def _nbd_uri(data: bytes) -> None:
    uri = parse_nbd_uri(_text(data))
    assert parse_nbd_uri(pack_nbd_uri(uri)) == uri


def _plan(data: bytes) -> None:
    plan = parse_plan(data)
    assert parse_plan(pack_plan(plan)) == plan


def _trace(data: bytes) -> None:
    trace = parse_trace(data)
    assert parse_trace(pack_trace(trace)) == trace


def _cpio(data: bytes) -> None:
    entries = parse_cpio(data)
    assert parse_cpio(pack_cpio(entries)) == entries


def _gpt(data: bytes) -> None:
    """The sample is the first 34 blocks of a disk; the rest is zeros."""
    _disk(data.ljust(64 * 512, b"\0")[: 64 * 512])


def _disk(image: bytes) -> None:
    device = as_device(image)
    probe_gpt(device)
    gpt = read_gpt(device)
    assert gpt.verdict.advice
    assert all(partition.first_lba <= partition.last_lba for partition in gpt.partitions)
    repair_gpt(device)


def _overlay_header(data: bytes) -> None:
    """A checksum would stop every mutant, so each is also tried with a good one, to reach the fields behind it."""
    content = data[: HEADER_BYTES - DIGEST_BYTES].ljust(HEADER_BYTES - DIGEST_BYTES, b"\0")
    sealed = content + blake2b(content, digest_size=DIGEST_BYTES).digest()
    try:
        assert pack_header(parse_header(sealed)) == sealed
    except FormatError as error:
        str(error).encode()
    header = parse_header(data)
    assert parse_header(pack_header(header)) == header


def _overlay_log(data: bytes) -> None:
    """The same, for the first record."""
    if len(data) >= 48:
        size = record_bytes(int.from_bytes(data[16:18], "little"))
        body = data[48:size].ljust(size - 48, b"\0")
        digest = blake2b(data[:32] + body, digest_size=16, key=LOG_KEY).digest()
        try:
            _check_log(data[:32] + digest + body + data[size:])
        except FormatError as error:
            str(error).encode()
    _check_log(data)


def _check_log(data: bytes) -> None:
    log = parse_log(data, LOG_KEY, 1)
    packed = b"".join(pack_record(record, LOG_KEY) for record in log.records)
    assert len(packed) == log.tail_bytes
    assert parse_log(packed, LOG_KEY, 1).records == log.records
    for record in log.records:
        assert len(record.entries) % ENTRY.size == 0
        assert pack_entries(iter_entries(record.entries)) == record.entries


def _verity(data: bytes) -> None:
    superblock = parse_verity_superblock(data)
    assert parse_verity_superblock(pack_verity_superblock(superblock)) == superblock
    parameters = superblock.parameters
    levels = parameters.levels(superblock.tree_start(0))
    assert all(0 < level.blocks <= parameters.data_blocks for level in levels)


def _verity_signature(data: bytes) -> None:
    value = parse_verity_signature(data)
    assert parse_verity_signature(pack_verity_signature(value)) == value


def _pkcs7(data: bytes) -> None:
    for signer in parse_pkcs7(data):
        assert signer.scheme in ("rsa", "ecdsa")
        assert (signer.issuer is None) == (signer.serial is None) != (signer.key_identifier is None)


def _verity_args(data: bytes) -> None:
    row = parse_verity_args(data.decode("utf-8", "replace").split())
    assert parse_verity_args(pack_verity_args(row)) == row


def _signed_pe(data: bytes) -> None:
    signed = parse_signed_pe(data)
    assert all(offset + length <= len(data) for offset, length in signed.skipped)
    for signature in signed.signatures:
        assert len(signature.file_digest) == len(hash_pe(data, signed, signature.digest))


PARSERS: dict[str, Callable[[bytes], None]] = {
    "image_policy": _image_policy,
    "handoff": _handoff,
    "table": _table,
    "row": _row,
    "listing": _listing,
    "target": _target,
    "snapshot_header": _snapshot_header,
    "dm_create": _dm_create,
    "nbd_uri": _nbd_uri,
    "plan": _plan,
    "trace": _trace,
    "gpt": _gpt,
    "cpio": _cpio,
    "verity": _verity,
    "verity_args": _verity_args,
    "verity_signature": _verity_signature,
    "pkcs7": _pkcs7,
    "signed_pe": _signed_pe,
    "overlay_header": _overlay_header,
    "overlay_log": _overlay_log,
}

# Every parse_* and read_* of the floor, and the entry of PARSERS that feeds it.
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
}

FORMATS = pytest.mark.parametrize("name", PARSERS)


def samples(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def value_or_format_error(name: str, data: bytes) -> bool:
    """True for a value. Any other exception is the bug that fuzzing looks for."""
    try:
        PARSERS[name](data)
    except FormatError as error:
        str(error).encode()  # the message can be shown anywhere
        return False
    return True


def test_every_parser_is_fuzzed() -> None:
    names = (
        *formats.__all__,
        *vars(authenticode),
        *vars(image_policy),
        *vars(overlay_file),
        *vars(snapshot_store),
        *vars(verity_table),
    )
    parsers = {name for name in names if name.startswith(("parse_", "read_"))}
    assert parsers == set(COVERED)
    assert set(COVERED.values()) == set(PARSERS)


@FORMATS
def test_corpus(name: str) -> None:
    """A sample says in its name whether it is good; there is at least one of each."""
    verdicts = {path.name: value_or_format_error(name, path.read_bytes()) for path in sorted((CORPUS / name).iterdir())}
    assert verdicts == {file: file.startswith("good") for file in verdicts}
    assert set(verdicts.values()) == {True, False}


@FORMATS
def test_mutants(name: str) -> None:
    for data in mutations(samples(name), seed=1, count=ROUNDS):
        value_or_format_error(name, data)


@FORMATS
def test_noise(name: str) -> None:
    random = Random(2)
    for _ in range(200):
        value_or_format_error(name, random.randbytes(random.randrange(600)))


def test_the_same_seed_gives_the_same_mutants() -> None:
    pool = samples("handoff")
    assert list(mutations(pool, seed=3, count=50)) == list(mutations(pool, seed=3, count=50))


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_headers_with_good_checksums(block_bytes: int) -> None:
    """Mutants that a checksum would stop: seal them again, so that the fields behind it are reached."""
    sound = gpt_image(sample_gpt(block_bytes))
    random = Random(4)
    last_lba = len(sound) // block_bytes - 1
    for _ in range(ROUNDS // 4):
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
            _disk(bytes(image))
        except FormatError as error:
            str(error).encode()
