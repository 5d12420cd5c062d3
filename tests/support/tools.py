"""Programs that tests compare us with."""

from __future__ import annotations

import os
import shutil

import pytest

_SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def tool(name: str) -> str:
    """The program's path. Where it is missing the test is skipped; in CI it fails, so that nothing is skipped there."""
    path = shutil.which(name, path=_SEARCH)
    if path is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and CI skips nothing")
    pytest.skip(f"{name} is not installed")
