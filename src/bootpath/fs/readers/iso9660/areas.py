"""System use areas of directory records, with what follows them elsewhere.

Source: System Use Sharing Protocol (IEEE P1281, draft 1.12) §4, §5.1. The areas of all records begin with as many bytes
of something else as SP in the first record of the root says; an entry CE leads to more of the area, in any block.

Bounds: at most `MAX_CONTINUATIONS` of them for one record, each inside one block, as in Linux; all of a directory
together at most `MAX_DIRECTORY_BYTES`, counted in `ContinuationCount`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.formats.iso9660.rockridge import SystemUseEntry, parse_continuation, parse_entries, parse_skip
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import check_directory_size

MAX_CONTINUATIONS = 32  # RR_MAX_CE_ENTRIES


@dataclass(slots=True)
class ContinuationCount:
    """How many bytes the continuations of a directory's records have, together."""

    bytes: int = 0


class SystemUse:
    """The entries of records of one medium, whose blocks have `block_bytes`."""

    def __init__(self, source: Source, block_bytes: int) -> None:
        self._source = source
        self._block_bytes = block_bytes
        self._skipped = 0
        self.rock_ridge = False
        """True when the root says that Rock Ridge is here."""

    def detect(self, root_area: bytes) -> None:
        """Look whether the root's own record names Rock Ridge, and what is skipped. Raises FormatError, DeviceError."""
        entries = list(self.entries(root_area, ContinuationCount()))
        skipped = next((skip for skip in map(parse_skip, entries) if skip is not None), None)
        self.rock_ridge = skipped is not None and any(entry.tag == b"ER" for entry in entries)
        self._skipped = skipped or 0

    def entries(self, area: bytes, count: ContinuationCount, *, first: bool = False) -> Iterator[SystemUseEntry]:
        """The entries of a record; `first` for that of the root itself, of which nothing is skipped.

        Raises FormatError, DeviceError.
        """
        pending = area if first else area[self._skipped :]
        for _ in range(MAX_CONTINUATIONS + 1):
            following = None
            for entry in parse_entries(pending):
                if entry.tag == b"CE":
                    following = parse_continuation(entry)
                else:
                    yield entry
            if following is None:
                return
            if following.offset + following.length > self._block_bytes:
                raise self._source.fault(
                    "corrupt: the continuation of a system use area goes past its block",
                    found=f"{following.length} bytes at {following.offset}",
                    expected=f"at most {self._block_bytes}",
                )
            count.bytes += following.length
            check_directory_size(self._source, count.bytes)
            self._source.spend_directory(following.length)
            place = following.block * self._block_bytes + following.offset
            pending = self._source.read(place, following.length)
        raise self._source.fault(
            "corrupt: a system use area goes on too often", expected=f"at most {MAX_CONTINUATIONS} times"
        )
