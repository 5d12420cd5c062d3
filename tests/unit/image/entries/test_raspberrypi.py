"""The FAT of a Raspberry Pi: entries, and what is missing there."""

from __future__ import annotations

import pytest

from bootpath.formats.entries.entry import EntryKind
from bootpath.image.entries.menu import Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.read import read_volume
from tests.unit.image.entries.test_read import place

NAMES = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb")
FIRMWARE: dict[str, bytes | str] = {f"/{name}": b"x" for name in NAMES}
SOUND: dict[str, bytes | str] = {
    **FIRMWARE,
    "/config.txt": b"auto_initramfs=1\ndtoverlay=uart\narm_64bit=1\n",
    "/cmdline.txt": b"console=tty1 root=PARTUUID=5a0c3b5e-02 rootwait\nmore\n",
    "/kernel8.img": b"kernel",
    "/initramfs8": b"initramfs",
    "/overlays/uart.dtbo": b"overlay",
}


def entries(content: dict[str, bytes | str], role: VolumeRole = VolumeRole.ESP) -> list[FoundEntry]:
    found = list(read_volume(place(content, role)))
    assert not [each for each in found if isinstance(each, Excluded)]
    return [each for each in found if isinstance(each, FoundEntry)]


def reasons(content: dict[str, bytes | str]) -> list[str]:
    return [str(each.why) for each in read_volume(place(content)) if isinstance(each, Excluded)]


def test_an_entry() -> None:
    (found,) = entries(SOUND)
    assert (found.entry.kind, found.entry.id) == (EntryKind.RASPBERRY_PI, "kernel8.img")
    assert found.entry.title == "Raspberry Pi 3 to 5, 64 bits (kernel8.img)"
    assert (found.read_kernel(), found.read_initrds()) == (b"kernel", (b"initramfs",))
    assert found.command_line() == "console=tty1 root=PARTUUID=5a0c3b5e-02 rootwait"
    assert [piece.path for piece in found.parts.devicetree_overlays] == ["/overlays/uart.dtbo"]
    assert (found.source.path, found.warnings) == ("/config.txt", ())


def test_one_for_each_board() -> None:
    found = entries({**SOUND, "/kernel_2712.img": b"five"})
    assert [each.entry.id for each in found] == ["kernel_2712.img", "kernel8.img"]


def test_names_below_a_prefix() -> None:
    content: dict[str, bytes | str] = {
        **FIRMWARE,
        "/config.txt": b"os_prefix=new/\n",
        "/new/kernel8.img": b"new",
        "/new/cmdline.txt": b"quiet",
        "/kernel8.img": b"old",
    }
    (found,) = entries(content)
    assert (found.read_kernel(), found.command_line()) == (b"new", "quiet")


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"/fixup4.dat": None}, "fixup4.dat, which belongs to start4.elf, is missing"),
        ({"/bootcode.bin": None}, "bootcode.bin, without which boards before the Raspberry Pi 4 do not start"),
        (dict.fromkeys(FIRMWARE), "the firmware is missing (start*.elf): only a Raspberry Pi 5 starts from here"),
        ({"/cmdline.txt": None}, "cmdline.txt is missing: the kernel gets only what the firmware adds"),
        ({"/overlays/uart.dtbo": None}, "the device tree overlay /overlays/uart.dtbo is missing, and is left out"),
        ({"/autoboot.txt": b"[all]\nboot_partition=2\n"}, "autoboot.txt may have the firmware start from another"),
        ({"/config.txt": b"[pi4]\nkernel=a.img\n"}, "kernel=a.img under [pi4] counts only on some boards"),
        ({"/config.txt": b"kernel=u-boot.bin\n", "/u-boot.bin": b"u"}, "u-boot.bin is U-Boot, which goes on to"),
    ],
)
def test_warnings(change: dict[str, bytes | None], warning: str) -> None:
    content = {path: data for path, data in {**SOUND, **change}.items() if data is not None}
    (found,) = entries(content)
    assert any(warning in each for each in found.warnings), found.warnings


def test_what_is_excluded() -> None:
    without = {path: data for path, data in SOUND.items() if path != "/kernel8.img"}
    assert reasons(without) == [
        "it names no kernel, and there is none of kernel_2712.img, kernel8.img, kernel7l.img, kernel7.img, kernel.img"
    ]
    assert reasons({**SOUND, "/config.txt": b"kernel=none\n"}) == ["the kernel /none is missing"]
    assert "path is not allowed" in reasons({**SOUND, "/config.txt": b"kernel=../x\n"})[0]
    assert reasons({**SOUND, "/config.txt": b"include x\n"}) == ["/config.txt: include names 'x', which is missing"]


def test_what_is_none() -> None:
    assert entries({"/config.txt": b"kernel=a\n", "/a": b"a"}) == []
    assert entries(SOUND, VolumeRole.ROOT) == []
