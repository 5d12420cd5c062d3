"""Where the menus of the syslinux family are on a file system: extlinux.conf, syslinux.cfg, and those for `sysboot`.

Sources: U-Boot doc/develop/bootstd/extlinux.rst (prefixes "/" and "/boot/"); syslinux doc/syslinux.cfg(5), "LOCATION"
(extlinux.conf before syslinux.cfg, in the directory it is installed in, then /boot/syslinux, /syslinux and /); the boot
scripts of Infix, which give U-Boot's `sysboot` the file of the board, and else the one for all boards.

All of them say the same of a path in such a file (`formats.entries.paths.menu_path`): one that begins with "/" is from
the root of the file system, any other from the directory of the file. U-Boot: "Only syslinux allows absolute paths",
and the path of the menu's own file before the others; syslinux: "the initial working directory … will be the directory
containing the initial configuration file".

A loader reads the first file that it finds. Which loader a disk is for is not written on it, so each file counts, in
this order. Files for one board come after the file for all of them: which board it is, nothing here knows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MenuFile:
    """A menu by its directory and its name, or all of those whose names end in `name` when `any_prefix`."""

    directory: str
    name: str
    any_prefix: bool = False

    @property
    def path(self) -> str:
        """The path of the file, from the root of the file system."""
        return f"{self.directory}/{self.name}"


_UBOOT = tuple(MenuFile(directory, "extlinux.conf") for directory in ("/extlinux", "/boot/extlinux"))
_SYSBOOT = (
    MenuFile("/boot/syslinux", "syslinux.conf"),
    MenuFile("/boot/syslinux", "-syslinux.conf", any_prefix=True),
)
_SYSLINUX = tuple(
    MenuFile(directory, name)
    for directory in ("/boot/syslinux", "/syslinux", "")
    for name in ("extlinux.conf", "syslinux.cfg")
)
GRUB_FILES = (
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/EFI/BOOT/grub.cfg",
    "/EFI/debian/grub.cfg",
    "/EFI/ubuntu/grub.cfg",
    "/EFI/fedora/grub.cfg",
)
"""Where an optical medium has the script of GRUB, by what distributions build into it; the first counts."""
ISOLINUX_FILES = tuple(
    MenuFile(directory, name)
    for directory in ("/boot/isolinux", "/isolinux", "/boot/syslinux", "/syslinux", "")
    for name in ("isolinux.cfg", "syslinux.cfg")
)
"""The same on an optical medium, where isolinux looks: syslinux 6.03, core/fs/iso9660/iso9660.c."""
MENU_FILES = (*_UBOOT, *_SYSBOOT, *_SYSLINUX)
"""Every menu that is looked for, in the order in which they count."""
