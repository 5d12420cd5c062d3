"""``bootpath inspect`` beside the tools that know a kind of disk best: sfdisk, blkid, qemu-img, zstd, objdump.

What another suite shows already is not here: optical media beside xorriso (`test_live_media`), DDIs beside
systemd-dissect (`test_ddi_judges`), those of another architecture in `tests/vm/test_other_machines.py`.
"""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bootpath.formats.partitions.dps import Designator
from tests.integration.test_cli import run, run_json
from tests.support.bootdisk import boot_part, ext4, fat
from tests.support.ddi import Signer, make_disk, make_file_system, protect
from tests.support.ddi import run as run_tool
from tests.support.tools import guest_kernel, tool
from tests.support.volumeimages import make_volume_images

KERNEL = bytes(0x202) + b"HdrS" + bytes(506)
BOARD = {
    "boot/Image": KERNEL,
    "boot/initrd": b"070701",
    "sbin/init": b"#!",
    "boot/extlinux/extlinux.conf": b"default l\nlabel l\nkernel /boot/Image\ninitrd /boot/initrd\nappend quiet\n",
}
LAYOUT = "label: dos\nlabel-id: 0x1a2b3c4d\nstart=2048, size=8192, type=c, bootable\nstart=10240, size=8192, type=83\n"


def page(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> dict[str, Any]:
    code, found = run_json(capsys, "inspect", "inspect", path, *options)
    assert code == 0
    return found


def test_a_board_beside_sfdisk_and_blkid(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    image = tmp_path / "board.img"
    image.write_bytes(bytes(18432 * 512))
    subprocess.run([tool("sfdisk"), "--quiet", image], input=LAYOUT, text=True, check=True)
    with image.open("r+b") as file:
        for start, content in ((2048, fat(tmp_path, {"config.txt": b""})), (10240, ext4(tmp_path, BOARD))):
            file.seek(start * 512)
            file.write(content)
    found = page(capsys, image)
    theirs = json.loads(run_tool(tool("sfdisk"), "--json", image))["partitiontable"]
    ours = found["contents"]["children"]
    assert found["mbr"]["disk_signature"] == theirs["id"].removeprefix("0x")
    for number, (our, their) in enumerate(zip(ours, theirs["partitions"], strict=True), start=1):
        assert (our["offset_bytes"], our["size_bytes"]) == (their["start"] * 512, their["size"] * 512)
        values = run_tool(tool("blkid"), "-p", "-o", "export", "--offset", their["start"] * 512, image).splitlines()
        said = dict(line.split("=", 1) for line in values if "=" in line)
        assert our["superblocks"][0]["kind"] == said["TYPE"]
        assert our["partuuid"] == f"1a2b3c4d-{number:02}"
    assert found["decision"]["entry"]["id"] == "l"
    assert "root=PARTUUID=1a2b3c4d-02" in found["decision"]["command_line"]


@pytest.mark.parametrize("kind", ["qcow2", "zst"])
def test_a_packed_ddi_is_what_it_holds(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str) -> None:
    signer = Signer.make(tmp_path)
    volume = protect(tmp_path, make_file_system(tmp_path), signer)
    raw, packed = make_disk(tmp_path / "os.raw", volume.parts("os_1")).path, tmp_path / f"os.{kind}"
    if kind == "qcow2":
        run_tool(tool("qemu-img"), "convert", "-O", "qcow2", "-c", raw, packed)
    else:
        run_tool(tool("zstd"), "-q", raw, "-o", packed)
    options = ("--full", "--certificate", str(signer.certificate))
    plain, found = page(capsys, raw, *options), page(capsys, packed, *options)
    assert found["containers"][0]["kind"] == {"qcow2": "qcow2", "zst": "zstd"}[kind]
    for field in ("size_bytes", "gpt", "choice", "decision", "checked", "problems"):
        assert found[field] == plain[field]
    assert found["decision"]["verdict"] == "verified"


def test_a_kernel_image_as_ukify_lays_it_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Since 257 ukify says of .linux a VirtualSize as large as the kernel's SizeOfImage: the rest is zeros."""
    kernel, stub = guest_kernel(), Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
    (tmp_path / "os-release").write_text('ID=os\nPRETTY_NAME="Some OS"\nVERSION_ID=12\n')
    (tmp_path / "cmdline").write_text("quiet")
    sections = {".osrel": "os-release", ".cmdline": "cmdline", ".linux": str(kernel)}
    command: list[object] = [tool("objcopy")]
    for number, (name, file) in enumerate(sections.items()):
        command += ["--add-section", f"{name}={tmp_path / file}", "--change-section-vma"]
        command.append(f"{name}={0x14F000000 + (number << 16 if name != '.linux' else 0x1000000):#x}")
    run_tool(*command, stub, tmp_path / "uki.efi")
    image = bytearray((tmp_path / "uki.efi").read_bytes())
    pe = kernel.read_bytes()
    virtual = struct.unpack_from("<I", pe, struct.unpack_from("<I", pe, 0x3C)[0] + 24 + 56)[0]
    place = image.index(b".linux\0\0")
    assert virtual > struct.unpack_from("<I", image, place + 16)[0]
    struct.pack_into("<I", image, place + 8, virtual)
    esp = boot_part(Designator.ESP, fat(tmp_path, {"EFI/Linux/os.efi": bytes(image)}, 64 << 20), 1)
    disk = make_disk(tmp_path / "disk.img", [esp]).path
    (tmp_path / "uki.efi").write_bytes(image)
    objdump = run_tool(tool("objdump"), "-h", tmp_path / "uki.efi")
    (linux,) = [line.split() for line in objdump.splitlines() if line.split()[1:2] == [".linux"]]
    raw = int(linux[2], 16)
    listed: dict[str, Any] = run_json(capsys, "entries", "entries", disk)[1]
    (entry,) = listed["entries"]
    assert (entry["kernel"]["section"], entry["kernel"]["size_bytes"]) == (".linux", raw)
    assert len(pe) <= raw < virtual
    assert page(capsys, disk)["decision"]["entry"]["id"] == "os"
    code, output, _ = run(capsys, "boot", "--dry-run", disk)
    assert (code, "does not boot" in output) == (4, False)


def test_a_disk_of_infix_beside_blkid(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    signer = Signer.make(tmp_path)
    volumes = {}
    for name in ("primary", "secondary"):
        (tmp_path / name).mkdir()
        volumes[name] = protect(tmp_path / name, make_file_system(tmp_path / name, text=name), signer)
    disk = make_volume_images(tmp_path / "infix.img", volumes)
    trusted = ("--certificate", str(signer.certificate))
    found = page(capsys, disk, *trusted, "--slot", "internal/secondary")
    (partition,) = found["contents"]["children"][:1]
    values = run_tool(tool("blkid"), "-p", "-o", "export", "--offset", partition["offset_bytes"], disk)
    assert f"TYPE={partition['superblocks'][0]['kind']}" in values
    assert {each["path"] for each in found["choice"]["candidates"]} == {"internal/primary/1", "internal/secondary/1"}
    assert (found["decision"]["verdict"], found["decision"]["root"]) == ("verified", "internal/secondary/1")
    assert volumes["secondary"].root_hash.hex() in found["decision"]["command_line"]
