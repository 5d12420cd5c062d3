"""The server's life, its bounds, and clients that mean no good: nobody else may notice them."""

from __future__ import annotations

import os
import select
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.disk import Live
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.core.device import checked
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent
from bootpath.formats.nbd import options as nbdoptions
from bootpath.formats.nbd.options import Option, Rep
from bootpath.formats.nbd.transmission import Command, CommandFlag, Request, TransmissionFlag, pack_request
from bootpath.serve.export import Export
from bootpath.serve.limits import Limits
from bootpath.serve.nbd.requests import PIECE_BYTES
from bootpath.serve.server.loop import Loop
from bootpath.serve.server.server import Server
from tests.support.nbd import RawClient, Running, serving
from tests.support.patterns import pattern

SIZE = 4 << 20


def patterned(size: int = SIZE) -> MemoryDevice:
    return MemoryDevice(bytearray(pattern(0, size)))


@pytest.fixture
def running() -> Iterator[Running]:
    with serving(patterned()) as server:
        yield server


def works(running: Running) -> None:
    """Another client is served as if nothing had happened."""
    with running.connect() as client:
        client.go()
        assert client.read(4096, 8192) == pattern(4096, 8192)


def test_many_clients_at_once(running: Running) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(20)]
        for client in clients:
            client.go()
        for index, client in enumerate(clients):
            assert client.write(index * 512, pattern(index * 512, 512, tag=index + 1)) == 0
        # What one has been told is written, all can read: NBD_FLAG_CAN_MULTI_CONN.
        for client in clients:
            for index in range(20):
                assert client.read(index * 512, 512) == pattern(index * 512, 512, tag=index + 1)
        statistics = running.server.statistics()
        assert statistics.connections == 20
        assert statistics.requests["read"] == 400
        assert statistics.bytes["write"] == 20 * 512


def test_several_exports() -> None:
    exports = {"a": Export("a", patterned(), "first"), "b": Export("b", patterned(), read_only=True)}
    with serving(exports) as running, running.connect() as client:
        client.greet()
        listed = client.option(Option.LIST)
        assert [nbdoptions.parse_server(reply.data) for reply in listed[:-1]] == [("a", "first"), ("b", "")]
        request = nbdoptions.pack_info_request(nbdoptions.InfoRequest("absent"))
        assert client.outcome(Option.GO, request) == Rep.ERR_UNKNOWN
        assert client.outcome(Option.ABORT) == Rep.ACK
        assert client.closed()


def test_the_first_request_may_come_with_the_handshake(running: Running) -> None:
    with running.connect() as client:
        go = nbdoptions.pack_option(Option.GO, nbdoptions.pack_info_request(nbdoptions.InfoRequest("")))
        client.receive(18)
        client.send(b"\0\0\0\x03", go, pack_request(Request(Command.READ, b"together", 512, 512)))
        while client.reply().type != Rep.ACK:
            pass
        assert client.answer().cookie == b"together"
        assert client.receive(512) == pattern(512, 512)


def test_old_newstyle(running: Running) -> None:
    with running.connect() as client:
        client.greet(flags=0)
        client.send(nbdoptions.pack_option(Option.EXPORT_NAME, b""))
        info = nbdoptions.parse_export_reply(client.receive(134))
        assert info.size_bytes == SIZE
        client.ask(Command.READ, 0, 512)
        assert client.error() == 0
        assert client.receive(512) == pattern(0, 512)


def test_byte_by_byte(running: Running) -> None:
    with running.connect() as client:
        client.go()
        message = pack_request(Request(Command.WRITE, b"slowslow", 0, 512)) + pattern(0, 512, tag=9)
        for index in range(len(message)):
            client.send(message[index : index + 1])
        assert client.error() == 0
        assert client.read(0, 1024) == pattern(0, 512, 9) + pattern(512, 512)


def test_spinning_serves_the_same() -> None:
    with serving(patterned(), limits=Limits(spin_seconds=0.01)) as running:
        works(running)
        works(running)


# One device for each client


def test_an_overlay_for_each_connection() -> None:
    closed = threading.Semaphore(0)

    class Mine(Overlay):
        def close(self) -> None:
            super().close()
            closed.release()

    base = patterned()
    with serving(lambda: {"": Export("", Mine(base), shared=False)}) as running:
        with running.connect() as one, running.connect() as other:
            assert not one.go().export.flags & TransmissionFlag.CAN_MULTI_CONN
            other.go()
            assert one.write(0, b"x" * 4096) == 0
            assert one.read(0, 4096) == b"x" * 4096
            assert other.read(0, 4096) == pattern(0, 4096)
        assert closed.acquire(timeout=60)
        assert closed.acquire(timeout=60)


