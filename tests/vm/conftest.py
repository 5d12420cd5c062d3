"""Every test here runs a real QEMU, under the translator: it is slow, but the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bootpath.vm.config import MachineConfig
from bootpath.vm.qemu import QEMU
from tests.support.guestrun import Start
from tests.support.tools import tool

__all__ = ["Start", "start"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts machines that end with the test."""
    tool("setpriv")
    binary = tool("qemu-system-x86_64")
    with ExitStack() as machines:

        def begin(config: MachineConfig, *, transcript: Path | None = None) -> QEMU:
            return machines.enter_context(QEMU(config, binary=binary, transcript=transcript))

        yield begin
