"""The other reader of the parameters, in the guest's own shell: it takes what the Python packs, and refuses alike."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.boot.tinyinit import data_file
from bootpath.formats.cmdline.devices import LogicalVolumeId, Slot, UbiVolumeId
from bootpath.formats.cmdline.parameters import join_parameters, split_parameters
from bootpath.formats.cmdline.root import OnFail, RootParameters, pack_root_parameters, parse_root_parameters
from bootpath.formats.partitions.mbr import DiskSignature
from tests.support.gptdisk import gpt_image
from tests.support.tools import guest_program

GUID = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
HASH = bytes(range(32))
VG, LV = "PBcCoW-3nMh-bxAi-F2Sl-As4J-0Shv-rL03fk", "dCjLNb-92cp-wDlj-obHQ-RPgV-ZrvR-rRWr8d"
NAMES = (
    "data hash root_hash slot hash_slot on_fail mode file_system mount_options init_path wait_seconds verity_options"
)
STUBS = """
set -f
on_fail=reboot
has() { true; }
fail() { echo "FAIL $on_fail $1: $2"; exit 1; }
awk() { "$busybox" awk "$@"; }
tr() { "$busybox" tr "$@"; }
sed() { "$busybox" sed "$@"; }
gzip() { "$busybox" gzip "$@"; }
hexdump() { "$busybox" hexdump "$@"; }
head() { "$busybox" head "$@"; }
tail() { "$busybox" tail "$@"; }
"""


def shell(script: str) -> str:
    """What busybox's shell prints; it may end with 1."""
    busybox = guest_program("busybox")
    parts = "\n".join(data_file(f"{name}.sh").decode() for name in ("parameters", "devices"))
    text = f"busybox={busybox}\n{STUBS}\n{parts}\n{script}"
    done = subprocess.run([busybox, "sh"], input=os.fsencode(text), capture_output=True, check=False)
    assert done.stderr == b""
    return os.fsdecode(done.stdout)


def read(line: str) -> dict[str, str]:
    """The variables that the parameters set."""
    show = "".join(f'echo "{name}=${name}"\n' for name in NAMES.split())
    said = shell(f"read_parameters {shlex.quote(line)}\n{show}")
    assert not said.startswith("FAIL"), said
    return dict(line.split("=", 1) for line in said.splitlines())


@pytest.mark.parametrize(
    "root",
    [
        RootParameters(root="LABEL=my root", others=split_parameters('quiet a.b="c d" -- root=/dev/no')),
        RootParameters(root=f"PARTUUID={GUID}", slot=Slot(GUID, 2, 2**40), read_only=False, wait_seconds=3),
        RootParameters(root="PARTUUID=0a5a0c3e-06", slot=Slot(DiskSignature(0x0A5A0C3E), 6, 2048)),
        RootParameters(
            root_hash=HASH, verity_options=("hash-offset=4096", "panic-on-corruption"), on_fail=OnFail.SHELL
        ),
        RootParameters(root_hash=HASH, root="/dev/mapper/root", logical_volume=LogicalVolumeId(VG, LV), read_only=True),
        RootParameters(
            root_hash=HASH,
            verity_data=f"LV={VG}/{LV}/1",
            verity_hash=f"LV={VG}/{LV}/2",
            slot=Slot(GUID, 1, 34),
            hash_slot=Slot(GUID, 2, 2082),
        ),
        RootParameters(root_hash=HASH, verity_data="/dev/vda1", verity_hash="/dev/vda2", hash_slot=Slot(GUID, 1, 34)),
        RootParameters(root="ubi0:root fs", file_system="ubifs"),
        RootParameters(root="UBI=0:root", file_system="ubifs"),
        RootParameters(
            ubi_volume=UbiVolumeId("nand 0", "root"), file_system="ubifs", init="/bin/sh", mount_options="sync"
        ),
    ],
)
def test_both_readers_agree(root: RootParameters) -> None:
    agree(join_parameters(pack_root_parameters(root)), root)


@pytest.mark.parametrize(
    "line",
    [
        "\v\vroot=/dev/a\fro\rinit=/x\n",
        'root=/dev/a\vrootflags="a b"\tx="\ty\n" \x1crw',
        '"root=LABEL=my root" "ro"',
        'root="LABEL=my root" a="ro\nrw" init="/sbin/init"',
        'a="root=/dev/b" root=/dev/a b"root=/dev/c d"',
        'root=/dev/a "--" rw',
        'root=/dev/a --=x rw "--x" -- ro',
        '=root=/dev/b root=/dev/a root rootdelay "rootwait=3"',
        f"roothash={HASH.hex()} systemd.verity-root-data=/dev/vda1",
        "root=/dev/a\x85 root=/dev/a x=é",
        'root=/dev/a x="voilà \xa0"',
    ],
)
def test_both_readers_split_alike(line: str) -> None:
    agree(line, parse_root_parameters(line))


def test_the_guest_reads_what_is_not_written_as_linux_does() -> None:
    """A quote that does not end, and the byte 0xa0 outside quotes: the loader refuses to write either."""
    assert read('ro root="/dev/a rw')["data"] == "/dev/a rw"
    assert read('ro root="/dev/a')["data"] == "/dev/a"
    line = os.fsdecode(b"x=voil\xc3\xa0root=/dev/a\xa0rw")
    assert (read(line)["data"], read(line)["mode"]) == ("/dev/a", "rw")


