"""``pytest.raises`` for errors that have fields: a test asserts the facts and not the sentence that they become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

E = TypeVar("E", bound=BaseException)


@contextmanager
def raises(kind: type[E], **fields: object) -> Iterator[pytest.ExceptionInfo[E]]:
    """An error of this kind whose fields (where, expected, found, errno, hint …) have these values."""
    with pytest.raises(kind) as caught:
        yield caught
    assert {name: getattr(caught.value, name) for name in fields} == fields
