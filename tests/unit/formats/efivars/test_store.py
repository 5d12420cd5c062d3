from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.store import parse_variable_store
from tests.support.efivars import edk2_store, raw_variable


def test_both_kinds_of_stores() -> None:
    assert [each.name for each in parse_variable_store(bytes(edk2_store([raw_variable("A", b"")])))] == ["A"]
    assert parse_variable_store(b'\n{"version": 2, "variables": []}') == ()


@pytest.mark.parametrize(("data", "hint"), [(b"QFI\xfb", "qemu-img convert"), (b"", "virt-fw-vars"), (b"x", "EDK2")])
def test_anything_else_is_refused(data: bytes, hint: str) -> None:
    with pytest.raises(FormatError, match=hint):
        parse_variable_store(data)
