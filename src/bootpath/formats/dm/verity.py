"""The arguments of a `verity` target, in Linux's grammar.

Source: Linux Documentation/admin-guide/device-mapper/verity.rst, "Construction Parameters"::

    <version> <data device> <hash device> <data_block_size> <hash_block_size>
    <num_data_blocks> <hash_start_block> <algorithm> <root_hash> <salt>|-
    [<#opt_params> <opt_params>]

`version` is the superblock's hash_type. Optional parameters, each at most once::

    ignore_corruption | restart_on_corruption | panic_on_corruption        what becomes of a wrong block
    restart_on_error | panic_on_error                                      … and of one that cannot be read
    ignore_zero_blocks  check_at_most_once  try_verify_in_tasklet
    use_fec_from_device <device> fec_roots <n> fec_blocks <n> [fec_start <block>]
    root_hash_sig_key_desc <description of a key that holds the root hash's signature>

The last one is in the kernel's keyring: the line carries it, and whoever opens the line has to answer for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.core.units import plural
from bootpath.formats.dm.target import Target
from bootpath.formats.verity.fec import FecParameters
from bootpath.formats.verity.tree import VerityParameters

CORRUPTION_OPTIONS = ("ignore_corruption", "restart_on_corruption", "panic_on_corruption")
ERROR_OPTIONS = ("restart_on_error", "panic_on_error")
_FLAGS = (*CORRUPTION_OPTIONS, *ERROR_OPTIONS, "ignore_zero_blocks", "check_at_most_once", "try_verify_in_tasklet")
_FEC_DEVICE, _FEC_BLOCKS, _FEC_START, _FEC_ROOTS = "use_fec_from_device", "fec_blocks", "fec_start", "fec_roots"
_SIGNATURE = "root_hash_sig_key_desc"
_VALUES = (_FEC_DEVICE, _FEC_BLOCKS, _FEC_START, _FEC_ROOTS, _SIGNATURE)
_POSITIONAL = 10
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True)
class VerityFec:
    """Where FEC's parity blocks are: on `device` from block `start_block`, in blocks of the data's size."""

    device: str
    parameters: FecParameters
    start_block: int = 0

    @property
    def offset_bytes(self) -> int:
        """Where it begins."""
        return self.start_block * self.parameters.block_size

    def __post_init__(self) -> None:
        if self.offset_bytes + self.parameters.parity_bytes >= 1 << 63:
            raise _fault("the FEC area ends too late", f"fec_start {self.start_block}", "an area that ends below 2^63")


@dataclass(frozen=True, slots=True)
class VerityTarget(Target):
    """`options` are names of flags. Raises FormatError for what Linux would not open."""

    data: str
    hashes: str
    parameters: VerityParameters
    start_block: int
    root_hash: bytes
    options: tuple[str, ...] = ()
    fec: VerityFec | None = None
    signature_key: str | None = None

    def __post_init__(self) -> None:
        if len(self.root_hash) != self.parameters.digest_bytes:
            raise _fault(
                "the root hash has another length than the algorithm's digest",
                f"{len(self.root_hash)} bytes",
                f"{self.parameters.digest_bytes} bytes",
            )
        for option in self.options:
            if option not in _FLAGS:
                raise _fault("there is no such option", brief(option), "one of " + " ".join((*_FLAGS, *_VALUES)))
        if len(set(self.options)) != len(self.options):
            raise _fault("an option is given twice", " ".join(self.options), "each at most once")
        for group in (CORRUPTION_OPTIONS, ERROR_OPTIONS):
            if sum(option in group for option in self.options) > 1:
                raise _fault(
                    "two options exclude each other", " ".join(self.options), "at most one of " + " ".join(group)
                )
        self.parameters.levels(self.start_block)
        if self.fec is not None:
            check_fec(self.parameters, self.fec.parameters)

    @classmethod
    def parse(cls, args: Sequence[str]) -> VerityTarget:
        """See `Target.parse`."""
        if len(args) < _POSITIONAL:
            raise _fault("there are too few arguments", len(args), f"at least {_POSITIONAL}")
        version, data, hashes, data_size, hash_size, blocks, start, algorithm, root_hash, salt = args[:_POSITIONAL]
        parameters = VerityParameters(
            _number("num_data_blocks", blocks),
            algorithm,
            b"" if salt == "-" else _hex("salt", salt),
            _number("data_block_size", data_size),
            _number("hash_block_size", hash_size),
            _number("version", version),
        )
        words = tuple(args[_POSITIONAL:])
        if words:
            count, *rest = words
            if _number("#opt_params", count) != len(rest):
                raise _fault("#opt_params is not the number of the words that follow it", count, len(rest))
            words = tuple(rest)
        flags, values = _options(words)
        return cls(
            data,
            hashes,
            parameters,
            _number("hash_start_block", start),
            _hex("root hash", root_hash),
            flags,
            _fec(values, parameters.data_block_size),
            values.get(_SIGNATURE),
        )

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`: as `dmsetup table` prints them."""
        tree, words = self.parameters, (*self.options, *_pack_values(self))
        return (
            str(tree.hash_type),
            self.data,
            self.hashes,
            str(tree.data_block_size),
            str(tree.hash_block_size),
            str(tree.data_blocks),
            str(self.start_block),
            tree.algorithm,
            self.root_hash.hex(),
            tree.salt.hex() or "-",
            *((str(len(words)), *words) if words else ()),
        )

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`."""
        tree = self.parameters
        salt = f"salt of {plural(len(tree.salt), 'byte')}" if tree.salt else "no salt"
        options = f"; {' '.join(self.options)}" if self.options else ""
        fec = "" if self.fec is None else f", repaired with FEC on {self.fec.device}"
        return (
            f"{plural(tree.data_blocks, 'block')} of {tree.data_block_size} bytes of {self.data}, each checked with "
            f"the {tree.algorithm} tree on {self.hashes} from block {self.start_block} ({salt}), root hash "
            f"{self.root_hash.hex()}{fec}{options}"
        )


def check_fec(parameters: VerityParameters, fec: FecParameters) -> None:
    """Raise FormatError for FEC that does not go with a tree.

    "hash_block_size must also be equal to data_block_size"; fec_blocks "must be at least the sum of num_data_blocks
    and the number of blocks needed by the hash tree".
    """
    if not parameters.data_block_size == parameters.hash_block_size == fec.block_size:
        raise _fault(
            "hash_block_size is not data_block_size, as FEC needs",
            parameters.hash_block_size,
            parameters.data_block_size,
        )
    least = parameters.data_blocks + parameters.tree_blocks()
    if fec.blocks < least:
        raise _fault("fec_blocks is less than the data and its tree", fec.blocks, f"at least {least}")


def verity_device_arguments(args: Sequence[str]) -> Sequence[int]:
    """Which of the arguments are devices: data, hashes, and the device of FEC."""
    fec = (index + 1 for index, word in enumerate(args) if word == _FEC_DEVICE)
    return 1, 2, *(index for index in fec if index < len(args))


def _pack_values(target: VerityTarget) -> Iterator[str]:
    if target.fec is not None:
        yield from (_FEC_DEVICE, target.fec.device)
        yield from (_FEC_BLOCKS, str(target.fec.parameters.blocks))
        yield from (_FEC_START, str(target.fec.start_block))
        yield from (_FEC_ROOTS, str(target.fec.parameters.roots))
    if target.signature_key is not None:
        yield from (_SIGNATURE, target.signature_key)


def _options(words: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """(the flags, the options that have a value); whether a flag is known is the line's matter."""
    flags: list[str] = []
    values: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word not in _VALUES:
            flags.append(word)
            continue
        value = next(rest, None)
        if value is None or word in values:
            problem = "has no value" if value is None else "is given twice"
            raise FormatError(f"option {word} {problem}", where="verity")
        values[word] = value
    return tuple(flags), values


def _fec(values: dict[str, str], block_size: int) -> VerityFec | None:
    """ "If this option is given, then fec_roots and fec_blocks must also be given"."""
    given = [name for name in (_FEC_DEVICE, _FEC_ROOTS, _FEC_BLOCKS, _FEC_START) if name in values]
    if not given:
        return None
    if given[:3] != [_FEC_DEVICE, _FEC_ROOTS, _FEC_BLOCKS]:
        raise _fault("FEC is described in part", " ".join(given), f"{_FEC_DEVICE}, {_FEC_ROOTS} and {_FEC_BLOCKS}")
    parameters = FecParameters(
        _number(_FEC_BLOCKS, values[_FEC_BLOCKS]), block_size, _number(_FEC_ROOTS, values[_FEC_ROOTS])
    )
    return VerityFec(values[_FEC_DEVICE], parameters, _number(_FEC_START, values.get(_FEC_START, "0")))


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise _fault(f"{name} is not a number", brief(text), "decimal digits")
    return int(text)


def _hex(name: str, text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(text) != 2 * len(value):  # fromhex takes blanks too
        raise _fault(f"{name} is not hexadecimal", brief(text), "pairs of digits")
    return value


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="verity", found=found, expected=expected)
