"""UBI images written by hand. Only what tests need."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.formats.ubi.headers import LAYOUT_VOLUME, RECORD_BYTES, ubi_crc

PEB = 8192
VID = 512
DATA = 1024
LEB = PEB - DATA


def sealed(header: bytes) -> bytes:
    """With its CRC."""
    return header + struct.pack(">I", ubi_crc(header))


def ec_header(*, erases: int = 0, vid: int = VID, data: int = DATA, image_seq: int = 77, version: int = 1) -> bytes:
    return sealed(struct.pack(">4sB3xQIII32x", b"UBI#", version, erases, vid, data, image_seq))


def vid_header(
    volume: int,
    lnum: int,
    *,
    sqnum: int = 0,
    kind: int = 1,
    copy: int = 0,
    compat: int = 0,
    data_bytes: int = 0,
    used: int = 0,
    pad: int = 0,
    crc: int = 0,
) -> bytes:
    return sealed(
        struct.pack(
            ">4sBBBBII4xIIII4xQ12x", b"UBI!", 1, kind, copy, compat, volume, lnum, data_bytes, used, pad, crc, sqnum
        )
    )


def static_header(volume: int, lnum: int, data: bytes, used: int, **more: int) -> bytes:
    return vid_header(volume, lnum, kind=2, data_bytes=len(data), used=used, crc=ubi_crc(data), **more)


def copied_header(volume: int, lnum: int, data: bytes, **more: int) -> bytes:
    return vid_header(volume, lnum, copy=1, data_bytes=len(data), crc=ubi_crc(data), **more)


def record(
    name: str, pebs: int, *, kind: int = 1, alignment: int = 1, pad: int = 0, updating: int = 0, flags: int = 0
) -> bytes:
    text = name.encode()
    return sealed(struct.pack(">IIIBBH128sB23x", pebs, alignment, pad, kind, updating, len(text), text, flags))


EMPTY_RECORD = sealed(bytes(RECORD_BYTES - 4))


def table(records: Mapping[int, bytes]) -> bytes:
    """The volume table of a LEB."""
    return b"".join(records.get(number, EMPTY_RECORD) for number in range(min(128, LEB // RECORD_BYTES)))


@dataclass
class Flash:
    """Eraseblocks, one after the other."""

    records: dict[int, bytes] = field(default_factory=dict)
    image_seq: int = 77
    pebs: list[bytes] = field(default_factory=list)

    def peb(self, vid: bytes = b"", data: bytes = b"", *, ec: bytes | None = None) -> int:
        """One more; its number. Without a VID header it is free."""
        head = ec_header(image_seq=self.image_seq) if ec is None else ec
        content = head.ljust(VID, b"\xff") + vid.ljust(DATA - VID, b"\xff") + data
        self.pebs.append(content.ljust(PEB, b"\xff"))
        return len(self.pebs) - 1

    def layout(self, *copies: int, content: bytes | None = None, sqnum: int = 1) -> Flash:
        """The volume table, in these copies."""
        for copy in copies or (0, 1):
            data = table(self.records) if content is None else content
            self.peb(vid_header(LAYOUT_VOLUME, copy, compat=5, sqnum=sqnum + copy), data)
        return self

    def device(self) -> MemoryDevice:
        return MemoryDevice(b"".join(self.pebs))


def content_of(seed: int, length: int = LEB) -> bytes:
    """Bytes that tell LEBs apart."""
    return (b"%06d " % seed * (length // 7 + 1))[:length]
