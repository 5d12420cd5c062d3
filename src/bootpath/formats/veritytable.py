"""The arguments of a `verity` row, in Linux's grammar.

Source: Linux Documentation/admin-guide/device-mapper/verity.rst, "Construction Parameters"::

    <version> <data device> <hash device> <data_block_size> <hash_block_size>
    <num_data_blocks> <hash_start_block> <algorithm> <root_hash> <salt>|-
    [<#opt_params> <opt_params>]

`version` is the superblock's hash_type. Optional parameters: ignore_corruption, restart_on_corruption,
panic_on_corruption, ignore_zero_blocks, check_at_most_once; those that change nothing here are accepted
(try_verify_in_tasklet); those that need what is not here are refused, never skipped (forward error correction, a
signature for the kernel's keyring).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.formats.verity import VerityParameters

CORRUPTION_OPTIONS = ("ignore_corruption", "restart_on_corruption", "panic_on_corruption")
_FLAGS = (*CORRUPTION_OPTIONS, "ignore_zero_blocks", "check_at_most_once", "try_verify_in_tasklet")
_POSITIONAL = 10
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True)
class VerityRow:
    """What a row says. `options` are names of `_FLAGS`, at most one of `CORRUPTION_OPTIONS`. Raises FormatError."""

    data: str
    hashes: str
    parameters: VerityParameters
    start_block: int
    root_hash: bytes
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.root_hash) != self.parameters.digest_bytes:
            raise _fault("root hash has", f"{len(self.root_hash)} bytes", f"{self.parameters.digest_bytes} bytes")
        for option in self.options:
            if option not in _FLAGS:
                raise _fault("option is", brief(option), "one of " + " ".join(_FLAGS))
        if len(set(self.options)) != len(self.options):
            raise _fault("options are", " ".join(self.options), "each at most once")
        if sum(option in CORRUPTION_OPTIONS for option in self.options) > 1:
            raise _fault("options are", " ".join(self.options), "one of " + " ".join(CORRUPTION_OPTIONS))
        self.parameters.levels(self.start_block)


def parse_verity_args(args: Sequence[str]) -> VerityRow:
    """A row's arguments. Raises FormatError."""
    if len(args) < _POSITIONAL:
        raise _fault("arguments are", len(args), f"at least {_POSITIONAL}")
    version, data, hashes, data_size, hash_size, blocks, start, algorithm, root_hash, salt = args[:_POSITIONAL]
    parameters = VerityParameters(
        _number("num_data_blocks", blocks),
        algorithm,
        b"" if salt == "-" else _hex("salt", salt),
        _number("data_block_size", data_size),
        _number("hash_block_size", hash_size),
        _number("version", version),
    )
    options = tuple(args[_POSITIONAL:])
    if options:
        count, *names = options
        if _number("#opt_params", count) != len(names):
            raise _fault("#opt_params is", count, f"{len(names)}, as follow")
        options = tuple(names)
    return VerityRow(
        data, hashes, parameters, _number("hash_start_block", start), _hex("root hash", root_hash), options
    )


def pack_verity_args(row: VerityRow) -> tuple[str, ...]:
    """The arguments of a row, as `dmsetup table` prints them."""
    of = row.parameters
    return (
        str(of.hash_type),
        row.data,
        row.hashes,
        str(of.data_block_size),
        str(of.hash_block_size),
        str(of.data_blocks),
        str(row.start_block),
        of.algorithm,
        row.root_hash.hex(),
        of.salt.hex() or "-",
        *((str(len(row.options)), *row.options) if row.options else ()),
    )


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise _fault(f"{name} is", brief(text), "a decimal number")
    return int(text)


def _hex(name: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise _fault(f"{name} is", brief(text), "hexadecimal digits") from error


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="verity", found=found, expected=expected)
