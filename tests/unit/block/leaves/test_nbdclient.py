"""The client against a scripted server: whatever breaks the protocol ends the connection with EIO and hangs nobody."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Thread

import pytest

from bootpath.block.leaves.nbdclient import NbdDevice, open_nbd
from bootpath.core.device import Segment, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.formats.nbd.options import (
    CLIENT_FLAGS,
    OPTION,
    InfoBlockSize,
    InfoExport,
    Option,
    OptionReply,
    Rep,
    pack_greeting,
    pack_info,
    pack_meta_context,
    pack_option_reply,
    parse_option,
)
from bootpath.formats.nbd.transmission import (
    COMPACT_REQUEST,
    OFFSET,
    BlockStatus,
    Chunk,
    ChunkType,
    Command,
    ErrorPayload,
    Request,
    SimpleReply,
    TransmissionFlag,
    pack_block_status,
    pack_error,
    pack_hole,
    pack_reply,
    parse_request,
)
from tests.support.patterns import assert_pattern, pattern

SIZE = 1 << 20
FLAGS = TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA


class Server:
    """The other end: a handshake as configured, then whatever `answer` returns for each request."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.greeting = pack_greeting(3)
        self.structured: list[tuple[int, bytes]] = [(Rep.ACK, b"")]
        self.meta: list[tuple[int, bytes]] = [
            (Rep.META_CONTEXT, pack_meta_context(7, "base:allocation")),
            (Rep.ACK, b""),
        ]
        self.go: list[tuple[int, bytes]] = [
            (Rep.INFO, pack_info(InfoExport(SIZE, FLAGS))),
            (Rep.INFO, b"\x12\x34unknown"),
            (Rep.ACK, b""),
        ]
        self.pause_seconds = 0.0
        self.requests: list[Request] = []
        self.answer: Callable[[Request], bytes | None] = lambda request: None
        self._thread = Thread(target=self._run)

    def start(self) -> socket.socket:
        self._thread.start()
        return self.ours

    def stop(self) -> None:
        if self._thread.ident is not None:
            with contextlib.suppress(OSError):
                self.theirs.shutdown(socket.SHUT_RDWR)
            self._thread.join()
        self.theirs.close()

    def _receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.theirs.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _send(self, data: bytes) -> None:
        step = 1 if self.pause_seconds else len(data)
        for place in range(0, len(data), step):
            time.sleep(self.pause_seconds)
            self.theirs.sendall(data[place : place + step])

    def _run(self) -> None:
        try:
            self.theirs.sendall(self.greeting)
            self._receive(CLIENT_FLAGS.size)
            option = 0
            while option != Option.GO:
                option, length = parse_option(self._receive(OPTION.size))
                self._receive(length)
                replies = {
                    Option.STRUCTURED_REPLY: self.structured,
                    Option.SET_META_CONTEXT: self.meta,
                    Option.GO: self.go,
                }[Option(option)]
                for kind, data in replies:
                    self._send(pack_option_reply(OptionReply(option, kind, data)))
            while True:
                request = parse_request(self._receive(COMPACT_REQUEST.size))
                if request.command == Command.WRITE:
                    self._receive(request.length)
                self.requests.append(request)
                reply = None if request.command == Command.DISC else self.answer(request)
                if reply is None:
                    return
                self.theirs.sendall(reply)
        except (EOFError, OSError):
            pass
        finally:
            with contextlib.suppress(OSError):
                self.theirs.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(server: Server, opened: ExitStack, *, writable: bool = False, timeout_seconds: float = 20) -> NbdDevice:
    device = open_nbd("nbd://localhost/disk", connect=server.start, writable=writable, timeout_seconds=timeout_seconds)
    opened.callback(device.close)
    return device


def chunk(request: Request, kind: int, data: bytes = b"", *, done: bool = True) -> bytes:
    return pack_reply(Chunk(kind, request.cookie, len(data), int(done))) + data


def data_chunk(request: Request, offset: int, data: bytes, *, done: bool = True) -> bytes:
    return chunk(request, ChunkType.OFFSET_DATA, OFFSET.pack(offset) + data, done=done)


def whole(request: Request) -> bytes:
    return data_chunk(request, request.offset, pattern(request.offset, request.length))


# What is agreed on


def test_defaults(server: Server, opened: ExitStack) -> None:
    server.answer = whole
    device = connect(server, opened)
    assert (device.size_bytes, device.block_bytes, device.read_only) == (SIZE, 512, True)
    assert device.identity.name == "nbd://localhost/disk"
    assert_pattern(read_bytes(device, 512, 4096), 512)
    device.close()
    with pytest.raises(DeviceError, match="the connection is lost: closed"):
        device.read(0, 512)


