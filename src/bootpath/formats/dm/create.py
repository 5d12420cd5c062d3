"""Device-mapper devices on the kernel command line: the value of ``dm-mod.create=``.

Sources: Linux Documentation/admin-guide/device-mapper/dm-init.rst, drivers/md/dm-init.c (6.12).

::

    <name>,<uuid>,<minor>,<flags>,<line>[,<line>…][;<name>,…]

    flags ::= ro | rw        uuid and minor may be empty        line ::= a line of `bootpath.formats.dm.table`

On the command line the value stands in double quotes: ``dm-mod.create="root,,,ro,0 8 linear 8:1 0"``.

There is no way to escape a comma, a semicolon or a quote: dm-init.c cuts at every one of them ("TODO: add support for
escaped characters"), while ``dmsetup create --concise`` reads a backslash as an escape. Refused is text that the two
would read differently, and what the kernel would refuse or silently cut: names of more than 127 characters, UUIDs of
more than 128, more than 256 devices or lines, 4096 characters or more, a line without arguments, numbers it would read
as octal or hexadecimal, and targets it does not allow this early, which includes all of our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.formats.dm.concise import MAX_MINOR, MAX_NAME_CHARACTERS, MAX_UUID_CHARACTERS
from bootpath.formats.dm.table import Table, pack_line, parse_line

# drivers/md/dm-init.c, dm_allowed_targets
DM_CREATE_TARGETS = ("crypt", "delay", "linear", "snapshot-origin", "striped", "verity")

MAX_DEVICES = 256  # DM_MAX_DEVICES, drivers/md/dm-init.c
MAX_LINES = 256  # DM_MAX_TARGETS
MAX_CHARACTERS = 4095  # DM_MAX_STR_SIZE with its NUL

_BLANKS = " \t\r\n\v\f"
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,6}")
_AMBIGUOUS = re.compile(r"[\\\"#]|[^ -~]")


@dataclass(frozen=True, slots=True)
class MappedDevice:
    """A device the kernel makes before it mounts its root; `minor` None lets it choose. Raises FormatError."""

    name: str
    uuid: str
    minor: int | None
    read_only: bool
    table: Table

    def __post_init__(self) -> None:
        _check_word("name", self.name, MAX_NAME_CHARACTERS, ",;/")
        _check_word("uuid", self.uuid, MAX_UUID_CHARACTERS, ",;")
        if not self.name:
            raise FormatError("the name is empty", where="dm-mod.create")
        if self.minor is not None and not 0 <= self.minor <= MAX_MINOR:
            raise _fault("minor is out of range", self.minor, f"0 to {MAX_MINOR}")
        if len(self.table.lines) > MAX_LINES:
            raise _fault("the table has too many lines", f"{len(self.table.lines)} lines", f"at most {MAX_LINES}")
        for number, line in enumerate(self.table.lines, start=1):
            where = f"dm-mod.create: {self.name}: line {number}"
            if line.target not in DM_CREATE_TARGETS:
                raise _fault(
                    "the kernel does not allow this target here",
                    brief(line.target),
                    f"one of {', '.join(DM_CREATE_TARGETS)}",
                    where,
                )
            if not line.args:
                raise FormatError("the line has no arguments", where=where)
            for arg in line.args:
                if _AMBIGUOUS.search(arg) or any(character in arg for character in ",; "):
                    raise _fault(
                        "an argument cannot be written here", brief(arg), 'a word without , ; " # \\ and blanks', where
                    )


def parse_dm_create(text: str) -> tuple[MappedDevice, ...]:
    """The devices in the value of dm-mod.create=, without the quotes around it. Raises FormatError."""
    if len(text) > MAX_CHARACTERS:
        raise _fault("the text is too long", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")
    unclear = re.search(r"[\\\"#]|[^ -~\t\n]", text)
    if unclear:
        raise FormatError(
            f"{unclear.group()!r} at column {unclear.start() + 1} is not allowed",
            where="dm-mod.create",
            hint="nothing can be quoted here, and dmsetup and the kernel read it differently",
        )
    devices = text.split(";")
    if len(devices) > MAX_DEVICES:
        raise _fault("the text has too many devices", f"{len(devices)} devices", f"at most {MAX_DEVICES}")
    return tuple(_parse_device(device, number) for number, device in enumerate(devices, start=1))


def pack_dm_create(devices: tuple[MappedDevice, ...]) -> str:
    """The value of dm-mod.create=, without quotes around it. Raises FormatError when the kernel could not take it."""
    if not 0 < len(devices) <= MAX_DEVICES:
        raise _fault("the number of devices is out of range", f"{len(devices)} devices", f"1 to {MAX_DEVICES}")
    text = ";".join(_pack_device(device) for device in devices)
    if len(text) > MAX_CHARACTERS:
        raise _fault("the text is too long", f"{len(text)} characters", f"at most {MAX_CHARACTERS}")
    return text


def _fault(what: str, found: object, expected: object, where: str = "dm-mod.create") -> FormatError:
    return FormatError(what, where=where, found=found, expected=expected)


def _check_word(name: str, word: str, limit: int, forbidden: str) -> None:
    if len(word) > limit:
        raise _fault(f"the {name} is too long", f"{len(word)} characters", f"at most {limit}")
    if _AMBIGUOUS.search(word) or any(character in word for character in forbidden) or word != word.strip():
        raise _fault(
            f"the {name} cannot be written here",
            brief(word),
            f'ASCII without {" ".join(forbidden)} " # \\ and blanks around it',
        )


def _parse_device(text: str, number: int) -> MappedDevice:
    where = f"dm-mod.create: device {number}"
    fields = [field.strip(_BLANKS) for field in text.split(",")]
    if len(fields) < 5:
        raise _fault("the device has too few fields", f"{len(fields)} fields", "name,uuid,minor,flags,table", where)
    name, uuid, minor, flags, *lines = fields
    # kstrtoull(…, 0) reads 010 as 8 and 0x10 as 16; dmsetup reads neither so.
    if minor and _DECIMAL.fullmatch(minor) is None:
        raise _fault("minor is not a decimal number", brief(minor), "digits without leading zeros, or nothing", where)
    if flags not in ("ro", "rw"):
        raise _fault("the flags are wrong", brief(flags), "ro or rw", where)
    try:
        table = Table(tuple(parse_line(_one_line(line), index) for index, line in enumerate(lines, start=1)))
    except FormatError as error:
        raise error.at(where) from None
    return MappedDevice(name, uuid, int(minor) if minor else None, flags == "ro", table)


def _one_line(line: str) -> str:
    return line.replace("\n", " ")


def _pack_device(device: MappedDevice) -> str:
    minor = "" if device.minor is None else str(device.minor)
    flags = "ro" if device.read_only else "rw"
    return ",".join((device.name, device.uuid, minor, flags, *(pack_line(line) for line in device.table.lines)))
