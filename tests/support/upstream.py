"""Redox's own programs, and FUSE. What is missing skips a test, and fails it in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.tools import tool
from tests.support.tree import ROOT

BUILT = ROOT / "build" / "upstream" / "bin"


def upstream(name: str) -> Path:
    """A program of the redoxfs package: in $BOOTPATH_UPSTREAM, in build/upstream/bin, or on PATH."""
    folder = Path(os.environ.get("BOOTPATH_UPSTREAM", BUILT))
    found = shutil.which(name, path=os.fspath(folder))
    return Path(found or tool(name))


def need_fuse() -> None:
    """Skip, or fail in CI, where nothing can be mounted."""
    tool("fusermount3")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        if os.environ.get("CI"):
            pytest.fail(f"/dev/fuse: {error.strerror}, and CI skips nothing")
        pytest.skip(f"/dev/fuse: {error.strerror}")


@contextmanager
def upstream_mount(image: Path, mountpoint: Path) -> Iterator[None]:
    """The image mounted by Redox's own program; unmounted, and the program ended, afterwards."""
    need_fuse()
    environment = {**os.environ, "RUST_LOG": "info"}
    with subprocess.Popen(
        [upstream("redoxfs"), "-d", image, mountpoint],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as daemon:
        assert daemon.stderr is not None
        said = ""
        while "mounted filesystem" not in said:
            line = daemon.stderr.readline()
            assert line, f"redoxfs ended: {said}"
            said += line
        try:
            yield
        finally:
            subprocess.run([tool("fusermount3"), "-u", mountpoint], check=True)
            daemon.communicate()
    assert daemon.returncode == 0
