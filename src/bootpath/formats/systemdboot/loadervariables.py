"""The EFI variables by which systemd-boot is told what to boot.

Source: systemd-boot(7) "EFI Variables", the Boot Loader Interface; all of one vendor, text in UTF-16::

    LoaderEntryOneShot      the entry of the next boot     LoaderConfigTimeoutOneShot   its timeout: the menu is shown
    LoaderEntryPreferred    the entry, but none whose tries are used up (since version 260)
    LoaderEntryDefault      the entry                      LoaderConfigTimeout          the timeout
    LoaderEntryLastBooted   what @saved means              LoaderEntrySysFail           when a firmware update failed

A variable whose content is no text is passed over, as there, and named in `ignored`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.variable import EfiVariable, find_variable
from bootpath.formats.systemdboot.loaderconf import MAX_TIMEOUT_SECONDS, MenuTimeout, parse_timeout

LOADER_GUID = UUID("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")


@dataclass(frozen=True, slots=True)
class LoaderVariables:
    """What the variables say; "" and None where one is not there. `ignored` are faults of those that do not count."""

    one_shot: str = ""
    preferred: str = ""
    default: str = ""
    last_booted: str = ""
    after_failure: str = ""
    timeout_one_shot: MenuTimeout | None = None
    timeout: MenuTimeout | None = None
    ignored: tuple[str, ...] = ()


def loader_variables(variables: Iterable[EfiVariable]) -> LoaderVariables:
    """The variables of systemd-boot among all."""
    variables = tuple(variables)
    ignored: list[str] = []

    def text(name: str) -> str:
        variable = find_variable(variables, LOADER_GUID, name)
        if variable is None:
            return ""
        try:
            return variable.text
        except FormatError as error:
            ignored.append(str(error))
            return ""

    def timeout(name: str) -> MenuTimeout | None:
        said = text(name)
        parsed = parse_timeout(said, MAX_TIMEOUT_SECONDS)
        if said and parsed is None:
            ignored.append(f"{name}: {said!r} is no time")
        return parsed

    return LoaderVariables(
        text("LoaderEntryOneShot"),
        text("LoaderEntryPreferred"),
        text("LoaderEntryDefault"),
        text("LoaderEntryLastBooted"),
        text("LoaderEntrySysFail"),
        timeout("LoaderConfigTimeoutOneShot"),
        timeout("LoaderConfigTimeout"),
        tuple(ignored),
    )