def agree(line: str, root: RootParameters) -> None:
    """What the shell reads on the line is this value."""
    said = read(line)
    assert said["data"] == root.data_device
    assert said["hash"] == (root.hash_device or "")
    assert said["root_hash"] == (root.root_hash.hex() if root.root_hash else "")
    assert said["slot"] == str(root.slot or "")
    assert said["hash_slot"] == str(root.hash_slot or "")
    assert said["on_fail"] == root.on_fail.value
    assert said["mode"] == {None: "", True: "ro", False: "rw"}[root.read_only]
    assert said["file_system"] == (root.file_system or "")
    assert said["mount_options"] == (root.mount_options or "")
    assert said["init_path"] == (root.init or "")
    assert said["wait_seconds"] == str(10 if root.wait_seconds is None else root.wait_seconds)
    assert said["verity_options"] == ",".join(root.verity_options)


def test_capitals_and_the_last_of_linux_parameters() -> None:
    said = read(f"root=/dev/a ro root=/dev/b rw roothash={HASH.hex().upper()} bootpath.slot={str(GUID).upper()}:1:2")
    assert (said["data"], said["mode"]) == ("/dev/b", "rw")
    assert said["root_hash"] == HASH.hex()
    assert said["slot"] == f"{GUID}:1:2"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("quiet", "no parameter names the root"),
        (f"roothash={HASH.hex()} roothash={HASH[::-1].hex()}", "roothash comes twice"),
        ("roothash=12", "roothash has 2 digits"),
        (f"roothash={HASH.hex()[:-1]}x", "not hexadecimal"),
        ("root=vda1", "the data device is vda1"),
        ("root=/dev/a rootdelay=soon", "rootdelay is soon"),
        ("root=/dev/a bootpath.onfail=panic", "bootpath.onfail is panic"),
        ("root=/dev/a bootpath.sloot=1", "bootpath.sloot=1 is not a parameter of bootpath"),
        ("root=/dev/a bootpath.slot=1:2:3", "the slot is 1:2:3"),
        ("root=/dev/a systemd.verity_root_data=/dev/b", "without roothash="),
        ('root=LABEL="my root"', "a value has a quote"),
        ('root="LABEL=my\troot"', "a control character"),
        ('root="LABEL=my\nroot"', "a control character"),
        (f"root=/dev/a bootpath.lv={VG}/{LV}", "the data is said to be on LV="),
        (f"bootpath.lv={VG}/{LV} bootpath.slot={GUID}:1:1", "which is not a partition"),
    ],
)
def test_what_is_refused(line: str, message: str) -> None:
    said = shell(f"read_parameters {shlex.quote(line if 'onfail' in line else f'{line} bootpath.onfail=halt')}")
    assert said.startswith("FAIL ")
    assert message in said
    assert said.count("\n") == 1
    assert "onfail" in line or said.startswith("FAIL halt")  # whatever the order of the parameters


@pytest.mark.parametrize(("uptime", "now"), [("0.05", 5), ("0.98", 98), ("9.08", 908), ("123.40", 12340)])
def test_the_clock_has_no_octal_numbers(uptime: str, now: int) -> None:
    assert shell(f"centiseconds {uptime}; echo $now") == f"{now}\n"


@pytest.mark.parametrize(("parameter", "seconds"), [("rootdelay=08", 8), ("rootwait=0", 0), ("rootwait", 999999999)])
def test_how_long_is_waited(parameter: str, seconds: int) -> None:
    assert read(f"root=/dev/a {parameter}")["wait_seconds"] == str(seconds)


def gpt(*entries: bytes) -> bytes:
    """The header and entries of a GPT at the places where `list_gpt` looks, with 512 bytes a block."""
    header = bytearray(92)
    header[:8] = b"EFI PART"
    header[56:72] = GUID.bytes_le
    header[72:88] = (2).to_bytes(8, "little") + (8).to_bytes(4, "little") + (128).to_bytes(4, "little")
    return bytes(512) + bytes(header).ljust(512, b"\0") + b"".join(entries).ljust(1024, b"\0")


def test_the_checksums_of_a_gpt(tmp_path: Path) -> None:
    """A sound copy, and one with a flipped bit in the header, in its checksum, or in the entries."""
    sound = gpt_image()
    disk = tmp_path / "disk"
    for flipped, expected in ((None, "yes"), (512 + 56, "no"), (512 + 16, "no"), (1024 + 130, "no"), (512, "no")):
        image = bytearray(sound)
        if flipped is not None:
            image[flipped] ^= 1
        disk.write_bytes(image)
        said = shell(f"sound_gpt ../{disk} 512 {image[512:1024].hex()} && echo yes || echo no")
        assert said == f"{expected}\n", flipped


def test_rows_of_a_gpt(tmp_path: Path) -> None:
    """Entries with a hole between them; the kernel has made no node yet."""
    entry = bytes(range(1, 17)) + GUID.bytes_le + (2048).to_bytes(8, "little") + (4095).to_bytes(8, "little")
    disk = tmp_path / "disk"
    disk.write_bytes(gpt(entry.ljust(128, b"\0"), bytes(128), entry.ljust(128, b"\0")))
    header = disk.read_bytes()[512:604].hex()
    rows = shell(f"list_gpt ../{disk} 512 {header}")
    assert rows == f"- {GUID} {GUID}:1:2048 4095\n- {GUID} {GUID}:3:2048 4095\n"


def test_numbers_and_guids_of_a_gpt() -> None:
    assert shell(f"mixed_guid {GUID.bytes_le.hex()}; echo $guid") == f"{GUID}\n"
    number = (123456789012).to_bytes(8, "little").hex()
    assert shell(f"number_at 00{number} 1 8; echo $number_read") == "123456789012\n"
