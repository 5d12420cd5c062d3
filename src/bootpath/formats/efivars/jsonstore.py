"""EFI variables as JSON, as virt-firmware (``virt-fw-vars --output-json``) and python-uefivars write them.

::

    {"version": 2, "variables": [{"name": "BootOrder", "guid": "8be4df61-…", "attr": 7, "data": "0000"}, …]}

`data` is hexadecimal. Members that are not named here (time, count) belong to authenticated variables and are passed
over. Of variables with the same name and vendor the last one counts, as there.
"""

from __future__ import annotations

from reprlib import repr as brief
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.variable import EfiVariable
from bootpath.formats.strictjson import JsonValue, Members, parse_json

JSON_STORE_MAX_BYTES = 16 << 20
_VERSION = 2
_WHERE = "EFI variables"


def parse_json_store(data: bytes) -> tuple[EfiVariable, ...]:
    """The variables of a text. Raises FormatError."""
    store = Members(parse_json(data, where=_WHERE, max_bytes=JSON_STORE_MAX_BYTES), where=_WHERE)
    store.constant("version", _VERSION)
    variables = [_variable(value) for value in store.array("variables")]
    return tuple({(each.guid, each.name): each for each in variables}.values())


def _variable(value: JsonValue) -> EfiVariable:
    members = Members(value, where=_WHERE)
    name = members.text("name")
    guid, text = members.text("guid"), members.text("data")
    try:
        vendor = UUID(guid)
    except ValueError:
        raise FormatError(
            f"the GUID of {brief(name)} is not valid", where=_WHERE, found=brief(guid), expected="a GUID"
        ) from None
    try:
        content = bytes.fromhex(text)
    except ValueError:
        raise FormatError(
            f"the content of {brief(name)} is not hexadecimal", where=_WHERE, found=brief(text), expected="digits"
        ) from None
    return EfiVariable(name, vendor, members.number("attr"), content)
