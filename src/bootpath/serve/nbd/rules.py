"""Which requests are allowed: the flags of each command, and ranges by the device's rules (`core.device`).

Refusals are the protocol's errors: "SHOULD return NBD_ENOSPC if it receives a write request including one or more
sectors beyond the size", EINVAL for reading, EPERM for writing to a read-only export, EINVAL for flags that do not
belong to a command.
"""

from __future__ import annotations

from collections.abc import Mapping

from bootpath.formats.nbd.transmission import Command, CommandFlag, ErrorCode

# As plain numbers: the complement of an IntFlag has only the flags that are known.
# "existing clients are known to set this bit on other commands": FUA is allowed everywhere.
_ALLOWED_FLAGS: Mapping[int, int] = {
    Command.READ: int(CommandFlag.FUA | CommandFlag.DF),
    Command.WRITE: int(CommandFlag.FUA),
    Command.FLUSH: int(CommandFlag.FUA),
    Command.TRIM: int(CommandFlag.FUA),
    Command.CACHE: int(CommandFlag.FUA),
    Command.WRITE_ZEROES: int(CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO),
    Command.BLOCK_STATUS: int(CommandFlag.FUA | CommandFlag.REQ_ONE | CommandFlag.PAYLOAD_LEN),
}
COMMAND_NAMES: Mapping[int, str] = {
    Command.READ: "read",
    Command.WRITE: "write",
    Command.FLUSH: "flush",
    Command.TRIM: "trim",
    Command.CACHE: "cache",
    Command.WRITE_ZEROES: "zero",
    Command.BLOCK_STATUS: "status",
}
"""What the counters of `serve.statistics` call them."""


class Refused(Exception):  # noqa: N818 - not an error of ours: the reply to a request that cannot be
    """A request that is answered with an error."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def check_flags(number: int, flags: int) -> None:
    """Raises Refused for a command that does not exist, and for flags that do not belong to it."""
    allowed = _ALLOWED_FLAGS.get(number)
    if allowed is None:
        raise Refused(ErrorCode.EINVAL, f"the server does not support command {number}")
    if flags & ~allowed:
        raise Refused(ErrorCode.EINVAL, f"flags {flags:#x} do not belong to {COMMAND_NAMES[number]}")


class Ranges:
    """The ranges that requests may have on a device of `size_bytes`, in multiples of `block_bytes`."""

    __slots__ = ("_mask", "_read_only", "_size_bytes")

    def __init__(self, size_bytes: int, block_bytes: int, *, read_only: bool) -> None:
        self._size_bytes = size_bytes
        self._mask = block_bytes - 1
        self._read_only = read_only

    def check_read(self, offset: int, length: int) -> None:
        """Raises Refused."""
        if not length or (offset | length) & self._mask or offset + length > self._size_bytes:
            raise Refused(ErrorCode.EINVAL, self._message(offset, length))

    def check_write(self, offset: int, length: int, *, past_end: ErrorCode = ErrorCode.ENOSPC) -> None:
        """`past_end` is for a range past the end: ENOSPC to write, but EINVAL to trim. Raises Refused."""
        if self._read_only:
            raise Refused(ErrorCode.EPERM, "the export is read-only")
        if not length or (offset | length) & self._mask:
            raise Refused(ErrorCode.EINVAL, self._message(offset, length))
        if offset + length > self._size_bytes:
            raise Refused(past_end, self._message(offset, length))

    def _message(self, offset: int, length: int) -> str:
        if not length:
            return "the request has a length of 0"
        if (offset | length) & self._mask:
            return f"offset {offset} and length {length} must be multiples of {self._mask + 1}"
        return f"{length} bytes at offset {offset} reach past the end at {self._size_bytes}"
