"""What a server leaves open to others: nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootpath.cli.main import main
from tests.support.daemons import serving


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The umask of somebody who cares for nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_socket_and_overlay_are_private(image: Path, tmp_path: Path) -> None:
    with serving("main", "serve", image, "--socket", tmp_path / "s", "--overlay", tmp_path / "changes") as server:
        assert mode(tmp_path / "s") == 0o600
        assert mode(tmp_path / "changes") == 0o600
        assert "Umask:\t0077\n" in Path(f"/proc/{server.process.pid}/status").read_text()


def test_a_server_gains_no_privileges(image: Path, tmp_path: Path) -> None:
    with serving("main", "serve", image, "--socket", tmp_path / "s") as server:
        for task in Path(f"/proc/{server.process.pid}/task").iterdir():
            assert "NoNewPrivs:\t1\n" in (task / "status").read_text()


def test_a_private_directory_for_a_socket_that_nobody_named(image: Path) -> None:
    with serving("main", "serve", image) as server:
        socket = Path(server.uri.partition("socket=")[2])
        assert mode(socket) == 0o600
        assert mode(socket.parent) == 0o700


def test_the_command_of_run_is_not_confined(image: Path, tmp_path: Path) -> None:
    command = f"grep NoNewPrivs /proc/self/status > {tmp_path / 'said'} && umask >> {tmp_path / 'said'}"
    assert main(["serve", str(image), "--run", command]) == 0
    assert (tmp_path / "said").read_text().split() == ["NoNewPrivs:", "0", "0000"]
    assert mode(tmp_path / "said") == 0o666
    assert os.umask(0) == 0
