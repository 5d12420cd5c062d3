"""LUKS, versions 1 and 2: what a header says in the clear. Nothing is decrypted here.

Sources: "LUKS On-Disk Format Specification" 1.2.3; "LUKS2 On-Disk Format Specification" 1.1.3. Big endian, at byte 0::

    LUKS1:    0 magic, 6 = "LUKS" ba be    6 version, u16 = 1     8 cipher, 32   40 mode, 32   72 hash, 32
            104 payload, u32 sectors     108 key bytes, u32     112 digest, 20  132 salt, 32  164 iterations, u32
            168 UUID, 40                 208 eight key slots of 48: state, u32 (0x00ac71f3 on, 0x0000dead off) …

    LUKS2:    0 magic                      6 version, u16 = 2     8 header bytes, u64   16 sequence, u64   24 label, 48
             72 checksum algorithm, 32   104 salt, 64           168 UUID, 40           208 subsystem, 48
            256 own place, u64           448 checksum, 64       4096 JSON, up to the header bytes, padded with NUL

LUKS2 has its header twice: the second copy, whose magic is "SKUL" ba be, stands where the first ends, at 16 KiB,
32 KiB … 4 MiB. The checksum covers binary header and JSON, taking itself as zeros. The copy with the higher sequence
number is believed, among those that are whole, as cryptsetup does; the fault of the other one is kept.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bootpath.core.errors import FormatError
from bootpath.core.limits import spend
from bootpath.formats.region import HEAD_BYTES, Region
from bootpath.formats.superblocks.lukssegments import LuksMetadata, parse_luks_metadata
from bootpath.formats.superblocks.value import Checksum, Superblock, fault, text_field

LUKS_MAGIC = b"LUKS\xba\xbe"
LUKS_SECOND_MAGIC = b"SKUL\xba\xbe"
SECOND_OFFSETS = tuple(16384 << bits for bits in range(9))
SECTOR_BYTES = 512
SLOTS = 8

_KIND = "crypto_LUKS"
_LUKS1 = struct.Struct(">6sH32s32s32sII20s32sI40s")
_LUKS2 = struct.Struct(">6sHQQ48s32s64s40s48sQ184x64s")
_BINARY_BYTES = 4096
_CHECKSUM_OFFSET = 448
_ENABLED = 0x00AC71F3
_DISABLED = 0x0000DEAD
_SUMS: Mapping[str, int] = {"sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Luks1Header(Superblock):
    """`cipher` as dm-crypt takes it; the data begins at `payload_offset` (bytes, 0: on another device)."""

    cipher: str
    hash: str
    key_bytes: int
    payload_offset: int
    key_slots: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Luks2Header(Superblock):
    """`metadata` is what the JSON says; `copy_fault` why one of the two copies could not be believed."""

    sequence: int
    header_bytes: int
    subsystem: str
    metadata: LuksMetadata
    copy_fault: FormatError | None = None


def probe_luks(region: Region) -> Luks1Header | Luks2Header | None:
    """The header, None when there is none. Raises FormatError when no copy of it is whole, DeviceError."""
    head = region.peek(0, 8)
    if head.startswith(LUKS_MAGIC):
        version = int.from_bytes(head[6:8], "big")
        if version == 1:
            return _read_luks1(region)
        if version != 2:
            raise fault(_KIND, "the version is not supported", version, "1 or 2")
        return _choose(region, SECOND_OFFSETS)
    # Somebody wiped the beginning; cryptsetup finds the second copy and repairs the first. Looking for the larger
    # headers, which nobody makes without asking, would cost a request for each size on every device there is.
    places = [place for place in SECOND_OFFSETS if place < HEAD_BYTES and region.peek(place, 6) == LUKS_SECOND_MAGIC]
    return _choose(region, tuple(places)) if places else None


def _read_luks1(region: Region) -> Luks1Header:
    data = _read(region, 0, 592)
    _, _, cipher, mode, digest, payload, key_bytes, _, _, _, uuid = _LUKS1.unpack_from(data)
    if not key_bytes or key_bytes > 1024:
        raise fault(_KIND, "the number of key bytes is out of range", key_bytes, "1 to 1024")
    slots = []
    for slot in range(SLOTS):
        state, _, _, material, stripes = struct.unpack_from(">II32sII", data, 208 + 48 * slot)
        if state not in (_ENABLED, _DISABLED):
            raise fault(
                _KIND, f"the state of key slot {slot} is not valid", f"0x{state:08x}", "0x00ac71f3 or 0x0000dead"
            )
        if state == _ENABLED:
            end = material * SECTOR_BYTES + stripes * key_bytes
            if payload and end > payload * SECTOR_BYTES:
                raise fault(
                    _KIND,
                    f"key slot {slot} ends inside the payload",
                    f"byte {end}",
                    f"at most byte {payload * SECTOR_BYTES}",
                )
            slots.append(slot)
    if not text_field(cipher):
        raise fault(_KIND, "the name of the cipher is empty", "empty", "a name")
    return Luks1Header(
        kind=_KIND,
        offset=0,
        uuid=text_field(uuid) or None,
        label="",
        block_bytes=SECTOR_BYTES,
        size_bytes=0,
        version="1",
        cipher=f"{text_field(cipher)}-{text_field(mode)}",
        hash=text_field(digest),
        key_bytes=key_bytes,
        payload_offset=payload * SECTOR_BYTES,
        key_slots=tuple(slots),
    )


def _choose(region: Region, second_offsets: tuple[int, ...]) -> Luks2Header:
    """The best copy. The second one is where the first says that it ends, or wherever its magic is."""
    copies: list[Luks2Header] = []
    faults: list[FormatError] = []
    try:
        first = _read_luks2(region, 0)
        copies.append(first)
        second_offsets = (first.header_bytes,)
    except FormatError as error:
        faults.append(error.as_value())
    for place in second_offsets:
        if faults and region.peek(place, 6) != LUKS_SECOND_MAGIC:
            continue  # the first copy is damaged: its size cannot be believed
        try:
            copies.append(_read_luks2(region, place))
            break
        except FormatError as error:
            faults.append(error.as_value())
    if not copies:
        raise faults[0]
    best = max(copies, key=lambda copy: copy.sequence)
    if not faults:
        return best
    return replace(best, copy_fault=faults[0])


def _read_luks2(region: Region, place: int) -> Luks2Header:
    where = "the first header" if place == 0 else f"the second header, at {place},"
    data = _read(region, place, _BINARY_BYTES)
    magic, version, header_bytes, sequence, label, algorithm, _, uuid, subsystem, own, stored = _LUKS2.unpack_from(data)
    expected_magic = LUKS_MAGIC if place == 0 else LUKS_SECOND_MAGIC
    if magic != expected_magic or version != 2:
        raise fault(
            _KIND, f"{where} has the wrong magic or version", data[:8].hex(), (expected_magic + b"\0\x02").hex()
        )
    if header_bytes not in SECOND_OFFSETS:
        raise fault(_KIND, f"{where} has the wrong size", f"{header_bytes} bytes", "16 KiB, 32 KiB … 4 MiB")
    if own != place:
        raise fault(_KIND, f"the offset in {where} is wrong", own, place)
    name = text_field(algorithm)
    if name not in _SUMS:
        raise fault(_KIND, f"{where} has an unknown checksum algorithm", repr(name), "one of " + " ".join(_SUMS))
    spend("metadata_text_bytes", header_bytes, f"{where} is too long to parse", where=_KIND)
    json = _read(region, place + _BINARY_BYTES, header_bytes - _BINARY_BYTES)
    cleared = data[:_CHECKSUM_OFFSET] + bytes(64) + data[_CHECKSUM_OFFSET + 64 :]
    computed = hashlib.new(name, cleared + json).digest()
    if stored[: _SUMS[name]] != computed:
        raise fault(_KIND, f"the checksum of {where} does not match", stored[: _SUMS[name]].hex(), computed.hex())
    metadata = parse_luks_metadata(json.partition(b"\0")[0])
    return Luks2Header(
        kind=_KIND,
        offset=place,
        uuid=text_field(uuid) or None,
        label=text_field(label),
        block_bytes=metadata.sector_bytes,
        size_bytes=0,
        checksum=Checksum.VALID,
        version="2",
        sequence=sequence,
        header_bytes=header_bytes,
        subsystem=text_field(subsystem),
        metadata=metadata,
    )


def _read(region: Region, offset: int, length: int) -> bytes:
    try:
        return region.read(offset, length, "the header")
    except FormatError as error:
        raise error.at(_KIND) from None
