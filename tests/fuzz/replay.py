"""An input once more: what an entry says to it, or the traceback of the bug that it shows; and the input made smaller.

    python -m tests.fuzz.replay handoff FILE
    python -m tests.fuzz.replay handoff FILE --shrink SMALL

Smaller is what raises the same exception in the same function of bootpath. It needs nothing but the tests. The bounds
are those of a guided run; an input that takes too long ends it with a traceback of where it was.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from tests.fuzz.bounds import INPUT_SECONDS, bound_process
from tests.fuzz.entry import Entry

Symptom: TypeAlias = tuple[type[Exception], str]


def symptom(entry: Entry, data: bytes) -> Symptom | None:
    """None for an answer, otherwise the exception and the innermost function of bootpath that it went through."""
    try:
        entry.outcome(data)
    except Exception as error:  # noqa: BLE001 - any exception is the bug that is looked for
        return type(error), _innermost(error.__traceback__)
    return None


def _innermost(frames: TracebackType | None) -> str:
    codes = [frame.f_code for frame, _ in traceback.walk_tb(frames)]
    names = [code.co_qualname for code in codes if "bootpath" in Path(code.co_filename).parts]
    return names[-1] if names else ""


def shrink(data: bytes, same: Callable[[bytes], bool]) -> bytes:
    """Cut away halves, quarters, … single bytes while it stays the `same`; then make bytes that do not matter zeros."""
    size = len(data) // 2
    while size:
        start = 0
        while start < len(data):
            cut = data[:start] + data[start + size :]
            if same(cut):
                data = cut
            else:
                start += size
        size //= 2
    for index in range(len(data)):
        plain = data[:index] + b"0" + data[index + 1 :]
        if same(plain):
            data = plain
    return data


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.replay", description="give an input to an entry")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--shrink", type=Path, metavar="SMALL", help="write the smallest input with the same bug")
    parser.add_argument("--targets", default="tests.fuzz.targets", help="the module of the entries")
    arguments = parser.parse_args()
    targets: dict[str, Entry] = import_module(arguments.targets).TARGETS
    if arguments.name not in targets:
        parser.error(f"no entry is called {arguments.name}; there are: {' '.join(targets)}")
    entry, data = targets[arguments.name], arguments.file.read_bytes()
    bound_process()
    faulthandler.dump_traceback_later(INPUT_SECONDS, exit=True)
    found = symptom(entry, data)
    faulthandler.cancel_dump_traceback_later()
    if found is None:
        error = entry.outcome(data)
        print("good: a value" if error is None else f"bad: refused with {error.__name__}")
        return 0
    if arguments.shrink:
        small = shrink(data, lambda other: symptom(entry, other) == found)
        arguments.shrink.write_bytes(small)
        print(f"{len(data)} bytes became {len(small)}")
        return 1
    entry.outcome(data)  # the traceback
    return 1


if __name__ == "__main__":
    sys.exit(main())
