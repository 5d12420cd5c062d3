"""``bootpath entries`` of disks that other tools made."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bootpath.formats.partitions.dps import Designator, data_uuid, hash_uuid
from tests.integration.test_cli import run, run_json
from tests.support.bootdisk import boot_part, ext4, fat, write_tree
from tests.support.bootfiles import pe_image
from tests.support.ddi import (
    DATA_BYTES,
    DISK_GUID,
    PEB_BYTES,
    UBI_DATA_OFFSET,
    Signer,
    Volume,
    make_disk,
    make_lvm_disk,
    make_ubi_image,
    protect,
)
from tests.support.efivars import edk2_store, raw_variable, utf16
from tests.support.fatpatch import set_following
from tests.support.kernels import make_efi_image
from tests.support.nbdserver import nbd_server
from tests.support.rangeserver import Object, RangeServer
from tests.support.tools import tool

KERNEL = bytes(0x202) + b"HdrS" + bytes(506)
UKI = pe_image([(".linux", KERNEL), (".osrel", b"ID=os\nPRETTY_NAME=OS\nVERSION_ID=3\n"), (".cmdline", b"quiet")])
ESP = {
    "k": KERNEL,
    "i": b"initrd",
    "loader/entries/os-1.conf": b"title One\nsort-key os\nversion 1\nlinux /k\ninitrd /i\noptions one\n",
    "loader/entries/Both.conf": b"title On the ESP\nlinux /k\n",
    "loader/entries/arm.conf": b"title Arm\nlinux /arm\n",
    "loader/entries/out.conf": b"title Out\nlinux /../k\n",
    "loader/entries/bad+0-3.conf": b"title Bad\nsort-key aa\nversion 9\nlinux /k\n",
    "arm": make_efi_image(),
    "EFI/Linux/os_3+2-1.efi": UKI,
}
XBOOTLDR = {
    "k": KERNEL,
    "loader/entries/both.conf": b"title On XBOOTLDR\nsort-key os\nversion 2\nlinux /k\ninitrd /missing\n",
    "loader/entries/two.conf": b"title Two\nsort-key os\nversion 2\nlinux k\n",
}
ROOT = {
    "boot/vmlinuz": KERNEL,
    "boot/initrd": b"070701",
    "sbin/init": b"#!/bin/sh\n",
    "loader/entries/root.conf": b"title Root\nlinux /boot/vmlinuz\ninitrd /boot/initrd\noptions quiet\n"
    b"linux-appendroot yes\n",
    "boot/extlinux/extlinux.conf": b"default b\nlabel a\nkernel ../vmlinuz\nlabel b\nkernel /boot/vmlinuz\n"
    b"initrd /boot/initrd\nappend x root=/dev/sda\n",
}


class Entries:
    """The command, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def json(self, *words: str | Path, code: int | None = 0) -> dict[str, Any]:
        found, menu = run_json(self.capsys, "entries", "entries", *words)
        assert code is None or found == code
        assert menu["boots"] is (found == 0)
        return menu

    def text(self, *words: str | Path) -> tuple[int, str]:
        return run(self.capsys, "entries", *words)[:2]


@pytest.fixture
def entries(capsys: pytest.CaptureFixture[str]) -> Entries:
    return Entries(capsys)


@pytest.fixture(scope="module")
def boot_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("boot")
    parts = [
        boot_part(Designator.ESP, fat(directory, ESP), 1),
        boot_part(Designator.XBOOTLDR, ext4(directory, XBOOTLDR), 2),
    ]
    return make_disk(directory / "boot.img", parts).path


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    directory = tmp_path_factory.mktemp("protected")
    return protect(directory, ext4(directory, ROOT, DATA_BYTES))


