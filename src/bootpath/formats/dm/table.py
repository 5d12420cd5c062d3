r"""Device-mapper tables: the language in which layouts, the handoff and the block stack talk to each other.

Sources: dmsetup(8) TABLE FORMAT and its _parse_line (lvm2 libdm/dm-tools/dmsetup.c); dm_split_args in Linux
drivers/md/dm-table.c.

One line a line, in sectors of 512 bytes::

    <start_sector> <num_sectors> <target> [<arg> …]

Numbers are decimal without sign or leading zeros (dmsetup and the kernel read ``010`` differently). Words are
separated by blanks. In an argument a backslash makes the next character ordinary, as in dm_split_args: ``\ `` is a
space, ``\\`` a backslash. Empty lines are skipped; a ``#`` starts a comment, quoted or not, as in dmsetup: no
argument can hold one.

Invariants, held by every `TableLine` and `Table`: lines are not empty, start where the line before ended, the first at
0, and end below 2^64 bytes; there is at least one line; no argument is empty, and none holds a ``#``, a NUL or a line
feed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit

SECTOR_BYTES = 512
MAX_SECTORS = 2**64 // SECTOR_BYTES
MAX_TARGET_NAME = 15  # DM_MAX_TYPE_NAME with its NUL, include/uapi/linux/dm-ioctl.h

_BLANKS = " \t\r\v\f"
_WORD = re.compile(r"(?:[^\\ \t\r\v\f]+|\\.)++")  # that gives nothing back, and so keeps nothing
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}")
_TARGET = re.compile(r"[A-Za-z0-9_.+-]{1,15}")
_NEEDS_QUOTE = re.compile(r"[\\ \t\r\v\f]")
_FORBIDDEN = re.compile(r"[#\n\0]")


@dataclass(frozen=True, slots=True)
class TableLine:
    """`num_sectors` from `start_sector` are what `target` makes of its `args`. Raises FormatError."""

    start_sector: int
    num_sectors: int
    target: str
    args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.start_sector < 0 or self.num_sectors < 0 or self.end_sector > MAX_SECTORS:
            raise _fault("the line ends too late", f"sector {self.end_sector}", f"at most {MAX_SECTORS}")
        if self.num_sectors == 0:
            raise _fault("num_sectors is 0", 0, "at least one sector")
        if _TARGET.fullmatch(self.target) is None:
            raise _fault(
                "the name of the target is wrong",
                brief(self.target),
                f"1 to {MAX_TARGET_NAME} letters, digits or - _ . +",
            )
        for arg in self.args:
            if not arg or _FORBIDDEN.search(arg):
                raise _fault(
                    "an argument cannot be written in a table", brief(arg), "a word without '#', NUL and line feed"
                )

    @property
    def end_sector(self) -> int:
        """First sector after the line."""
        return self.start_sector + self.num_sectors

    @property
    def size_bytes(self) -> int:
        """Bytes that the line maps."""
        return self.num_sectors * SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class Table:
    """Lines that cover a device from its first sector to its last. Raises FormatError when they leave gaps."""

    lines: tuple[TableLine, ...]

    def __post_init__(self) -> None:
        if not self.lines:
            raise FormatError("the table has no lines", where="table")
        end = 0
        for number, line in enumerate(self.lines, start=1):
            if line.start_sector != end:
                raise _fault(
                    "the line does not start where the line before it ends", line.start_sector, f"sector {end}", number
                )
            end = line.end_sector

    @property
    def size_sectors(self) -> int:
        """Sectors the table maps."""
        return self.lines[-1].end_sector

    @property
    def size_bytes(self) -> int:
        """Bytes the table maps."""
        return self.size_sectors * SECTOR_BYTES


def parse_table(text: str) -> Table:
    """The table in a text. Raises FormatError that names the line (counted without comments) and the column."""
    check_limit("table_bytes", len(text), "the text is too long", where="table")
    lines: list[TableLine] = []
    for line in text.split("\n"):
        if line.partition("#")[0].strip(_BLANKS):
            lines.append(parse_line(line, len(lines) + 1))
    return Table(tuple(lines))


def parse_line(line: str, number: int = 1) -> TableLine:
    """One line; `number` is what an error calls it. Raises FormatError."""
    words: list[tuple[int, str]] = []
    content = line.partition("#")[0]
    position = 0
    while True:
        while position < len(content) and content[position] in _BLANKS:
            position += 1
        if position == len(content):
            break
        match = _WORD.match(content, position)
        if match is None or content[match.end() : match.end() + 1] == "\\":
            raise _fault_at("a backslash quotes nothing", number, len(content), "a character after it")
        words.append((position + 1, match.group()))
        position = match.end()
    if len(words) < 3:
        raise _fault_at("the line is too short", number, len(content) + 1, "start_sector num_sectors target [args]")
    (start_column, start), (num_column, num), (target_column, target) = words[:3]
    start_sector = _sectors("start_sector", start, number, start_column)
    num_sectors = _sectors("num_sectors", num, number, num_column)
    try:
        return TableLine(start_sector, num_sectors, target, tuple(_unquote(word) for _, word in words[3:]))
    except FormatError as error:
        error.where = f"table: line {number}, column {target_column if _TARGET.fullmatch(target) is None else 1}"
        raise


def pack_table(table: Table) -> str:
    """The table as text: one line a line, single spaces. parse_table gives it back."""
    return "".join(f"{pack_line(line)}\n" for line in table.lines)


def pack_line(line: TableLine) -> str:
    """One line without its line feed."""
    quoted = (_NEEDS_QUOTE.sub(r"\\\g<0>", arg) for arg in line.args)
    return " ".join((str(line.start_sector), str(line.num_sectors), line.target, *quoted))


def _unquote(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word) if "\\" in word else word


def _sectors(name: str, word: str, line: int, column: int) -> int:
    if _DECIMAL.fullmatch(word) is None or int(word) > MAX_SECTORS:
        raise FormatError(
            f"{name} is not a number of sectors",
            where=f"table: line {line}, column {column}",
            found=brief(word),
            expected="decimal digits without leading zeros, at most 2^55",
        )
    return int(word)


def _fault(what: str, found: object, expected: object, line: int | None = None) -> FormatError:
    where = "table" if line is None else f"table: line {line}"
    return FormatError(what, where=where, found=found, expected=expected)


def _fault_at(what: str, line: int, column: int, expected: str) -> FormatError:
    return FormatError(what, where=f"table: line {line}, column {column}", expected=expected)
