from __future__ import annotations

import json
from typing import Any

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.jsonstore import parse_json_store

GUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
ROW = {"name": "A", "guid": GUID, "attr": 7, "data": "0aFF"}


def store(*rows: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"version": 2, "variables": rows, **more}).encode()


def test_variables_and_what_is_passed_over() -> None:
    (variable,) = parse_json_store(store({**ROW, "time": "00" * 16, "digest": None}))
    assert (variable.name, str(variable.guid), variable.attributes, variable.data) == ("A", GUID, 7, b"\x0a\xff")
    assert parse_json_store(store(ROW, {**ROW, "data": ""}))[0].data == b""
    assert parse_json_store(store()) == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "line 1"),
        (b"[]", "not an object"),
        (store(version=3), "version"),
        (store({**ROW, "guid": "x"}), "the GUID of 'A' is not valid"),
        (store({**ROW, "data": "0"}), "the content of 'A' is not hexadecimal"),
        (store({**ROW, "attr": "7"}), "the value of attr"),
        (store({"name": "A"}), "'guid' is missing"),
        (b'{"version": 2, "variables": [1]}', "not an object"),
    ],
)
def test_what_is_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_json_store(data)