def test_both_boot_partitions_make_one_menu(entries: Entries, boot_disk: Path) -> None:
    menu = entries.json(boot_disk)
    assert [entry["title"] for entry in menu["entries"]] == ["OS", "Two", "One", "Arm", "On the ESP", "Bad"]
    uki = menu["entries"][0]
    assert (uki["kind"], uki["id"], uki["tries_left"], uki["tries_done"], uki["bad"]) == ("uki", "os_3", 2, 1, False)
    assert uki["kernel"]["section"] == ".linux"
    assert uki["source"] == {
        "role": "esp",
        "place": "1",
        "disk_guid": str(DISK_GUID),
        "disk_signature": None,
        "number": 1,
        "first_lba": 2048,
        "layers": [],
        "file_system": "vfat",
        "path": "/EFI/Linux/os_3+2-1.efi",
    }
    assert menu["entries"][2]["initrds"][0]["size_bytes"] == 6
    reasons = {each["source"]["path"]: each["text"] for each in menu["excluded"]}
    assert set(reasons) == {"/loader/entries/both.conf", "/loader/entries/out.conf"}
    assert reasons["/loader/entries/both.conf"] == "the initrd /missing is missing"


def test_for_one_machine(entries: Entries, boot_disk: Path) -> None:
    menu = entries.json("--architecture", "x86_64", boot_disk)
    assert "Arm" not in [entry["title"] for entry in menu["entries"]]
    assert "it is for aa64" in [each["text"] for each in menu["excluded"]]
    menu = entries.json("--architecture", "AA64", "--no-efi", boot_disk)
    assert {each["reason"] for each in menu["excluded"]} >= {"needs-efi"}
    menu = entries.json("--architecture", "aa64", boot_disk)
    assert {each["text"] for each in menu["excluded"]} >= {"it is for x64"}


def test_the_policy(entries: Entries, boot_disk: Path) -> None:
    menu = entries.json("--look-in", "xbootldr", boot_disk)
    assert [entry["title"] for entry in menu["entries"]] == ["Two"]
    menu = entries.json("--look-in", "xbootldr", "--all", boot_disk)
    assert [entry["title"] for entry in menu["entries"]] == ["Two"]
    forbidden = [each for each in menu["excluded"] if each["reason"] == "not-asked-for"]
    assert len(forbidden) == 5
    assert entries.json("--look-in", "root", boot_disk, code=3)["entries"] == []


def test_text(entries: Entries, boot_disk: Path) -> None:
    code, output = entries.text(boot_disk)
    assert (code, "6 boot entries" in output) == (0, True)
    assert "(type 1, bad: 0 left, 3 done)" in output
    assert "the initrd /missing is missing" in output
    assert "Verdict: OS would be booted; unverified, but allowed by the policy: kernel: " in output


