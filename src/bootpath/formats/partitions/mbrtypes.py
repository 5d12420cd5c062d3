"""The usual names of the types in an MBR, which nobody assigns: a byte each.

Source: the list that Linux's fdisk, Andries Brouwer's "Partition types" and osdev.org agree on, without systems that no
disk of these decades has. EA and EF are of the Boot Loader Specification and of UEFI 2.10 §5.2.2.
"""

from __future__ import annotations

from collections.abc import Mapping

MBR_TYPES: Mapping[int, str] = {
    0x00: "empty",
    0x01: "FAT12",
    0x04: "FAT16 below 32 MiB",
    0x05: "extended",
    0x06: "FAT16",
    0x07: "NTFS or exFAT",
    0x0B: "FAT32",
    0x0C: "FAT32, LBA",
    0x0E: "FAT16, LBA",
    0x0F: "extended, LBA",
    0x11: "hidden FAT12",
    0x12: "diagnostics",
    0x14: "hidden FAT16 below 32 MiB",
    0x16: "hidden FAT16",
    0x17: "hidden NTFS",
    0x1B: "hidden FAT32",
    0x1C: "hidden FAT32, LBA",
    0x1E: "hidden FAT16, LBA",
    0x27: "Windows recovery",
    0x39: "Plan 9",
    0x41: "PowerPC PReP boot",
    0x42: "Windows dynamic disk",
    0x4D: "QNX 4",
    0x81: "Minix",
    0x82: "Linux swap",
    0x83: "Linux",
    0x84: "hibernation",
    0x85: "Linux extended",
    0x88: "Linux plain text",
    0x8E: "Linux LVM",
    0xA0: "hibernation",
    0xA5: "FreeBSD",
    0xA6: "OpenBSD",
    0xA8: "Darwin UFS",
    0xA9: "NetBSD",
    0xAB: "Darwin boot",
    0xAF: "HFS or HFS+",
    0xBE: "Solaris boot",
    0xBF: "Solaris",
    0xDA: "data without a file system",
    0xDE: "Dell utility",
    0xE8: "LUKS",
    0xEA: "extended boot loader",
    0xEB: "BeOS",
    0xEE: "GPT protective",
    0xEF: "EFI system",
    0xFB: "VMware VMFS",
    0xFC: "VMware swap",
    0xFD: "Linux RAID",
}
