"""Every entry with its corpus, seeded mutants of its samples, and noise: the rule of `entry`, for all of them alike.

pytest shows the mutant of a failure: put it into the corpus when you have mended the parser.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.entry import CORPUS
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS

ALL = pytest.mark.parametrize("name", TARGETS)


@ALL
def test_corpus(name: str) -> None:
    """A sample says in its name whether it is good; of what refuses, there is at least one of each."""
    entry = TARGETS[name]
    corpus = entry.corpus()
    verdicts = {file: entry.accepts(data) for file, data in corpus.items()}
    assert verdicts == {file: file.startswith("good") for file in verdicts}
    seen = {*verdicts.values(), *(entry.accepts(data) for data in entry.made())}
    assert seen == {True, False} if entry.refuses and corpus else seen


@ALL
def test_mutants(name: str) -> None:
    entry = TARGETS[name]
    for data in mutations(entry.samples(), seed=1, count=entry.rounds):
        entry.outcome(data)


@ALL
def test_noise(name: str) -> None:
    random = Random(2)
    for _ in range(min(200, TARGETS[name].rounds)):
        TARGETS[name].outcome(random.randbytes(random.randrange(600)))


def test_every_folder_of_the_corpus_has_an_entry() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


def test_the_same_seed_gives_the_same_mutants() -> None:
    pool = TARGETS["handoff"].samples()
    assert list(mutations(pool, seed=3, count=50)) == list(mutations(pool, seed=3, count=50))
