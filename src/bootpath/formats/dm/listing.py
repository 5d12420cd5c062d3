r"""What `dmsetup table` prints, and reads: one table, or several with the names of their devices.

Source: dmsetup(8); _status in lvm2 libdm/dm-tools/dmsetup.c. Three ways to write it:

- lines alone, for one device (`dmsetup table NAME`, `dmsetup create NAME FILE`): `bootpath.formats.dm.table`;
- lines behind ``<name>: ``, for all devices (`dmsetup table`). A name stands there as dmsetup prints it, with ``\x20``
  for what is no letter, digit or one of ``#+-.:=@_``;
- on one line with commas (`dmsetup table --concise`): `bootpath.formats.dm.concise`; also as the word of the kernel's
  command line, ``dm-mod.create="…"``. Its names are given as those of the other form.

What the targets mean, and whether there are such, is not asked here: a listing shows what somebody else has.

A text is all of one kind. Invariants: there is at least one device, no two have the same name, all have a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.dm.concise import ConciseDevice, pack_concise, parse_concise
from bootpath.formats.dm.table import Table, TableLine, pack_line, parse_line, parse_table

_NAMED = re.compile(r"(?P<name>[!-+\--~]{1,508}):(?:[ \t\r]+|$)")  # 127 characters, each of which may be written \xNN
_UNPRINTED = re.compile(r"[^A-Za-z0-9+.:=@_-]")  # dmsetup prints a # as it is, and takes it for a comment
_WORD = re.compile(r'dm-mod\.create=(?P<quote>"?)(?P<value>[^"]*)(?P=quote)')
_NOTHING = "No devices found"
_CONCISE = re.compile(r"\s*(?:[^\s\\,;]|\\.)++,(?:[^\\,;]|\\.)*+,\s*[0-9]*\s*,\s*r[ow]\s*,")


@dataclass(frozen=True, slots=True)
class ListedTable:
    """A device of a listing; `name` is empty when lines stand alone. `minor` None: any."""

    name: str
    table: Table
    uuid: str = ""
    minor: int | None = None
    read_only: bool = False


def parse_listing(text: str) -> tuple[ListedTable, ...]:
    """The devices of a text, in its order. Raises FormatError that names the device and its line."""
    check_limit("table_bytes", len(text), "the text is too long", where="table")
    word = _WORD.fullmatch(text.strip())
    if word is not None:
        text = word["value"]
    if word is not None or _CONCISE.match(text):
        listed = tuple(
            ListedTable(_printed(each.name), each.table, each.uuid, each.minor, each.read_only)
            for each in parse_concise(text.strip())
        )
        if len({each.name for each in listed}) != len(listed):
            raise _fault(
                "two devices have the same name", brief(" ".join(each.name for each in listed)), "each name once"
            )
        return listed
    if text.strip() == _NOTHING:
        raise FormatError("dmsetup found no devices", where="table", hint="was it run on the right machine, as root?")
    lines = [line for line in text.split("\n") if line.partition("#")[0].strip()]
    if not any(_name(line) for line in lines):
        return (ListedTable("", parse_table(text)),)
    return tuple(_named(lines))


def pack_listing(listed: tuple[ListedTable, ...]) -> str:
    """The text as `dmsetup table` prints it. Raises FormatError when several devices have no name, or the same."""
    names = {each.name for each in listed}
    if not listed or len(names) != len(listed) or ("" in names and len(listed) > 1):
        raise _fault("devices have no name, or the same", brief(" ".join(each.name for each in listed)), "one each")
    lines: list[str] = []
    for each in listed:
        prefix = f"{each.name}: " if each.name else ""
        if prefix and _name(prefix) != each.name:
            raise _fault("the name cannot be written in a listing", brief(each.name), "a word without commas")
        lines += (f"{prefix}{pack_line(line)}\n" for line in each.table.lines)
    return "".join(lines)


def pack_concise_listing(listed: tuple[ListedTable, ...]) -> str:
    """The text as `dmsetup table --concise` prints it, and `dmsetup create --concise` takes it. Raises FormatError."""
    return pack_concise(
        [ConciseDevice(_unprinted(each.name), each.uuid, each.minor, each.read_only, each.table) for each in listed]
    )


def _name(line: str) -> str | None:
    """The name that a line begins with; what begins with a number and a blank is a line."""
    match = _NAMED.match(line)
    return None if match is None else match["name"]


def _printed(name: str) -> str:
    """A name of the concise form, which may have blanks in it, as the other form has it."""
    return _UNPRINTED.sub(lambda match: f"\\x{ord(match.group()):02x}", name)


def _unprinted(name: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name)


def _named(texts: list[str]) -> list[ListedTable]:
    lines: dict[str, list[TableLine]] = {}
    last = None
    for text in texts:
        name = _name(text)
        if name is None:
            raise _fault("a line has no name, as the others do", brief(text), "<name>: <line>")
        if name in lines and name != last:
            raise FormatError("the device is listed twice", where=f"table: {name}")
        last = name
        content = text[len(name) + 1 :]
        if not content.partition("#")[0].strip():
            raise FormatError("the device has no table", where=f"table: {name}")
        try:
            lines.setdefault(name, []).append(parse_line(content, len(lines.get(name, [])) + 1))
        except FormatError as error:
            raise error.at(name) from None
    return [ListedTable(name, _table(name, each)) for name, each in lines.items()]


def _table(name: str, lines: list[TableLine]) -> Table:
    try:
        return Table(tuple(lines))
    except FormatError as error:
        raise error.at(name) from None


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="table", found=found, expected=expected)
