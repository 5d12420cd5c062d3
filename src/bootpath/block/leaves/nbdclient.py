"""nbd: an export of another NBD server as a device, over one connection that all threads share.

Where the server lacks a command, zeroes are written, a discard does nothing and FUA is a flush. A lost connection is
EIO from then on; whoever opened the device may open it again (`LateDisk` does). nbds:// is TLS or failure (`nbdtls`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from bootpath.block.leaves.file import empty_disk
from bootpath.block.leaves.nbdconnection import Call, NbdConnection
from bootpath.core.device import Buffer, Identity, Segment
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.nbd.transmission import SOURCES, STATE_HOLE, STATE_ZERO, Command, CommandFlag, TransmissionFlag
from bootpath.formats.nbd.uri import NbdUri, pack_nbd_uri, parse_nbd_uri

DEFAULT_TIMEOUT_SECONDS = 60.0

# Lengths have 32 bits; a server answers a status of less than 4 GiB in one go or in part, as it likes.
_MAX_RANGE_BYTES = 1 << 30
_SOURCE_NAMES = {number: name for name, number in SOURCES.items()}


class NbdDevice:
    """The export behind `connection`, which it owns. Made by `open_nbd`.

    Read-only unless it is to be `writable` and the server lets it. An export that ends within a block is filled up with
    zeros, and only read. Raises DeviceError (EPERM, EINVAL).
    """

    def __init__(self, connection: NbdConnection, *, writable: bool = False, identity: Identity | None = None) -> None:
        self.identity = identity or Identity(connection.name)
        self._connection = connection
        export = connection.export
        self._flags = export.flags
        if export.minimum_block > 4096:
            raise DeviceError(
                "the server's smallest block is too large",
                errno=errno.EINVAL,
                where=self.identity.name,
                found=export.minimum_block,
                expected="at most 4096",
            )
        if writable and TransmissionFlag.READ_ONLY in self._flags:
            raise DeviceError("the export is read-only", errno=errno.EPERM, where=self.identity.name)
        self.block_bytes = 512 if export.minimum_block <= 512 else 4096
        if export.maximum_payload < self.block_bytes:
            raise DeviceError(
                "the server's largest request holds no block",
                errno=errno.EINVAL,
                where=self.identity.name,
                found=export.maximum_payload,
                expected=f"at least {self.block_bytes}",
            )
        if not export.size_bytes:
            raise empty_disk(self.identity.name)
        self._export_bytes = export.size_bytes
        self.padding_bytes = -export.size_bytes % self.block_bytes
        if self.padding_bytes and (writable or export.size_bytes % export.minimum_block):
            raise DeviceError(
                "the last block of the export is not whole, so it cannot be "
                + ("written as a disk" if writable else "read"),
                errno=errno.EINVAL,
                where=self.identity.name,
                found=f"{export.size_bytes} bytes",
                expected=f"a multiple of {self.block_bytes if writable else export.minimum_block}",
            )
        self.size_bytes = export.size_bytes + self.padding_bytes
        self.read_only = not writable
        self._max_payload = export.maximum_payload - export.maximum_payload % self.block_bytes

    def _ask(self, command: Command, offset: int, length: int, step: int, *, flags: int = 0) -> None:
        """Ask for a range in parts of at most `step` bytes, all at once, and wait for all of them."""
        self._wait(
            [
                self._connection.ask(command, position, min(step, offset + length - position), flags=flags)
                for position in range(offset, offset + length, step)
            ]
        )

    def _wait(self, calls: list[Call]) -> None:
        faults: list[DeviceError] = []
        for call in calls:
            try:
                self._connection.wait(call)
            except DeviceError as fault:
                faults.append(fault)
        if faults:
            raise faults[0]

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        past = offset + length - self._export_bytes
        if past > 0:
            return (*self.read(offset, length - past), bytes(past))
        step = self._max_payload
        if length <= step:
            return (self._connection.wait(self._connection.ask(Command.READ, offset, length)).view,)
        calls = [
            self._connection.ask(Command.READ, position, min(step, offset + length - position))
            for position in range(offset, offset + length, step)
        ]
        self._wait(calls)
        return [call.view for call in calls]

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: a server is always waited for."""
        return None

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        view = memoryview(data).cast("B")
        step = self._max_payload
        flags = CommandFlag.FUA if fua and TransmissionFlag.SEND_FUA in self._flags else 0
        self._wait(
            [
                self._connection.ask(
                    Command.WRITE,
                    offset + position,
                    min(step, len(view) - position),
                    flags=flags,
                    data=view[position : position + step],
                )
                for position in range(0, len(view), step)
            ]
        )
        if fua and not flags:
            self.flush()

    def flush(self) -> None:
        """See `Device.flush`. A server that offers none has nothing to flush."""
        if not self.read_only and TransmissionFlag.SEND_FLUSH in self._flags:
            self._connection.wait(self._connection.ask(Command.FLUSH))

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: what it reads as afterwards is the server's choice."""
        if TransmissionFlag.SEND_TRIM in self._flags:
            self._ask(Command.TRIM, offset, length, _MAX_RANGE_BYTES)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        if TransmissionFlag.SEND_WRITE_ZEROES in self._flags:
            self._ask(Command.WRITE_ZEROES, offset, length, _MAX_RANGE_BYTES)
            return
        zeros = bytes(min(length, 1 << 20))
        for position in range(offset, offset + length, len(zeros)):
            self.write(position, memoryview(zeros)[: offset + length - position])

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: holes and zeros of base:allocation; source "nbd" unless the server sends another."""
        if self._connection.export.allocation is None:
            yield Segment(offset, length, "nbd")
            return
        past = max(offset + length - self._export_bytes, 0)
        end = offset + length - past
        held: Segment | None = None
        while offset < end:
            asked = min(end - offset, _MAX_RANGE_BYTES)
            call = self._connection.wait(self._connection.ask(Command.BLOCK_STATUS, offset, asked))
            if not call.descriptors:
                raise DeviceError(f"block status at {offset} is empty", where=self.identity.name)
            for size, state, source in _merged(call.descriptors, call.sources):
                # "the last extent MAY extend beyond the end of the requested range"
                size = min(size, end - offset)
                segment = Segment(offset, size, source, not state & STATE_HOLE, bool(state & STATE_ZERO))
                if size and held is not None and replace(held, offset=offset, length=size) == segment:
                    held = replace(held, length=held.length + size)
                elif size:
                    if held is not None:
                        yield held
                    held = segment
                offset += size
        if held is not None:
            yield replace(held, length=held.length + past)

    def close(self) -> None:
        """See `Device.close`: the server is told."""
        self._connection.close()


def _merged(states: list[tuple[int, int]], sources: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """(length, state, name of the source), as far as the server sent both; "nbd" without sources."""
    if not sources:
        yield from ((size, state, "nbd") for size, state in states)
        return
    left, right = iter(states), iter(sources)
    at = left_end = right_end = state = number = 0
    while True:
        if at == left_end:
            size, state = next(left, (0, 0))
            left_end += size
        if at == right_end:
            size, number = next(right, (0, 0))
            right_end += size
        end = min(left_end, right_end)
        if end == at:
            return
        yield end - at, state, _SOURCE_NAMES.get(number, "nbd")
        at = end


def open_nbd(
    uri: str | NbdUri,
    *,
    writable: bool = False,
    timeout_seconds: float | None = DEFAULT_TIMEOUT_SECONDS,
    sources: bool = False,
    connect: Callable[[], socket.socket] | None = None,
) -> NbdDevice:
    """Connect to an nbd:// or nbd+unix:// URI; `connect` gives another socket. With `sources` a server of ours tells
    in `extents` where blocks come from.

    `timeout_seconds` bounds connecting, the handshake and the wait for each answer. DeviceError: EIO when there is no
    server or it refuses, EPERM when it is read-only and must be writable, EINVAL for a wrong URI, `client_tls`'.
    """
    try:
        where = parse_nbd_uri(uri) if isinstance(uri, str) else uri
    except FormatError as error:
        raise DeviceError(str(error), errno=errno.EINVAL, where=str(uri)) from error
    name = pack_nbd_uri(replace(where, username=None, parameters={}))
    tls = None
    if where.tls:
        from bootpath.block.leaves.nbdtls import client_tls  # a guest has no OpenSSL

        tls = client_tls(where)
    try:
        sock = (connect or partial(_connect, where, timeout_seconds))()
    except OSError as error:
        raise DeviceError(f"the server cannot be reached: {error.strerror or error}", where=name) from error
    except ValueError:  # a host that has no form in ASCII (RFC 3490), for example with a label of 64 letters
        raise DeviceError("no host can have this name", errno=errno.EINVAL, where=name) from None
    connection = NbdConnection(sock, where.export, name=name, timeout_seconds=timeout_seconds, sources=sources, tls=tls)
    try:
        return NbdDevice(connection, writable=writable)
    except BaseException:
        connection.close()
        raise


def _connect(uri: NbdUri, timeout_seconds: float | None) -> socket.socket:
    if uri.socket is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_seconds)
            sock.connect(uri.socket)
        except BaseException:
            sock.close()
            raise
        return sock
    sock = socket.create_connection((uri.host or "localhost", uri.port), timeout_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
