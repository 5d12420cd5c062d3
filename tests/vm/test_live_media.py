"""Live media booted by their own loaders: isolinux and GRUB, from a served disk and from a served optical disc."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareSetup
from bootpath.cli.main import main
from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio
from bootpath.vm.config import Accelerator
from tests.support.filetrees import fat_image
from tests.support.hybriddisc import CD_OPTIONS, HYBRID_OPTIONS, make_medium
from tests.support.images import digest
from tests.support.tools import guest_kernel, guest_program, stored, tool

MIB = 1 << 20
SECONDS = 240.0
GRUB = Path("/usr/lib/grub/x86_64-efi")
MODULES = "linux normal iso9660 search search_fs_file configfile part_msdos part_gpt fat echo test"
INIT = """\
#!/bin/sh
/bin/busybox mount -t proc proc /proc
echo "the init of a live medium, by $(/bin/busybox cat /proc/cmdline)"
/bin/busybox poweroff -f
"""
WORDS = "console=ttyS0 panic=-1"
MENU = f"""\
SERIAL 0 115200
DEFAULT live
LABEL live
  KERNEL /live/vmlinuz
  APPEND initrd=/live/initrd {WORDS} loader=isolinux
"""
SCRIPT = f"""\
set timeout=0
menuentry 'Live' {{
    linux /live/vmlinuz {WORDS} loader=grub
    initrd /live/initrd
}}
"""
EMBEDDED = """\
search --file --set=root /live/vmlinuz
configfile ($root)/boot/grub/grub.cfg
"""


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """A kernel of Debian's, and an initramfs that says that it runs."""
    tool("qemu-system-x86_64")
    programs = [
        CpioEntry.file("init", INIT.encode(), 0o755),
        CpioEntry.file("bin/busybox", guest_program("busybox").read_bytes(), 0o755),
        CpioEntry.file("bin/sh", guest_program("busybox").read_bytes(), 0o755),
        *(CpioEntry.directory(name, 0o755) for name in ("proc", "dev")),
    ]
    return {
        "live/vmlinuz": guest_kernel().read_bytes(),
        "live/initrd": pack_cpio(arrange_cpio(programs)),
        "isolinux/isolinux.cfg": MENU.encode(),
        "boot/grub/grub.cfg": SCRIPT.encode(),
        "boot/grub/efi.img": fat_image(2880 << 10, {"EFI/BOOT/BOOTX64.EFI": b"no loader"}),
    }


@pytest.fixture(scope="module")
def efi_files(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same, with GRUB for UEFI."""
    folder = tmp_path_factory.mktemp("grub")
    (folder / "grub.cfg").write_text(EMBEDDED)
    loader = folder / "bootx64.efi"
    command = [tool("grub-mkstandalone"), "-O", "x86_64-efi", "-d", str(stored(GRUB)), "-o", str(loader)]
    modules = [f"--install-modules={MODULES}", f"--modules={MODULES}", "--locales=", "--fonts=", "--themes="]
    subprocess.run([*command, *modules, f"boot/grub/grub.cfg={folder / 'grub.cfg'}"], check=True, capture_output=True)
    image = fat_image(8 * MIB, {"EFI/BOOT/BOOTX64.EFI": loader.read_bytes()})
    return files | {"boot/grub/efi.img": image}


def boot(path: Path, firmware: Firmware, until: str) -> str:
    """What the console said, once the init of the medium has run; and how the image was served."""
    before = digest(path)
    setup = FirmwareSetup(firmware, memory_bytes=512 * MIB)
    result = FirmwareMachine(path, setup, accelerator=Accelerator.TCG).boot(until=until, timeout_seconds=SECONDS)
    assert result.failure is None, result.failure
    assert digest(path) == before
    (served,) = [step.detail for step in result.steps if step.what == "serve the image"]
    return served


def test_the_bios_boots_a_hybrid_as_a_disk(
    files: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_medium(tmp_path / "hybrid.iso", files, *HYBRID_OPTIONS)
    until = "the init of a live medium, by .*loader=isolinux"
    options = ["--firmware", "bios", "--memory", "512MiB", "--timeout", "240", "--until", until, "--json"]
    assert main(["boot", str(path), *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["booted"]
    assert report["read_bytes"] > len(files["live/vmlinuz"])


def test_the_bios_boots_a_disc(files: dict[str, bytes], tmp_path: Path) -> None:
    path = make_medium(tmp_path / "plain.iso", files, *CD_OPTIONS)
    served = boot(path, Firmware.BIOS, "the init of a live medium, by .*loader=isolinux")
    assert served == "over NBD, as an optical disc"


@pytest.mark.full
def test_uefi_boots_a_disc(efi_files: dict[str, bytes], tmp_path: Path) -> None:
    path = make_medium(tmp_path / "plain.iso", efi_files, *CD_OPTIONS)
    served = boot(path, Firmware.UEFI, "the init of a live medium, by .*loader=grub")
    assert served == "over NBD, as an optical disc"


@pytest.mark.full
def test_uefi_boots_a_hybrid_as_a_disk(efi_files: dict[str, bytes], tmp_path: Path) -> None:
    path = make_medium(tmp_path / "hybrid.iso", efi_files, *HYBRID_OPTIONS)
    served = boot(path, Firmware.UEFI, "the init of a live medium, by .*loader=grub")
    assert served == "over NBD, what is written stays in RAM"


def test_our_loader_boots_an_entry_of_a_medium(
    files: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_medium(tmp_path / "plain.iso", files, *CD_OPTIONS)
    until = "the init of a live medium, by .*loader=isolinux"
    assert main(["boot", str(path), "--memory", "512MiB", "--timeout", "240", "--until", until]) == 4
    assert "nothing protects the optical medium" in capsys.readouterr().out