def test_over_nbd(entries: Entries, boot_disk: Path, tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    with nbd_server(socket, tool("nbdkit"), "-f", "file", str(boot_disk)):
        assert entries.json(f"nbd+unix:///?socket={socket}")["entries"] == entries.json(boot_disk)["entries"]


def test_over_http(entries: Entries, boot_disk: Path) -> None:
    server = RangeServer()
    server.objects["/boot.img"] = Object(boot_disk.read_bytes())
    with closing(server):
        assert entries.json(server.url("/boot.img"))["entries"] == entries.json(boot_disk)["entries"]


def test_duplicates_of_the_esp_are_left_out(entries: Entries, tmp_path: Path) -> None:
    content = {"k": KERNEL, "loader/entries/a.conf": b"title x\nlinux /k\n"}
    parts = [
        boot_part(Designator.ESP, fat(tmp_path, content), 1),
        boot_part(Designator.XBOOTLDR, ext4(tmp_path, content), 2),
        boot_part(Designator.ESP, fat(tmp_path, content), 3),
    ]
    menu = entries.json(make_disk(tmp_path / "disk.img", parts).path)
    assert [entry["source"]["place"] for entry in menu["entries"]] == ["2"]
    assert [(each["source"]["place"], each["reason"]) for each in menu["excluded"]] == [
        ("1", "duplicate"),
        ("3", "second-of-its-role"),
    ]


def test_a_root_behind_verity(entries: Entries, tmp_path: Path, protected: Volume) -> None:
    disk = make_disk(tmp_path / "disk.img", protected.parts("os_1")).path
    assert entries.json("--look-in", "esp,xbootldr", disk, code=3)["entries"] == []
    menu = entries.json("--assembly", "initramfs", disk)
    assert [entry["id"] for entry in menu["entries"]] == ["root", "b", "a"]
    root = menu["entries"][0]
    assert root["source"]["layers"] == [f"verity {protected.root_hash.hex()}"]
    data, hashes = data_uuid(protected.root_hash), hash_uuid(protected.root_hash)
    assert root["command_line"] == (
        f"quiet roothash={protected.root_hash.hex()} "
        f"systemd.verity_root_data=PARTUUID={data} systemd.verity_root_hash=PARTUUID={hashes} "
        f"bootpath.slot={DISK_GUID}:1:2048 bootpath.hash_slot={DISK_GUID}:2:4096"
    )
    assert menu["entries"][1]["command_line"] == "x root=/dev/sda"
    (fixed, *_) = entries.json("--disk-name", "/dev/vda", disk)["entries"]
    assert "systemd.verity_root_data=/dev/vda1 systemd.verity_root_hash=/dev/vda2" in fixed["command_line"]
    (ours, *_) = entries.json("--look-in", "root", "--assembly", "bootpath", disk)["entries"]
    assert f"bootpath.slot={DISK_GUID}:1:2048 bootpath.hash_slot={DISK_GUID}:2:" in ours["command_line"]
    (kernel, *_) = entries.json("--look-in", "root", "--assembly", "kernel", disk)["entries"]
    assert f'dm-mod.create="root,,0,ro,0 2048 verity 1 PARTUUID={data} PARTUUID={hashes} ' in kernel["command_line"]


def test_a_root_must_be_signed_by_whom_one_trusts(entries: Entries, tmp_path: Path) -> None:
    ours, other = Signer.make(tmp_path, "ours"), Signer.make(tmp_path, "other")
    volume = protect(tmp_path, ext4(tmp_path, ROOT, DATA_BYTES), ours)
    disk = make_disk(tmp_path / "disk.img", volume.parts("os_1")).path
    menu = entries.json("--look-in", "root", "--certificate", ours.certificate, disk)
    assert menu["entries"][0]["id"] == "root"
    menu = entries.json("--look-in", "root", "--certificate", other.certificate, disk, code=3)
    assert menu["excluded"][0]["reason"] == "signature-invalid"
    entries.json("--look-in", "root", "--policy", "root=encrypted", disk, code=3)


def test_a_root_that_was_changed_is_not_believed(entries: Entries, tmp_path: Path, protected: Volume) -> None:
    parts = protected.parts("os_1")
    place = parts[0].content.index(b"title Root")
    damaged = bytearray(parts[0].content)
    damaged[place : place + 10] = b"title Evil"
    made = make_disk(tmp_path / "disk.img", parts)
    with made.path.open("r+b") as file:
        file.seek(made.offsets[1])
        file.write(damaged)
    assert "Evil" not in entries.text("--look-in", "root", made.path)[1]
    menu = entries.json("--look-in", "root", made.path, code=None)
    assert "root" not in [entry["id"] for entry in menu["entries"]]
    assert menu["excluded"]


def test_the_same_root_twice_is_two_places(entries: Entries, tmp_path: Path, protected: Volume) -> None:
    disk = make_disk(tmp_path / "disk.img", [*protected.parts("os_1"), *protected.parts("os_1", serial=2)]).path
    menu = entries.json(disk, code=3)
    assert {entry["source"]["place"] for entry in menu["entries"]} == {"1", "3"}
    assert menu["decision"]["refusal"]["reason"] == "ambiguous"
    for options, place in ((("--slot", "3"), "3"), (("--identical-slots", "first"), "1")):
        (chosen,) = [entry for entry in entries.json(*options, disk)["entries"] if entry["chosen"]]
        assert chosen["source"]["place"] == place
        assert f"bootpath.slot={DISK_GUID}:{place}:" in chosen["command_line"]


def test_another_root_hash(entries: Entries, tmp_path: Path, protected: Volume) -> None:
    disk = make_disk(tmp_path / "disk.img", protected.parts("os_1")).path
    assert entries.json("--root-hash", protected.root_hash.hex(), disk)["decision"]["verdict"] == "verified"
    assert entries.json("--root-hash", "ab" * 32, disk, code=3)["decision"]["verdict"] == "refused"


def test_a_root_in_a_logical_volume(entries: Entries, tmp_path: Path) -> None:
    disk = make_lvm_disk(tmp_path / "lvm.img", ext4(tmp_path, ROOT, DATA_BYTES)).path
    (root, *_) = entries.json("--assembly", "initramfs", disk)["entries"]
    assert (root["id"], root["source"]["place"], root["source"]["layers"]) == ("root", "vg0/root", ["lvm vg0/root"])
    assert root["command_line"] == "quiet rd.lvm.lv=vg0/root root=/dev/mapper/vg0-root"
    (ours, *_) = entries.json("--look-in", "root", "--assembly", "bootpath", disk)["entries"]
    assert ours["command_line"].startswith("quiet root=LV=")
    (kernel, *_) = entries.json("--look-in", "root", "--assembly", "kernel", disk)["entries"]
    assert 'dm-mod.create="vg0-root,,0,ro,' in kernel["command_line"]
    assert "linear PARTUUID=00000000-" in kernel["command_line"]
    assert kernel["command_line"].endswith('" root=/dev/dm-0')


def test_a_root_in_ubi(entries: Entries, tmp_path: Path) -> None:
    leb_bytes = PEB_BYTES - UBI_DATA_OFFSET
    content = ext4(tmp_path, ROOT, DATA_BYTES)
    padded = content.ljust(-(-len(content) // leb_bytes) * leb_bytes, b"\0")
    image = make_ubi_image(tmp_path / "ubi.img", {"other": bytes(leb_bytes), "rootfs": padded})
    (root, *_) = entries.json("--disk-name", "nand", "--assembly", "initramfs", image)["entries"]
    assert root["source"]["layers"] == ["ubi rootfs"]
    assert root["command_line"] == "quiet root=/dev/ubiblock0_1 ubi.mtd=nand ubi.block=0,rootfs"


@pytest.mark.parametrize("name", ["loader/entries/own.conf", "boot/extlinux/extlinux.conf"])
def test_a_root_in_ubifs(entries: Entries, tmp_path: Path, name: str) -> None:
    """As barebox names it: by the volume, and by the flash that UBI is on."""
    text = b"title Own\nversion 1\nlinux /boot/k\ninitrd /boot/i\noptions quiet\nlinux-appendroot yes\n"
    if name.endswith("extlinux.conf"):
        text = b"label own\n kernel /boot/k\n initrd /boot/i\n append quiet\n"
    write_tree(tmp_path / "tree", {name: text, "boot/k": KERNEL, "boot/i": b"initrd", "sbin/init": b"#!"})
    volume = tmp_path / "volume"
    leb_bytes = PEB_BYTES - UBI_DATA_OFFSET
    sizes = ["-m", "512", "-e", str(leb_bytes), "-c", "64"]
    subprocess.run([tool("mkfs.ubifs"), "-r", tmp_path / "tree", *sizes, "-o", volume], check=True)
    image = make_ubi_image(tmp_path / "ubi.img", {"other": bytes(leb_bytes), "rootfs": volume.read_bytes()})
    (root, *_) = entries.json("--look-in", "root", "--disk-name", "nand", "--assembly", "initramfs", image)["entries"]
    assert root["source"]["layers"] == ["ubi rootfs"]
    assert root["command_line"] == "quiet root=ubi0:rootfs rootfstype=ubifs ubi.mtd=nand"
    (root, *_) = entries.json("--look-in", "root", "--disk-name", "nand", "--assembly", "bootpath", image)["entries"]
    assert root["command_line"] == "quiet root=UBI=nand:rootfs rootfstype=ubifs"


def test_a_bare_root_is_named_by_its_disk(entries: Entries, tmp_path: Path) -> None:
    image = tmp_path / "root.img"
    image.write_bytes(ext4(tmp_path, ROOT))
    (root, *_) = entries.json(image)["entries"]
    assert root["command_line"] == "quiet root=/dev/vda"
    (root, *_) = entries.json("--look-in", "root", "--disk-name", "/dev/vdb", image)["entries"]
    assert root["command_line"] == "quiet root=/dev/vdb"


@pytest.mark.parametrize("make", [fat, ext4])
def test_the_boot_partition_of_an_mbr(
    entries: Entries, tmp_path: Path, make: Callable[[Path, dict[str, bytes]], bytes]
) -> None:
    """A root in it has its entries where a loader looks for them; a FAT is no root."""
    volume = make(tmp_path, {"k": KERNEL, "loader/entries/a.conf": b"linux /k\nlinux-appendroot y\n"})
    record = struct.pack("<B3xB3xII", 0x80, 0xEA, 2048, len(volume) // 512)
    sector = bytes(440) + b"\x78\x56\x34\x12\0\0" + record.ljust(64, b"\0") + b"\x55\xaa"
    image = tmp_path / "mbr.img"
    image.write_bytes(sector.ljust(1 << 20, b"\0") + volume)
    (entry,) = entries.json(image, code=0 if make is ext4 else 3)["entries"]
    assert (entry["source"]["role"], entry["source"]["number"]) == ("xbootldr", 1)
    if make is ext4:
        assert entry["command_line"] == "root=PARTUUID=12345678-01 bootpath.slot=12345678:1:2048"
    else:
        assert entry["command_line"] is None
        assert "none is chosen: nothing on it could be the root" in entry["warnings"][0]


def test_a_damaged_esp_is_said(entries: Entries, tmp_path: Path) -> None:
    parts = [boot_part(Designator.ESP, bytes(1 << 20), 1)]
    menu = entries.json(make_disk(tmp_path / "disk.img", parts).path, code=3)
    assert "no file system" in menu["excluded"][0]["text"]
    code, output = entries.text(tmp_path / "disk.img")
    assert code == 3
    assert "Verdict: does not boot: boot partitions: " in output


@pytest.mark.parametrize("words", [["--look-in", "usr"], ["--look-in", ""], ["--architecture", "vax"]])
def test_usage(entries: Entries, words: list[str], boot_disk: Path) -> None:
    assert entries.text(*words, boot_disk) == (2, "")


LOADER = {
    "k": KERNEL,
    "loader/loader.conf": b"default new-*\ntimeout 3\neditor no\ntimout 9\n",
    "loader/entries/old-1.conf": b"title Old\nsort-key a\nversion 1\nlinux /k\n",
    "loader/entries/new-2.conf": b"title New\nsort-key b\nversion 2\nlinux /k\n",
    "loader/entries/try+2-1.conf": b"title Try\nsort-key c\nversion 3\nlinux /k\n",
}


@pytest.fixture(scope="module")
def loader_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("loader")
    parts = [
        boot_part(Designator.ESP, fat(directory, LOADER), 1),
        boot_part(Designator.XBOOTLDR, ext4(directory, {"loader/loader.conf": b"default old-1.conf\n"}), 2),
    ]
    return make_disk(directory / "loader.img", parts).path


def test_loader_conf_says_what_is_booted(entries: Entries, loader_disk: Path) -> None:
    menu = entries.json(loader_disk)
    assert [entry["title"] for entry in menu["entries"]] == ["Old", "New", "Try"]
    decided = menu["decision"]["entry"]
    assert decided["why"] == {"reason": "default", "text": "loader.conf says default new-*"}
    assert [entry["id"] for entry in menu["entries"] if entry["chosen"]] == [decided["id"]] == ["new-2"]
    assert menu["entries"][2]["loader_id"] == "try.conf"
    assert (menu["menu"]["timeout"], menu["menu"]["loader_conf"]["editor"]) == (3, False)
    assert menu["menu"]["efi_variables"] is None
    code, output = entries.text(loader_disk)
    *rules, verdict = output.splitlines()[-4:]
    assert code == 0
    assert rules == [
        "Menu: shown for 3 s; options cannot be edited; default New (loader.conf says default new-*)",
        "Warning: 2: loader.conf is passed over: systemd-boot reads only the one on the EFI partition",
        "Warning: 1: loader.conf: passed over: 'timout', which is not known",
    ]
    assert verdict.startswith("Verdict: New would be booted: loader.conf says default new-*; unverified")
    assert entries.json("--entry", "try.conf", loader_disk)["decision"]["entry"]["why"]["reason"] == "named"


def test_efi_variables_come_before_it(entries: Entries, loader_disk: Path, tmp_path: Path) -> None:
    store = tmp_path / "OVMF_VARS.fd"
    variables = {
        "LoaderEntryDefault": "try.conf",
        "LoaderEntryOneShot": "gone.conf",
        "LoaderConfigTimeout": "menu-force",
    }
    store.write_bytes(edk2_store([raw_variable(name, utf16(text)) for name, text in variables.items()]))
    menu = entries.json("--efi-vars", store, loader_disk)
    decided = menu["decision"]["entry"]
    assert (decided["id"], decided["why"]["reason"]) == ("try", "default-variable")
    assert menu["menu"]["timeout"] == "menu-force"
    assert menu["menu"]["efi_variables"]["LoaderEntryOneShot"] == "gone.conf"
    assert menu["warnings"][-1] == "the EFI variable LoaderEntryOneShot is gone.conf: no entry has that name"
    with store.open("ab") as file:
        file.truncate(64 << 20)  # as the firmware of an ARM machine has it
    assert entries.json("--efi-vars", store, loader_disk)["decision"] == menu["decision"]


def test_a_file_without_efi_variables(capsys: pytest.CaptureFixture[str], loader_disk: Path) -> None:
    code, _, error = run(capsys, "entries", "--efi-vars", __file__, str(loader_disk))
    assert code == 1
    assert "test_entries.py: EFI variables: the file holds no EFI variables that can be read" in error


def test_chains_of_clusters_that_break_off(entries: Entries, tmp_path: Path) -> None:
    """What loaders can read is an entry, with a warning; what they cannot read is none."""
    content = {
        "whole": KERNEL.ljust(10_000, b"\0"),
        "broken": KERNEL.ljust(10_000, b"\0"),
        "one": b"initrd",
        "loader/entries/sound.conf": b"title Sound\nlinux /whole\ninitrd /one\n",
        "loader/entries/broken.conf": b"title Broken\nlinux /broken\n",
    }
    image = bytearray(fat(tmp_path, content))
    last = set_following(image, "whole", -1, 0)
    only = set_following(image, "one", 0, -9)  # bad
    text = set_following(image, "loader/entries/sound.conf", 0, 0)
    middle = set_following(image, "broken", 1, 0)
    menu = entries.json(make_disk(tmp_path / "disk.img", [boot_part(Designator.ESP, bytes(image), 1)]).path)
    (entry,), (excluded,) = menu["entries"], menu["excluded"]
    tail = "loaders and Linux read it all the same, and whatever is written next may overwrite it"
    assert entry["warnings"] == [
        f"the file /loader/entries/sound.conf ends in cluster {text}, which the FAT has as free: {tail}",
        f"the file /whole ends in cluster {last}, which the FAT has as free: {tail}",
        f"the file /one ends in cluster {only}, which the FAT has as bad: {tail}",
    ]
    assert excluded["text"].startswith("the kernel /broken cannot be read: ")
    assert f"leads through cluster {middle}, which the FAT has as free" in excluded["text"]