def test_an_export_that_ends_within_a_block_is_filled_up(server: Server, opened: ExitStack) -> None:
    server.go[0] = (Rep.INFO, pack_info(InfoExport(1000, FLAGS)))
    server.answer = whole
    device = connect(server, opened)
    assert (device.size_bytes, device.padding_bytes) == (1024, 24)
    assert read_bytes(device, 0, 1024) == pattern(0, 1000) + bytes(24)
    assert read_bytes(device, 512, 512) == pattern(512, 488) + bytes(24)
    assert [request.length for request in server.requests] == [1000, 488]


@pytest.mark.parametrize(
    ("size", "minimum", "writable", "message"),
    [
        (0, 1, False, "a disk of 0 bytes is no disk"),
        (1000, 1, True, "cannot be written as a disk"),
        (1000, 512, False, "cannot be read"),
    ],
)
def test_sizes_that_are_refused(
    size: int, minimum: int, writable: bool, message: str, server: Server, opened: ExitStack
) -> None:
    server.go[0] = (Rep.INFO, pack_info(InfoExport(size, FLAGS)))
    server.go[1] = (Rep.INFO, pack_info(InfoBlockSize(minimum, 4096, 1 << 20)))
    with pytest.raises(DeviceError, match=message):
        connect(server, opened, writable=writable)


def test_a_server_without_structured_replies(server: Server, opened: ExitStack) -> None:
    server.structured = [(Rep.ERR_UNSUP, b"what?")]
    server.answer = lambda request: pack_reply(SimpleReply(request.cookie)) + pattern(request.offset, request.length)
    device = connect(server, opened)
    assert_pattern(read_bytes(device, 512, 4096), 512)
    assert list(device.extents(0, 4096)) == [Segment(0, 4096, "nbd")]


def test_block_sizes(server: Server, opened: ExitStack) -> None:
    server.go[0:0] = [(Rep.INFO, pack_info(InfoBlockSize(4096, 65536, 65536)))]
    server.answer = whole
    device = connect(server, opened)
    assert device.block_bytes == 4096
    assert_pattern(read_bytes(device, 4096, 196608), 4096)
    assert [request.length for request in server.requests] == [65536, 65536, 65536]


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("greeting", b"NBDMAGIC" + bytes(10), "newstyle"),
        ("greeting", pack_greeting(0), "does not speak fixed newstyle"),
        ("greeting", b"220 smtp.example.org ESMTP", "newstyle"),
        ("go", [(Rep.ERR_UNKNOWN, b"no such disk")], "there is no export 'disk': 'no such disk'"),
        ("go", [(Rep.ERR_TLS_REQD, b"")], "the server requires TLS: write nbds instead of nbd"),
        ("go", [(Rep.ERR_UNSUP, b"")], "the server does not know NBD_OPT_GO"),
        ("go", [((1 << 31) + 99, b"")], "the server refuses"),
        ("go", [(Rep.ACK, b"")], "without NBD_INFO_EXPORT"),
        (
            "go",
            [(Rep.INFO, b"\0\0" + bytes(3)), (Rep.ACK, b"")],
            "the export info has the wrong length; .* found 3 bytes",
        ),
        ("go", [(Rep.INFO, bytes(20000))], "the server replies too much to GO"),
        ("go", [(Rep.INFO, b"\x99\x99")] * 70, "the server replies too much to GO"),
        (
            "go",
            [
                (Rep.INFO, pack_info(InfoBlockSize(3, 4096, 65536))),
                (Rep.INFO, pack_info(InfoExport(SIZE, 1))),
                (Rep.ACK, b""),
            ],
            "block sizes are",
        ),
        (
            "go",
            [
                (Rep.INFO, pack_info(InfoBlockSize(8192, 8192, 65536))),
                (Rep.INFO, pack_info(InfoExport(SIZE, 1))),
                (Rep.ACK, b""),
            ],
            "the server's smallest block is too large",
        ),
        (
            "go",
            [
                (Rep.INFO, pack_info(InfoBlockSize(1, 1, 1))),
                (Rep.INFO, pack_info(InfoExport(SIZE, 1))),
                (Rep.ACK, b""),
            ],
            "the server's largest request holds no block; expected at least 512, found 1",
        ),
    ],
)
def test_a_handshake_that_fails(server: Server, field: str, value: object, what: str) -> None:
    setattr(server, field, value)
    with pytest.raises(DeviceError, match=what):
        open_nbd("nbd://localhost/disk", connect=server.start, timeout_seconds=20)


def test_a_handshake_that_goes_on_byte_by_byte(server: Server) -> None:
    server.go = [(Rep.INFO, b"\x99\x99" + bytes(8190)), *server.go]
    server.pause_seconds = 0.01
    with pytest.raises(DeviceError, match="the handshake failed: it took more than 1 s"):
        open_nbd("nbd://localhost/disk", connect=server.start, timeout_seconds=1)


