"""``bootpath serve --workers``: several processes on one disk, with real clients, and with kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bootpath.cli.main import main
from bootpath.formats.nbd import transmission as nbd
from tests.support.nbd import RawClient
from tests.support.patterns import pattern
from tests.support.tools import tool

MIB = 1 << 20
SIZE = 16 * MIB
BLOCK = 4096
WORKERS = 4
SECONDS = 60
PRELOAD = 1  # of bootpath:source


class Fleet:
    """A server with its processes: the parent, and the forkserver that the workers are forked from."""

    def __init__(self, process: subprocess.Popen[str], path: Path, status: str) -> None:
        self.process = process
        self.path = path
        self.uri = f"nbd+unix:///?socket={path}"
        self.status_url = status

    @property
    def forkserver(self) -> int:
        """The parent's only child."""
        (forkserver,) = _children(self.process.pid)
        return forkserver

    @property
    def workers(self) -> list[int]:
        """The processes that serve, in the order of their birth."""
        return _children(self.forkserver)

    def connect(self) -> RawClient:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(SECONDS)
        client.connect(str(self.path))
        return RawClient(client)

    def one_each(self, stack: ExitStack, *, contexts: Sequence[str] = ()) -> list[RawClient]:
        """A client on every worker: as long as there are no others, the least busy is always another one."""
        clients = [stack.enter_context(self.connect()) for _ in range(WORKERS)]
        for client in clients:
            client.go(contexts=contexts)
        return clients

    def status(self) -> dict[str, object]:
        with urllib.request.urlopen(f"{self.status_url}status.json", timeout=SECONDS) as answer:
            found = json.load(answer)
        assert isinstance(found, dict)
        return found


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def serving(image: Path, directory: Path, *arguments: str, code: int = 0, silent: bool = True) -> Iterator[Fleet]:
    """Run a server. Its stderr ends when the last of its processes has."""
    path = directory / "s"
    command = [sys.executable, "-m", "bootpath", "serve", str(image), "--socket", str(path), "--status", ":0"]
    command += ["--workers", str(WORKERS), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        try:
            assert lines[0].startswith("serving "), lines[0] + process.stderr.read()
            yield Fleet(process, path, lines[1].split()[1])
        finally:
            process.terminate()
            errors = process.stderr.read()
        assert process.wait() == code, errors
        assert "Traceback" not in errors
        assert not silent or errors == ""


def eventually(holds: Callable[[], bool]) -> None:
    """Ask, which has to cost the server something, until it is so."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=SECONDS, cwd=cwd)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workers") / "image.raw"
    path.write_bytes(pattern(0, SIZE))
    return path


@pytest.mark.parametrize("preload", ["0", "full"])
def test_copies_over_four_connections(image: Path, tmp_path: Path, preload: str) -> None:
    changed = tmp_path / "changed.raw"
    changed.write_bytes(pattern(0, SIZE, tag=3))
    with serving(image, tmp_path, "--preload", preload) as fleet:
        run(tool("nbdcopy"), "--connections=4", fleet.uri, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == image.read_bytes()
        run(tool("nbdcopy"), "--connections=4", "--flush", changed, fleet.uri)
        run(tool("qemu-img"), "compare", "-f", "raw", "-F", "raw", changed, fleet.uri)
    assert image.read_bytes() == pattern(0, SIZE)


def test_fio_verifies_on_four_connections(image: Path, tmp_path: Path) -> None:
    quarter = SIZE // 4
    common = "ioengine=nbd\nrw=randwrite\nbsrange=512-64k\nverify=crc32c\nthread=1\niodepth=8\n"
    with serving(image, tmp_path) as fleet:
        jobs = "".join(f"[part{index}]\noffset={index * quarter}\n" for index in range(4))
        job = tmp_path / "job.fio"
        job.write_text(f"[global]\n{common}uri={fleet.uri}\nsize={quarter}\n{jobs}")
        run(tool("fio"), job, cwd=tmp_path)
        assert fleet.status()["errors"] == 0


def test_what_one_worker_writes_the_others_read(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path) as fleet, ExitStack() as stack:
        clients = fleet.one_each(stack)
        for index, writer in enumerate(clients):
            assert writer.write(index * BLOCK, pattern(0, BLOCK, tag=index + 7)) == 0  # a whole block: at once
            assert writer.write(MIB + index * 512, pattern(0, 512, tag=index + 7)) == 0  # a part: merged
            for reader in clients:
                assert reader.read(index * BLOCK, BLOCK) == pattern(0, BLOCK, tag=index + 7)
                assert reader.read(MIB + index * 512, 512) == pattern(0, 512, tag=index + 7)
        clients[0].ask(nbd.Command.TRIM, 0, 2 * BLOCK)
        assert clients[0].error() == 0
        assert [client.read(0, 2 * BLOCK) for client in clients] == [bytes(2 * BLOCK)] * WORKERS


def test_a_worker_that_is_killed_costs_its_own_clients_only(image: Path, tmp_path: Path) -> None:
    """While clients of all workers write, read back and trim what is theirs, one worker is killed."""
    share = SIZE // WORKERS
    survived: list[int] = []
    faults: list[str] = []
    begun = [threading.Event() for _ in range(WORKERS)]
    enough = threading.Event()

    def work(me: int, client: RawClient) -> None:
        rounds = 0
        try:
            while not (enough.is_set() and rounds > 20):
                start = me * share + rounds % 16 * MIB // 16
                content = pattern(start, 3 * BLOCK, tag=rounds + me)
                if client.write(start + 512, content) or client.read(start + 512, len(content)) != content:
                    faults.append(f"client {me}, round {rounds}")
                client.ask(nbd.Command.TRIM, start, 4 * BLOCK)
                if client.error() or client.read(start + BLOCK, 2 * BLOCK) != bytes(2 * BLOCK):
                    faults.append(f"client {me}, trim in round {rounds}")
                rounds += 1
                begun[me].set()
            survived.append(me)
        except (EOFError, OSError):
            pass

    with serving(image, tmp_path, silent=False) as fleet, ExitStack() as stack:
        clients = fleet.one_each(stack)
        before = fleet.workers
        threads = [threading.Thread(target=work, args=(me, client)) for me, client in enumerate(clients)]
        for thread in threads:
            thread.start()
        for event in begun:
            assert event.wait(SECONDS)
        os.kill(before[2], signal.SIGKILL)
        eventually(lambda: sum(thread.is_alive() for thread in threads) < WORKERS)
        enough.set()
        for thread in threads:
            thread.join(SECONDS)
        assert len(survived) == WORKERS - 1
        assert faults == []

        # Another one takes its place, and sees what the others see.
        def replaced() -> bool:
            with fleet.connect() as client:
                client.go()
            return len(set(fleet.workers) - set(before)) == 1 and len(fleet.workers) == WORKERS

        eventually(replaced)
        clients = fleet.one_each(stack)
        assert clients[0].write(0, b"x" * BLOCK) == 0
        assert [client.read(0, BLOCK) for client in clients] == [b"x" * BLOCK] * WORKERS


def test_the_parent_takes_all_with_it(image: Path, tmp_path: Path) -> None:
    with (
        serving(image, tmp_path, code=-signal.SIGKILL) as fleet,  # waits for all of them
        ExitStack() as stack,
    ):
        clients = fleet.one_each(stack)
        os.kill(fleet.process.pid, signal.SIGKILL)
        for client in clients:
            assert client.closed()


def test_without_the_forkserver_the_others_go_on(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path, silent=False) as fleet, ExitStack() as stack:
        clients = fleet.one_each(stack)
        os.kill(fleet.forkserver, signal.SIGKILL)
        eventually(lambda: not _children(fleet.process.pid))
        for client in clients:
            assert client.read(0, BLOCK) == pattern(0, BLOCK)
        clients += fleet.one_each(stack)
        assert clients[-1].read(0, BLOCK) == pattern(0, BLOCK)


def test_when_all_have_ended_the_server_fails(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path, silent=False, code=1) as fleet, ExitStack() as stack:
        fleet.one_each(stack)
        workers = fleet.workers
        os.kill(fleet.forkserver, signal.SIGKILL)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        fleet.process.wait(SECONDS)


def test_what_is_hydrated_is_seen_by_all(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path, "--preload", "full") as fleet, ExitStack() as stack:
        for client in fleet.one_each(stack, contexts=["bootpath:source"]):
            eventually(lambda client=client: _source(client, 0, SIZE) == [(SIZE, PRELOAD)])  # type: ignore[misc]
            assert client.read(SIZE - BLOCK, BLOCK) == pattern(SIZE - BLOCK, BLOCK)
        done = {"done_bytes": SIZE, "total_bytes": SIZE, "complete": True, "failure": None}
        eventually(lambda: fleet.status()["hydration"] == done)  # the page keeps what it saw for a moment


def _source(client: RawClient, offset: int, length: int) -> list[tuple[int, int]]:
    client.ask(nbd.Command.BLOCK_STATUS, offset, length)
    ((_, data),) = client.chunks()
    words = [int.from_bytes(data[start : start + 4], "big") for start in range(4, len(data), 4)]
    return list(zip(words[::2], words[1::2], strict=True))


def test_statistics_are_of_all(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path) as fleet, ExitStack() as stack:
        for index, client in enumerate(fleet.one_each(stack)):
            for _ in range(index + 1):
                client.read(0, BLOCK)
            assert client.write(index * BLOCK, b"w" * BLOCK) == 0

        def counted() -> bool:
            status = fleet.status()
            assert isinstance(status["requests"], dict)
            return bool(status["requests"]["read"] == 1 + 2 + 3 + 4 and status["requests"]["write"] == WORKERS)

        eventually(counted)
        status = fleet.status()
        assert status["clients"] == {"connected": WORKERS, "total": WORKERS, "refused": 0}
        assert status["overlay_bytes"] == WORKERS * BLOCK
        stack.close()
        eventually(lambda: fleet.status()["clients"] == {"connected": 0, "total": WORKERS, "refused": 0})


def test_state_of_the_disk_is_that_of_the_worker_that_opened_it(image: Path, tmp_path: Path) -> None:
    """The parent itself reads nothing, and so never looks for the disk behind the preload."""
    late = tmp_path / "late.raw"
    with serving(image, tmp_path, "--disk", str(late), "--deadline", "60") as fleet, ExitStack() as stack:
        clients = fleet.one_each(stack)
        assert fleet.status()["disk"] == {"name": str(late), "state": "waiting", "reason": None}
        late.symlink_to(image)
        assert clients[3].read(0, BLOCK) == pattern(0, BLOCK)
        eventually(lambda: fleet.status()["disk"] == {"name": str(late), "state": "present", "reason": None})


def test_the_limit_of_clients_is_of_all(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path, "--max-clients", str(WORKERS)) as fleet, ExitStack() as stack:
        clients = fleet.one_each(stack)
        with fleet.connect() as one_too_many:
            assert one_too_many.closed()
        clients[1].socket.close()

        def admitted() -> bool:
            with fleet.connect() as client:
                try:
                    client.go()
                except (EOFError, OSError):
                    return False
                return client.read(0, BLOCK) == pattern(0, BLOCK)

        eventually(admitted)


def test_an_overlay_for_each_client_needs_nothing_shared(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path, "--overlay-per-client") as fleet, ExitStack() as stack:
        clients = fleet.one_each(stack)
        for index, client in enumerate(clients):
            assert client.write(0, bytes((index,)) * BLOCK) == 0
        for index, client in enumerate(clients):
            assert client.read(0, BLOCK) == bytes((index,)) * BLOCK


def test_a_stop_answers_what_was_asked(image: Path, tmp_path: Path) -> None:
    with serving(image, tmp_path) as fleet, ExitStack() as stack:
        clients = fleet.one_each(stack)
        for client in clients:
            client.ask(nbd.Command.READ, 0, 4 * MIB)
        for client in clients:
            client.receive(16)  # the answer has begun, and does not fit the socket
        fleet.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.receive(4 + 8 + 4 * MIB)
            assert client.closed()
        assert fleet.process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--overlay", "file"], "persistent overlay"),
        (["--table", "file"], "what a table opens"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    image: Path, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], reason: str
) -> None:
    assert main(["serve", str(image), "--workers", "2", *arguments]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("disk", ["nbd://localhost", "https://localhost/disk.img", "s3://bucket/disk.img"])
def test_connections_are_refused(disk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", disk, "--workers", "2"]) == 2
    assert "cannot share a connection" in capsys.readouterr().err
