"""The monitor against a peer that does what a test tells it, in the words of qmp-spec."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from bootpath.core.errors import MachineError
from bootpath.vm.qmp import Monitor, _unretrieved
from tests.unit.vm.support import Clock, fault

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}\r\n'
)
Answer = Callable[[dict[str, Any]], list[dict[str, Any]]]


def empty(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"return": {}}]


def requests(connection: socket.socket) -> Iterator[dict[str, Any]]:
    """Commands follow each other without a separator."""
    text = ""
    while data := connection.recv(65536):
        text += data.decode()
        while text:
            try:
                request, end = json.JSONDecoder().raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:].lstrip()
            yield request


@contextmanager
def monitor(answer: Answer = empty, *, greeting: bytes = GREETING, connect: bool = True) -> Iterator[Monitor]:
    """A monitor whose peer greets, and answers each command with what `answer` makes of it."""
    ours, theirs = socket.socketpair()

    def peer() -> None:
        # The monitor hangs up when it likes.
        with suppress(ConnectionError), theirs:
            theirs.sendall(greeting)
            for request in requests(theirs):
                replies = empty(request) if request["execute"] == "qmp_capabilities" else answer(request)
                for reply in replies:
                    known = {"id": request["id"]} if "id" in request and "event" not in reply else {}
                    theirs.sendall(json.dumps(reply | known).encode() + b"\r\n")
                if not replies:
                    return

    thread = threading.Thread(target=peer, daemon=True)
    thread.start()
    connection = Monitor(ours, seconds=Clock(), fault=fault)
    try:
        if connect:
            connection.connect(10)
        yield connection
    finally:
        connection.close()
        thread.join()


def test_commands_and_their_answers() -> None:
    def answer(request: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"return": [request["execute"], request.get("arguments")]}]

    with monitor(answer) as peer:
        assert peer.execute("query-block", deadline_seconds=10) == ["query-block", None]
        assert peer.execute("device_del", {"id": "a"}, deadline_seconds=10) == ["device_del", {"id": "a"}]


def test_an_answer_that_comes_in_two_pieces_with_events_around() -> None:
    event = {"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}
    deleted = {**event, "event": "DEVICE_DELETED", "data": {"device": "a"}}
    with monitor(lambda request: [event, {"return": {}}, deleted]) as peer:
        since = peer.event_count
        assert peer.execute("stop", deadline_seconds=10) == {}
        found = peer.wait_event(lambda event: event.name == "DEVICE_DELETED", 10, since=since)
        assert found is not None
        assert found.data == {"device": "a"}
        assert [event.name for event in peer.events] == ["STOP", "DEVICE_DELETED"]
        assert peer.event_count == 2
        assert peer.wait_event(lambda event: event.name == "STOP", 0, since=1) is None


def test_refusals() -> None:
    refusal = {"error": {"class": "GenericError", "desc": "Bus 'x' not found"}}
    with (
        monitor(lambda request: [refusal]) as peer,
        pytest.raises(MachineError, match=r"device_add: .*Bus 'x' not found"),
    ):
        peer.execute("device_add", {"bus": "x"}, deadline_seconds=10)


def test_no_answer_in_time() -> None:
    with (
        monitor(lambda request: [{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}]) as peer,
        pytest.raises(MachineError, match="did not answer stop within 0 s"),
    ):
        peer.execute("stop", deadline_seconds=0)


def test_a_peer_that_hangs_up() -> None:
    with monitor(lambda request: []) as peer:
        with pytest.raises(MachineError, match="quit: "):
            peer.execute("quit", deadline_seconds=10)
        assert peer.wait_event(lambda event: True, 1000) is None
        assert peer.ended
        with pytest.raises(MachineError, match="stop: "):
            peer.execute("stop", deadline_seconds=10)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH\r\n", b"{}\r\n", b'{"QMP": 1}\r\n', b"\xff\xfe\r\n"])
def test_greetings_that_are_none(greeting: bytes) -> None:
    with monitor(greeting=greeting, connect=False) as peer:
        with pytest.raises(MachineError, match="monitor failed at the connection"):
            peer.connect(10)
        assert peer.ended


def test_after_the_end() -> None:
    with monitor() as peer:
        pass
    peer.close()
    with pytest.raises(MachineError, match="closed"):
        peer.execute("stop", deadline_seconds=1)


def test_what_nobody_asked_a_task_for_is_printed_unless_it_is_that_qemu_hung_up() -> None:
    told: list[object] = []

    class Loop(asyncio.SelectorEventLoop):
        def default_exception_handler(self, context: dict[str, Any]) -> None:
            told.append(context["exception"])

    loop, fault = Loop(), ValueError("of ours")
    loop.set_exception_handler(_unretrieved)
    for exception in (EOFError(), ConnectionResetError(), fault):
        loop.call_exception_handler({"message": "never retrieved", "exception": exception})
    loop.close()
    assert told == [fault]
