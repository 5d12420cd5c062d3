from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import DeviceError
from bootpath.serve.live.opening import device_service
from bootpath.serve.live.service import LiveService
from bootpath.serve.running.run import serve_until_stopped
from bootpath.serve.running.settings import ServeSettings


def open_service(stack: ExitStack) -> LiveService:
    return device_service(MemoryDevice(1 << 20), name="disk", device_name="device")


def test_the_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    said: list[str] = []
    settings = ServeSettings(listen=tmp_path / "s", command=f'echo "$uri $unixsocket" > {tmp_path / "seen"}; exit 7')
    assert serve_until_stopped(open_service, settings, environ=os.environ, announce=said.append) == 7
    uri = f"nbd+unix:///disk?socket={tmp_path / 's'}"
    assert said == [f"serving {uri}"]
    assert (tmp_path / "seen").read_text().split() == [uri, str(tmp_path / "s")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server_and_is_handed_back(number: signal.Signals, tmp_path: Path) -> None:
    before = signal.getsignal(number)
    # A command keeps the privileges of the test's process; it has an end of its own, should the signal be lost.
    settings = ServeSettings(listen=tmp_path / "s", command="exec sleep 60", grace_seconds=1)

    def announce(line: str) -> None:
        os.kill(os.getpid(), number)

    assert serve_until_stopped(open_service, settings, environ=os.environ, announce=announce) == 1
    assert signal.getsignal(number) is before


def test_what_was_opened_is_closed_when_it_cannot_listen(tmp_path: Path) -> None:
    closed: list[bool] = []

    def opening(stack: ExitStack) -> LiveService:
        stack.callback(closed.append, True)
        return open_service(stack)

    (tmp_path / "s").touch()
    settings = ServeSettings(listen=tmp_path / "s", command="true")
    with pytest.raises(DeviceError, match="cannot listen"):
        serve_until_stopped(opening, settings, environ={}, announce=print)
    assert closed == [True]


def test_a_socket_never_stays_behind(tmp_path: Path) -> None:
    """Whatever fails between listening and serving."""

    def announce(line: str) -> None:
        assert (tmp_path / "s").is_socket()
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        serve_until_stopped(
            open_service, ServeSettings(listen=tmp_path / "s", command="true"), environ={}, announce=announce
        )
    assert not (tmp_path / "s").exists()


def test_the_service_manager_is_notified(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        settings = ServeSettings(listen=tmp_path / "s", command="true")
        assert serve_until_stopped(open_service, settings, environ=environ, announce=lambda line: None) == 0
        assert manager.recv(4096).startswith(b"READY=1\nSTATUS=serving nbd+unix:")
        assert manager.recv(4096) == b"STOPPING=1"
