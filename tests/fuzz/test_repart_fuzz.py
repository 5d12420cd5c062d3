"""The one rule of this folder (`test_formats_fuzz`) for definition files, and the same for their syntax."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dps import Architecture
from bootpath.formats.repart import pack_repart
from bootpath.formats.repartparse import parse_repart
from bootpath.formats.unitfile import pack_unit_file, parse_unit_file
from tests.fuzz.mutation import mutations

SAMPLES = sorted((Path(__file__).parent / "corpus/repart").iterdir())
SPECIFIERS = {"a": "x86-64", "M": "100%", "A": "%t"}
ROUNDS = 4000


def value_or_format_error(data: bytes) -> bool:
    try:
        lines = parse_unit_file(data, where="f")
        again = parse_unit_file(pack_unit_file(lines), where="f")
        assert [(each.section, each.key, each.value) for each in again] == [
            (each.section, each.key, each.value) for each in lines
        ]
        definition = parse_repart(data, name="f", architecture=Architecture.X86_64, specifiers=SPECIFIERS)
        assert parse_repart(pack_repart(definition), name="f", architecture=Architecture.ARM) == definition
    except FormatError as error:
        str(error).encode()
        return False
    return True


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    assert value_or_format_error(path.read_bytes()) == path.name.startswith("good")


def test_mutants() -> None:
    verdicts = [
        value_or_format_error(data) for data in mutations([path.read_bytes() for path in SAMPLES], seed=1, count=ROUNDS)
    ]
    assert set(verdicts) == {True, False}


def test_noise() -> None:
    random = Random(2)
    for _ in range(200):
        value_or_format_error(random.randbytes(random.randrange(600)))


def test_keys_with_any_value() -> None:
    """Mutants that have a good key, so that the reader of its value is reached."""
    from bootpath.formats.repartparse import _KEYS

    values = [b"/a:/b", b"1.5G", b"0x10", b"yes", b"%t.%%U", b'"/a b" /c', b"root-arm64", b"erofs", b"-12", b"null"]
    for key in _KEYS:
        for value in mutations(values, seed=len(key), count=150):
            value_or_format_error(b"[Partition]\n" + key.encode() + b"=" + value.replace(b"\n", b" ") + b"\n")