# Answers


def test_answers_in_parts_and_out_of_order(server: Server, opened: ExitStack) -> None:
    server.answer = lambda request: (
        data_chunk(request, 3072, pattern(3072, 1024), done=False)
        + chunk(request, ChunkType.OFFSET_HOLE, pack_hole(1024, 2048), done=False)
        + data_chunk(request, 512, pattern(512, 512), done=False)
        + chunk(request, ChunkType.NONE)
    )
    data = read_bytes(connect(server, opened), 512, 3584)
    assert data == pattern(512, 512) + bytes(2048) + pattern(3072, 1024)


def test_block_status(server: Server, opened: ExitStack) -> None:
    rows = [((4096, 0), (4096, 3)), ((8192, 3),), ((1 << 20, 2),)]

    def answer(request: Request) -> bytes:
        status = BlockStatus(7, rows[len(server.requests) - 1])
        other = BlockStatus(8, ((512, 1),))
        return chunk(request, ChunkType.BLOCK_STATUS, pack_block_status(other), done=False) + chunk(
            request, ChunkType.BLOCK_STATUS, pack_block_status(status)
        )

    server.answer = answer
    assert list(connect(server, opened).extents(0, 24576)) == [
        Segment(0, 4096, "nbd"),
        Segment(4096, 12288, "nbd", allocated=False, zero=True),
        Segment(16384, 8192, "nbd", allocated=True, zero=True),
    ]


def test_a_block_status_without_end(server: Server, opened: ExitStack) -> None:
    half = pack_block_status(BlockStatus(7, ((512, 0),) * ((1 << 19) + 1)))
    server.answer = lambda request: chunk(request, ChunkType.BLOCK_STATUS, half, done=False) * 2
    with pytest.raises(DeviceError, match="the block status is too long; expected at most 1048576 rows"):
        list(connect(server, opened).extents(0, SIZE))


@pytest.mark.parametrize(
    ("error", "code"), [(1, "EPERM"), (5, "EIO"), (22, "EINVAL"), (28, "ENOSPC"), (108, "EIO"), (4711, "EIO")]
)
def test_errors(server: Server, opened: ExitStack, error: int, code: str) -> None:
    server.answer = lambda request: (
        whole(request)
        if request.offset
        else data_chunk(request, 0, bytes(512), done=False)
        + chunk(request, ChunkType.ERROR_OFFSET, pack_error(ErrorPayload(error, "bad sector", 512)))
    )
    device = connect(server, opened)
    with pytest.raises(
        DeviceError,
        match=f"read of 1024 bytes at 0 failed: the server answers error {error}( \\(E[A-Z]+\\))?: 'bad sector'",
    ) as fault:
        device.read(0, 1024)
    assert fault.value.errno_name == code
    assert_pattern(read_bytes(device, 512, 512), 512)


def test_what_is_not_offered_is_done_without(server: Server, opened: ExitStack) -> None:
    server.go[0] = (Rep.INFO, pack_info(InfoExport(SIZE, TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH)))
    server.answer = lambda request: chunk(request, ChunkType.NONE)
    device = connect(server, opened, writable=True)
    device.write(0, bytes(512), fua=True)
    device.discard(0, 512)
    device.zero(0, 3 << 19)
    assert [(request.command, request.length, request.flags) for request in server.requests] == [
        (Command.WRITE, 512, 0),
        (Command.FLUSH, 0, 0),
        (Command.WRITE, 1 << 20, 0),
        (Command.WRITE, 1 << 19, 0),
    ]


