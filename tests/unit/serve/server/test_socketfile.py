"""Sockets of servers that were killed, of those that live, and files that are none."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bootpath.core.errors import DeviceError
from bootpath.serve.server.socketfile import SocketFile


def listen(path: Path) -> tuple[socket.socket, SocketFile]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        return listener, SocketFile.listen(listener, str(path), mode=0o600, backlog=64)
    except BaseException:
        listener.close()
        raise


def dead(path: Path) -> None:
    """A socket as a kill -9 leaves it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()


def alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def test_a_dead_one_is_replaced(tmp_path: Path) -> None:
    dead(tmp_path / "s")
    assert not alive(tmp_path / "s")
    listener, file = listen(tmp_path / "s")
    with listener:
        assert alive(tmp_path / "s")
        file.remove()
    assert os.listdir(tmp_path) == []


def a_file(path: Path) -> None:
    path.write_text("mine")


def a_directory(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_a_dead_one(path: Path) -> None:
    dead(path.with_name("dead"))
    path.symlink_to("dead")


@pytest.mark.parametrize("make", [a_file, a_directory, a_pipe, a_link_to_a_dead_one])
def test_what_is_no_socket_stays(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "s")
    before = os.lstat(tmp_path / "s")
    with pytest.raises(DeviceError, match="Address already in use; there is a file that is not a socket"):
        listen(tmp_path / "s")
    assert os.path.samestat(os.lstat(tmp_path / "s"), before)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_one_that_lives_stays(kind: int, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(tmp_path / "s"))
        if kind != socket.SOCK_DGRAM:
            other.listen(0)
        with pytest.raises(DeviceError, match="Address already in use; does another server run"):
            listen(tmp_path / "s")
        with pytest.raises(DeviceError, match="does another"):  # its backlog is full now
            listen(tmp_path / "s")
        assert os.listdir(tmp_path) == ["s"]


def test_only_ones_own_is_removed(tmp_path: Path) -> None:
    listener, file = listen(tmp_path / "s")
    (tmp_path / "s").unlink()
    with listener:
        other, its = listen(tmp_path / "s")
        with other:
            file.remove()
            assert alive(tmp_path / "s")
            its.remove()
            its.remove()
    assert os.listdir(tmp_path) == []


def test_of_many_at_once_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(20):
        dead(path)
        start = threading.Barrier(8)
        won: list[tuple[socket.socket, SocketFile]] = []
        lost: list[DeviceError] = []

        def compete(start: threading.Barrier = start, won: list[object] = won, lost: list[DeviceError] = lost) -> None:  # type: ignore[assignment]
            start.wait()
            try:
                won.append(listen(path))
            except DeviceError as error:
                lost.append(error)

        threads = [threading.Thread(target=compete) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 7)
        assert alive(path)
        listener, file = won[0]
        with listener:
            file.remove()


def test_without_a_lock_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(95, "not here")

    monkeypatch.setattr("fcntl.flock", refuse)
    dead(tmp_path / "s")
    with pytest.raises(DeviceError, match="remove the file: no server listens on it"):
        listen(tmp_path / "s")
    listener, file = listen(tmp_path / "new")
    with listener:
        file.remove()


def test_nothing_is_left_of_one_that_cannot_listen(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="path too long"):
        listen(tmp_path / ("s" * 108))
    with pytest.raises(DeviceError, match="No such file"):
        listen(tmp_path / "none/s")
    assert os.listdir(tmp_path) == []
