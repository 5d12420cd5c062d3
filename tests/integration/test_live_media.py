"""Live media by xorriso, with the options of debian-cd: what we say is what xorriso, sfdisk and blkid say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootpath.cli.main import main
from tests.support.ddi import make_file_system
from tests.support.hybriddisc import (
    CD_OPTIONS,
    EFI_BYTES,
    GUI_INITRD,
    HYBRID_OPTIONS,
    INITRD,
    KERNEL,
    LABEL,
    installer_files,
    make_medium,
)
from tests.support.tools import tool
from tests.support.tree import schema

Json = dict[str, Any]


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Debian's netinst is made."""
    return make_medium(tmp_path_factory.mktemp("hybrid") / "netinst.iso", installer_files(), *HYBRID_OPTIONS)


def said_by(*command: str | Path) -> str:
    return subprocess.run([tool(str(command[0])), *command[1:]], check=True, capture_output=True, text=True).stdout


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == code
    return capsys.readouterr().out


def page(capsys: pytest.CaptureFixture[str], command: str, path: Path, *, code: int = 0) -> Json:
    found: Json = json.loads(shown(capsys, command, "--json", str(path), code=code))
    jsonschema.validate(found, schema(command))
    return found


def test_a_hybrid_is_what_blkid_says(hybrid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = dict(
        line.replace("\\ ", " ").split("=", 1) for line in said_by("blkid", "-p", "-o", "export", hybrid).splitlines()
    )
    found = page(capsys, "inspect", hybrid)
    (superblock,) = found["contents"]["superblocks"]
    assert (superblock["kind"], superblock["uuid"], superblock["label"]) == (said["TYPE"], said["UUID"], said["LABEL"])
    assert superblock["label"] == LABEL
    assert superblock["size_bytes"] <= hybrid.stat().st_size
    assert (said["PTTYPE"], f"{found['mbr']['disk_signature']}") == ("dos", said["PTUUID"])
    assert found["gpt"] is None, "which the MBR does not protect"


def test_a_hybrid_has_the_partitions_that_sfdisk_says(hybrid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = re.findall(r"start= *(\d+), size= *(\d+), type=(\w+)", said_by("sfdisk", "-d", hybrid))
    found = page(capsys, "inspect", hybrid)
    assert [
        (f"{each['first_lba']}", f"{each['size_bytes'] // 512}", f"{each['type']:x}")
        for each in found["mbr"]["partitions"]
    ] == said
    first, second = found["contents"]["children"]
    assert [each["kind"] for each in first["superblocks"]] == ["iso9660"]
    assert first["children"] == []
    assert [each["kind"] for each in second["superblocks"]] == ["vfat"]
    assert found["warnings"] == []


def test_a_hybrid_has_the_boot_images_that_xorriso_says(hybrid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_by("xorriso", "-indev", hybrid, "-report_el_torito", "plain", "-report_system_area", "plain")
    images = re.findall(r"boot img : +\d+ +(\w+) +(\w) +(\w+) +0x(\w+) +0x\w+ +(\d+) +(\d+)", said)
    paths = re.findall(r"img path : +\d+ +(\S+)", said)
    found = page(capsys, "inspect", hybrid)["medium"]
    names = {"x86": "BIOS", "efi": "UEFI"}
    assert [
        (
            names[each["platform"]],
            "y" if each["bootable"] else "n",
            each["emulation"],
            f"{each['load_segment']:04x}",
            f"{each['load_bytes'] // 512}",
            f"{each['sector']}",
        )
        for each in found["boot_images"]
    ] == images
    assert [each["path"] for each in found["boot_images"]] == paths == ["/isolinux/isolinux.bin", "/boot/grub/efi.img"]
    assert found["boot_images"][1]["programs"] == ["/EFI/BOOT/BOOTX64.EFI"]
    assert found["boot_images"][1]["size_bytes"] == EFI_BYTES
    (summary,) = re.findall(r"System area summary: (.*)", said)
    assert {word for word in summary.split() if word in ("MBR", "GPT", "APM")} == set(found["tables"])
    assert found["boots"] == [
        {"firmware": firmware, "as": use} for use in ("disc", "disk") for firmware in ("bios", "uefi")
    ]


def test_what_is_shown_of_a_hybrid(hybrid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, "inspect", str(hybrid))
    assert f'iso9660 Joliet Extension "{LABEL}"' in said
    assert "Hybrid medium: MBR, GPT and APM before the file system, for use as a disk\n" in said
    assert "vfat FAT12; /EFI/BOOT/BOOTX64.EFI\n" in said
    assert (
        "Verdict: its own loader would boot it: BIOS as a disc or a disk, UEFI as a disc or a disk; which root" in said
    )
    assert "  and: loaded by bootpath (boot without --firmware): installgui would be booted; unverified" in said
    assert "Warning" not in said


def test_the_entries_of_isolinux_and_grub(hybrid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = page(capsys, "entries", hybrid)
    assert [(each["kind"], each["id"]) for each in found["entries"]] == [
        ("extlinux", "installgui"),  # MENU DEFAULT, since DEFAULT is the program that draws the menu
        ("extlinux", "install"),
        ("grub", "Graphical install"),
    ]
    first, second, script = found["entries"]
    assert first["title"] == "Graphical install"
    assert second["command_line"] == "vga=788 initrd=/install.amd/initrd.gz --- quiet"
    assert script["command_line"] == "vga=788 --- quiet"
    assert [each["kernel"]["size_bytes"] for each in found["entries"]] == [len(KERNEL)] * 3
    assert [each["initrds"][0]["size_bytes"] for each in found["entries"]] == [
        len(GUI_INITRD),
        len(INITRD),
        len(GUI_INITRD),
    ]
    assert {each["source"]["role"] for each in found["entries"]} == {"iso"}
    assert [(each["entry"] or {}).get("id") for each in found["excluded"]] == [None, "From a file"]
    assert found["excluded"][1]["reason"] == "undecided"
    assert "search decides on which device its files are" in found["excluded"][1]["text"]


@pytest.mark.parametrize(
    ("search", "found_by", "reason"),
    [
        (f"--label --set=root '{LABEL}'", f"the label '{LABEL}'", ""),
        ("--file --set=root /.disk/info", "the file '/.disk/info'", ""),
        ("--label --set=root OTHER", "", "search looks for the label 'OTHER', which this volume does not have"),
        ("--file --set=root /nothing", "", "search looks for the file '/nothing', which this volume does not have"),
    ],
)
def test_what_grub_searches(
    search: str, found_by: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = f"search --no-floppy {search}\nmenuentry 'Live' {{ linux /install.amd/vmlinuz quiet; }}\n"
    path = make_medium(tmp_path / "live.iso", installer_files() | {"boot/grub/grub.cfg": script.encode()})
    found = page(capsys, "entries", path)
    warnings = [each["warnings"] for each in found["entries"] if each["kind"] == "grub"]
    if found_by:
        assert warnings == [[f"GRUB finds it by {found_by}, and would take another disk that has it, too"]]
    else:
        assert warnings == []
        assert any(reason in each["text"] for each in found["excluded"])


def test_a_medium_that_is_only_a_disc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_medium(tmp_path / "plain.iso", installer_files(), *CD_OPTIONS)
    found = page(capsys, "inspect", path)
    assert found["kind"]["name"] == "optical-medium"
    assert found["medium"]["tables"] == []
    assert found["medium"]["boots"] == [{"firmware": "bios", "as": "disc"}, {"firmware": "uefi", "as": "disc"}]
    assert (found["mbr"], found["gpt"]) == (None, None)


def test_a_gpt_that_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As Ubuntu and Fedora make theirs: a partition with the ISO 9660, and one for EFI behind it."""
    files = installer_files()
    (tmp_path / "efi.img").write_bytes(files["boot/grub/efi.img"])
    path = make_medium(
        tmp_path / "gpt.iso",
        files,
        *(
            "-partition_offset",
            "16",
            "-append_partition",
            "2",
            "0xef",
            str(tmp_path / "efi.img"),
            "-appended_part_as_gpt",
        ),
        *("-iso_mbr_part_type", "a2a0d0ebe5b9334487c068b6b72699c7"),
        *("-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-boot-load-size", "4", "-boot-info-table"),
        *("-no-emul-boot", "-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"),
    )
    said = said_by("blkid", "-p", "-o", "export", path)
    assert "PTTYPE=gpt" in said
    found = page(capsys, "inspect", path)
    assert [each["kind"] for each in found["contents"]["superblocks"]] == ["iso9660"]
    assert found["medium"]["tables"] == ["MBR", "GPT"]
    assert {"firmware": "uefi", "as": "disk"} in found["medium"]["boots"]
    assert found["warnings"] == []
    assert re.findall(r"start= *(\d+)", said_by("sfdisk", "-d", path)) == [
        f"{each['first_lba']}" for each in found["gpt"]["partitions"]
    ]


def test_a_medium_without_a_loader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_medium(tmp_path / "data.iso", {"readme": b"text"})
    found = page(capsys, "inspect", path, code=3)
    assert found["problems"][0]["reason"] == "no-loader"
    assert "the medium has nothing that firmware would run" in shown(capsys, "inspect", str(path), code=3)


def test_a_medium_that_only_our_loader_boots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_medium(tmp_path / "entries.iso", installer_files())
    found = page(capsys, "inspect", path)
    assert (found["medium"]["boots"], found["decision"]["verdict"]) == ([], "unverified")
    assert found["decision"]["entry"]["id"] == "installgui"
    assert "unverified" in shown(capsys, "boot", "--dry-run", str(path), code=4)


@pytest.mark.parametrize("command", [("boot", "--dry-run"), ("boot",), ("simulate",)])
def test_a_medium_that_only_its_own_loader_boots(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It boots, so no command says that it does not; that it is not started is a failure like any other."""
    files = installer_files() | {"isolinux/isolinux.cfg": b"ui gfxboot\n", "boot/grub/grub.cfg": b"normal\n"}
    path = make_medium(tmp_path / "firmware.iso", files, *CD_OPTIONS)
    for listed in ("inspect", "entries"):
        assert "its own loader would boot it: BIOS as a disc, UEFI as a disc" in shown(capsys, listed, str(path))
    assert main([*command, "--json", str(path)]) == 1
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, schema("error"))
    assert found["exit_code"] == 1
    assert found["error"]["what"].startswith("only its own loader boots this medium; bootpath's does not: ")
    assert found["error"]["hint"] == "start that one: bootpath boot --firmware bios or uefi"
    # Nothing protects it, so whoever demands protection is refused by every command.
    for refused in (("inspect",), ("entries",), ("boot", "--dry-run")):
        assert "does not boot: " in shown(capsys, *refused, "--policy", "root=verity:=open", str(path), code=3)


def test_a_disk_that_is_a_medium_and_has_a_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its root is what a slot and a policy are about, where our loader boots it."""
    (tmp_path / "root.img").write_bytes(make_file_system(tmp_path))
    path = make_medium(
        tmp_path / "both.iso",
        installer_files(),
        *("-partition_offset", "16", "-append_partition", "2", "e3bc684fcde8b14d96e7fbcaf984b709"),
        *(str(tmp_path / "root.img"), "-appended_part_as_gpt", *CD_OPTIONS),
    )
    for options in ([], ["--slot", "2"], ["--policy", "root=unprotected:=open"]):
        found = json.loads(shown(capsys, "inspect", "--json", *options, str(path)))
        assert (found["decision"]["root"], found["problems"]) == ("2", [])
        assert json.loads(shown(capsys, "boot", "--dry-run", "--json", *options, str(path), code=4))["chosen"] == "2"


def test_a_medium_that_was_cut_short(hybrid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.iso"
    path.write_bytes(hybrid.read_bytes()[: 2 << 20])
    assert "is the image truncated?" in shown(capsys, "inspect", str(path), code=3)


def test_a_catalog_that_is_damaged(hybrid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = bytearray(hybrid.read_bytes())
    sector = int.from_bytes(image[17 * 2048 + 71 : 17 * 2048 + 75], "little")
    image[sector * 2048 + 5] ^= 1
    path = tmp_path / "damaged.iso"
    path.write_bytes(image)
    found = page(capsys, "inspect", path)
    assert found["medium"]["boots"] == [{"firmware": "bios", "as": "disk"}, {"firmware": "uefi", "as": "disk"}]
    assert "the checksum of the boot catalog does not match" in found["medium"]["catalog_fault"]
    assert any("the checksum of the boot catalog" in each for each in found["warnings"])


def test_what_is_demanded_of_a_medium(hybrid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--policy", "root=verity:=open"], ["--slot", "1"], ["--root-hash", "00" * 32]):
        shown(capsys, "inspect", *option, str(hybrid), code=3)


def test_a_medium_that_is_left_over_on_a_disk(hybrid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new table on a stick that was an installer: its descriptors are still before the first partition."""
    path = tmp_path / "stick.img"
    path.write_bytes(hybrid.read_bytes().ljust(16 << 20, b"\0"))
    script = b"label: gpt\nstart=2048, size=8192, type=linux\n"
    subprocess.run([tool("sfdisk"), "--wipe", "never", path], input=script, check=True, capture_output=True)
    found = page(capsys, "inspect", path, code=3)
    assert found["medium"] is None
    assert "there is iso9660 beside the partition table: either may be left over" in found["warnings"]
    assert found["contents"]["superblocks"] == []
