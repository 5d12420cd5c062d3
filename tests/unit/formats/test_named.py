from __future__ import annotations

import json
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.cli.main import main
from bootpath.formats.named import Named, name_contents
from bootpath.formats.region import Region
from tests.support.tools import tool

MIB = 1 << 20


def placed(*pieces: tuple[int, bytes], size: int = MIB) -> Region:
    content = bytearray(b"\1" + bytes(size - 1))
    for offset, piece in pieces:
        content[offset : offset + len(piece)] = piece
    return Region(MemoryDevice(content))


def kinds(region: Region) -> list[str]:
    return [each.kind for each in name_contents(region, known=False)]


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ([(0, b"\x7fELF")], "ELF program"),
        ([(0, b"ANDROID!")], "Android boot image"),
        ([(0, b"\xd0\x0d\xfe\xed")], "flattened device tree, or FIT image"),
        ([(3, b"NTFS    ")], "NTFS"),
        ([(1024, b"\x10\x20\xf5\xf2")], "F2FS"),
        ([(1024, b"\2\0\0\0\0\0\x34\x34")], "NILFS2"),
        ([(4096, b"\xfc\x4e\x2b\xa9")], "Linux RAID member, metadata 1.2"),
        ([(MIB - 8192, b"\xfc\x4e\x2b\xa9")], "Linux RAID member, metadata 1.0"),
        ([(MIB - 65536, b"\xfc\x4e\x2b\xa9")], "Linux RAID member, metadata 0.90"),
        ([(MIB - 4096 + 60, b"\x83\x74\x02\x6b")], "DRBD device"),
        ([(4120, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"))], "bcache device"),
        ([(0xC00, b"PRIVHEAD")], "Windows dynamic disk (LDM)"),
        ([(0, b"ER"), (512, b"PM")], "Apple partition map"),
        ([((128 << 10) + 5 * 1024, b"\x0c\xb1\xba\0\0\0\0\0")], "ZFS member"),
        ([(0, b"MZ"), (60, struct.pack("<I", 128)), (128, b"PE\0\0")], "EFI program (PE)"),
        ([(0, b"MZ"), (60, struct.pack("<I", 128)), (128, b"PE\0\0"), (514, b"HdrS")], "Linux kernel for x86"),
        ([(56, b"ARM\x64")], "Linux kernel for arm64"),
    ],
)
def test_marks(pieces: list[tuple[int, bytes]], kind: str) -> None:
    assert kinds(placed(*pieces)) == [kind]
    assert name_contents(placed(*pieces), known=True) == ()


@pytest.mark.parametrize("size", [512, 4096, 70_144, MIB])
def test_nothing(size: int) -> None:
    assert kinds(Region(MemoryDevice(size))) == []
    assert kinds(placed(size=size)) == []


def test_a_place_that_nobody_has_written_to_is_not_read_further() -> None:
    content = bytearray(MIB)
    content[128 << 10 : (128 << 10) + 8] = b"\x0c\xb1\xba\0\0\0\0\0"
    assert kinds(Region(MemoryDevice(content))) == []


def test_archives(tmp_path: Path) -> None:
    (tmp_path / "sw-description").write_text("software = {}\n")
    (tmp_path / "init").write_text("#!/bin/sh\n")
    for first, kind in (("sw-description", "SWUpdate image"), ("init", "cpio archive")):
        archive = subprocess.run(
            [tool("cpio"), "-o", "-H", "newc", "--quiet"],
            input=f"{first}\n".encode(),
            cwd=tmp_path,
            check=True,
            capture_output=True,
        ).stdout
        assert kinds(placed((0, archive))) == [kind]
    for name, content, kind in (
        ("version", json.dumps({"format": "mender", "version": 3}), "Mender artifact"),
        ("version", "1.2", "tar archive"),
    ):
        (tmp_path / name).write_text(content)
        with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.USTAR_FORMAT) as file:
            file.add(tmp_path / name, arcname=name)
        assert kinds(placed((0, (tmp_path / "a.tar").read_bytes()))) == [kind]


def bundle(place: Path, *, manifest: bool) -> Path:
    """As ``rauc bundle`` does it: a squashfs, its signature, and the signature's length."""
    (place / "tree").mkdir()
    (place / "tree" / "rootfs.img").write_bytes(bytes(8192))
    path = place / "update.raucb"
    subprocess.run([tool("mksquashfs"), place / "tree", path, "-quiet", "-no-progress"], check=True)
    key, certificate = place / "key.pem", place / "cert.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    subprocess.run([tool("openssl"), *words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    signed = place / "signed"
    signed.write_text("[update]\ncompatible=board-x\nversion=2026.11-1\n\n[bundle]\nformat=verity\n")
    words = ["cms", "-sign", "-binary", "-outform", "DER", *(["-nodetach"] if manifest else [])]
    words += ["-in", str(signed), "-signer", str(certificate), "-inkey", str(key)]
    cms = subprocess.run([tool("openssl"), *words], check=True, capture_output=True).stdout
    with path.open("ab") as file:
        file.write(cms + struct.pack(">Q", len(cms)))
    return path


@pytest.mark.parametrize("manifest", [True, False])
def test_a_bundle_of_rauc(manifest: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle(tmp_path, manifest=manifest)
    device = FileDevice.open(path)
    (found,) = name_contents(Region(device), known=True)
    device.close()
    said = "format verity, compatible board-x, version 2026.11-1" if manifest else "format plain"
    assert found == Named("RAUC bundle", f"{said}, its signature is not verified here", found.hint)
    main(["inspect", str(path)])
    assert f"recognised, not supported: RAUC bundle ({said}, " in capsys.readouterr().out
    main(["inspect", "--json", str(path)])
    page = json.loads(capsys.readouterr().out)
    assert [each["kind"] for each in page["contents"]["named"]] == ["RAUC bundle"]


def test_a_squashfs_alone_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    subprocess.run([tool("mksquashfs"), tmp_path / "tree", tmp_path / "fs", "-quiet", "-no-progress"], check=True)
    for tail in (b"", struct.pack(">Q", 4), struct.pack(">Q", 1 << 40), b"\xff" * 8, bytes(1000)):
        content = (tmp_path / "fs").read_bytes() + tail
        assert kinds(Region(MemoryDevice(content + bytes(-len(content) % 512)))) == []
