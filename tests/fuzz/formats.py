"""The entries of the formats floor: each parse_* and read_*, and what must be true of its values.

`test_formats_fuzz` says which entry feeds which parser, and fails when one has none.
"""

from __future__ import annotations

import gzip
from functools import partial
from hashlib import blake2b

from bootpath.core.errors import FormatError
from bootpath.formats.cpio import pack_cpio, parse_cpio
from bootpath.formats.devicetree import parse_devicetree
from bootpath.formats.dm.concise import pack_concise, parse_concise
from bootpath.formats.dm.create import pack_dm_create, parse_dm_create
from bootpath.formats.dm.listing import ListedTable, pack_listing, parse_listing
from bootpath.formats.dm.table import pack_line, pack_table, parse_line, parse_table
from bootpath.formats.dm.targets import device_names, pack_target, parse_target
from bootpath.formats.dm.verity import VerityTarget
from bootpath.formats.entries.authenticode import hash_pe, parse_signed_pe
from bootpath.formats.exceptionstore import (
    EXCEPTION_BYTES,
    iter_exceptions,
    pack_exceptions,
    pack_snapshot_header,
    parse_snapshot_header,
)
from bootpath.formats.handoff import pack_handoff, parse_handoff
from bootpath.formats.kernels.bzimage import find_pvh_entry, parse_bzimage
from bootpath.formats.kernels.image import Wrapping, parse_kernel
from bootpath.formats.nbd.pskfile import parse_psk_file
from bootpath.formats.nbd.uri import pack_nbd_uri, parse_nbd_uri
from bootpath.formats.overlayfile import (
    CHECKSUM_BYTES,
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
    unpack_checksums,
)
from bootpath.formats.partitions.gpt import probe_gpt, read_gpt
from bootpath.formats.partitions.gptwrite import repair_gpt
from bootpath.formats.partitions.imagepolicy import pack_image_policy, parse_image_policy
from bootpath.formats.partitions.mbr import MAX_NUMBER, read_mbr
from bootpath.formats.pkcs7 import parse_pkcs7
from bootpath.formats.plan import pack_plan, parse_plan
from bootpath.formats.trace import pack_trace, parse_trace
from bootpath.formats.verity.signature import pack_verity_signature, parse_verity_signature
from bootpath.formats.verity.tree import pack_verity_superblock, parse_verity_superblock
from tests.fuzz.entry import Entry, comes_back
from tests.support.fitimage import Node, pack_devicetree
from tests.support.gptdisk import as_device
from tests.support.kernels import make_bzimage, make_image, make_vmlinux, make_zboot, make_zimage
from tests.support.targetsamples import TARGET_SAMPLES

LOG_KEY = bytes(range(16))
MAX_CHUNK_BYTES = 1 << 20  # above it, packing is the same and costs memory


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _image_policy(data: bytes) -> None:
    policy = parse_image_policy(_text(data))
    comes_back(policy, pack_image_policy, parse_image_policy)


def _handoff(data: bytes) -> None:
    handoff = parse_handoff(data)
    comes_back(handoff, pack_handoff, parse_handoff)


def _table(data: bytes) -> None:
    table = parse_table(_text(data))
    comes_back(table, pack_table, parse_table)


def _line(data: bytes) -> None:
    line = parse_line(_text(data))
    comes_back(line, pack_line, parse_line)


def _listing(data: bytes) -> None:
    """What a concise listing says beside names and tables, the other form cannot say."""
    listed = tuple(ListedTable(each.name, each.table) for each in parse_listing(_text(data)))
    comes_back(listed, pack_listing, parse_listing)


def _target(data: bytes) -> None:
    line = parse_line(_text(data))
    value = parse_target(line)
    comes_back(value, partial(pack_target, line), parse_target)
    assert set(device_names(line)) <= set(line.args)


