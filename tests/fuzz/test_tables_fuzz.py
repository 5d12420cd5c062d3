"""Tables and exception stores: mutants are refused, open, and fail when they are read."""

from __future__ import annotations

from bootpath.core.errors import DeviceError, Error, FormatError, TableError
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS


def test_mutants_of_tables_reach_every_answer() -> None:
    entry = TARGETS["open_table"]
    found = {entry.outcome(data) for data in mutations(entry.samples(), seed=5, count=900)}
    assert found == {FormatError, TableError, DeviceError, None}


def test_mutants_of_exception_stores_reach_every_answer() -> None:
    entry = TARGETS["exception_store"]
    found = {entry.outcome(data) for data in mutations(entry.samples(), seed=7, count=300)}
    assert found == {TableError, DeviceError, None}


def test_errors_are_of_the_tree() -> None:
    assert issubclass(TableError, Error)
