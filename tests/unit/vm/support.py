"""What the tests of machines share: errors and times without a machine."""

from __future__ import annotations

from bootpath.core.errors import MachineError


def fault(what: str, *, expected: object = None, found: object = None) -> MachineError:
    return MachineError(what, where="test", expected=expected, found=found)


class Clock:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