def test_simple_replies_to_what_is_no_read_are_fine(server: Server, opened: ExitStack) -> None:
    server.answer = lambda request: pack_reply(SimpleReply(request.cookie, 5 if request.length else 0))
    device = connect(server, opened, writable=True)
    device.flush()
    with pytest.raises(DeviceError, match="the server answers error 5"):
        device.write(0, bytes(512))


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (lambda request: None, "closed the connection"),
        (lambda request: b"\0" * 64, "the reply has the wrong magic; .* found 00000000"),
        (lambda request: pack_reply(SimpleReply(b"whatever")), "unknown cookie"),
        (lambda request: pack_reply(SimpleReply(request.cookie)) + bytes(1024), "answered by a simple reply"),
        (lambda request: chunk(request, ChunkType.NONE), "answered in part; expected 1024, found 0 bytes"),
        (lambda request: data_chunk(request, 0, bytes(512)), "answered in part; .* found 512 bytes"),
        (lambda request: data_chunk(request, 512, bytes(1024)), "was not asked for"),
        (lambda request: data_chunk(request, 0, bytes(2048)), "was not asked for"),
        (lambda request: data_chunk(request, 2**64 - 512, bytes(512)), "was not asked for"),
        (lambda request: data_chunk(request, 0, bytes(512), done=False) * 2, "was not asked for"),
        (lambda request: chunk(request, ChunkType.OFFSET_HOLE, pack_hole(0, 4096)), "was not asked for"),
        (lambda request: chunk(request, ChunkType.OFFSET_DATA, OFFSET.pack(0)), "a data chunk is empty"),
        (
            lambda request: chunk(request, ChunkType.OFFSET_HOLE, b"x"),
            "the hole chunk has the wrong length; .* found 1 bytes",
        ),
        (
            lambda request: chunk(request, ChunkType.ERROR, b"x"),
            "the error chunk has the wrong length; .* found 1 bytes",
        ),
        (lambda request: chunk(request, ChunkType.BLOCK_STATUS, b"x"), "block status has"),
        (lambda request: chunk(request, 99), "no such type of chunk; .* found 99"),
        (lambda request: chunk(request, ChunkType.NONE, b"x"), "no such type of chunk; .* found 0"),
        (
            lambda request: pack_reply(Chunk(ChunkType.BLOCK_STATUS, request.cookie, 16 << 20)),
            "a chunk is too large; .* found 16777216 bytes",
        ),
    ],
)
def test_nonsense_ends_the_connection(
    server: Server, opened: ExitStack, answer: Callable[[Request], bytes | None], what: str
) -> None:
    server.answer = answer
    device = connect(server, opened)
    for _ in range(2):
        with pytest.raises(DeviceError, match=f"nbd://localhost/disk: the connection is lost: .*{what}") as fault:
            device.read(0, 1024)
        assert fault.value.errno_name == "EIO"


def test_a_chunk_that_was_not_agreed_on(server: Server, opened: ExitStack) -> None:
    server.structured = [(Rep.ERR_UNSUP, b"")]
    server.answer = whole
    with pytest.raises(DeviceError, match="not agreed on"):
        connect(server, opened).read(0, 512)


def test_an_answer_that_does_not_come(server: Server, opened: ExitStack) -> None:
    server.answer = lambda request: b""
    device = connect(server, opened, timeout_seconds=0.1)
    with pytest.raises(DeviceError, match=r"no answer in 0\.1 s"):
        device.read(0, 512)


@pytest.mark.parametrize(
    ("uri", "code", "what"),
    [
        (
            "nbds://localhost/disk?tls-certificates=/nonexistent",
            "ENOENT",
            "/nonexistent/ca-cert.pem: the TLS certificates or keys cannot",
        ),
        ("nbds://localhost/disk?tls-type=anon", "EINVAL", "tls-type does not say what is given"),
        ("nbds://localhost/disk?tls-type=psk", "EINVAL", "tls-type does not say what is given"),
        ("nbds://localhost/disk?tls-type=x509&tls-psk-file=keys", "EINVAL", "tls-type does not say what is given"),
        ("nbd://", "EINVAL", "host is missing"),
        ("nbd+unix:///?socket=/nonexistent", "EIO", "the server cannot be reached: No such file or directory"),
    ],
)
def test_uris(uri: str, code: str, what: str) -> None:
    with pytest.raises(DeviceError, match=what) as fault:
        open_nbd(uri)
    assert fault.value.errno_name == code


def test_sources_that_a_server_of_ours_tells(server: Server, opened: ExitStack) -> None:
    server.meta.insert(1, (Rep.META_CONTEXT, pack_meta_context(9, "bootpath:source")))

    def answer(request: Request) -> bytes | None:
        if request.command != Command.BLOCK_STATUS:
            return None
        # The states reach further than the sources: what is told of both counts, and the rest is asked for again.
        states = BlockStatus(7, ((4096, 0), (8192, 3))) if request.offset == 0 else BlockStatus(7, ((SIZE, 0),))
        sources = BlockStatus(9, ((2048, 1), (6144, 2))) if request.offset == 0 else BlockStatus(9, ((SIZE, 77),))
        first = chunk(request, ChunkType.BLOCK_STATUS, pack_block_status(sources), done=False)
        return first + chunk(request, ChunkType.BLOCK_STATUS, pack_block_status(states))

    server.answer = answer
    device = open_nbd("nbd://localhost/disk", connect=server.start, timeout_seconds=20, sources=True)
    opened.callback(device.close)
    assert list(device.extents(0, 12288)) == [
        Segment(0, 2048, "preload"),
        Segment(2048, 2048, "overlay"),
        Segment(4096, 4096, "overlay", allocated=False, zero=True),
        Segment(8192, 4096, "nbd"),
    ]
