from __future__ import annotations

import pytest

from bootpath.fs.readers.recent import Recent


def test_the_last_ones_asked_for_are_kept() -> None:
    made: list[int] = []

    def make(key: int) -> str:
        made.append(key)
        return str(key)

    recent: Recent[int, str] = Recent(2)
    assert [recent.get(key, make) for key in (1, 2, 1, 3, 1, 2)] == ["1", "2", "1", "3", "1", "2"]
    assert made == [1, 2, 3, 2]


def test_a_failure_is_not_kept() -> None:
    recent: Recent[int, int] = Recent(8)
    with pytest.raises(ZeroDivisionError):
        recent.get(0, lambda key: 1 // key)
    assert recent.get(0, lambda key: 5) == 5