def _snapshot_header(data: bytes) -> None:
    header = parse_snapshot_header(data)
    if header is not None and header.chunk_bytes <= MAX_CHUNK_BYTES:
        comes_back(header, pack_snapshot_header, parse_snapshot_header)
        area = data[512:][: header.chunk_bytes]
        area = area[: len(area) // EXCEPTION_BYTES * EXCEPTION_BYTES]
        exceptions = list(iter_exceptions(area))
        assert pack_exceptions(exceptions, header).startswith(area[: len(exceptions) * EXCEPTION_BYTES])


def _dm_create(data: bytes) -> None:
    devices = parse_dm_create(_text(data))
    comes_back(devices, pack_dm_create, parse_dm_create)


def _dm_concise(data: bytes) -> None:
    devices = parse_concise(_text(data))
    comes_back(devices, pack_concise, parse_concise)


def _nbd_uri(data: bytes) -> None:
    uri = parse_nbd_uri(_text(data))
    comes_back(uri, pack_nbd_uri, parse_nbd_uri)


def _psk_file(data: bytes) -> None:
    keys = parse_psk_file(data)
    assert all(user and len(key) >= 16 for user, key in keys.items())


def _plan(data: bytes) -> None:
    plan = parse_plan(data)
    comes_back(plan, pack_plan, parse_plan)


def _trace(data: bytes) -> None:
    trace = parse_trace(data)
    comes_back(trace, pack_trace, parse_trace)


def _cpio(data: bytes) -> None:
    entries = parse_cpio(data)
    comes_back(entries, pack_cpio, parse_cpio)


def _gpt(data: bytes) -> None:
    """The sample is the first 34 blocks of a disk; the rest is zeros."""
    check_gpt(data.ljust(64 * 512, b"\0")[: 64 * 512])


def check_gpt(image: bytes) -> None:
    device = as_device(image)
    probe_gpt(device)
    gpt = read_gpt(device)
    assert gpt.verdict.advice
    assert all(partition.first_lba <= partition.last_lba for partition in gpt.partitions)
    repair_gpt(device)


def _mbr(data: bytes) -> None:
    """A disk of a few blocks: the table, and the links that it leads to."""
    mbr = read_mbr(as_device(data.ljust(-(-len(data) // 512) * 512 or 512, b"\0")))
    if mbr is None:
        return
    numbers = [partition.number for partition in mbr.partitions]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= MAX_NUMBER for number in numbers)
    assert all(partition.size_bytes > 0 and partition.type_name for partition in mbr.partitions)
    assert not (mbr.protective and mbr.partitions)


def _overlay_header(data: bytes) -> None:
    """A checksum would stop every mutant, so each is also tried with a good one, to reach the fields behind it."""
    content = data[: HEADER_BYTES - DIGEST_BYTES].ljust(HEADER_BYTES - DIGEST_BYTES, b"\0")
    sealed = content + blake2b(content, digest_size=DIGEST_BYTES).digest()
    try:
        assert pack_header(parse_header(sealed)) == sealed
    except FormatError as error:
        str(error).encode()
    header = parse_header(data)
    comes_back(header, pack_header, parse_header)


def _overlay_log(data: bytes) -> None:
    """The same, for the first record."""
    if len(data) >= 48:
        size = record_bytes(*(int.from_bytes(data[low : low + 2], "little") for low in (16, 24)))
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
    comes_back(log.records, lambda _: packed, lambda data: parse_log(data, LOG_KEY, 1).records)
    for record in log.records:
        assert len(record.entries) % ENTRY.size == 0
        assert len(unpack_checksums(record.checksums)) == len(record.checksums) // CHECKSUM_BYTES
        assert pack_entries(iter_entries(record.entries)) == record.entries


def _verity(data: bytes) -> None:
    superblock = parse_verity_superblock(data)
    comes_back(superblock, pack_verity_superblock, parse_verity_superblock)
    parameters = superblock.parameters
    levels = parameters.levels(superblock.tree_start(0))
    assert all(0 < level.blocks <= parameters.data_blocks for level in levels)


def _verity_signature(data: bytes) -> None:
    value = parse_verity_signature(data)
    comes_back(value, pack_verity_signature, parse_verity_signature)


def _pkcs7(data: bytes) -> None:
    for signer in parse_pkcs7(data):
        assert signer.scheme in ("rsa", "ecdsa")
        assert (signer.issuer is None) == (signer.serial is None) != (signer.key_identifier is None)


def _verity_args(data: bytes) -> None:
    target = VerityTarget.parse(data.decode("utf-8", "replace").split())
    comes_back(target, VerityTarget.pack, VerityTarget.parse)


def _signed_pe(data: bytes) -> None:
    signed = parse_signed_pe(data)
    assert all(offset + length <= len(data) for offset, length in signed.skipped)
    for signature in signed.signatures:
        assert len(signature.file_digest) == len(hash_pe(data, signed, signature.digest))


def _bzimage(data: bytes) -> None:
    image = parse_bzimage(data)
    assert image.payload.end <= len(data)


def _kernel_image(data: bytes) -> None:
    image = parse_kernel(data)
    assert image.payload is None or image.payload.end <= len(data)
    assert (image.payload is None) == (image.wrapping is Wrapping.NONE)


def _devicetree(data: bytes) -> None:
    tree = parse_devicetree(data)
    assert all(name and "\0" not in name for name in tree.compatible)


def target_lines() -> list[bytes]:
    """A line of every target."""
    return [line.encode() for sample in TARGET_SAMPLES.values() for line in sample.table.split("\n")]


def _kernels() -> list[bytes]:
    return [make_bzimage(b"packed" + (1000).to_bytes(4, "little"), setup_sectors=1)]


def _kernel_files() -> list[bytes]:
    return [
        *_kernels(),
        make_image(),
        make_zimage(),
        make_zboot(b"packed"),
        gzip.compress(make_image()),
        make_vmlinux(),
    ]


def _devicetrees() -> list[bytes]:
    root = Node("", {"model": "board", "compatible": b"vendor,board\0vendor,chip\0"}, (Node("chosen", {}),))
    return [pack_devicetree(root)]


FORMATS = (
    Entry("image_policy", _image_policy),
    Entry("handoff", _handoff),
    Entry("table", _table),
    Entry("line", _line),
    Entry("listing", _listing),
    Entry("target", _target, made=target_lines),
    Entry("snapshot_header", _snapshot_header),
    Entry("dm_concise", _dm_concise),
    Entry("dm_create", _dm_create),
    Entry("nbd_uri", _nbd_uri),
    Entry("psk_file", _psk_file),
    Entry("plan", _plan),
    Entry("trace", _trace),
    Entry("gpt", _gpt),
    Entry("mbr", _mbr, refuses=False),
    Entry("cpio", _cpio),
    Entry("verity", _verity),
    Entry("verity_args", _verity_args),
    Entry("verity_signature", _verity_signature),
    Entry("pkcs7", _pkcs7),
    Entry("signed_pe", _signed_pe),
    Entry("overlay_header", _overlay_header),
    Entry("overlay_log", _overlay_log),
    Entry("bzimage", _bzimage, made=_kernels),
    Entry("devicetree", _devicetree, made=_devicetrees),
    Entry("kernel_image", _kernel_image, made=_kernel_files),
    Entry("vmlinux", find_pvh_entry, made=lambda: [make_vmlinux(body_bytes=0)], refuses=False),
)
