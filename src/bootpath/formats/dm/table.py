r"""Device-mapper tables: the language in which layouts, the handoff and the block stack talk to each other.

Sources: dmsetup(8) TABLE FORMAT and its _parse_line (lvm2 libdm/dm-tools/dmsetup.c); dm_split_args in Linux
drivers/md/dm-table.c.

One row a line, in sectors of 512 bytes::

    <start_sector> <num_sectors> <target> [<arg> …]

Numbers are decimal without sign or leading zeros (dmsetup and the kernel read ``010`` differently). Words are
separated by blanks. In an argument a backslash makes the next character ordinary, as in dm_split_args: ``\ `` is a
space, ``\\`` a backslash. Empty lines are skipped; a ``#`` starts a comment, quoted or not, as in dmsetup: no
argument can hold one.

Invariants, held by every `Row` and `Table`: rows are not empty, start where the row before ended, the first at 0, and
end below 2^64 bytes; there is at least one row; no argument is empty, and none holds a ``#``, a NUL or a line feed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError

SECTOR_BYTES = 512
MAX_SECTORS = 2**64 // SECTOR_BYTES
MAX_TARGET_NAME = 15  # DM_MAX_TYPE_NAME with its NUL, include/uapi/linux/dm-ioctl.h
MAX_TABLE_CHARACTERS = 16 * 1024 * 1024

_BLANKS = " \t\r\v\f"
_WORD = re.compile(r"(?:\\.|[^\\ \t\r\v\f])+")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}")
_TARGET = re.compile(r"[A-Za-z0-9_.+-]{1,15}")
_NEEDS_QUOTE = re.compile(r"[\\ \t\r\v\f]")
_FORBIDDEN = re.compile(r"[#\n\0]")


@dataclass(frozen=True, slots=True)
class Row:
    """`num_sectors` from `start_sector` are what `target` makes of its `args`. Raises FormatError."""

    start_sector: int
    num_sectors: int
    target: str
    args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.start_sector < 0 or self.num_sectors < 0 or self.end_sector > MAX_SECTORS:
            raise _fault("the row ends at sector", self.end_sector, f"at most {MAX_SECTORS}")
        if self.num_sectors == 0:
            raise _fault("num_sectors is", 0, "at least one sector")
        if _TARGET.fullmatch(self.target) is None:
            raise _fault("the target is", brief(self.target), f"1 to {MAX_TARGET_NAME} letters, digits or - _ . +")
        for arg in self.args:
            if not arg or _FORBIDDEN.search(arg):
                raise _fault("an argument is", brief(arg), "a word without '#', NUL and line feed")

    @property
    def end_sector(self) -> int:
        """First sector after the row."""
        return self.start_sector + self.num_sectors


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that cover a device from its first sector to its last. Raises FormatError when they leave gaps."""

    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        if not self.rows:
            raise FormatError("the table has no rows", where="table")
        end = 0
        for number, row in enumerate(self.rows, start=1):
            if row.start_sector != end:
                raise _fault("start_sector is", row.start_sector, f"{end}, where the row before ends", number)
            end = row.end_sector

    @property
    def size_sectors(self) -> int:
        """Sectors the table maps."""
        return self.rows[-1].end_sector

    @property
    def size_bytes(self) -> int:
        """Bytes the table maps."""
        return self.size_sectors * SECTOR_BYTES


def parse_table(text: str) -> Table:
    """The table in a text of rows. Raises FormatError that names the row (counted without comments) and the column."""
    if len(text) > MAX_TABLE_CHARACTERS:
        raise _fault("the text is", f"{len(text)} characters long", f"at most {MAX_TABLE_CHARACTERS}")
    rows: list[Row] = []
    for line in text.split("\n"):
        if line.partition("#")[0].strip(_BLANKS):
            rows.append(parse_row(line, len(rows) + 1))
    return Table(tuple(rows))


def parse_row(line: str, number: int = 1) -> Row:
    """One row; `number` is what an error calls it. Raises FormatError."""
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
        raise _fault_at("the row ends", number, len(content) + 1, "start_sector num_sectors target [args]")
    (start_column, start), (num_column, num), (target_column, target) = words[:3]
    start_sector = _sectors("start_sector", start, number, start_column)
    num_sectors = _sectors("num_sectors", num, number, num_column)
    try:
        return Row(start_sector, num_sectors, target, tuple(_unquote(word) for _, word in words[3:]))
    except FormatError as error:
        error.where = f"table: row {number}, column {target_column if _TARGET.fullmatch(target) is None else 1}"
        raise


def pack_table(table: Table) -> str:
    """The table as text: one row a line, single spaces. parse_table gives it back."""
    return "".join(f"{pack_row(row)}\n" for row in table.rows)


def pack_row(row: Row) -> str:
    """One row without its line feed."""
    quoted = (_NEEDS_QUOTE.sub(r"\\\g<0>", arg) for arg in row.args)
    return " ".join((str(row.start_sector), str(row.num_sectors), row.target, *quoted))


def _unquote(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word) if "\\" in word else word


def _sectors(name: str, word: str, row: int, column: int) -> int:
    if _DECIMAL.fullmatch(word) is None or int(word) > MAX_SECTORS:
        raise FormatError(
            f"{name} is",
            where=f"table: row {row}, column {column}",
            found=brief(word),
            expected="a decimal number of sectors below 2^55 without leading zeros",
        )
    return int(word)


def _fault(what: str, found: object, expected: object, row: int | None = None) -> FormatError:
    where = "table" if row is None else f"table: row {row}"
    return FormatError(what, where=where, found=found, expected=expected)


def _fault_at(what: str, row: int, column: int, expected: str) -> FormatError:
    return FormatError(what, where=f"table: row {row}, column {column}", expected=expected)
