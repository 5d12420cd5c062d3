"""The persistent overlay's file: two copies of a header, and a log of which block is where.

Our own format (docs/adr/0004-persistent-overlay.md says why): version 2 has a checksum of every block, version 1 none
(docs/adr/0010-checksums-of-overlays.md). Little endian; a *cluster* is 4096 bytes of the file, a *block* 4096 bytes of
the disk. Clusters 0 and 1 hold one header each, the log is a run of clusters, every other cluster is the content of one
block, or free.

Header, 4096 bytes::

      0 magic, 8        8 version, u32         12 cluster bytes, u32 = 4096
     16 generation, u64: +1 with every new header         24 UUID of the overlay, 16
     40 state, u32: 0 in use, 1 a commit into the base has begun             44 log's first cluster, u32
     48 log's clusters, u32    52 records that the log has at least, u32 (version 1: 0)
     56 sequence of the log's first record, u64                              64 key of the log, 16
     80 base: bytes, u64   88 UUID, 16   104 disk GUID, 16   120 partition GUID, 16 (each 0 when not known)
    136 base: probe bytes, u32     140 length of the base's name, u32 <= 1024    144 base: digest of the probe, 32
    176 base: name, UTF-8          0 up to          4064 BLAKE2b-256 of bytes 0 to 4063

Log: records, each a multiple of 512 bytes, one after the other::

      0 magic, 4   4 kind, u32 (see RecordKind)   8 sequence, u64   16 entries, u64   24 checksums, u64
     32 BLAKE2b-128, keyed with the log's key, of bytes 0 to 31 and of everything from byte 48   48 entries, 16 each
      … checksums, u32 each: version 2 only, the CRC-32 (as of zlib) of each cluster of the entries, in their order

    entry:  0 first block, u64   8 first cluster, u32 (1: the blocks read as zeros)   12 blocks, u32

Invariants: a log begins with a checkpoint, which is the whole map; sequences go up by one; a record is written when
everything before it is stable. So an invalid record with none valid after it is a write that never ended, and is
discarded; one with a valid record after it is damage.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from hmac import compare_digest
from uuid import UUID

from bootpath.core.errors import FormatError

CLUSTER_BYTES = 4096
HEADER_BYTES = CLUSTER_BYTES
FIRST_CLUSTER = 2
ZERO_CLUSTER = 1
KEY_BYTES = 16
DIGEST_BYTES = 32
NAME_MAX_BYTES = 1024
RECORD_ALIGN_BYTES = 512
ENTRY = struct.Struct("<QII")
CHECKSUM_BYTES = 4

MAGIC = b"\x89bpovl\r\n"
_VERSION = 1
_VERSION_CHECKSUMS = 2
_HEADER = struct.Struct("<8sIIQ16sIIIIQ16sQ16s16s16sII32s")
_HEADER_DIGEST_OFFSET = HEADER_BYTES - DIGEST_BYTES
_RECORD_MAGIC = b"\x89bpr"
_RECORD = struct.Struct("<4sIQQQ")
_RECORD_DIGEST_BYTES = 16
_ENTRIES_OFFSET = _RECORD.size + _RECORD_DIGEST_BYTES
_U32_MAX = 0xFFFFFFFF
_NIL = UUID(int=0)


class OverlayFileState(Enum):
    """What an overlay's file is for at the moment."""

    READY = 0
    COMMITTING = 1  # its blocks are being written into its base


class RecordKind(Enum):
    """What a record of the log says."""

    CHECKPOINT = 1  # the whole map
    COMMIT = 2  # what changed, in order
    CLOSED = 3  # nothing: what stands before it was complete
    STABLE = 4  # nothing: what stands before it was stable; version 2 only


