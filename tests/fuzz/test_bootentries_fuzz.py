"""Boot entries: mutants reach both answers, paths never leave their root, and hostile trees give entries or reasons."""

from __future__ import annotations

from random import Random

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.paths import entry_path, menu_path
from tests.fuzz.bootfiles import BETWEEN_FILES, BOOT_FILES, BOOT_PLACE, SOUND_PLACE, check_path
from tests.fuzz.entry import Entry
from tests.fuzz.mutation import mutate, mutations

ROUNDS = 4000
NAMES = (b"\xc3\xa4", b"x y", b"b", b"..", b".")
FIRST_LINKS = (b"/k", b"k", b"l", b"../../k", b"m/m/m/k", b"\\k")
SECOND_LINKS = (b".", b"m", b"..", b"boot", b"/")
ADDONS = (b"", b"m", b"nowhere")
REFUSING = [entry for entry in BOOT_FILES if entry.refuses]


@pytest.mark.parametrize("entry", REFUSING, ids=lambda entry: entry.name)
def test_mutants_reach_both_answers(entry: Entry) -> None:
    assert {entry.accepts(mutant) for mutant in mutations(entry.samples(), seed=11, count=500)} == {True, False}


def test_paths_never_leave() -> None:
    random = Random(3)
    alphabet = ("..", ".", "", "a", "\\", "..a", "\0", " ", "ä", "...")
    for _ in range(ROUNDS):
        text = "/".join(random.choice(alphabet) for _ in range(random.randint(1, 7)))
        for path in (entry_path, lambda text: menu_path(text, "/boot/extlinux")):
            try:
                check_path(path(text))
            except FormatError as error:
                str(error).encode()


def test_hostile_trees_give_entries_or_reasons() -> None:
    """Every file of a boot partition is mutated, links lead anywhere: nothing is raised."""
    random = Random(5)
    for _ in range(BOOT_PLACE.rounds):
        files = [mutate(file, random) for file in SOUND_PLACE[:7]]
        files[2] = random.choice(NAMES)
        links = [random.choice(targets) for targets in (FIRST_LINKS, SECOND_LINKS, ADDONS)]
        BOOT_PLACE.call(BETWEEN_FILES.join([*files, *links]))
