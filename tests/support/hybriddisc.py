"""Live media like those of distributions, by xorriso: isolinux for BIOS, a FAT with an EFI program for UEFI."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.filetrees import fat_image
from tests.support.linuximage import fake_kernel
from tests.support.tools import stored, tool

ISOLINUX = Path("/usr/lib/ISOLINUX/isolinux.bin")
ISOHYBRID = Path("/usr/lib/ISOLINUX/isohdpfx.bin")
LDLINUX = Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")
LABEL = "Debian 12.0.0 amd64 n"
EFI_BYTES = 2880 << 10
MENU = b"""\
path
include menu.cfg
default vesamenu.c32
prompt 0
timeout 0
"""
SUBMENU = b"""\
menu title Installer
label install
\tmenu label ^Install
\tkernel /install.amd/vmlinuz
\tappend vga=788 initrd=/install.amd/initrd.gz --- quiet
label installgui
\tmenu label ^Graphical install
\tmenu default
\tkernel /install.amd/vmlinuz
\tappend vga=788 initrd=/install.amd/gtk/initrd.gz --- quiet
label help
\tmenu label ^Help
\tconfig prompt.cfg
"""
SCRIPT = b"""\
if [ x$feature_default_font_path = xy ] ; then
   font=unicode
else
   font=$prefix/font.pf2
fi
insmod play
menuentry --hotkey=g 'Graphical install' {
    set background_color=black
    linux    /install.amd/vmlinuz vga=788 --- quiet
    initrd   /install.amd/gtk/initrd.gz
}
menuentry 'From a file' {
    search --file --set=root $iso_path
    linux    /install.amd/vmlinuz
}
"""
CD_OPTIONS = (
    *("-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"),
    *("-boot-load-size", "4", "-boot-info-table", "-no-emul-boot"),
    *("-eltorito-alt-boot", "-e", "boot/grub/efi.img", "-no-emul-boot"),
)
HYBRID_OPTIONS = ("-isohybrid-mbr", str(ISOHYBRID), *CD_OPTIONS, "-isohybrid-gpt-basdat", "-isohybrid-apm-hfsplus")
"""What debian-cd gives xorriso (tools/boot/bookworm/boot-x86)."""
KERNEL, INITRD, GUI_INITRD = fake_kernel(), b"initrd" * 5000, b"gui" * 9999


def installer_files(**more: bytes) -> dict[str, bytes]:
    """The files of an installer for PCs, without what only boots."""
    return {
        ".disk/info": b"Debian GNU/Linux 12.0.0",
        "isolinux/isolinux.cfg": MENU,
        "isolinux/menu.cfg": SUBMENU,
        "boot/grub/grub.cfg": SCRIPT,
        "boot/grub/efi.img": fat_image(EFI_BYTES, {"EFI/BOOT/BOOTX64.EFI": b"MZ" * 500}),
        "install.amd/vmlinuz": KERNEL,
        "install.amd/initrd.gz": INITRD,
        "install.amd/gtk/initrd.gz": GUI_INITRD,
    } | more


def make_medium(path: Path, files: Mapping[str, bytes], *options: str, label: str = LABEL) -> Path:
    """The medium at `path`, made by ``xorriso -as mkisofs`` with isolinux in it."""
    tree = path.with_name(f"{path.name}.tree")
    programs = {"isolinux/isolinux.bin": ISOLINUX, "isolinux/ldlinux.c32": LDLINUX}
    contents = {name: stored(program).read_bytes() for name, program in programs.items()} | dict(files)
    for name, content in contents.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    names = ("-r", "-V", label, "-J", "-joliet-long")
    command = [tool("xorriso"), "-as", "mkisofs", *names, "-o", str(path), *options, str(tree)]
    # With a question open, xorriso reads from standard input.
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    return path
