"""Programs that tests compare us with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.tree import ROOT

_GUEST = ROOT / "build" / "guest" / "root"
_GUEST_ARM64 = ROOT / "build" / "guest-arm64" / "root"
_SMALL_KERNEL = ROOT / "build" / "smallkernel" / "vmlinuz"
_DEMO = ROOT / "build" / "demo"
_SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def tool(name: str) -> str:
    """The program's path. Where it is missing the test is skipped; in CI it fails, so that nothing is skipped there."""
    path = shutil.which(name, path=_SEARCH)
    if path is None:
        missing(f"{name} is not installed")
    return path


def guest_files() -> Path:
    """The tree that test guests are made of, from `make guest`: boot/vmlinuz-*, lib/modules, busybox, nbd-client."""
    root = Path(os.environ.get("BOOTPATH_GUEST", _GUEST))
    if not any(root.glob("boot/vmlinuz-*")):
        missing(f"there is no kernel in {root} (make guest)")
    return root


def guest_kernel() -> Path:
    """The test guests' kernel."""
    return next(guest_files().glob("boot/vmlinuz-*"))


def guest_program(name: str) -> Path:
    """A program of the test guests, wherever its package has it."""
    root = guest_files()
    found = (root / place / name for place in ("bin", "sbin", "usr/bin", "usr/sbin"))
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        missing(f"there is no {name} in {root} (make guest)")
    return path


def guest_file(path: str) -> Path:
    """A file of the test guests."""
    file = guest_files() / path
    if not file.is_file():
        missing(f"there is no {file} (make guest)")
    return file


def arm64_files() -> Path:
    """The same tree for guests on arm64, which only the full tests have."""
    root = Path(os.environ.get("BOOTPATH_GUEST_ARM64", _GUEST_ARM64))
    if not any(root.glob("boot/vmlinuz-*")):
        missing(f"there is no kernel in {root} (make full-tools)")
    return root


def small_kernel() -> Path:
    """A kernel with device-mapper, verity and the disk's driver in it, which only the full tests have."""
    path = Path(os.environ.get("BOOTPATH_SMALL_KERNEL", _SMALL_KERNEL))
    if not path.is_file():
        missing(f"there is no {path} (make full-tools)")
    return path


def stored(path: Path) -> Path:
    """A file that a package of the distribution brings."""
    if not path.exists():
        missing(f"there is no {path} (make tools)")
    return path


def demo_image(name: str) -> Path:
    """An image that `make` built for the demo or the full tests."""
    path = Path(os.environ.get("BOOTPATH_DEMO", _DEMO)) / name
    if not path.is_file():
        missing(f"there is no {path} (make build/demo/{name})")
    return path


def missing(what: str) -> NoReturn:
    """Skip the test, which cannot be done here; in CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI skips nothing")
    pytest.skip(what)