@dataclass(frozen=True, slots=True)
class BaseIdentity:
    """Which base an overlay belongs to. `digest` is the BLAKE2b-256 of its first `probe_bytes` bytes."""

    name: str
    size_bytes: int
    probe_bytes: int
    digest: bytes
    uuid: UUID | None = None
    disk_guid: UUID | None = None
    partition_guid: UUID | None = None

    def differences(self, other: BaseIdentity) -> tuple[tuple[str, object, object], ...]:
        """(what, ours, theirs) for everything that tells the two apart; what one side does not know tells nothing."""
        rows: list[tuple[str, object, object]] = [("size_bytes", self.size_bytes, other.size_bytes)]
        for field in ("uuid", "disk_guid", "partition_guid"):
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours is not None and theirs is not None:
                rows.append((field, ours, theirs))
        rows.append((f"content of the first {self.probe_bytes} bytes", self.digest.hex()[:16], other.digest.hex()[:16]))
        return tuple(row for row in rows if row[1] != row[2])


@dataclass(frozen=True, slots=True)
class OverlayHeader:
    """One copy of the header. `log_cluster` and `log_clusters` say where the log is, `log_key` is the key of its
    records."""

    generation: int
    uuid: UUID
    state: OverlayFileState
    log_cluster: int
    log_clusters: int
    log_sequence: int
    log_key: bytes
    base: BaseIdentity
    checksums: bool = False  # every record has those of its clusters
    log_records: int = 0  # so many the log has at least


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of the log; `entries` and `checksums` are packed, `iter_entries` and `unpack_checksums` undo that."""

    kind: RecordKind
    sequence: int
    entries: bytes
    checksums: bytes = b""


@dataclass(frozen=True, slots=True)
class OverlayLog:
    """The records of a log. `tail_bytes` is where the next one belongs; `torn` when an unfinished one lies there."""

    records: tuple[LogRecord, ...]
    tail_bytes: int
    torn: bool

    @property
    def closed(self) -> bool:
        """True when the overlay was closed after its last commit."""
        return self.records[-1].kind not in (RecordKind.COMMIT, RecordKind.STABLE)


def _fault(what: str, *, found: object = None, expected: object = None, hint: str | None = None) -> FormatError:
    return FormatError(what, where="overlay", found=found, expected=expected, hint=hint)


# The header


def pack_header(header: OverlayHeader) -> bytes:
    """The 4096 bytes. Raises FormatError when a field does not fit."""
    base = header.base
    name = base.name.encode("utf-8", "replace")
    if len(name) > NAME_MAX_BYTES:
        raise _fault("the base's name is too long", found=f"{len(name)} bytes", expected=f"at most {NAME_MAX_BYTES}")
    try:
        fixed = _HEADER.pack(
            MAGIC,
            _VERSION_CHECKSUMS if header.checksums else _VERSION,
            CLUSTER_BYTES,
            header.generation,
            header.uuid.bytes,
            header.state.value,
            header.log_cluster,
            header.log_clusters,
            header.log_records,
            header.log_sequence,
            header.log_key,
            base.size_bytes,
            *((guid or _NIL).bytes for guid in (base.uuid, base.disk_guid, base.partition_guid)),
            base.probe_bytes,
            len(name),
            base.digest,
        )
    except struct.error as error:
        raise _fault(f"a field of the header does not fit: {error}") from None
    data = (fixed + name).ljust(_HEADER_DIGEST_OFFSET, b"\0")
    return data + blake2b(data, digest_size=DIGEST_BYTES).digest()


def parse_header(data: bytes) -> OverlayHeader:
    """One copy of the header. Raises FormatError."""
    if len(data) != HEADER_BYTES:
        raise _fault("the header has the wrong length", found=f"{len(data)} bytes", expected=f"{HEADER_BYTES}")
    if data[: len(MAGIC)] != MAGIC:
        raise _fault(
            "the file does not begin as an overlay",
            found=data[: len(MAGIC)].hex(),
            expected=MAGIC.hex(),
            hint="is it an overlay?",
        )
    digest = blake2b(data[:_HEADER_DIGEST_OFFSET], digest_size=DIGEST_BYTES).digest()
    if not compare_digest(digest, data[_HEADER_DIGEST_OFFSET:]):
        raise _fault(
            "the header's checksum does not match", found=digest.hex()[:16], expected=data[-DIGEST_BYTES:].hex()[:16]
        )
    (
        _,
        version,
        cluster_bytes,
        generation,
        uuid,
        state,
        log_cluster,
        log_clusters,
        log_records,
        log_sequence,
        log_key,
        base_size,
        base_uuid,
        disk_guid,
        partition_guid,
        probe_bytes,
        name_bytes,
        probe_digest,
    ) = _HEADER.unpack_from(data)
    if version not in (_VERSION, _VERSION_CHECKSUMS):
        raise _fault(
            "the version is not supported", found=version, expected="1 or 2", hint="it was made by another release"
        )
    if cluster_bytes != CLUSTER_BYTES:
        raise _fault("the cluster size is not supported", found=cluster_bytes, expected=CLUSTER_BYTES)
    if state not in (0, 1):
        raise _fault("there is no such state", found=state, expected="0 or 1")
    if log_cluster < FIRST_CLUSTER or not log_clusters or log_cluster + log_clusters > _U32_MAX:
        raise _fault(
            "the log is outside the file",
            found=f"{log_clusters} clusters at {log_cluster}",
            expected="a run behind the header",
        )
    if name_bytes > NAME_MAX_BYTES or probe_bytes > base_size:
        raise _fault(
            "the base's name or probe is too long",
            found=f"{name_bytes} and {probe_bytes} bytes",
            expected=f"at most {NAME_MAX_BYTES} and {base_size}",
        )
    if (log_records and version == _VERSION) or any(data[_HEADER.size + name_bytes : _HEADER_DIGEST_OFFSET]):
        raise _fault("reserved bytes of the header are not zero")
    try:
        name = data[_HEADER.size : _HEADER.size + name_bytes].decode()
    except UnicodeDecodeError:
        raise _fault("the base's name is not UTF-8") from None
    base = BaseIdentity(
        name, base_size, probe_bytes, probe_digest, *(_known(guid) for guid in (base_uuid, disk_guid, partition_guid))
    )
    return OverlayHeader(
        generation,
        UUID(bytes=uuid),
        OverlayFileState(state),
        log_cluster,
        log_clusters,
        log_sequence,
        log_key,
        base,
        checksums=version == _VERSION_CHECKSUMS,
        log_records=log_records,
    )


def _known(guid: bytes) -> UUID | None:
    return UUID(bytes=guid) if any(guid) else None


def choose_header(first: bytes, second: bytes) -> tuple[OverlayHeader, bool]:
    """(the newer valid copy, whether both copies are the same). Raises FormatError when neither is valid.

    A writer replaces one copy, waits until it is stable, then replaces the other: at least one is always whole.
    """
    copies: list[OverlayHeader] = []
    faults: list[FormatError] = []
    for data in (first, second):
        try:
            copies.append(parse_header(data))
        except FormatError as error:
            faults.append(error)
    if not copies:
        raise faults[0]
    newest = max(copies, key=lambda header: header.generation)
    if any(copy.uuid != newest.uuid for copy in copies):
        raise _fault("the two copies of the header are of two overlays")
    return newest, not faults and copies[0] == copies[1]


# The log


def record_bytes(entries: int, checksums: int = 0) -> int:
    """The size of a record with that many entries and checksums."""
    content = entries * ENTRY.size + checksums * CHECKSUM_BYTES
    return -(-(_ENTRIES_OFFSET + content) // RECORD_ALIGN_BYTES) * RECORD_ALIGN_BYTES


def pack_entries(entries: Iterable[tuple[int, int, int]]) -> bytes:
    """(first block, first cluster, blocks) rows, packed."""
    return b"".join(ENTRY.pack(*entry) for entry in entries)


def iter_entries(entries: bytes) -> Iterator[tuple[int, int, int]]:
    """The rows again."""
    return ENTRY.iter_unpack(entries)


def pack_checksums(checksums: array[int]) -> bytes:
    """Checksums of 32 bits, packed."""
    return _little_endian(checksums).tobytes()


def unpack_checksums(data: bytes) -> array[int]:
    """The checksums again."""
    return _little_endian(array("I", data))


def _little_endian(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values


def _record_digest(key: bytes, head: bytes, body: bytes | memoryview) -> bytes:
    digest = blake2b(head, digest_size=_RECORD_DIGEST_BYTES, key=key)
    digest.update(body)
    return digest.digest()


def pack_record(record: LogRecord, key: bytes) -> bytes:
    """The record's bytes, a multiple of 512."""
    count, checksums = len(record.entries) // ENTRY.size, len(record.checksums) // CHECKSUM_BYTES
    head = _RECORD.pack(_RECORD_MAGIC, record.kind.value, record.sequence, count, checksums)
    body = (record.entries + record.checksums).ljust(record_bytes(count, checksums) - _ENTRIES_OFFSET, b"\0")
    return head + _record_digest(key, head, body) + body


