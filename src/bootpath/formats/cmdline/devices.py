"""How a parameter names a device, for the initramfs of bootpath.

::

    device ::= PARTUUID=… | UUID=… | LABEL=… | /dev/… | LV=<VG uuid>/<LV uuid>[/<partition>] | UBI=<mtd>:<volume>
             | ubi<number>:<volume>
    slot   ::= <disk>:<partition number>:<first lba>
    disk   ::= the GUID of a GPT, or the signature of an MBR in 8 hexadecimal digits

Sources: Linux block/early-lookup.c for PARTUUID; Documentation/admin-guide/kernel-parameters.txt; fs/ubifs/super.c for
``ubi0:name``, a UBIFS on the UBI device of this number. ``LV=`` and ``UBI=`` are ours: volumes are found by UUID,
since a copy of a disk has volumes of the same names. A volume may hold a complete disk image; its partitions are
numbered as in its GPT, from 1, and a slot says which GPT that is.

No device and no value has a control character, a quote, or a character that is not ASCII.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import repr as brief
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.formats.cmdline.parameters import WHERE
from bootpath.formats.partitions.mbr import DiskSignature

PLAIN_VALUE = re.compile(r"[!#-~]+( [!#-~]+)*")
LVM_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PARTUUID = re.compile(rf"{_GUID.pattern}|[0-9a-f]{{8}}-[0-9a-f]{{2}}", re.IGNORECASE)
_LVM_UUID = r"[0-9A-Za-z]{6}(?:-[0-9A-Za-z]{4}){5}-[0-9A-Za-z]{6}"
_LOGICAL_VOLUME = re.compile(rf"({_LVM_UUID})/({_LVM_UUID})(?:/([1-9][0-9]{{0,9}}))?")
_VOLUME_GRAMMAR = "<VG uuid>/<LV uuid>, and /<number> for a partition in it"
_NO_PARTITION = re.compile(rf"LV={_LVM_UUID}/{_LVM_UUID}|UBI=.*|ubi[0-9]+:.*|/dev/mapper/.*")
_SLOT = re.compile(rf"({_GUID.pattern}|[0-9a-f]{{8}}):([1-9][0-9]{{0,9}}):([0-9]{{1,20}})", re.IGNORECASE)
_UBIFS = re.compile(r"ubi[0-9]{1,2}:[^:]+")
_KINDS = "PARTUUID=, UUID=, LABEL=, LV=, UBI=, ubi0: or /dev/"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for an image: a partition of a disk by its number, with its first LBA as a check. Raises FormatError."""

    disk_id: UUID | DiskSignature
    entry_number: int
    first_lba: int

    def __post_init__(self) -> None:
        if not (1 <= self.entry_number < 2**32 and 0 <= self.first_lba < 2**64):
            raise bad_value("a slot", self, "an entry number from 1 and an LBA of 64 bits")

    def __str__(self) -> str:
        return f"{self.disk_id}:{self.entry_number}:{self.first_lba}"


@dataclass(frozen=True, slots=True)
class LogicalVolumeId:
    """A volume of LVM2 by its group's and its own UUID, as lvm2 prints them, or a partition of it. Raises FormatError.

    `partition` is the number of an entry of the GPT in the volume, None for the whole of it.
    """

    vg_uuid: str
    lv_uuid: str
    partition: int | None = None

    def __post_init__(self) -> None:
        if _LOGICAL_VOLUME.fullmatch(str(self)) is None or not 1 <= (self.partition or 1) < 2**32:
            raise bad_value("bootpath.lv", self, _VOLUME_GRAMMAR)

    def __str__(self) -> str:
        volume = f"{self.vg_uuid}/{self.lv_uuid}"
        return volume if self.partition is None else f"{volume}/{self.partition}"


@dataclass(frozen=True, slots=True)
class UbiVolumeId:
    """A volume of UBI: the number or the name of the MTD device it is on, and its name. Raises FormatError."""

    mtd: str
    volume: str

    def __post_init__(self) -> None:
        if not (PLAIN_VALUE.fullmatch(self.mtd) and PLAIN_VALUE.fullmatch(self.volume)) or ":" in self.volume:
            raise bad_value("bootpath.ubi", self, "<mtd>:<volume>")

    def __str__(self) -> str:
        return f"{self.mtd}:{self.volume}"


def parse_slot(text: str) -> Slot:
    """A slot: ``<disk>:<partition number>:<first lba>``. Raises FormatError."""
    if _SLOT.fullmatch(text) is None:
        raise bad_value("a slot", text, "<disk guid or signature>:<partition number>:<first lba>")
    disk, number, lba = text.split(":")
    disk_id = UUID(disk) if "-" in disk else DiskSignature(int(disk, 16))
    return Slot(disk_id, int(number), int(lba))


def parse_logical_volume(text: str) -> LogicalVolumeId:
    """A volume of LVM2, or a partition of it: ``<VG uuid>/<LV uuid>[/<partition>]``. Raises FormatError."""
    found = _LOGICAL_VOLUME.fullmatch(text)
    if found is None:
        raise bad_value("bootpath.lv", text, _VOLUME_GRAMMAR)
    return LogicalVolumeId(found[1], found[2], None if found[3] is None else int(found[3]))


def parse_ubi_volume(text: str) -> UbiVolumeId:
    """A volume of UBI: ``<mtd>:<volume>``. Raises FormatError."""
    mtd, _, volume = text.rpartition(":")
    return UbiVolumeId(mtd, volume)


def may_have_slot(device: str | None) -> bool:
    """True for the name of a device that may be a partition."""
    return device is not None and _NO_PARTITION.fullmatch(device) is None


def check_device(name: str, device: str | None) -> None:
    """Refuse the value of the parameter `name` when it is not a device of the grammar. Raises FormatError."""
    if device is None:
        return
    kind, equals, value = device.partition("=")
    if _UBIFS.fullmatch(device) is not None and PLAIN_VALUE.fullmatch(device) is not None:
        return
    if not equals or device.startswith("/"):
        if not device.startswith("/dev/") or PLAIN_VALUE.fullmatch(device) is None or "/../" in f"{device}/":
            raise bad_value(name, device, _KINDS)
    elif kind == "PARTUUID":
        check_value(name, value, _PARTUUID, "a GUID, or an MBR's signature and a number, behind PARTUUID=")
    elif kind in ("UUID", "LABEL"):
        check_value(name, value, PLAIN_VALUE, f"a value without quotes behind {kind}=")
    elif kind == "LV":
        parse_logical_volume(value)
    elif kind == "UBI":
        parse_ubi_volume(value)
    else:
        raise bad_value(name, device, _KINDS)


def check_value(name: str, text: str | None, pattern: re.Pattern[str], expected: str) -> None:
    """Refuse a value that is not like the pattern. Raises FormatError."""
    if text is not None and pattern.fullmatch(text) is None:
        raise bad_value(name, text, expected)


def bad_value(name: str, found: object, expected: str) -> FormatError:
    """The error for a parameter that has this value."""
    return FormatError(f"{name} is {brief(str(found))}", where=WHERE, expected=expected)