# Listeners


def test_tcp() -> None:
    server = Server({"": Export("", patterned())})
    listener = server.listen_tcp("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    address = listener.getsockname()
    thread.start()
    with RawClient(socket.create_connection(address, timeout=60)) as client:
        client.go()
        assert client.read(0, 1 << 20) == pattern(0, 1 << 20)
    server.stop(1)
    thread.join(60)
    assert not thread.is_alive()


def test_a_socket_has_its_mode_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "nbd.sock"
    server = Server({"": Export("", patterned())})
    server.listen_unix(path, 0o640)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(DeviceError, match="cannot listen: Address already in use; does another server run"):
        Server({}).listen_unix(path)
    server.stop(0)
    server.run()
    assert not path.exists()


def test_inherited_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server({"": Export("", patterned())})
    assert server.adopt_inherited({}) == 0
    assert server.adopt_inherited({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == 0
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(b"\0bootpath-test-%d" % os.getpid())
    monkeypatch.setattr("bootpath.serve.server.server._LISTEN_FDS_START", listener.fileno())
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    assert server.adopt_inherited(environ) == 1
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    with RawClient(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
        client.socket.settimeout(10)
        client.socket.connect(b"\0bootpath-test-%d" % os.getpid())
        client.go()
        assert client.read(0, 512) == pattern(0, 512)
    server.stop(1)
    thread.join(60)
    listener.detach()


# A disk that does not answer


def stalling(size: int = SIZE) -> tuple[Fault, Live]:
    """A live disk whose first half is preloaded and whose second half is on a disk that stalls."""
    disk = Fault(patterned(size), [FaultRule(FaultKind.STALL)])
    late = LateDisk.ready(disk)
    return disk, Live(bytes(pattern(0, size // 2)), [Extent(0, size // 2)], size, late)


def test_a_stalled_disk_stalls_nobody_else() -> None:
    disk, live = stalling()
    with serving(Overlay(live)) as running:
        with running.connect() as stuck, running.connect() as other:
            stuck.go()
            other.go()
            for index in range(40):
                stuck.ask(Command.READ, SIZE // 2 + index * 4096, 4096, cookie=struct.pack(">Q", index))
            assert disk.wait_stalled(40), "every request waits on a thread of its own"
            # The same connection, another one, and every other operation go on.
            for client in (stuck, other):
                assert client.read(4096, 8192) == pattern(4096, 8192)
                assert client.write(SIZE // 2, pattern(0, 4096, tag=3)) == 0
                assert client.read(SIZE // 2, 4096) == pattern(0, 4096, tag=3)
                client.ask(Command.FLUSH)
                assert client.error() == 0
            assert running.server.statistics().queue_depth == 40
            disk.release()
            seen = set()
            for _ in range(40):
                reply = stuck.answer()
                seen.add(reply.cookie)
                stuck.receive(4096 + 8)
            assert len(seen) == 40
        disk.close()


def test_a_stalled_export_leaves_the_others_their_threads() -> None:
    disk = Fault(patterned(), [FaultRule(FaultKind.STALL)])
    cold = Fault(patterned(), [FaultRule(FaultKind.CORRUPT, probability=0)])  # never resident, never wrong
    exports = {"stalled": Export("stalled", disk), "cold": Export("cold", cold)}
    limits = Limits(workers=2, waiting_workers=0, export_workers=2)
    with serving(exports, limits=limits) as running:
        with running.connect() as stuck, running.connect() as other:
            stuck.go("stalled")
            other.go("cold")
            for _ in range(8):
                stuck.ask(Command.READ, 0, 4096)
            assert disk.wait_stalled(2)
            assert other.read(4096, 4096) == pattern(4096, 4096)
            assert other.write(4096, bytes(4096)) == 0
        disk.close()


def test_running_requests_are_bounded() -> None:
    disk = Fault(patterned(), [FaultRule(FaultKind.STALL)])
    with serving(disk, limits=Limits(running_requests=4, export_workers=64)) as running, running.connect() as client:
        client.go()
        for _ in range(20):
            client.ask(Command.READ, 0, 512)
        assert disk.wait_stalled(4)
        assert running.server.statistics().queue_depth <= 20
        for _ in range(5):
            disk.release()
        disk.close()
        for _ in range(20):
            assert client.error_or_data(512) == 0


# The end


def test_stop_answers_what_was_asked() -> None:
    disk = Fault(patterned(), [FaultRule(FaultKind.STALL)])
    with serving(disk, grace_seconds=10) as running, running.connect() as client, running.connect() as silent:
        client.go()
        silent.greet()
        client.ask(Command.READ, 4096, 4096)
        assert disk.wait_stalled()
        running.server.stop(10)
        assert silent.closed(), "a handshake is not waited for"
        disk.release()
        assert client.answer().cookie == b"cookie--"
        assert client.receive(4096 + 8)[8:] == pattern(4096, 4096)
        assert client.closed()


def test_stop_does_not_wait_for_ever() -> None:
    disk = Fault(patterned(), [FaultRule(FaultKind.STALL)])
    with serving(disk) as running, running.connect() as client:
        client.go()
        client.ask(Command.READ, 4096, 4096)
        assert disk.wait_stalled()
        running.stop(0.01)
        assert client.closed()
        disk.close()


def test_stop_flushes() -> None:
    fault = Fault(patterned(), [FaultRule(FaultKind.CORRUPT, frozenset({"flush"}))])
    with serving(fault) as running:
        running.stop()
    assert [hit.operation for hit in fault.hits] == ["flush"]


def test_who_does_not_read_leaves_time_to_flush(caplog: pytest.LogCaptureFixture) -> None:
    fault = Fault(patterned(), [FaultRule(FaultKind.CORRUPT, frozenset({"flush"}))])
    with serving(fault) as running, running.connect() as greedy:
        greedy.go()
        fill(greedy.socket, pack_request(Request(Command.READ, b"greedy--", 0, 1 << 20)) * 2000)
        poll = select.poll()
        poll.register(greedy.socket, select.POLLIN)
        assert poll.poll(60_000)  # the answers have begun, and are more than a socket takes
        running.stop(2)
    assert [hit.operation for hit in fault.hits] == ["flush"]
    assert [record.getMessage() for record in caplog.records] == [
        "clients that did not take their replies within 1 s: 1, given up"
    ]


def test_what_was_not_done_at_the_end_is_said(caplog: pytest.LogCaptureFixture) -> None:
    disk = Fault(patterned(), [FaultRule(FaultKind.STALL, frozenset({"read", "flush"}))])
    with serving(disk) as running, running.connect() as client:
        client.go()
        client.ask(Command.READ, 4096, 4096)
        assert disk.wait_stalled()
        running.stop(0.2)
        disk.close()
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "clients whose requests did not end within 0.1 s: 1, given up"
    assert said[1].startswith("export '' was not flushed within 0.")
    assert len(said) == 2


# Clients that mean no good


def test_who_must_wait_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no descriptor for it, the next client stays in the backlog, and is not looked at again and again."""
    monkeypatch.setattr("bootpath.serve.server.server.clients_with_descriptors", lambda each: 1)
    asked = []

    class Counting(Server):
        def _has_room(self, loop: Loop) -> bool:
            asked.append(True)
            return super()._has_room(loop)

    monkeypatch.setattr("tests.support.nbd.Server", Counting)
    with serving(patterned()) as running, running.connect() as client:
        client.go()
        with running.connect() as other:
            for _ in range(4000):
                client.read(0, 512)
            client.socket.close()
            other.go()
            assert other.read(0, 512) == pattern(0, 512)
    assert len(asked) < 1000


def test_silent_clients_are_dropped() -> None:
    with serving(patterned(), limits=Limits(negotiation_seconds=0.05)) as running, ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(20)]
        for client in clients:
            client.receive(18)
        assert all(client.closed() for client in clients)
        assert running.server.statistics().protocol_errors == 20


def test_connections_are_capped() -> None:
    with serving(patterned(), limits=Limits(connections=3)) as running, ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(3)]
        for client in clients:
            client.go()
        with running.connect() as refused:
            assert refused.closed()
        assert running.server.statistics().connections_refused == 1
        assert clients[0].read(0, 512) == pattern(0, 512)


def wait_for_end(connected: socket.socket) -> None:
    """Wait for the server to close the connection, without reading from it."""
    poll = select.poll()
    poll.register(connected, 0)
    assert poll.poll(10_000)


def fill(connected: socket.socket, message: bytes) -> None:
    """Send until no more is taken."""
    connected.setblocking(False)
    with suppress(BlockingIOError):
        for _ in range(100):
            connected.sendall(message)
        raise AssertionError("the server takes everything")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_replies_that_nobody_reads_are_bounded() -> None:
    """1 MiB reads, pipelined and never drained; from a file, so that every reply has memory of its own."""
    with serving_file(8 << 20) as running, running.connect() as greedy:
        greedy.go()
        before = resident_bytes()
        fill(greedy.socket, pack_request(Request(Command.READ, b"greedy--", 0, 1 << 20)) * 2000)
        works(running)
        assert resident_bytes() - before < 128 << 20
        works(running)


def serving_file(size: int) -> ServingFile:
    return ServingFile(size)


class ServingFile:
    """A server of a file in the page cache."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._stack = ExitStack()

    def __enter__(self) -> Running:
        fd = os.memfd_create("image")
        os.write(fd, pattern(0, self._size))
        device = FileDevice(fd, writable=True)
        self._stack.callback(device.close)
        return self._stack.enter_context(serving(device))

    def __exit__(self, *unused: object) -> None:
        self._stack.close()


def test_a_payload_held_half_way_holds_one_piece() -> None:
    with serving(patterned()) as running, ExitStack() as stack:
        before = resident_bytes()
        for _ in range(50):
            client = stack.enter_context(running.connect())
            client.go()
            client.ask(Command.WRITE, 0, 32 << 20)
            client.send(bytes(1000))
        works(running)
        assert resident_bytes() - before < 50 * 2 * PIECE_BYTES


def test_a_client_that_leaves_in_the_middle(running: Running) -> None:
    for message in (
        b"",
        pack_request(Request(Command.READ, b"leaving-", 0, 1 << 20)) * 16,
        pack_request(Request(Command.WRITE, b"leaving-", 0, 1 << 20)) + bytes(1000),
        pack_request(Request(Command.FLUSH, b"leaving-"))[:9],
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ):
        client = running.connect()
        client.go()
        client.send(message)
        client.socket.close()
    works(running)


def test_a_client_that_leaves_while_the_disk_stalls() -> None:
    disk = Fault(patterned(), [FaultRule(FaultKind.STALL, count=5)])
    with serving(disk) as running:
        with running.connect() as client:
            client.go()
            for _ in range(4):
                client.ask(Command.READ, 0, 1 << 20)
            client.ask(Command.WRITE, 0, 0)
            assert disk.wait_stalled(4)
        disk.release()
        with running.connect() as client:
            client.go()
            client.ask(Command.FLUSH)
            assert client.error() == 0


@pytest.mark.parametrize(
    "message",
    [
        bytes(28),
        b"\xff" * 28,
        pack_request(Request(Command.READ, b"extended", 0, 512), extended=True),
        pack_request(Request(Command.WRITE, b"too-big-", 0, (32 << 20) + 1)),
        pack_request(Request(Command.WRITE, b"too-big-", 0, 0xFFFFFFFF)),
    ],
)
def test_what_ends_a_connection(running: Running, message: bytes) -> None:
    with running.connect() as client:
        client.go()
        client.send(message)
        assert client.closed()
        assert running.server.statistics().protocol_errors == 1
    works(running)


def test_an_extended_payload_of_many_gib(running: Running) -> None:
    with running.connect() as client:
        client.go(style=Option.EXTENDED_HEADERS)
        client.ask(Command.READ, 0, 2**64 - 1, flags=CommandFlag.PAYLOAD_LEN)
        assert client.closed()
    with running.connect() as client:
        client.go(style=Option.EXTENDED_HEADERS)
        for command in (Command.READ, Command.TRIM, Command.WRITE_ZEROES, Command.BLOCK_STATUS, Command.CACHE):
            client.ask(command, 2**64 - 1, 2**64 - 1)
            assert client.error() != 0
        assert client.read(0, 512) == pattern(0, 512)


def test_a_client_that_lists_and_does_not_read() -> None:
    exports = {str(index): Export(str(index), patterned(512), "x" * 4000) for index in range(100)}
    limits = Limits(queued_bytes=1 << 20, stuck_seconds=0.05)
    with serving(exports, limits=limits) as running, running.connect() as client:
        client.receive(18)
        client.send(b"\0\0\0\x03", nbdoptions.pack_option(Option.LIST) * 200)
        # The listing is 80 MB; what is not sent is not made, and in the end the client is dropped.
        received = 0
        wait_for_end(client.socket)
        try:
            while part := client.socket.recv(1 << 20):
                received += len(part)
        except ConnectionError:
            pass
        assert received < 8 << 20


def test_truncated_base_is_an_error() -> None:
    fd = os.memfd_create("image")
    os.write(fd, pattern(0, SIZE))
    with serving(checked(FileDevice(fd))) as running, running.connect() as client:
        client.go()
        assert client.read(SIZE - 512, 512) == pattern(SIZE - 512, 512)
        os.ftruncate(fd, 4096)
        client.ask(Command.READ, SIZE - 512, 512)
        assert client.error() == 5
        assert client.read(0, 4096) == pattern(0, 4096)
