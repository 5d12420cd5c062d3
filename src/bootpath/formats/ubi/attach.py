"""UBI, read only: which eraseblock of a flash image is which part of which volume.

Source: Linux drivers/mtd/ubi/attach.c, vtbl.c and eba.c; http://www.linux-mtd.infradead.org/doc/ubi. An image is a row
of physical eraseblocks (PEBs), each with an EC header, a VID header where it is in use, and data. There is no index:
all headers are read, and the volume table stands in two copies in the internal layout volume.

Rules, as the kernel attaches a flash:

- Of two PEBs that claim the same logical eraseblock (LEB) the one with the higher sequence number is newer. If that
  one is a copy (copy_flag), it counts only when the CRC of its data holds: a power cut may have ended it early.
- A PEB of 0xFF is erased. A bad EC header costs the erase counter only. A bad VID header over data of 0xFF is an
  erasure that never ended; over anything else it is corruption, and a twentieth of that (or 8 PEBs) is too much.
- Copy 0 of the volume table is newer than copy 1, which counts when copy 0 is damaged.
- A LEB without a PEB reads as 0xFF. In a static volume there is none: it has as many bytes as its last LEB says.

What bounds it all: 2^20 PEBs, one read for each, and one more for those in doubt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bootpath.core.device import SECTOR_BYTES, Device
from bootpath.core.errors import FormatError, TableError
from bootpath.core.limits import spend
from bootpath.formats.region import Region
from bootpath.formats.ubi.geometry import MAX_PEB_BYTES, MAX_PEBS, MIN_PEB_BYTES, find_ec_header, find_peb_bytes
from bootpath.formats.ubi.headers import (
    EC_BYTES,
    LAYOUT_COPIES,
    LAYOUT_VOLUME,
    UBI_EC_MAGIC,
    VID_BYTES,
    EcHeader,
    VidHeader,
    VolumeRecord,
    VolumeType,
    parse_ec_header,
    parse_vid_header,
    parse_volume_table,
    ubi_crc,
)

_WHERE = "ubi"
_COMPAT_REJECT = 5
_ERASED = b"\xff"


@dataclass(frozen=True, slots=True)
class Leb:
    """A mapped logical eraseblock: number `lnum` of its volume is in `peb`. In a static volume it has `data_bytes`."""

    lnum: int
    peb: int
    data_bytes: int
    data_crc: int


@dataclass(frozen=True, slots=True)
class UbiVolume:
    """A volume of the table. `usable_bytes` is what a LEB holds; `lebs` are those that are mapped, by their number.

    `size_bytes` is what a reader sees; of a dynamic volume, all of its reserved eraseblocks. `used_lebs` are how many
    LEBs a static volume should have, reserved ones for a dynamic. `refusal` says why the volume has no table.
    """

    number: int
    name: str
    type: VolumeType
    reserved_pebs: int
    usable_bytes: int
    size_bytes: int
    used_lebs: int
    lebs: tuple[Leb, ...]
    flags: int
    refusal: TableError | None = None


@dataclass(frozen=True, slots=True)
class PebCounts:
    """What the PEBs are. `stale` are older versions of a LEB, and those of volumes that are gone."""

    used: int
    free: int
    erased: int
    unfinished: int
    corrupted: int
    stale: int
    internal: int


@dataclass(frozen=True, slots=True)
class Ubi:
    """An image. Offsets are from the beginning of a PEB; `table_fault`: why a copy of the volume table is not used.

    `cut`: the image does not end with an eraseblock.
    """

    peb_bytes: int
    pebs: int
    vid_offset: int
    data_offset: int
    image_seq: int
    max_erase_count: int
    counts: PebCounts
    volumes: tuple[UbiVolume, ...]
    table_fault: FormatError | None = None
    cut: FormatError | None = None

    @property
    def leb_bytes(self) -> int:
        """What a PEB holds besides its headers."""
        return self.peb_bytes - self.data_offset

    @property
    def corrupted(self) -> int:
        """PEBs with data that nothing says what it is."""
        return self.counts.corrupted

    def volume(self, name: str) -> UbiVolume | None:
        """The volume of this name."""
        return next((volume for volume in self.volumes if volume.name == name), None)

    def place(self, leb: Leb) -> int:
        """The byte of the image where the data of a LEB begin."""
        return leb.peb * self.peb_bytes + self.data_offset


def read_ubi(device: Device, peb_bytes: int | None = None) -> Ubi:
    """The volumes of an image. Raises FormatError, also when the kernel would refuse to attach it; DeviceError."""
    region = Region(device)
    first = find_ec_header(region, peb_bytes)
    size = find_peb_bytes(region, first) if peb_bytes is None else peb_bytes
    if not MIN_PEB_BYTES <= size <= MAX_PEB_BYTES or size <= first.data_offset:
        raise FormatError(
            "the eraseblock size is out of range",
            where=_WHERE,
            found=f"{size} bytes",
            expected="1 KiB to 16 MiB, and more than the headers",
        )
    pebs = region.size_bytes // size
    if not 0 < pebs <= MAX_PEBS:
        raise FormatError(
            "the number of eraseblocks is out of range", where=_WHERE, found=pebs, expected=f"1 to {MAX_PEBS}"
        )
    spend("ubi_eraseblocks", pebs, "there are too many eraseblocks", where=_WHERE)
    scan = _Scan(region, size, first)
    for peb in range(pebs):
        try:
            scan.visit(peb)
        except FormatError as error:
            raise error.at(f"{_WHERE}: eraseblock {peb}") from None
    return replace(scan.result(pebs), cut=_cut(region, size, pebs))


def _cut(region: Region, peb_bytes: int, pebs: int) -> FormatError | None:
    """What is behind the last whole PEB, when there is something: Linux makes no flash of such a disk."""
    rest = region.size_bytes - pebs * peb_bytes
    if not rest:
        return None
    begun = region.peek(pebs * peb_bytes, EC_BYTES).startswith(UBI_EC_MAGIC)
    what = "truncated: the last eraseblock is not whole" if begun else "the last eraseblock is not whole"
    return FormatError(what, where=_WHERE, found=f"{rest} bytes", expected=f"{peb_bytes} bytes").as_value()


def read_leb(region: Region, ubi: Ubi, volume: UbiVolume, leb: Leb) -> bytes:
    """The bytes of a mapped LEB, checked where the volume is static. Raises FormatError, DeviceError."""
    static = volume.type is VolumeType.STATIC
    data = region.peek(ubi.place(leb), leb.data_bytes if static else volume.usable_bytes)
    if static and ubi_crc(data) != leb.data_crc:
        raise FormatError(
            f"the CRC of logical eraseblock {leb.lnum} (eraseblock {leb.peb}) does not match",
            where=f"{_WHERE}: {volume.name}",
            found=f"0x{ubi_crc(data):08x}",
            expected=f"0x{leb.data_crc:08x}",
        )
    return data


def check_ubi_volume(device: Device, ubi: Ubi, volume: UbiVolume) -> None:
    """Read all of a static volume and check it; a dynamic one has no checksums. Raises FormatError, DeviceError."""
    if volume.type is VolumeType.DYNAMIC:
        return
    missing = volume.used_lebs - len(volume.lebs)
    if missing:
        raise FormatError("logical eraseblocks are missing", where=f"{_WHERE}: {volume.name}", found=missing)
    region = Region(device)
    for leb in volume.lebs:
        read_leb(region, ubi, volume, leb)


class _Scan:
    """What is gathered while the PEBs are read, one after the other."""

    def __init__(self, region: Region, peb_bytes: int, first: EcHeader) -> None:
        self.region = region
        self.peb_bytes = peb_bytes
        self.leb_bytes = peb_bytes - first.data_offset
        self.first = first
        self.image_seq = 0
        self.max_erase_count = 0
        self.free = self.erased = self.unfinished = self.corrupted = self.internal = self.claims = 0
        # volume → LEB → the PEBs that claim it
        self.claimed: dict[int, dict[int, list[tuple[VidHeader, int]]]] = defaultdict(lambda: defaultdict(list))

    def visit(self, peb: int) -> None:
        """Read the headers of one PEB. Raises FormatError when they are sound and cannot be true."""
        headers = self.region.peek(peb * self.peb_bytes, self.first.vid_offset + VID_BYTES)
        ec, vid = headers[:EC_BYTES], headers[self.first.vid_offset :]
        if _erased(ec):
            self.erased += 1
            return
        sound = self._erase_counter(ec)
        if _erased(vid):
            self.free += 1
            return
        try:
            header = parse_vid_header(vid, self.leb_bytes)
        except FormatError:
            if sound and not _erased(self.region.peek(self._data(peb), self.leb_bytes)):
                self.corrupted += 1
            else:
                self.unfinished += 1
            return
        if header.volume_id > LAYOUT_VOLUME:
            if header.compat == _COMPAT_REJECT:
                raise FormatError(
                    "the image has an internal volume that is not supported", found=header.volume_id, expected="none"
                )
            self.internal += 1
            return
        self.claims += 1
        self.claimed[header.volume_id][header.lnum].append((header, peb))

    def result(self, pebs: int) -> Ubi:
        """The image. Raises FormatError, DeviceError."""
        limit = pebs // 20 or 8
        if self.corrupted >= limit:
            raise FormatError(
                "too many eraseblocks are corrupted", where=_WHERE, found=self.corrupted, expected=f"below {limit}"
            )
        records, table_fault = self._volume_table()
        volumes = tuple(self._volume(number, record) for number, record in records.items())
        used = sum(len(volume.lebs) for volume in volumes) + len(self.claimed.get(LAYOUT_VOLUME, ()))
        return Ubi(
            peb_bytes=self.peb_bytes,
            pebs=pebs,
            vid_offset=self.first.vid_offset,
            data_offset=self.first.data_offset,
            image_seq=self.image_seq,
            max_erase_count=self.max_erase_count,
            counts=PebCounts(
                used, self.free, self.erased, self.unfinished, self.corrupted, self.claims - used, self.internal
            ),
            volumes=volumes,
            table_fault=table_fault,
        )

    def _data(self, peb: int) -> int:
        return peb * self.peb_bytes + self.first.data_offset

    def _erase_counter(self, data: bytes) -> bool:
        """True when the EC header is sound. Raises FormatError when it belongs to another image."""
        try:
            header = parse_ec_header(data)
        except FormatError:
            return False
        offsets = (header.vid_offset, header.data_offset)
        if offsets != (self.first.vid_offset, self.first.data_offset):
            expected = f"{self.first.vid_offset} and {self.first.data_offset}"
            raise FormatError(
                "the offsets of the VID header and the data are not those of the first eraseblock",
                found=f"{offsets[0]} and {offsets[1]}",
                expected=expected,
            )
        # "Some PEBs may have zero: old implementations of UBI always set it to zero."
        self.image_seq = self.image_seq or header.image_seq
        if header.image_seq not in (0, self.image_seq):
            raise FormatError(
                "the image sequence number is not that of the other eraseblocks",
                found=header.image_seq,
                expected=self.image_seq,
            )
        self.max_erase_count = max(self.max_erase_count, header.erase_count)
        return True

    def _volume_table(self) -> tuple[Mapping[int, VolumeRecord], FormatError | None]:
        where = f"{_WHERE}: layout volume"
        copies = dict(self._lebs(LAYOUT_VOLUME, where))
        if not copies:
            raise FormatError("there is no volume table", where=where, expected="one of two copies")
        if max(copies) >= LAYOUT_COPIES:
            raise FormatError(
                "the number of a copy of the volume table is out of range",
                where=where,
                found=max(copies),
                expected="0 or 1",
            )
        faults: list[FormatError] = []
        for copy in range(LAYOUT_COPIES):
            if copy not in copies:
                faults.append(FormatError(f"copy {copy} of the table is missing", where=where))
                continue
            try:
                data = self.region.peek(self._data(copies[copy][1]), self.leb_bytes)
                table = parse_volume_table(data, self.leb_bytes)
            except FormatError as error:
                faults.append(error.at(f"{where}: copy {copy}").as_value())
                continue
            if copy == 0 and 1 not in copies:
                faults.append(FormatError("copy 1 of the table is missing", where=where))
            return table, faults[0] if faults else None
        raise faults[0]

    def _volume(self, number: int, record: VolumeRecord) -> UbiVolume:
        where = f"{_WHERE}: {record.name}"
        usable = self.leb_bytes - record.data_pad
        chosen = list(self._lebs(number, where))
        lebs = tuple(Leb(lnum, peb, header.data_bytes, header.data_crc) for lnum, (header, peb) in chosen)
        for lnum, (header, _) in chosen:
            if lnum >= record.reserved_pebs:
                raise FormatError(
                    "the number of a logical eraseblock is out of range",
                    where=where,
                    found=lnum,
                    expected=f"below {record.reserved_pebs}",
                )
            if (header.type, header.data_pad) != (record.type, record.data_pad):
                raise FormatError(f"logical eraseblock {lnum} and the volume table do not agree", where=where)
        size, used_lebs = record.reserved_pebs * usable, record.reserved_pebs
        refusal = self._unfit(where, record, usable)
        if record.type is VolumeType.STATIC:
            used = {header.used_ebs for _, (header, _) in chosen}
            if len(used) > 1 and not record.updating:
                raise FormatError(
                    "the eraseblocks do not agree on how many are in use",
                    where=where,
                    found=sorted(used),
                    expected="one number",
                )
            size, used_lebs = sum(leb.data_bytes for leb in lebs), max(used, default=0)
            if used_lebs != len(lebs):
                missing = used_lebs - len(lebs)
                refusal = refusal or TableError("logical eraseblocks are missing", where=where, found=missing)
            if size < SECTOR_BYTES:
                refusal = refusal or TableError(
                    "the volume is too small", where=where, found=f"{size} bytes", expected="a sector"
                )
        return UbiVolume(
            number=number,
            name=record.name,
            type=record.type,
            reserved_pebs=record.reserved_pebs,
            usable_bytes=usable,
            size_bytes=size,
            used_lebs=used_lebs,
            lebs=lebs,
            flags=record.flags,
            refusal=refusal,
        )

    def _unfit(self, where: str, record: VolumeRecord, usable: int) -> TableError | None:
        """Why a volume cannot be a device of sectors."""
        if record.updating:
            return TableError("an update of the volume was interrupted", where=where, hint="write the volume again")
        for what, size in (
            ("the eraseblock size is not a multiple of sectors", self.peb_bytes),
            ("the data offset is not a multiple of sectors", self.first.data_offset),
            ("the size of a logical eraseblock is not a multiple of sectors", usable),
        ):
            if size % SECTOR_BYTES:
                return TableError(
                    what, where=where, found=f"{size} bytes", expected=f"a multiple of {SECTOR_BYTES} bytes"
                )
        return None

    def _lebs(self, number: int, where: str) -> Iterator[tuple[int, tuple[VidHeader, int]]]:
        """The PEB that is each LEB of a volume, by the LEB's number."""
        for lnum, claims in sorted(self.claimed.get(number, {}).items()):
            claims.sort(key=lambda claim: -claim[0].sqnum)
            numbers = [header.sqnum for header, _ in claims]
            if len(set(numbers)) != len(numbers):
                found = " and ".join(str(peb) for _, peb in claims)
                raise FormatError(
                    f"eraseblocks claim logical eraseblock {lnum} with one sequence number", where=where, found=found
                )
            yield lnum, self._newest(claims)

    def _newest(self, claims: list[tuple[VidHeader, int]]) -> tuple[VidHeader, int]:
        for header, peb in claims[:-1]:
            if not header.copy_flag or ubi_crc(self.region.peek(self._data(peb), header.data_bytes)) == header.data_crc:
                return header, peb
        return claims[-1]


def _erased(data: bytes) -> bool:
    return data.count(_ERASED) == len(data)
