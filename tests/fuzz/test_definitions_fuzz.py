"""Definition files and kernel parameters: mutants that reach the readers of values."""

from __future__ import annotations

import pytest

from bootpath.formats.repart.parse import _KEYS
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", ["repart", "root_parameters"])
def test_mutants_reach_both_answers(name: str) -> None:
    entry = TARGETS[name]
    verdicts = [entry.accepts(data) for data in mutations(entry.samples(), seed=1, count=1000)]
    assert verdicts.count(True) > 20
    assert False in verdicts


def test_keys_with_any_value() -> None:
    """Mutants that have a good key, so that the reader of its value is reached."""
    values = [b"/a:/b", b"1.5G", b"0x10", b"yes", b"%t.%%U", b'"/a b" /c', b"root-arm64", b"erofs", b"-12", b"null"]
    for key in _KEYS:
        for value in mutations(values, seed=len(key), count=150):
            TARGETS["repart"].outcome(b"[Partition]\n" + key.encode() + b"=" + value.replace(b"\n", b" ") + b"\n")
