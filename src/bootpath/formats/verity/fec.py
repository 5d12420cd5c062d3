"""Forward error correction of dm-verity: which bytes make up a codeword, its parity, and what parity can repair.

Source: Linux Documentation/admin-guide/device-mapper/verity.rst, "Forward error correction". Everything is compared
with veritysetup in tests/integration/test_verity_fec.py.

The message is the data blocks and behind them the blocks of the hash device from the tree on, padded with zeros to a
multiple of k = 255 - roots blocks. It lies in k regions of `rounds` blocks each, and a codeword has one byte of every
region::

    region 0            region 1                        region k-1
    | block 0 .. R-1    | block R .. 2R-1      ..       | (k-1)R .. kR-1 |      R = rounds
      ^ byte b of n       ^ byte b of R+n                 ^                     codeword n * block_size + b

The parity of codeword c is `roots` bytes from byte c * roots of the parity area. The code is systematic, RS(255, k)
over GF(256) with x^8 + x^4 + x^3 + x^2 + 1, alpha = x, and the first root of the generator alpha^0.

A *row* here is a piece of one region: byte c of each row belongs to codeword c, so that whole rows can be multiplied
(`bytes.translate`) and added (XOR) at once. `repair_codewords` is for few broken blocks. `rs_parity` of the
native module is the fast `encode_parity`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bootpath.core.device import Buffer
from bootpath.core.errors import FormatError

CODEWORD_BYTES = 255
MIN_ROOTS, MAX_ROOTS = 2, 24
_POLYNOMIAL = 0x11D
Encoder: TypeAlias = Callable[[Buffer, int], bytes]
"""Called with a message and roots."""
_MAX_BYTES = 1 << 63


@dataclass(frozen=True, slots=True)
class FecParameters:
    """The shape of a parity area: it covers `blocks` blocks of `block_size` bytes. Raises FormatError."""

    blocks: int
    block_size: int = 4096
    roots: int = 2

    def __post_init__(self) -> None:
        if not MIN_ROOTS <= self.roots <= MAX_ROOTS:
            raise _fault("fec_roots is out of range", self.roots, f"{MIN_ROOTS} to {MAX_ROOTS}")
        if not 0 < self.blocks * self.block_size < _MAX_BYTES // 2:
            raise _fault("fec_blocks is out of range", self.blocks, "at least one, and less than 2^62 bytes in all")

    @property
    def symbols(self) -> int:
        """Message bytes of a codeword, and regions of the message."""
        return CODEWORD_BYTES - self.roots

    @property
    def rounds(self) -> int:
        """Blocks of a region."""
        return -(-self.blocks // self.symbols)

    @property
    def parity_bytes(self) -> int:
        """Size of the parity area."""
        return self.rounds * self.block_size * self.roots

    def place(self, block: int) -> tuple[int, int]:
        """(block in its region, region) of a message block."""
        return block % self.rounds, block // self.rounds


class Field:
    """GF(256) as tables: powers of alpha and their logarithms."""

    def __init__(self) -> None:
        self.exp = bytearray(512)  # twice around, so that sums of two logarithms need no modulo
        self.log = bytearray(256)
        self._exponents = [bytes(-power * each % 255 for each in range(255)) for power in range(MAX_ROOTS + 1)]
        value = 1
        for power in range(255):
            self.exp[power] = self.exp[power + 255] = value
            self.log[value] = power
            value <<= 1
            if value > 255:
                value ^= _POLYNOMIAL

    def product(self, left: int, right: int) -> int:
        """left times right."""
        return self.exp[self.log[left] + self.log[right]] if left and right else 0

    def inverse(self, value: int) -> int:
        """One over a value that is not zero."""
        return self.exp[255 - self.log[value]]

    def power(self, exponent: int) -> int:
        """alpha to the exponent."""
        return self.exp[exponent % 255]

    def times(self, constant: int) -> bytes:
        """The products of a constant with 0 to 255, for `bytes.translate`."""
        return bytes(self.product(constant, value) for value in range(256))

    def evaluate(self, polynomial: Sequence[int], at: int) -> int:
        """The value of a polynomial, whose coefficients begin with that of the lowest power."""
        result = 0
        for coefficient in reversed(polynomial):
            result = self.product(result, at) ^ coefficient
        return result

    def inverse_roots(self, polynomial: Sequence[int]) -> list[int]:
        """The exponents e for which the polynomial is zero at alpha^-e, by its values at all of them (Chien)."""
        total = 0
        for power, coefficient in enumerate(polynomial):
            if coefficient:
                # coefficient * alpha^(-power * e) for e = 0 to 254: logarithms, shifted by that of the coefficient
                shifted = self.exp[self.log[coefficient] :][:256].ljust(256, b"\0")
                total ^= int.from_bytes(self._exponents[power].translate(shifted), "big")
        return [exponent for exponent, value in enumerate(total.to_bytes(255, "big")) if not value]

    def generator(self, roots: int) -> list[int]:
        """The coefficients of the generator, that of the highest power, which is one, first."""
        result = [1]
        for index in range(roots):
            root = self.power(index)
            result = [high ^ self.product(low, root) for high, low in zip([*result, 0], [0, *result], strict=True)]
        return result


def encode_parity(message: Buffer, roots: int) -> bytes:
    """The parity of the codewords of 255 - roots rows of one length, given one after the other. As `rs_parity`."""
    field = Field()
    width = len(message) // (CODEWORD_BYTES - roots)
    factors = [field.times(coefficient) for coefficient in field.generator(roots)[1:]]
    register = [0] * roots
    for start in range(0, width * (CODEWORD_BYTES - roots), width or 1):
        feedback = (register[0] ^ int.from_bytes(message[start : start + width], "big")).to_bytes(width, "big")
        register = [
            after ^ int.from_bytes(feedback.translate(factor), "big")
            for after, factor in zip([*register[1:], 0], factors, strict=True)
        ]
    return interleave([row.to_bytes(width, "big") for row in register])


def fastest_encoder() -> Encoder:
    """`encode_parity`, or the native module's where there is one."""
    try:
        from bootpath._native import rs_parity
    except ImportError:
        return encode_parity
    return rs_parity


