"""Where the add-ons of a unified kernel image are.

Source: systemd-stub(7): ``/loader/addons/*.addon.efi`` for all images, then ``<image>.extra.d/*.addon.efi`` beside the
image: "If the kernel binary uses a counter [...] the counter will be ignored". Each directory is in order of its names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from bootpath.core.errors import Error, FormatError, LimitError
from bootpath.formats.entries.tries import blessed_name
from bootpath.fs.readers.files import Files
from bootpath.image.entries.costs import EntryCosts
from bootpath.image.entries.files import list_files

_SUFFIX = ".addon.efi"
_GLOBAL = "/loader/addons"


def addon_paths(files: Files, image: str, *, follow: bool, costs: EntryCosts, warnings: list[str]) -> Iterator[str]:
    """The files; a directory that cannot be read, or is passed over, is a warning. Raises LimitError."""

    def listed(directory: str) -> list[str]:
        try:
            found = list_files(files, directory, _SUFFIX, follow=follow, costs=costs)
            return [f"{directory}/{entry.name}" for entry in found]
        except LimitError:
            raise
        except Error as error:
            warnings.append(f"the add-ons in {directory} are left out: {error}")
            return []

    directory, _, name = image.rpartition("/")
    with suppress(FormatError):  # an image that an entry of type 1 names may be called anything
        plain = blessed_name(name)
        if plain != name and listed(f"{directory}/{name}.extra.d"):
            warnings.append(f"{name}.extra.d is passed over: systemd-stub looks in {plain}.extra.d")
        name = plain
    for place in (_GLOBAL, f"{directory}/{name}.extra.d"):
        yield from listed(place)
