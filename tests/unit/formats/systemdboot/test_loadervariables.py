from __future__ import annotations

from uuid import UUID

from bootpath.formats.efivars.variable import EfiVariable
from bootpath.formats.systemdboot.loaderconf import MAX_TIMEOUT_SECONDS, MenuMode
from bootpath.formats.systemdboot.loadervariables import LOADER_GUID, LoaderVariables, loader_variables
from tests.support.efivars import utf16


def variable(name: str, data: bytes, guid: UUID = LOADER_GUID) -> EfiVariable:
    return EfiVariable(name, guid, 7, data)


def test_the_variables_of_systemd_boot() -> None:
    found = loader_variables(
        [
            variable("LoaderEntryDefault", utf16("of another vendor"), UUID(int=1)),
            variable("LoaderEntryOneShot", utf16("once.conf")),
            variable("LoaderEntryPreferred", "p-*".encode("utf-16-le")),
            variable("LoaderEntrySysFail", utf16("rescue.efi")),
            variable("LoaderConfigTimeout", utf16("menu-force")),
            variable("LoaderConfigTimeoutOneShot", utf16(str(10**30))),
        ]
    )
    assert found == LoaderVariables(
        "once.conf",
        "p-*",
        after_failure="rescue.efi",
        timeout=MenuMode.FORCE,
        timeout_one_shot=MAX_TIMEOUT_SECONDS,
    )
    assert loader_variables([]) == LoaderVariables()


def test_a_variable_that_is_no_text_is_passed_over() -> None:
    found = loader_variables([variable("LoaderEntryDefault", b"a"), variable("LoaderConfigTimeout", utf16("soon"))])
    assert (found.default, found.timeout) == ("", None)
    assert found.ignored == (
        "LoaderEntryDefault: the variable has half a character; found 1 bytes (UEFI 2.10 §8.2)",
        "LoaderConfigTimeout: 'soon' is no time",
    )
