"""A server in a thread, and a client that says exactly what it is told to, wrong things too."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bootpath.core.device import Device
from bootpath.formats.nbd import options as nbdoptions
from bootpath.formats.nbd import transmission as nbd
from bootpath.formats.nbd.options import InfoReply, InfoRequest, Option, OptionReply, Rep
from bootpath.formats.nbd.transmission import Chunk, Request, SimpleReply
from bootpath.serve.export import Export, ExportSource
from bootpath.serve.server.server import Server

TIMEOUT_SECONDS = 60.0


class Running:
    """A server that runs, and where."""

    def __init__(self, server: Server, path: Path, thread: threading.Thread) -> None:
        self.server = server
        self.path = path
        self.thread = thread

    @property
    def uri(self) -> str:
        return f"nbd+unix:///?socket={self.path}"

    def export_uri(self, name: str) -> str:
        return f"nbd+unix:///{name}?socket={self.path}"

    def connect(self) -> RawClient:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(TIMEOUT_SECONDS)
        client.connect(str(self.path))
        return RawClient(client)

    def stop(self, grace_seconds: float = 5.0) -> None:
        self.server.stop(grace_seconds)
        self.thread.join(TIMEOUT_SECONDS)
        assert not self.thread.is_alive(), "the server did not stop"


@contextmanager
def serving(exports: ExportSource | Device, *, grace_seconds: float = 1.0, **options: Any) -> Iterator[Running]:
    """A server on a Unix socket; one device is the default export."""
    if not callable(exports) and not hasattr(exports, "items"):
        exports = {"": Export("", exports)}
    server = Server(exports, **options)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="bootpath-") as directory:
        path = Path(directory) / "nbd.sock"
        server.listen_unix(path)
        thread = threading.Thread(target=server.run, name="nbd-server", daemon=True)
        thread.start()
        running = Running(server, path, thread)
        try:
            yield running
        finally:
            running.stop(grace_seconds)


class RawClient:
    """Bytes and messages over one connection; `closed` says that the server has ended it."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.extended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def receive(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError(f"{len(data)} of {count} bytes, then the end")
            data += part
        return bytes(data)

    def closed(self) -> bool:
        """Wait for the end; False when there are bytes instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    # The handshake

    def greet(self, flags: int = 3) -> Self:
        assert nbdoptions.parse_greeting(self.receive(18)) == 3
        self.send(nbdoptions.CLIENT_FLAGS.pack(flags))
        return self

    def reply(self) -> OptionReply:
        head = self.receive(nbdoptions.OPTION_REPLY.size)
        length = nbdoptions.OPTION_REPLY.unpack(head)[3]
        return nbdoptions.parse_option_reply(head + self.receive(length))

    def option(self, option: int, data: bytes = b"") -> list[OptionReply]:
        """Send an option; all replies up to the last."""
        self.send(nbdoptions.pack_option(option, data))
        replies = [self.reply()]
        while replies[-1].type in (Rep.SERVER, Rep.INFO, Rep.META_CONTEXT):
            replies.append(self.reply())
        return replies

    def outcome(self, option: int, data: bytes = b"") -> int:
        return self.option(option, data)[-1].type

    def go(self, name: str = "", *, style: int | None = Option.STRUCTURED_REPLY, contexts: Sequence[str] = ()) -> Infos:
        """Into the transmission phase."""
        self.greet()
        if style is not None:
            assert self.outcome(style) == Rep.ACK
            self.extended = style == Option.EXTENDED_HEADERS
        if contexts:
            query = nbdoptions.pack_meta_query(nbdoptions.MetaQuery(name, tuple(contexts)))
            assert self.outcome(Option.SET_META_CONTEXT, query) == Rep.ACK
        replies = self.option(Option.GO, nbdoptions.pack_info_request(InfoRequest(name, (1, 2, 3))))
        assert replies[-1].type == Rep.ACK
        return Infos([nbdoptions.parse_info(reply.data) for reply in replies[:-1]])

    # Transmission

    def ask(
        self, command: int, offset: int = 0, length: int = 0, *, flags: int = 0, cookie: bytes = b"cookie--"
    ) -> None:
        self.send(nbd.pack_request(Request(command, cookie, offset, length, flags), extended=self.extended))

    def answer(self) -> SimpleReply | Chunk:
        head = self.receive(4)
        magic = int.from_bytes(head, "big")
        size = {nbd.SIMPLE_REPLY_MAGIC: 16, nbd.STRUCTURED_REPLY_MAGIC: 20, nbd.EXTENDED_REPLY_MAGIC: 32}[magic]
        return nbd.parse_reply(head + self.receive(size - 4))

    def chunks(self) -> list[tuple[Chunk, bytes]]:
        """One structured or extended reply."""
        result: list[tuple[Chunk, bytes]] = []
        while not result or not result[-1][0].flags & nbd.FLAG_DONE:
            chunk = self.answer()
            assert isinstance(chunk, Chunk)
            result.append((chunk, self.receive(chunk.length)))
        return result

    def error(self) -> int:
        """The error of the next reply, 0 for success; its data is dropped."""
        reply = self.answer()
        if isinstance(reply, SimpleReply):
            return reply.error
        code = 0
        while True:
            data = self.receive(reply.length)
            if reply.type & 0x8000:
                code = nbd.parse_error(data, with_offset=reply.type == nbd.ChunkType.ERROR_OFFSET).error
            if reply.flags & nbd.FLAG_DONE:
                return code
            found = self.answer()
            assert isinstance(found, Chunk)
            reply = found

    def error_or_data(self, length: int) -> int:
        """The error of the next reply, which is to a read of `length` bytes."""
        reply = self.answer()
        if isinstance(reply, SimpleReply):
            self.receive(0 if reply.error else length)
            return reply.error
        self.receive(reply.length)
        return reply.type & 0x8000

    def read(self, offset: int, length: int) -> bytes:
        """Read with structured or extended replies; holes become zeros."""
        self.ask(nbd.Command.READ, offset, length)
        content = bytearray(b"?" * length)
        for chunk, data in self.chunks():
            if chunk.type == nbd.ChunkType.OFFSET_DATA:
                start = int.from_bytes(data[:8], "big") - offset
                content[start : start + len(data) - 8] = data[8:]
            elif chunk.type == nbd.ChunkType.OFFSET_HOLE:
                start, size = nbd.parse_hole(data)
                content[start - offset : start - offset + size] = bytes(size)
            else:
                assert chunk.type == nbd.ChunkType.NONE, chunk
        return bytes(content)

    def write(self, offset: int, data: bytes, *, flags: int = 0) -> int:
        """Write; the error."""
        if self.extended:
            flags |= nbd.CommandFlag.PAYLOAD_LEN
        self.ask(nbd.Command.WRITE, offset, len(data), flags=flags)
        self.send(data)
        return self.error()


class Infos:
    """What GO told."""

    def __init__(self, infos: Sequence[InfoReply | None]) -> None:
        self.infos = infos
        (self.export,) = [info for info in infos if isinstance(info, nbdoptions.InfoExport)]
        (self.sizes,) = [info for info in infos if isinstance(info, nbdoptions.InfoBlockSize)]
