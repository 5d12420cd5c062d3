"""What a fuzzer can call: a name, a callable that takes any bytes, and the errors that are an answer.

The rule of this folder is one sentence: bytes are answered by a value or by one of the entry's errors, whose message
can be shown anywhere; anything else is the bug that fuzzing looks for. The tests with seeded mutants (`test_targets`)
and the run that is guided by coverage (`guided`) both read it here.

Samples are in corpus/<name>/, small and interesting, and say in their names whether they are good-* or bad-*. An entry
that works on images which are golden files already makes its first samples from them instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bootpath.core.errors import FormatError

T = TypeVar("T")
P = TypeVar("P")
CORPUS = Path(__file__).parent / "corpus"


def _nothing() -> Sequence[bytes]:
    return ()


def comes_back(value: T, pack: Callable[[T], P], parse: Callable[[P], T | None]) -> None:
    """What was parsed can be packed, and parsed again as the same. Here an error is no answer."""
    try:
        again = parse(pack(value))
    except FormatError as error:
        raise AssertionError("a value that was parsed does not come back") from error
    assert again == value


@dataclass(frozen=True, slots=True)
class Entry:
    """`call` also asserts what it can of a value: that it comes back when packed, that it is bounded."""

    name: str
    call: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = (FormatError,)
    made: Callable[[], Sequence[bytes]] = _nothing
    """Samples beside those in the corpus."""
    refuses: bool = True
    """False for what answers anything, as a scanner does that collects its faults."""
    max_bytes: int = 4096
    rounds: int = 4000
    """How many inputs a test tries: fewer where one costs more."""

    def outcome(self, data: bytes) -> type[Exception] | None:
        """None for a value, otherwise the error's class."""
        try:
            self.call(data)
        except self.errors as error:
            str(error).encode()  # the message can be shown anywhere
            return type(error)
        return None

    def accepts(self, data: bytes) -> bool:
        """True for a value."""
        return self.outcome(data) is None

    def corpus(self) -> dict[str, bytes]:
        """The files of the corpus, by their names."""
        folder = CORPUS / self.name
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}

    def samples(self) -> list[bytes]:
        """All there is to begin with."""
        return [*self.corpus().values(), *self.made()]


def by_name(*tables: Iterable[Entry]) -> dict[str, Entry]:
    """The entries of some tables; two of one name would share a corpus."""
    entries = [entry for table in tables for entry in table]
    found = {entry.name: entry for entry in entries}
    assert len(found) == len(entries), "two entries have the same name"
    return found
