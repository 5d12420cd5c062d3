"""Entries with bugs, by which the tests know that a guided run finds them and says where the input is."""

from __future__ import annotations

from tests.fuzz.entry import Entry, by_name


def _wrong_error(data: bytes) -> None:
    if b"!" in data:
        raise KeyError("the bug")


def _memory(data: bytes) -> None:
    """Zeros that nobody touches are not resident, and are too much all the same."""
    if len(data) > 1:
        bytes(1 << 30)


def _made() -> list[bytes]:
    return [b"sound words"]


TARGETS = by_name(
    (
        Entry("wrong_error", _wrong_error, made=_made),
        Entry("memory", _memory, made=_made),
        Entry("sound", bytes, made=_made),
    )
)
