"""What the boot entries of one disk may cost together, counted while they are read (`core.limits`).

Each entry is small, and so is each file that one names; a hostile disk has them by the thousand, in every one of its
volumes. One `EntryCosts` counts for all volumes of a menu.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.core.limits import check_limit
from bootpath.formats.entries.pe import ReadAt


@dataclass(slots=True)
class EntryCosts:
    """What was spent. The methods raise LimitError when it is more than is allowed."""

    volumes: int = 0
    entries: int = 0
    listed: int = 0
    files: int = 0
    path_steps: int = 0
    text_bytes: int = 0

    def volume(self) -> None:
        """One more volume is looked at."""
        self.volumes += 1
        check_limit("boot_volumes", self.volumes, "there are too many volumes with boot entries")

    def entry(self) -> None:
        """One more entry, or one more file that is none."""
        self.entries += 1
        check_limit("boot_entries", self.entries, "there are too many boot entries")

    def names(self, count: int) -> None:
        """A directory with so many names is gone through."""
        self.listed += count
        check_limit("directory_names", self.listed, "the directories of boot entries have too many names")

    def file(self) -> None:
        """One more file that an entry names, or that is read for one."""
        self.files += 1
        check_limit("entry_files", self.files, "the boot entries name too many files")

    def steps(self, count: int) -> None:
        """So many more names are looked up on the way to a file."""
        self.path_steps += count
        check_limit("path_steps", self.path_steps, "the paths of boot entries are too long together")

    def text(self, size_bytes: int) -> None:
        """So much more of what is parsed for entries."""
        self.text_bytes += size_bytes
        check_limit("entry_text_bytes", self.text_bytes, "the boot entries are too long together")

    def counted(self, read: ReadAt) -> ReadAt:
        """The same, with what is read through it counted as text."""

        def read_counted(offset: int, length: int) -> bytes:
            self.text(length)
            return read(offset, length)

        return read_counted
