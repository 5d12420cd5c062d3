"""PE files that programs for signing take: PE32+ with data directories, and the tools that sign them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from tests.support.ddi import Signer, run
from tests.support.tools import tool

X64 = 0x8664
FILE_ALIGN, MEMORY_ALIGN = 512, 4096
_OPTIONAL_BYTES = 112 + 16 * 8


def signable_pe(sections: Sequence[tuple[str, bytes]], *, machine: int = X64) -> bytes:
    """An EFI program without code, with these sections one after the other."""
    start = 64
    headers = start + 24 + _OPTIONAL_BYTES + 40 * len(sections)
    header_bytes = -(-headers // FILE_ALIGN) * FILE_ALIGN
    table = body = b""
    place, address = header_bytes, MEMORY_ALIGN
    for name, content in sections:
        raw = -(-len(content) // FILE_ALIGN) * FILE_ALIGN
        table += struct.pack("<8sIIIIIIHHI", name.encode(), len(content), address, raw, place, 0, 0, 0, 0, 0x40000040)
        body += content.ljust(raw, b"\0")
        place += raw
        address += -(-len(content) // MEMORY_ALIGN) * MEMORY_ALIGN
    optional = bytearray(_OPTIONAL_BYTES)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<II", optional, 32, MEMORY_ALIGN, FILE_ALIGN)
    struct.pack_into("<II", optional, 56, address, header_bytes)
    struct.pack_into("<H", optional, 68, 10)  # EFI application
    struct.pack_into("<I", optional, 108, 16)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", start)
    head += struct.pack("<4sHHIIIHH", b"PE\0\0", machine, len(sections), 0, 0, 0, len(optional), 0x22)
    return (head + bytes(optional) + table).ljust(header_bytes, b"\0") + body


def sbsign(directory: Path, content: bytes, signer: Signer) -> bytes:
    """The file, signed as Secure Boot wants it."""
    source, target = directory / "unsigned.efi", directory / "signed.efi"
    source.write_bytes(content)
    run(tool("sbsign"), "--key", signer.key, "--cert", signer.certificate, "--output", target, source)
    return target.read_bytes()


def osslsigncode(directory: Path, content: bytes, signer: Signer, *, digest: str = "sha256") -> bytes:
    """The same by another program, with the digest of one's choice."""
    source, target = directory / "source.efi", directory / "target.efi"
    source.write_bytes(content)
    target.unlink(missing_ok=True)
    keys = ("-certs", signer.certificate, "-key", signer.key)
    run(tool("osslsigncode"), "sign", *keys, "-h", digest, "-in", source, "-out", target)
    return target.read_bytes()
