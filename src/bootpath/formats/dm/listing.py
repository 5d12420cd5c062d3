r"""What `dmsetup table` prints, and reads: one table, or several with the names of their devices.

Source: dmsetup(8); _status in lvm2 libdm/dm-tools/dmsetup.c. Three ways to write it:

- rows alone, for one device (`dmsetup table NAME`, `dmsetup create NAME FILE`): `bootpath.formats.dm.table`;
- rows behind ``<name>: ``, for all devices (`dmsetup table`). A name stands there as dmsetup prints it, with ``\x20``
  for what is no letter, digit or one of ``#+-.:=@_``;
- on one line with commas (`dmsetup table --concise`), the kernel command line's: `bootpath.formats.dm.create`; also as
  that word itself, ``dm-mod.create="…"``. Its names are given as those of the other form.

A text is all of one kind. Invariants: there is at least one device, no two have the same name, all have a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.formats.dm.create import parse_dm_create
from bootpath.formats.dm.table import MAX_TABLE_CHARACTERS, Row, Table, pack_row, parse_row, parse_table

_NAMED = re.compile(r"(?P<name>[!-+\--~]{1,508}):(?:[ \t\r]+|$)")  # 127 characters, each of which may be written \xNN
_UNPRINTED = re.compile(r"[^A-Za-z0-9#+.:=@_-]")
_WORD = re.compile(r'dm-mod\.create=(?P<quote>"?)(?P<value>[^"]*)(?P=quote)')
_NOTHING = "No devices found"
_CONCISE = re.compile(r"\s*[^\s,;]+,[^,;]*,[0-9]*,\s*r[ow]\s*,")


@dataclass(frozen=True, slots=True)
class ListedTable:
    """A device of a listing; `name` is empty when rows stand alone. `minor` None: any."""

    name: str
    table: Table
    uuid: str = ""
    minor: int | None = None
    read_only: bool = False


def parse_listing(text: str) -> tuple[ListedTable, ...]:
    """The devices of a text, in its order. Raises FormatError that names the device and its row."""
    if len(text) > MAX_TABLE_CHARACTERS:
        raise _fault("the text is", f"{len(text)} characters long", f"at most {MAX_TABLE_CHARACTERS}")
    word = _WORD.fullmatch(text.strip())
    if word is not None:
        text = word["value"]
    if word is not None or _CONCISE.match(text):
        listed = tuple(
            ListedTable(_printed(each.name), each.table, each.uuid, each.minor, each.read_only)
            for each in parse_dm_create(text.strip())
        )
        if len({each.name for each in listed}) != len(listed):
            raise _fault("names are", brief(" ".join(each.name for each in listed)), "each once")
        return listed
    if text.strip() == _NOTHING:
        raise FormatError(
            "no devices were found by dmsetup", where="table", hint="is the right machine asked, as root?"
        )
    lines = [line for line in text.split("\n") if line.partition("#")[0].strip()]
    if not any(_name(line) for line in lines):
        return (ListedTable("", parse_table(text)),)
    return tuple(_named(lines))


def pack_listing(listed: tuple[ListedTable, ...]) -> str:
    """The text as `dmsetup table` prints it. Raises FormatError when several devices have no name, or the same."""
    names = {each.name for each in listed}
    if not listed or len(names) != len(listed) or ("" in names and len(listed) > 1):
        raise _fault("names are", brief(" ".join(each.name for each in listed)), "one for each device")
    lines: list[str] = []
    for each in listed:
        prefix = f"{each.name}: " if each.name else ""
        if prefix and _name(prefix) != each.name:
            raise _fault("the name is", brief(each.name), "a word without commas")
        lines += (f"{prefix}{pack_row(row)}\n" for row in each.table.rows)
    return "".join(lines)


def _name(line: str) -> str | None:
    """The name that a line begins with; what begins with a number and a blank is a row."""
    match = _NAMED.match(line)
    return None if match is None else match["name"]


def _printed(name: str) -> str:
    """A name of the concise form, which may have blanks in it, as the other form has it."""
    return _UNPRINTED.sub(lambda match: f"\\x{ord(match.group()):02x}", name)


def _named(lines: list[str]) -> list[ListedTable]:
    rows: dict[str, list[Row]] = {}
    last = None
    for line in lines:
        name = _name(line)
        if name is None:
            raise _fault("a row is", brief(line), "<name>: <row>, as the others")
        if name in rows and name != last:
            raise FormatError("the device is there twice", where=f"table: {name}")
        last = name
        content = line[len(name) + 1 :]
        if not content.partition("#")[0].strip():
            raise FormatError("the device has no table", where=f"table: {name}")
        try:
            rows.setdefault(name, []).append(parse_row(content, len(rows.get(name, [])) + 1))
        except FormatError as error:
            raise error.at(name) from None
    return [ListedTable(name, _table(name, each)) for name, each in rows.items()]


def _table(name: str, rows: list[Row]) -> Table:
    try:
        return Table(tuple(rows))
    except FormatError as error:
        raise error.at(name) from None


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="table", found=found, expected=expected)
