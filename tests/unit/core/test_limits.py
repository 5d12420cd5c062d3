"""The budgets: what a process has, how one is raised, and that each is spent somewhere."""

from __future__ import annotations

import re
from dataclasses import asdict
from threading import Thread

import pytest

from bootpath.core.errors import LimitError
from bootpath.core.limits import Budgets, check_limit, limit_meanings, limits, limits_raised, spend, spending
from tests.support.errors import raises
from tests.support.tree import ROOT


def test_limits_are_raised_for_a_while_and_for_all_threads() -> None:
    seen: list[int] = []
    with limits_raised(boot_entries=7) as raised:
        assert limits() is raised
        thread = Thread(target=lambda: seen.append(limits().boot_entries))
        thread.start()
        thread.join()
        with limits_raised(places=5):
            assert (limits().boot_entries, limits().places) == (7, 5)
        assert limits() is raised
    assert seen == [7]
    assert limits() == Budgets()


def test_a_limit_that_does_not_exist() -> None:
    with pytest.raises(TypeError), limits_raised(nothing=1):
        pass
    assert limits() == Budgets()


def test_what_is_within_a_limit_is_no_error() -> None:
    check_limit("boot_entries", limits().boot_entries, "there are too many")


def test_an_error_says_which_limit_and_how_to_raise_it() -> None:
    with raises(LimitError, what="it is too long", where="a", found="2 GiB", expected="at most 512 MiB") as caught:
        check_limit("initrd_bytes", 2 << 30, "it is too long", where="a")
    assert caught.value.hint == "allow more with BOOTPATH_LIMITS=initrd_bytes=N"


def test_what_is_spent_in_one_place_is_added_up() -> None:
    with limits_raised(places=10):
        spend("places", 9, "there are too many")
        with spending():
            spend("places", 6, "there are too many")
            spend("boot_entries", 6, "there are too many")
            with raises(LimitError, found="11", expected="at most 10"):
                spend("places", 5, "there are too many")
        with spending():
            spend("places", 10, "there are too many")


@pytest.mark.parametrize("name", asdict(Budgets()))
def test_every_limit_is_spent_somewhere_and_nowhere_else_written(name: str) -> None:
    sources = [path for path in (ROOT / "src/bootpath").rglob("*.py") if path.name != "limits.py"]
    used = re.compile(rf"""["'.]{name}\b""")
    assert any(used.search(path.read_text()) for path in sources)
    assert name.endswith(("_bytes", "_seconds")) or limit_meanings()[name]
