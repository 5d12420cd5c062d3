"""Programs that tests compare us with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def tool(name: str) -> str:
    """The program's path. Where it is missing the test is skipped; in CI it fails, so that nothing is skipped there."""
    return _find(name, _SEARCH)


def upstream(name: str) -> str:
    """A program of the redoxfs crate, which `make tools` installs; missing as for `tool`."""
    built = Path(__file__).parents[2] / "build/upstream/bin"
    return _find(name, os.pathsep.join((os.environ.get("BOOTPATH_UPSTREAM", str(built)), _SEARCH)))


def _find(name: str, search: str) -> str:
    path = shutil.which(name, path=search)
    if path is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and CI skips nothing")
    pytest.skip(f"{name} is not installed")
