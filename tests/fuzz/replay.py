"""An input once more: what an entry says to it, or the traceback of the bug that it shows; and the input made smaller.

    python -m tests.fuzz.replay handoff FILE
    python -m tests.fuzz.replay handoff FILE --shrink SMALL

Smaller is what raises the same exception in the same function of bootpath. It needs nothing but the tests.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from tests.fuzz.entry import Entry
from tests.fuzz.targets import TARGETS

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
    parser.add_argument("name", choices=TARGETS, metavar="NAME")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--shrink", type=Path, metavar="SMALL", help="write the smallest input with the same bug")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    entry, data = TARGETS[arguments.name], arguments.file.read_bytes()
    found = symptom(entry, data)
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