def _record_at(data: memoryview, offset: int, key: bytes) -> tuple[LogRecord, int] | None:
    """(the valid record at an offset, its size), or None."""
    if offset + RECORD_ALIGN_BYTES > len(data):
        return None
    magic, kind, sequence, count, checksums = _RECORD.unpack_from(data, offset)
    if magic != _RECORD_MAGIC or kind not in (1, 2, 3, 4):
        return None
    size = record_bytes(count, checksums)
    if offset + size > len(data):
        return None
    body = data[offset + _ENTRIES_OFFSET : offset + size]
    digest = _record_digest(key, bytes(data[offset : offset + _RECORD.size]), body)
    if not compare_digest(digest, data[offset + _RECORD.size : offset + _ENTRIES_OFFSET]):
        return None
    middle = count * ENTRY.size
    stop = middle + checksums * CHECKSUM_BYTES
    return LogRecord(RecordKind(kind), sequence, bytes(body[:middle]), bytes(body[middle:stop])), size


def parse_log(data: bytes, key: bytes, first_sequence: int, least_records: int = 0) -> OverlayLog:
    """The records in the log's clusters. Raises FormatError when one in the middle is damaged or out of order, or when
    there are fewer than `least_records`."""
    view = memoryview(data)
    records: list[LogRecord] = []
    offset = 0
    while (found := _record_at(view, offset, key)) is not None:
        record, size = found
        expected = first_sequence + len(records)
        if record.sequence != expected:
            raise _fault(
                f"the record at byte {offset} of the log is out of sequence", found=record.sequence, expected=expected
            )
        if (record.kind is RecordKind.CHECKPOINT) != (not records):
            raise _fault(f"record {record.sequence} of the log is a {record.kind.name.lower()}, which is out of place")
        records.append(record)
        offset += size
    if not records:
        raise _fault("the log does not begin with a valid checkpoint", hint="the file is damaged")
    if len(records) < least_records:
        raise _fault(
            f"the record at byte {offset} of the log is damaged",
            found=f"{len(records)} records",
            expected=f"at least {least_records}",
        )
    # "A record is written when everything before it is stable": what cannot be read was never finished, unless
    # something valid follows.
    later = data.find(_RECORD_MAGIC, offset)
    while later >= 0:
        if later % RECORD_ALIGN_BYTES == 0 and _record_at(view, later, key) is not None:
            raise _fault(
                f"the record at byte {offset} of the log is damaged, one at {later} is not",
                hint="the file was changed by something else",
            )
        later = data.find(_RECORD_MAGIC, later + 1)
    return OverlayLog(tuple(records), offset, torn=any(view[offset : offset + RECORD_ALIGN_BYTES]))
