"""Servers that run out of descriptors, that many clients come to at once, and that are killed and started again."""

from __future__ import annotations

import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from bootpath.block.leaves.open import open_device
from bootpath.core.device import read_bytes
from bootpath.formats.nbd import transmission as nbd
from tests.support.nbd import RawClient
from tests.support.patterns import pattern

MIB = 1 << 20
SIZE = 4 * MIB
SECONDS = 60
DESCRIPTORS = 64
MANY = 700


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(pattern(0, SIZE))
    return path


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Enough of them for the clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def serving(*arguments: str | Path, limit: str = "ulimit -n") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process of its own, and what it says it serves."""
    command = ["sh", "-c", f'{limit} >&2; exec "$@"', "sh", sys.executable, "-m", "bootpath", "serve"]
    with subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            while line and not line.startswith("serving "):
                line = process.stderr.readline()
            yield process, line.split()[1]
        finally:
            process.kill()


def connect(address: object, family: int = socket.AF_UNIX) -> RawClient:
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(SECONDS)
    client.connect(address)  # type: ignore[arg-type]
    return RawClient(client)


def works(client: RawClient, number: int) -> bool:
    return client.write(8192, bytes((number,)) * 4096) == 0 and client.read(0, 8192) == pattern(0, 8192)


@pytest.mark.parametrize("arguments", [[], ["--overlay-per-client"], ["--workers", "2"]])
def test_out_of_descriptors(arguments: Sequence[str], image: Path, tmp_path: Path, descriptors: None) -> None:
    """Those who are served go on, the others wait until one leaves, and the log stays short."""
    path = tmp_path / "s"
    with (
        serving(image, "--socket", path, *arguments, limit=f"ulimit -n {DESCRIPTORS}") as (process, _),
        ExitStack() as stack,
    ):
        assert process.stderr is not None
        clients = [stack.enter_context(connect(str(path))) for _ in range(3 * DESCRIPTORS)]
        assert "new clients wait until others leave" in process.stderr.readline()
        greeted: list[socket.socket] = []
        while len(greeted) < 5:  # whoever is greeted is served
            greeted = select.select([client.socket for client in clients], [], [], SECONDS)[0]
        served = [client for client in clients if client.socket in greeted]
        waiting = [client for client in clients if client.socket not in greeted]
        assert len(served) < 2 * DESCRIPTORS
        for number, client in enumerate(served):
            client.go()
            assert works(client, number)
        for client in served[len(served) // 2 :]:
            client.socket.close()
        for number, client in enumerate(waiting):
            client.go()
            assert works(client, number)
            client.socket.close()
        assert all(works(client, number) for number, client in enumerate(served[: len(served) // 2]))
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(SECONDS) == 0
    assert said.count("\n") < 20
    assert "Traceback" not in said
    assert "lost" not in said


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_many_clients_at_once(family: int, image: Path, tmp_path: Path, descriptors: None) -> None:
    """They all are in the backlog before the server looks at the first one."""
    if int(Path("/proc/sys/net/core/somaxconn").read_text()) < MANY:
        pytest.skip("the kernel's net.core.somaxconn is too small")
    where = ("--socket", tmp_path / "s") if family == socket.AF_UNIX else ("--tcp", "127.0.0.1:0")
    with serving(image, "--max-clients", str(MANY), *where) as (process, uri), ExitStack() as stack:
        address = str(tmp_path / "s") if family == socket.AF_UNIX else ("127.0.0.1", int(uri.rpartition(":")[2][:-1]))
        process.send_signal(signal.SIGSTOP)
        clients = [stack.enter_context(connect(address, family)) for _ in range(MANY)]
        process.send_signal(signal.SIGCONT)
        for client in clients:
            client.go()
            assert client.read(0, 512) == pattern(0, 512)


def test_a_socket_that_a_killed_server_left(image: Path, tmp_path: Path) -> None:
    arguments = (image, "--socket", tmp_path / "s")
    with serving(*arguments) as (process, uri):
        process.kill()
        process.wait(SECONDS)
        assert (tmp_path / "s").is_socket()
    with serving(*arguments) as (_, uri):
        with closing(open_device(uri)) as device:
            assert read_bytes(device, 0, 512) == pattern(0, 512)
        second = [sys.executable, "-m", "bootpath", "serve", *map(str, arguments)]
        done = subprocess.run(second, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.endswith("s: the server cannot listen: Address already in use; does another server run?\n")
        with closing(open_device(uri)) as device:
            assert read_bytes(device, 0, 512) == pattern(0, 512)


_WATCHED = """
import sys
from bootpath.cli.main import main
from bootpath.serve.server.server import Server

run = Server.run

def watched(self):
    before = set(sys.modules)
    run(self)
    print("imported:", *sorted(set(sys.modules) - before), file=sys.stderr, flush=True)

Server.run = watched
sys.exit(main())
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_imported_while_clients_are_served(workers: str, image: Path, tmp_path: Path) -> None:
    """An import needs a descriptor."""
    late = "nbd+unix:///?socket=" + str(tmp_path / "late")
    command = [sys.executable, "-c", _WATCHED, "serve", image, "--preload", "1MiB", "--disk", late, "--deadline", "1"]
    command += ["--workers", workers, "--socket", tmp_path / "s", "-v"]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("serving ")
        for style in (8, 11, None):
            with connect(str(tmp_path / "s")) as client:
                contexts = ["base:allocation"] if style else []
                client.go(style=style, contexts=contexts)
                client.ask(nbd.Command.READ, 2 * MIB, 4096)  # from a disk that does not come
                assert client.error_or_data(4096) != 0 if style is None else client.error() != 0
                client.write(512, b"x" * 512)
                for command_number in (3, 4, 5, 6, 99):
                    client.ask(command_number, 0, 0 if command_number == nbd.Command.FLUSH else 4096)
                    client.error()
                if contexts:
                    client.ask(nbd.Command.BLOCK_STATUS, 0, MIB)
                    client.chunks()
        with serving(image, "--read-only", "--socket", tmp_path / "late"), connect(str(tmp_path / "s")) as client:
            client.go()
            code = 5
            while code:  # it is there, and it is found
                client.ask(nbd.Command.READ, 2 * MIB, 4096)
                code = client.error()
        with connect(str(tmp_path / "s")) as client:
            client.socket.sendall(b"no client\n" * 100)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    imported = [line for line in said.splitlines() if line.startswith("imported:")]
    assert len(imported) >= int(workers)
    assert set(imported) == {"imported:"}
