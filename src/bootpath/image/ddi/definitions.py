"""Definition files in a directory, as systemd-repart finds them.

Source: repart.d(5): every file whose name ends in ``.conf``, in the order of the names. Hidden files are skipped,
as systemd does, and so are empty ones and links to /dev/null, which mask what would be there. Drop-in directories
(``name.conf.d``) are refused: what they say would be missing without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bootpath.block.leaves.wholefile import read_whole
from bootpath.core.errors import Error
from bootpath.formats.partitions.dps import Architecture
from bootpath.formats.repart.definition import RepartDefinition, pack_repart
from bootpath.formats.repart.parse import parse_repart
from bootpath.image.output import atomic_directory

_SUFFIX = ".conf"


def holds_definitions(directory: Path) -> bool:
    """True for a directory with definition files in it. Raises OSError."""
    return directory.is_dir() and any(_definition_files(directory))


def read_definitions(
    directory: Path, architecture: Architecture, specifiers: Mapping[str, str] | None = None
) -> tuple[RepartDefinition, ...]:
    """The definitions of a directory. Raises FormatError that names file and line, Error, OSError."""
    for entry in sorted(directory.iterdir()):
        if entry.name.endswith(f"{_SUFFIX}.d") and entry.is_dir():
            raise Error("drop-in directories are not read", where=str(entry), hint="put its lines into the file itself")
    found: list[RepartDefinition] = []
    for path in _definition_files(directory):
        try:
            found.append(
                parse_repart(read_whole(path), name=path.name, architecture=architecture, specifiers=specifiers)
            )
        except Error as fault:
            raise fault.at(str(directory)) from None
    if not found:
        raise Error("the directory holds no definition", where=str(directory), expected=f"files *{_SUFFIX}")
    return tuple(found)


def _definition_files(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.iterdir()
        if path.name.endswith(_SUFFIX) and not path.name.startswith(".") and path.is_file() and path.stat().st_size
    )


def write_definitions(definitions: Iterable[RepartDefinition], directory: Path) -> None:
    """Write the definitions into a new directory. Raises Error, OSError."""
    with atomic_directory(directory) as made:
        for definition in definitions:
            (made / definition.name).write_bytes(pack_repart(definition))
