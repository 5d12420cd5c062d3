from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.serve.export import Export
from bootpath.serve.running.listeners import listen
from bootpath.serve.running.settings import Certificates, ServeSettings, TcpAddress
from bootpath.serve.server.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server({"": Export("", MemoryDevice(4096))})
    yield made
    made.stop(0)
    made.run()


def test_a_unix_socket(server: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        uri = listen(server, ServeSettings(listen=tmp_path / "s"), {}, stack)
    assert uri.socket == str(tmp_path / "s")
    assert stat.S_ISSOCK((tmp_path / "s").stat().st_mode)


def test_any_port_becomes_one(server: Server) -> None:
    with ExitStack() as stack:
        uri = listen(server, ServeSettings(listen=TcpAddress("127.0.0.1", 0), tls=Certificates(Path("tls"))), {}, stack)
    assert (uri.host, uri.tls) == ("127.0.0.1", True)
    assert uri.port > 0


def test_a_private_directory_goes_with_the_stack(server: Server) -> None:
    with ExitStack() as stack:
        uri = listen(server, ServeSettings(), {}, stack)
        directory = Path(uri.socket or "").parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not directory.exists()


def test_sockets_of_another_process_are_not_adopted(server: Server) -> None:
    environ = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}
    with ExitStack() as stack:
        assert listen(server, ServeSettings(), environ, stack).socket is not None
