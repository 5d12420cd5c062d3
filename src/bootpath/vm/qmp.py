"""QEMU's monitor, as functions that wait for their answer.

Source: QEMU's docs/interop/qmp-spec.rst. The protocol is the library qemu.qmp's (LGPL 2 or later; its part under the
GPL alone, `qemu.qmp.legacy`, is never imported). It lives on asyncio, so its event loop has a thread here, and commands
are handed over to it.

Events are kept with the time they arrived, the newest `MAX_EVENTS`. A waiter names the sequence number it starts at,
taken before the command that causes the event: so an event that is faster than the answer is not missed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from qemu.qmp import EventListener, ExecuteError, Message, QMPClient, QMPError, Runstate

from bootpath.vm.console import MakeError
from bootpath.vm.events import MonitorEvent

MAX_EVENTS = 1000
_T = TypeVar("_T")


class Monitor:
    """A connection to a QEMU that is there or is about to be. Any thread may use it."""

    def __init__(self, connection: socket.socket, *, seconds: Callable[[], float], fault: MakeError) -> None:
        self._connection = connection
        self._seconds = seconds
        self._fault = fault
        self._changed = threading.Condition()
        self._events: deque[MonitorEvent] = deque(maxlen=MAX_EVENTS)
        self._count = 0
        self._ended = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_unretrieved)
        self._thread = threading.Thread(target=self._loop.run_forever, name="qemu monitor", daemon=True)
        self._thread.start()
        self._client = QMPClient()
        self._connecting = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    def connect(self, deadline_seconds: float) -> None:
        """Take the greeting and negotiate. Raises MachineError when QEMU does not speak before the deadline."""
        self._wait(self._connect(), deadline_seconds, "the connection")

    def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, deadline_seconds: float
    ) -> object:
        """A command's result. Raises MachineError when QEMU refuses it, is gone, or does not answer in time."""
        return self._wait(self._client.execute(command, arguments), deadline_seconds, command)

    @property
    def ended(self) -> bool:
        """True when QEMU has hung up, or never spoke."""
        return self._ended

    @property
    def event_count(self) -> int:
        """The number that the next event will have."""
        with self._changed:
            return self._count

    @property
    def events(self) -> list[MonitorEvent]:
        """The events kept."""
        with self._changed:
            return list(self._events)

    def wait_event(
        self, wanted: Callable[[MonitorEvent], bool], deadline_seconds: float, *, since: int = 0
    ) -> MonitorEvent | None:
        """The first event from number `since` on that is `wanted`; None when the deadline passes, or QEMU ends."""
        found: MonitorEvent | None = None

        def look() -> bool:
            nonlocal found
            found = next((event for event in self._events if event.number >= since and wanted(event)), None)
            return found is not None or self._ended

        with self._changed:
            self._changed.wait_for(look, deadline_seconds)
        return found

    def close(self) -> None:
        """Hang up and end the thread."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._connection.close()

    def _wait(self, work: Coroutine[Any, Any, _T], deadline_seconds: float, what: str) -> _T:
        if self._loop.is_closed():
            work.close()
            raise self._fault(f"QEMU's monitor is closed and cannot take {what}")
        waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result(deadline_seconds)
        except concurrent.futures.TimeoutError:
            waiting.cancel()
            raise self._fault(f"QEMU's monitor did not answer {what} within {deadline_seconds:g} s") from None
        except ExecuteError as error:
            raise self._fault(f"QEMU refused {what}: {error}") from error
        except (QMPError, OSError, EOFError) as error:
            raise self._fault(f"QEMU's monitor failed at {what}: {error or type(error).__name__}") from error

    async def _connect(self) -> None:
        listener = EventListener()
        # Before the connection stands, so that not even the first event is missed.
        self._client.register_listener(listener)
        try:
            async with self._connecting:
                await self._client.connect(self._connection)
        except (QMPError, OSError, EOFError):
            # Not at the deadline: then it is us who hang up.
            self._end()
            raise
        self._listening = asyncio.create_task(self._listen(listener))

    async def _listen(self, listener: EventListener) -> None:
        gone = asyncio.create_task(self._client.runstate_changed())
        while not gone.done():
            event = asyncio.create_task(listener.get())
            await asyncio.wait({gone, event}, return_when=asyncio.FIRST_COMPLETED)
            if event.done():
                self._keep(event.result())
            else:
                event.cancel()
        for message in listener.clear():
            self._keep(message)
        self._end()

    async def _disconnect(self) -> None:
        # A connection that was given up at its deadline first cleans up after itself.
        async with self._connecting:
            if self._client.runstate is not Runstate.IDLE:
                # It raises what ended the connection, and QEMU hanging up is no news here.
                with contextlib.suppress(QMPError, OSError, EOFError):
                    await self._client.disconnect()
        if self._listening is not None:
            await self._listening

    def _keep(self, message: Message) -> None:
        name, data = message["event"], message.get("data", {})
        with self._changed:
            self._events.append(
                MonitorEvent(self._count, self._seconds(), str(name), data if isinstance(data, dict) else {})
            )
            self._count += 1
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _unretrieved(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle what the library's tasks raised: that QEMU has hung up is known otherwise, and is not printed."""
    if not isinstance(context.get("exception"), (QMPError, OSError, EOFError)):
        loop.default_exception_handler(context)
