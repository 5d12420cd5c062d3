"""Work on all processors, with the results in the order of what was asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    work: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int | None = None
) -> Iterator[_Result]:
    """What `work` gives for each item, by as many threads as there are processors, or `threads`.

    At most two results for each thread wait to be taken. What `work` raises is raised here in its turn; when the caller
    stops, what was begun is finished and no more begun.
    """
    count = threads or os.cpu_count() or 1
    pending: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="in-order") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > 2 * count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