def interleave(rows: Sequence[bytes]) -> bytes:
    """Byte 0 of each row, then byte 1 of each, and so on: rows of parity as the parity area has them."""
    result = bytearray(len(rows) * len(rows[0]))
    for index, row in enumerate(rows):
        result[index :: len(rows)] = row
    return bytes(result)


def repair_codewords(
    message: bytes, parity: bytes, roots: int, erased: Collection[int] = (), *, thorough: bool = True
) -> bytes | None:
    """The message as its parity wants it, or None when some codeword is beyond repair.

    `message` is 255 - roots rows as for `encode_parity`. Each codeword can have E wrong bytes among its 255 when rows
    `erased`, which are known to be wrong, and E beside them are at most ``2 * E + len(erased) <= roots``. Without
    `thorough`, which takes a second for thousands of codewords, there must be no others. Whoever needs to be sure
    compares a hash: beyond the limit a codeword may be "repaired" into another one.
    """
    if len(erased) > roots:
        return None
    repairer = _Repairer(message, parity, roots)
    columns = repairer.solve(sorted(erased))
    if columns and not thorough:
        return None
    for column in columns:
        if not repairer.correct(column, sorted(erased)):
            return None
    return b"".join(repairer.rows)


class _Repairer:
    """The decoder. Syndrome k of a codeword c(x) is c(alpha^k); row i is the coefficient of x^(254 - i).

    What the generator leaves of c(x) has the same syndromes, and is the sum of the parity there is and the parity there
    should be: so that of the long message only the parity is to be computed.
    """

    def __init__(self, message: bytes, parity: bytes, roots: int) -> None:
        self._roots = roots
        self._field = Field()
        self._width = width = len(parity) // roots
        self.rows = [bytearray(message[start : start + width]) for start in range(0, len(message), width)]
        remainder = _add(fastest_encoder()(message, roots), parity)
        lines = [remainder[index::roots] for index in range(roots)]
        self._syndromes = [self._syndrome(lines, index) for index in range(roots)]

    def _syndrome(self, lines: Sequence[bytes], index: int) -> bytes:
        factor = self._field.times(self._field.power(index))
        total = bytes(self._width)
        for line in lines:
            total = _add(total.translate(factor), line)
        return total

    def solve(self, erased: Sequence[int]) -> list[int]:
        """Mend the erased rows of all codewords that have no other fault; the codewords that do.

        The erased values Y_j solve sum(Y_j * X_j^k) = syndrome k for k below their number, with the same X_j = alpha^
        (254 - row) in all codewords; the other syndromes tell whether that was all.
        """
        field, count = self._field, len(erased)
        places = [field.power(CODEWORD_BYTES - 1 - row) for row in erased]
        inverse = self._inverse([[field.power(field.log[place] * power) for place in places] for power in range(count)])
        values = []
        for line in inverse:
            value = bytes(self._width)
            for coefficient, syndrome in zip(line, self._syndromes, strict=False):
                value = _add(value, syndrome.translate(field.times(coefficient)))
            values.append(value)
        wrong = 0
        for power in range(count, self._roots):
            rest = self._syndromes[power]
            for place, value in zip(places, values, strict=True):
                rest = _add(rest, value.translate(field.times(field.power(field.log[place] * power))))
            wrong |= int.from_bytes(rest, "big")
        marks = wrong.to_bytes(self._width, "big")
        columns = [column for column, mark in enumerate(marks) if mark]
        untouched = {row: [self.rows[row][column] for column in columns] for row in erased}
        for row, value in zip(erased, values, strict=True):
            self.rows[row] = bytearray(_add(self.rows[row], value))
        for row, saved in untouched.items():
            for column, byte in zip(columns, saved, strict=True):
                self.rows[row][column] = byte
        return columns

    def _inverse(self, matrix: list[list[int]]) -> list[list[int]]:
        """By Gauss and Jordan; a Vandermonde matrix of different places has one."""
        field, size = self._field, len(matrix)
        work = [[*line, *(int(index == at) for at in range(size))] for index, line in enumerate(matrix)]
        for column in range(size):
            pivot = next(index for index in range(column, size) if work[index][column])
            work[column], work[pivot] = work[pivot], work[column]
            scale = field.inverse(work[column][column])
            work[column] = [field.product(scale, value) for value in work[column]]
            for index, line in enumerate(work):
                if index != column and line[column]:
                    factor = line[column]
                    work[index] = [
                        value ^ field.product(factor, other) for value, other in zip(line, work[column], strict=True)
                    ]
        return [line[size:] for line in work]

    def correct(self, column: int, erased: Sequence[int]) -> bool:
        """Mend one codeword, with errors at unknown places (Berlekamp and Massey, Chien, Forney)."""
        field = self._field
        syndromes = [syndrome[column] for syndrome in self._syndromes]
        locator = [1]  # the product of (1 - X_j x) over all faults
        for row in erased:
            locator = self._times(locator, [1, field.power(CODEWORD_BYTES - 1 - row)])
        found = self._locate(syndromes, locator, len(erased))
        if found is None:
            return False
        locator, faults = found
        evaluator = self._times(syndromes, locator)[: self._roots]
        derivative = [value if power % 2 == 0 else 0 for power, value in enumerate(locator[1:])]
        for exponent in faults:
            at = field.power(-exponent)
            slope = field.evaluate(derivative, at)
            if not slope:
                return False
            value = field.product(field.evaluate(evaluator, at), field.inverse(slope))
            # The first root is alpha^0: Forney's formula has one more factor, X_j^1.
            value = field.product(value, field.power(exponent))
            row = CODEWORD_BYTES - 1 - exponent
            if row < len(self.rows):
                self.rows[row][column] ^= value
        return True

    def _locate(self, syndromes: list[int], locator: list[int], erasures: int) -> tuple[list[int], list[int]] | None:
        """(the locator of all faults, their exponents of x); None for too many."""
        field = self._field
        before, length = list(locator), erasures
        for step in range(erasures, self._roots):
            before.insert(0, 0)
            discrepancy = 0
            for power, value in enumerate(locator[: step + 1]):
                discrepancy ^= field.product(value, syndromes[step - power])
            if not discrepancy:
                continue
            after = self._sum(locator, [field.product(discrepancy, value) for value in before])
            if 2 * length <= step + erasures:
                length = step + 1 - length + erasures
                scale = field.inverse(discrepancy)
                before = [field.product(scale, value) for value in locator]
            locator = after
        while locator and not locator[-1]:
            locator.pop()
        degree = len(locator) - 1
        faults = field.inverse_roots(locator)
        if len(faults) != degree or 2 * (degree - erasures) + erasures > self._roots:
            return None
        return locator, faults

    def _times(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        result = [0] * (len(left) + len(right) - 1)
        for low, first in enumerate(left):
            for high, second in enumerate(right):
                result[low + high] ^= self._field.product(first, second)
        return result

    def _sum(self, left: list[int], right: list[int]) -> list[int]:
        size = max(len(left), len(right))
        left, right = left + [0] * (size - len(left)), right + [0] * (size - len(right))
        return [first ^ second for first, second in zip(left, right, strict=True)]


def _add(left: bytes | bytearray, right: bytes | bytearray) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="verity", found=found, expected=expected)
