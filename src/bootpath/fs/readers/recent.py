"""What was made last, kept so that it is not made again: a cache of a fixed number of values.

Invariant: at most `limit` values are kept, those asked for last. A value whose making fails is not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values of the last `limit` keys."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[K], V]) -> V:
        """The value of `key`, made when it is not kept. Raises what `make` does."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make(key)
        self._values[key] = value
        if len(self._values) > self._limit:
            self._values.popitem(last=False)
        return value
