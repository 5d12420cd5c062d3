"""An EFI variable, and how the text in one is read.

Source: UEFI 2.10 §8.2; a variable is known by its name and the GUID of its vendor. Text in variables is UTF-16, little
endian, up to the first NUL or to the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from bootpath.core.errors import FormatError

UEFI_VARIABLES = "UEFI 2.10 §8.2"


@dataclass(frozen=True, slots=True)
class EfiVariable:
    """A variable. `attributes` are the bits EFI_VARIABLE_*."""

    name: str
    guid: UUID
    attributes: int
    data: bytes

    @property
    def text(self) -> str:
        """Its content as text. Raises FormatError when it is none."""
        if len(self.data) % 2:
            raise self._fault("has half a character", f"{len(self.data)} bytes")
        return decode_ucs2(self.data)

    def _fault(self, what: str, found: str) -> FormatError:
        return FormatError(f"the variable {what}", where=self.name, found=found, spec=UEFI_VARIABLES)


def decode_ucs2(data: bytes) -> str:
    """The text up to the first NUL; halves of characters outside the first plane stay what they are."""
    end = next((place for place in range(0, len(data) - 1, 2) if data[place : place + 2] == b"\0\0"), len(data) & ~1)
    return data[:end].decode("utf-16-le", "surrogatepass")


def find_variable(variables: Iterable[EfiVariable], guid: UUID, name: str) -> EfiVariable | None:
    """The variable of that vendor and name."""
    return next((each for each in variables if each.name == name and each.guid == guid), None)
