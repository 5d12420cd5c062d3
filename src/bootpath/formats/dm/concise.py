r"""Device-mapper devices in a row, as ``dmsetup table --concise`` prints them and ``dmsetup create --concise`` reads.

Source: dmsetup(8), "create --concise"; lvm2 libdm/dm-tools/dmsetup.c::

    <name>,[<uuid>],[<minor>],[ro|rw],<line>[,<line>…][;<name>,…]        a backslash makes the next character ordinary

This is a notation and nothing more: which targets there are is for whoever opens it, and what Linux takes on its
command line, where nothing can be escaped, is `bootpath.formats.dm.create`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.dm.table import Table, pack_line, parse_line

MAX_NAME_CHARACTERS = 127  # DM_NAME_LEN with its NUL, include/uapi/linux/dm-ioctl.h
MAX_UUID_CHARACTERS = 128  # DM_UUID_LEN with its NUL
MAX_MINOR = 2**20 - 1  # MINORBITS, include/linux/kdev_t.h

_BLANKS = " \t\r\n\v\f"
_PIECE = re.compile(r"(?:[^\\,;]+|\\.)++", re.DOTALL)
_SPECIAL = re.compile(r"[\\,;]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,6}")
_UNNAMED = re.compile(r"[/\0\n]")


@dataclass(frozen=True, slots=True)
class ConciseDevice:
    """One device; `minor` None is any. Raises FormatError for a name or a UUID that the kernel has no room for."""

    name: str
    uuid: str
    minor: int | None
    read_only: bool
    table: Table

    def __post_init__(self) -> None:
        if not self.name or _UNNAMED.search(self.name) or self.name != self.name.strip(_BLANKS):
            raise _fault("this cannot be the name of a device", brief(self.name), "a word without slashes")
        for what, word, most in (("name", self.name, MAX_NAME_CHARACTERS), ("UUID", self.uuid, MAX_UUID_CHARACTERS)):
            if len(word) > most:
                raise _fault(f"the {what} is too long", f"{len(word)} characters", f"at most {most}")
        if _UNNAMED.search(self.uuid) or self.uuid != self.uuid.strip(_BLANKS):
            raise _fault("this cannot be the UUID of a device", brief(self.uuid), "a word without slashes")
        if self.minor is not None and not 0 <= self.minor <= MAX_MINOR:
            raise _fault("the minor number is out of range", self.minor, f"0 to {MAX_MINOR}")


def parse_concise(text: str) -> tuple[ConciseDevice, ...]:
    """The devices in a text. Raises FormatError that names the device, by its number, and its line."""
    check_limit("table_bytes", len(text), "the text is too long", where="table")
    return tuple(_device(fields, number) for number, fields in enumerate(_split(text), start=1))


def pack_concise(devices: Sequence[ConciseDevice]) -> str:
    """The text, without a line feed at its end; parse_concise gives the devices back."""
    return ";".join(",".join(map(_escaped, _fields(each))) for each in devices)


def _fields(device: ConciseDevice) -> tuple[str, ...]:
    minor = "" if device.minor is None else str(device.minor)
    lines = (pack_line(line) for line in device.table.lines)
    return (device.name, device.uuid, minor, "ro" if device.read_only else "rw", *lines)


def _escaped(field: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", field)


def _split(text: str) -> list[list[str]]:
    """The fields of each device, without their escapes and the blanks around them."""
    devices: list[list[str]] = [[""]]
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is not None:
            # What is escaped is no blank at an edge: dmsetup gives it on as it is.
            devices[-1][-1] = re.sub(r"\\(.)", r"\1", match.group().strip(_BLANKS), flags=re.DOTALL)
            position = match.end()
            continue
        separator = text[position]
        if separator == "\\":
            raise _fault("a backslash escapes nothing", f"the end at {position + 1}", "a character after it")
        position += 1
        if separator == ",":
            devices[-1].append("")
        else:
            devices.append([""])
    return devices


def _device(fields: list[str], number: int) -> ConciseDevice:
    where = f"table: device {number}"
    if len(fields) < 5:
        raise _fault("the device has too few fields", f"{len(fields)} fields", "name,uuid,minor,flags,line", where)
    name, uuid, minor, flags, *lines = fields
    if minor and _DECIMAL.fullmatch(minor) is None:
        raise _fault("the minor is not a decimal number", brief(minor), "digits without leading zeros, or none", where)
    if flags not in ("", "ro", "rw"):
        raise _fault("the flags are wrong", brief(flags), "ro, rw or nothing", where)
    try:
        parsed = (parse_line(line.replace("\n", " "), index) for index, line in enumerate(lines, start=1))
        return ConciseDevice(name, uuid, int(minor) if minor else None, flags == "ro", Table(tuple(parsed)))
    except FormatError as error:
        raise error.at(where) from None


def _fault(what: str, found: object, expected: str, where: str = "table") -> FormatError:
    return FormatError(what, where=where, found=found, expected=expected)
