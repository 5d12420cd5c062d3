"""One client's requests against devices, over a real server: ranges, flags, errors, styles."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from bootpath.block.leaves.constant import ZeroDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.concat import Concat
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.core.device import Device
from bootpath.core.extents import Extent
from bootpath.formats.nbd import transmission as nbd
from bootpath.formats.nbd.options import Option
from bootpath.formats.nbd.transmission import Chunk, ChunkType, Command, CommandFlag, ErrorCode, TransmissionFlag
from bootpath.serve.export import Export
from bootpath.serve.limits import Limits
from tests.support.nbd import RawClient, serving
from tests.support.patterns import pattern

SIZE = 4 << 20
STYLES = (None, Option.STRUCTURED_REPLY, Option.EXTENDED_HEADERS)
TOP = 2**64 - 512


def patterned() -> MemoryDevice:
    return MemoryDevice(bytearray(pattern(0, SIZE)))


@pytest.fixture(params=STYLES, ids=["simple", "structured", "extended"])
def client(request: pytest.FixtureRequest) -> Iterator[RawClient]:
    """A client of an overlay, in each of the three styles."""
    with serving(Overlay(patterned())) as running, running.connect() as connected:
        connected.go(style=request.param, contexts=["base:allocation"] if request.param else ())
        yield connected


def read(client: RawClient, offset: int, length: int) -> bytes:
    client.ask(Command.READ, offset, length)
    reply = client.answer()
    if isinstance(reply, nbd.SimpleReply):
        assert reply.error == 0
        return client.receive(length)
    data = client.receive(reply.length)
    assert reply.type == ChunkType.OFFSET_DATA
    assert int.from_bytes(data[:8], "big") == offset
    assert reply.offset == (offset if client.extended else None)
    return data[8:]


def test_read_write(client: RawClient) -> None:
    assert read(client, 8192, 4096) == pattern(8192, 4096)
    assert client.write(8192, pattern(8192, 4096, tag=1)) == 0
    assert read(client, 4096, 12288) == pattern(4096, 4096) + pattern(8192, 4096, 1) + pattern(12288, 4096)
    assert client.write(512, pattern(512, 1024, tag=2)) == 0  # a part of a block
    assert read(client, 0, 2048) == pattern(0, 512) + pattern(512, 1024, 2) + pattern(1536, 512)
    assert client.write(0, pattern(0, 512, tag=3), flags=CommandFlag.FUA) == 0
    assert read(client, 0, 512) == pattern(0, 512, 3)


@pytest.mark.parametrize("offset", [0, 512])
def test_a_large_write(client: RawClient, offset: int) -> None:
    data = pattern(0, (1 << 20) + 512, tag=4)
    assert client.write(offset, data) == 0
    assert read(client, offset, 64 << 10) == data[: 64 << 10]
    assert read(client, offset + len(data) - 512, 512) == data[-512:]
    assert read(client, offset + len(data), 512) == pattern(offset + len(data), 512)


@pytest.mark.parametrize(
    ("command", "offset", "length", "flags", "expected"),
    [
        (Command.READ, SIZE, 512, 0, ErrorCode.EINVAL),
        (Command.READ, SIZE - 512, 1024, 0, ErrorCode.EINVAL),
        (Command.READ, TOP, 512, 0, ErrorCode.EINVAL),
        (Command.READ, TOP, 0xFFFFFE00, 0, ErrorCode.EINVAL),
        (Command.READ, 0, 0xFFFFFE00, 0, ErrorCode.EINVAL),
        (Command.READ, 0, 0, 0, ErrorCode.EINVAL),
        (Command.READ, 1, 512, 0, ErrorCode.EINVAL),
        (Command.READ, 0, 511, 0, ErrorCode.EINVAL),
        (Command.READ, 0, 512, CommandFlag.NO_HOLE, ErrorCode.EINVAL),
        (Command.READ, 0, 512, 1 << 15, ErrorCode.EINVAL),
        (Command.TRIM, SIZE, 512, 0, ErrorCode.EINVAL),
        (Command.TRIM, 0, 0xFFFFFE00, 0, ErrorCode.EINVAL),
        (Command.TRIM, 0, 0, 0, ErrorCode.EINVAL),
        (Command.WRITE_ZEROES, SIZE, 512, 0, ErrorCode.ENOSPC),
        (Command.WRITE_ZEROES, TOP, 0xFFFFFE00, 0, ErrorCode.ENOSPC),
        (Command.WRITE_ZEROES, 0, 0, 0, ErrorCode.EINVAL),
        (Command.WRITE_ZEROES, 0, 513, 0, ErrorCode.EINVAL),
        (Command.WRITE_ZEROES, 0, 512, CommandFlag.FAST_ZERO, ErrorCode.ENOTSUP),
        (Command.WRITE_ZEROES, 0, 4096, CommandFlag.FAST_ZERO | CommandFlag.NO_HOLE, ErrorCode.ENOTSUP),
        (Command.WRITE_ZEROES, 0, 4096, CommandFlag.DF, ErrorCode.EINVAL),
        (Command.FLUSH, 512, 0, 0, ErrorCode.EINVAL),
        (Command.CACHE, SIZE, 512, 0, ErrorCode.EINVAL),
        (Command.CACHE, 0, 512, CommandFlag.DF, ErrorCode.EINVAL),
        (Command.BLOCK_STATUS, SIZE, 512, 0, ErrorCode.EINVAL),
        (Command.BLOCK_STATUS, 0, 0, 0, ErrorCode.EINVAL),
        (8, 0, 0, 0, ErrorCode.EINVAL),
        (0xFFFF, 0, 0, 0, ErrorCode.EINVAL),
    ],
)
def test_refused(client: RawClient, command: int, offset: int, length: int, flags: int, expected: int) -> None:
    client.ask(command, offset, length, flags=flags)
    assert client.error() == expected
    assert read(client, 0, 512) == pattern(0, 512)


@pytest.mark.parametrize(
    ("command", "offset", "length", "flags"),
    [
        (Command.FLUSH, 0, 0, 0),
        (Command.FLUSH, 0, 0, CommandFlag.FUA),
        (Command.TRIM, 0, SIZE, CommandFlag.FUA),
        (Command.TRIM, 512, 512, 0),
        (Command.WRITE_ZEROES, 0, SIZE, 0),
        (Command.WRITE_ZEROES, 4096, 8192, CommandFlag.FAST_ZERO),
        (Command.WRITE_ZEROES, 512, 512, CommandFlag.FUA),
        (Command.WRITE_ZEROES, 0, SIZE, CommandFlag.NO_HOLE),
        (Command.CACHE, 0, SIZE, 0),
    ],
)
def test_done(client: RawClient, command: int, offset: int, length: int, flags: int) -> None:
    client.ask(command, offset, length, flags=flags)
    assert client.error() == 0
    if command == Command.WRITE_ZEROES:
        assert read(client, offset, min(length, 4096)) == bytes(min(length, 4096))


@pytest.mark.parametrize("length", [512, 100 << 10, 1 << 20])
@pytest.mark.parametrize("offset", [SIZE, SIZE - 512, 2**64 - 512])
def test_a_write_past_the_end_stays_in_sync(client: RawClient, offset: int, length: int) -> None:
    length += 512
    assert client.write(offset, b"w" * length) == ErrorCode.ENOSPC
    assert read(client, 0, 512) == pattern(0, 512)
    assert read(client, SIZE - 512, 512) == pattern(SIZE - 512, 512)


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (1, 512), (0, 100_001)])
def test_a_misaligned_write(client: RawClient, offset: int, length: int) -> None:
    assert client.write(offset, b"w" * length) == ErrorCode.EINVAL
    assert read(client, 0, 512) == pattern(0, 512)


def test_cookies_come_back_as_they_were(client: RawClient) -> None:
    for cookie in (bytes(8), b"\xff" * 8, b"%s%n\0\x01\x02\x03"):
        client.ask(Command.FLUSH, cookie=cookie)
        assert client.answer().cookie == cookie


def test_disconnect_answers_what_was_asked(client: RawClient) -> None:
    for _ in range(64):
        client.ask(Command.READ, 0, 4096)
    client.ask(Command.DISC)
    for _ in range(64):
        assert client.error_or_data(4096) == 0
    assert client.closed()


def test_half_close_is_answered_first(client: RawClient) -> None:
    client.ask(Command.FLUSH)
    client.socket.shutdown(1)
    assert client.error() == 0
    assert client.closed()


# Read-only exports


@pytest.mark.parametrize("read_only_device", [False, True])
def test_read_only(read_only_device: bool) -> None:
    device = MemoryDevice(pattern(0, SIZE)) if read_only_device else patterned()
    with serving({"": Export("", device, read_only=True)}) as running, running.connect() as client:
        assert client.go().export.flags & TransmissionFlag.READ_ONLY
        for command in (Command.TRIM, Command.WRITE_ZEROES):
            client.ask(command, 0, 4096)
            assert client.error() == ErrorCode.EPERM
        assert client.write(0, b"x" * 4096) == ErrorCode.EPERM
        assert client.write(0, b"x" * (1 << 20)) == ErrorCode.EPERM
        assert client.read(0, 4096) == pattern(0, 4096)


# Reads of several chunks


def test_holes() -> None:
    device = Concat([patterned(), ZeroDevice(SIZE), patterned()])
    with serving(device) as running, running.connect() as client:
        client.go()
        client.ask(Command.READ, SIZE - 4096, SIZE + 8192)
        found = client.chunks()
        assert [chunk.type for chunk, _ in found] == [
            ChunkType.OFFSET_DATA,
            ChunkType.OFFSET_HOLE,
            ChunkType.OFFSET_DATA,
            ChunkType.NONE,
        ]
        assert nbd.parse_hole(found[1][1]) == (SIZE, SIZE)
        assert client.read(SIZE - 4096, 1 << 20) == pattern(SIZE - 4096, 4096) + bytes((1 << 20) - 4096)


def test_dont_fragment() -> None:
    device = Concat([patterned(), ZeroDevice(SIZE)])
    with serving(device) as running, running.connect() as client:
        assert client.go().export.flags & TransmissionFlag.SEND_DF
        client.ask(Command.READ, SIZE - (1 << 20), 2 << 20, flags=CommandFlag.DF)
        ((chunk, data),) = client.chunks()
        assert chunk.type == ChunkType.OFFSET_DATA
        assert data[8:] == pattern(SIZE - (1 << 20), 1 << 20) + bytes(1 << 20)


def test_a_read_above_the_limit() -> None:
    with serving(ZeroDevice(1 << 40), limits=Limits(payload_bytes=1 << 20)) as running:
        with running.connect() as client:
            assert client.go().sizes.maximum == 1 << 20
            client.ask(Command.READ, 0, 0xFFFFFE00)
            assert client.error() == ErrorCode.EOVERFLOW
        with running.connect() as client:
            client.go(style=None)
            client.ask(Command.READ, 0, 0xFFFFFE00)
            assert client.error() == ErrorCode.EINVAL


@pytest.mark.parametrize("command", [Command.TRIM, Command.WRITE_ZEROES])
def test_almost_four_gib_at_once(command: Command) -> None:
    with serving(Overlay(ZeroDevice(1 << 40))) as running, running.connect() as client:
        client.go()
        client.ask(command, 1 << 30, 0xFFFFFE00)
        assert client.error() == 0


# Errors of the device


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EIO, ErrorCode.EIO),
        (errno.ENOSPC, ErrorCode.ENOSPC),
        (errno.EDQUOT, ErrorCode.ENOSPC),
        (errno.EROFS, ErrorCode.EPERM),
        (errno.ENODEV, ErrorCode.EIO),
    ],
)
def test_errors_of_the_device(number: int, expected: int) -> None:
    rules = [FaultRule(FaultKind.ERROR, frozenset({"read", "write", "flush", "zero", "discard"}), errno=number)]
    with serving(Fault(patterned(), rules)) as running, running.connect() as client:
        client.go()
        assert client.write(0, b"x" * 4096) == expected
        assert client.write(0, b"x" * (1 << 20)) == expected
        for command in (Command.READ, Command.TRIM, Command.WRITE_ZEROES, Command.CACHE):
            client.ask(command, 0, 4096)
            assert client.error() == expected
        client.ask(Command.FLUSH)
        assert client.error() == expected
        assert running.server.statistics().errors == 7


def test_a_failed_read_says_where() -> None:
    device = Fault(patterned(), [FaultRule(FaultKind.ERROR, extent=Extent(8192, 512))])
    with serving(device) as running, running.connect() as client:
        client.go()
        client.ask(Command.READ, 8192, 4096)
        ((chunk, data),) = client.chunks()
        error = nbd.parse_error(data, with_offset=True)
        assert chunk.type == ChunkType.ERROR_OFFSET
        assert (error.error, error.offset) == (ErrorCode.EIO, 8192)
        assert "fault rule" in error.message
        assert client.read(0, 8192) == pattern(0, 8192)


class Broken(MemoryDevice):
    """A device with a bug."""

    def read_resident(self, offset: int, length: int) -> None:
        if offset:
            raise BlockingIOError(errno.EAGAIN, "as os.preadv raises it")

    def read(self, offset: int, length: int) -> list[bytes]:
        raise KeyError(offset)


def test_a_fault_in_a_device_is_an_io_error() -> None:
    with serving(Broken(SIZE)) as running, running.connect() as client:
        client.go()
        for offset in (0, 512):  # on a worker, and at once
            client.ask(Command.READ, offset, 512)
            assert client.error() == ErrorCode.EIO
        assert client.write(0, bytes(512)) == 0


# Block status


def layered() -> Device:
    overlay = Overlay(Concat([patterned(), ZeroDevice(SIZE)]))
    overlay.write(8192, b"o" * 4096)
    overlay.discard(16384, 8192)
    return overlay


def statuses(client: RawClient) -> dict[int, tuple[tuple[int, int], ...]]:
    parsed = [nbd.parse_block_status(data, extended=client.extended) for _, data in client.chunks()]
    return {status.context: status.descriptors for status in parsed}


@pytest.mark.parametrize("style", STYLES[1:])
def test_block_status(style: int) -> None:
    with serving(layered()) as running, running.connect() as client:
        client.go(style=style, contexts=["base:allocation", "bootpath:source"])
        client.ask(Command.BLOCK_STATUS, 0, 2 * SIZE)
        assert statuses(client) == {
            1: ((16384, 0), (8192, 3), (SIZE - 24576, 0), (SIZE, 3)),
            2: ((8192, 6), (4096, 2), (4096, 6), (8192, 4), (SIZE - 24576, 6), (SIZE, 4)),
        }
        client.ask(Command.BLOCK_STATUS, 4096, 8192, flags=CommandFlag.REQ_ONE)
        assert statuses(client) == {1: ((8192, 0),), 2: ((4096, 6),)}


def test_block_status_near_four_gib() -> None:
    with serving(ZeroDevice(1 << 40)) as running, running.connect() as client:
        client.go(contexts=["base:allocation"])
        client.ask(Command.BLOCK_STATUS, 0, 0xFFFFFE00)
        ((length, flags),) = statuses(client)[1]
        assert flags == 3
        assert 0 < length < 1 << 32
    with serving(ZeroDevice(1 << 40)) as running, running.connect() as client:
        client.go(style=Option.EXTENDED_HEADERS, contexts=["base:allocation"])
        client.ask(Command.BLOCK_STATUS, 0, 1 << 40)
        ((length, _),) = statuses(client)[1]
        assert length > 1 << 32


def test_block_status_without_a_context() -> None:
    with serving(layered()) as running, running.connect() as client:
        client.go()
        client.ask(Command.BLOCK_STATUS, 0, 4096)
        assert client.error() == ErrorCode.EINVAL


def test_block_status_of_some_contexts() -> None:
    with serving(layered()) as running, running.connect() as client:
        client.go(style=Option.EXTENDED_HEADERS, contexts=["base:allocation", "bootpath:source"])
        for wanted, expected in (((2,), 0), ((2, 2), 22), ((3,), 22), ((), 22)):
            payload = nbd.pack_status_filter(16384, wanted)
            client.ask(Command.BLOCK_STATUS, 0, len(payload), flags=CommandFlag.PAYLOAD_LEN)
            client.send(payload)
            if expected:
                assert client.error() == expected
            else:
                assert statuses(client) == {2: ((8192, 6), (4096, 2), (4096, 6))}


def test_a_payload_where_none_belongs() -> None:
    with serving(patterned()) as running, running.connect() as client:
        client.go(style=Option.EXTENDED_HEADERS)
        for size in (16, 100_000):
            client.ask(Command.READ, 0, size, flags=CommandFlag.PAYLOAD_LEN)
            client.send(bytes(size))
            assert client.error() == ErrorCode.EINVAL
        assert client.read(0, 512) == pattern(0, 512)


def test_extended_replies_repeat_the_offset() -> None:
    with serving(patterned()) as running, running.connect() as client:
        client.go(style=Option.EXTENDED_HEADERS)
        for command, offset, length in ((Command.READ, 512, 512), (Command.TRIM, 1024, 512), (9, 77, 1)):
            client.ask(command, offset, length)
            chunk = client.answer()
            assert isinstance(chunk, Chunk)
            assert chunk.offset == offset
            client.receive(chunk.length)
