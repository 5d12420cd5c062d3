"""fault: fails, delays, corrupts or stalls chosen operations on the device below. The public double for a bad disk.

Deterministic: the same rules, seed and operations give the same faults; each rule has its own random numbers, so adding
a rule changes no other's choices.

The grammar of `parse_rules`, also a table's argument (no blanks), is rules separated by commas::

    <operation>[+<operation>…]:<kind>[:<name>=<value>…]

    read:error:errno=EIO:after=3:count=1:extent=0+4096
    write+flush:error:errno=ENOSPC,read:corrupt:probability=0.01

Operations: read write flush discard zero. Kinds: error delay corrupt short stall. Names: errno (name or number),
after, count, extent (offset+length in bytes), delay (seconds), probability (0 to 1).
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from bootpath.block.targets.filter import Filter
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.extents import Extent

OPERATIONS = frozenset({"read", "write", "flush", "discard", "zero"})


class FaultKind(Enum):
    """What a rule does to an operation that it hits."""

    ERROR = "error"  # fails with the rule's errno; the lower device is not asked
    DELAY = "delay"  # sleeps first
    CORRUPT = "corrupt"  # flips one bit of a copy of what is read or written
    SHORT = "short"  # the lower device returns, or accepts, too little: EIO, since a short success is forbidden
    STALL = "stall"  # blocks until `release`


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Which operations are hit, and how.

    An operation matches when it is one of `operations` and touches `extent` (None: anywhere; flush has no range and
    matches any). The first `after` matches are let through, then at most `count` are hit (None: all), each with
    `probability`. Raises ValueError for an operation that does not exist and numbers out of range.
    """

    kind: FaultKind
    operations: frozenset[str] = frozenset({"read"})
    extent: Extent | None = None
    after: int = 0
    count: int | None = None
    errno: int = errno.EIO
    delay_seconds: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not self.operations or not self.operations <= OPERATIONS:
            raise ValueError(f"operations are {sorted(self.operations)}, must be some of {sorted(OPERATIONS)}")
        if self.after < 0 or (self.count is not None and self.count < 0):
            raise ValueError("after and count must not be negative")
        if not 0 <= self.delay_seconds < float("inf") or not 0 <= self.probability <= 1:
            raise ValueError("delay must not be negative and probability must be from 0 to 1")


@dataclass(frozen=True, slots=True)
class FaultHit:
    """A rule that was applied: its index, the operation and its range (flush: 0, 0)."""

    rule: int
    operation: str
    offset: int
    length: int


class _State:
    """What a rule has seen."""

    __slots__ = ("hits", "random", "seen")

    def __init__(self, seed: int, index: int) -> None:
        self.seen = 0
        self.hits = 0
        self.random = Random(f"{seed}:{index}")  # noqa: S311 - reproducible on purpose, no secret


class Fault(Filter):
    """Applies `rules`, in order, to the operations on `lower`; several may hit one operation, an error ends it.

    `hits` lists what was applied. Closing a Fault closes the lower device only when it `owns` it, and releases what is
    stalled.
    """

    def __init__(
        self,
        lower: Device,
        rules: Sequence[FaultRule],
        *,
        seed: int = 0,
        sleep: Callable[[float], None] = time.sleep,
        owns: bool = False,
    ) -> None:
        super().__init__(lower, owns=owns)
        self.rules = tuple(rules)
        self.hits: list[FaultHit] = []
        self._states = [_State(seed, index) for index in range(len(self.rules))]
        self._sleep = sleep
        self._condition = threading.Condition()
        self._stalled = 0
        self._releases = 0
        self._released = False

    # Choosing

    def _matches(self, rule: FaultRule, operation: str, offset: int, length: int) -> bool:
        if operation not in rule.operations:
            return False
        return rule.extent is None or operation == "flush" or rule.extent.overlaps(Extent(offset, length))

    def _hit(self, operation: str, offset: int, length: int) -> list[int]:
        """The rules that hit this operation; counts it for all that match."""
        hit: list[int] = []
        with self._condition:
            for index, (rule, state) in enumerate(zip(self.rules, self._states, strict=True)):
                if not self._matches(rule, operation, offset, length):
                    continue
                state.seen += 1
                if state.seen <= rule.after or (rule.count is not None and state.hits >= rule.count):
                    continue
                if rule.probability < 1 and state.random.random() >= rule.probability:
                    continue
                state.hits += 1
                hit.append(index)
                self.hits.append(FaultHit(index, operation, offset, length))
                if rule.kind in (FaultKind.ERROR, FaultKind.SHORT):
                    break
        return hit

    def _apply(self, operation: str, offset: int, length: int) -> list[int]:
        """Delay, stall or fail; returns the rules that corrupt."""
        corrupt: list[int] = []
        for index in self._hit(operation, offset, length):
            rule = self.rules[index]
            if rule.kind is FaultKind.DELAY:
                self._sleep(rule.delay_seconds)
            elif rule.kind is FaultKind.STALL:
                self._stall()
            elif rule.kind is FaultKind.CORRUPT:
                corrupt.append(index)
            else:
                short = rule.kind is FaultKind.SHORT
                how = "came up short" if short else "failed"
                raise DeviceError(
                    f"{operation} of {length} bytes at {offset} {how}: fault rule {index}",
                    errno=errno.EIO if short else rule.errno,
                    where=self.identity.name,
                )
        return corrupt

    def _flip(self, indices: Sequence[int], offset: int, data: bytes) -> bytearray:
        """A copy of the data with one bit flipped for each rule, where the rule's extent allows."""
        copy = bytearray(data)
        for index in indices:
            extent = self.rules[index].extent
            low = 0 if extent is None else max(0, extent.offset - offset)
            high = len(copy) if extent is None else min(len(copy), extent.end - offset)
            with self._condition:
                bit = self._states[index].random.randrange(low * 8, high * 8)
            copy[bit // 8] ^= 1 << bit % 8
        return copy

    # Stalling

    def _stall(self) -> None:
        with self._condition:
            releases = self._releases
            self._stalled += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._released or self._releases != releases)
            self._stalled -= 1

    def wait_stalled(self, number: int = 1, *, timeout_seconds: float = 10.0) -> bool:
        """Wait until `number` operations are stalled; False when that does not happen in time. For tests."""
        with self._condition:
            return self._condition.wait_for(lambda: self._stalled >= number, timeout_seconds)

    def release(self) -> None:
        """Let every operation that is stalled now continue. Later ones stall again."""
        with self._condition:
            self._releases += 1
            self._condition.notify_all()

    # The device

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        corrupt = self._apply("read", offset, length)
        views = self.lower.read(offset, length)
        return (self._flip(corrupt, offset, b"".join(views)),) if corrupt else views

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None where a rule could hit the read, so that only `read` counts and fails."""
        with self._condition:
            for rule, state in zip(self.rules, self._states, strict=True):
                spent = rule.count is not None and state.hits >= rule.count
                if not spent and self._matches(rule, "read", offset, length):
                    return None
        return self.lower.read_resident(offset, length)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        corrupt = self._apply("write", offset, len(data))
        self.lower.write(offset, self._flip(corrupt, offset, bytes(data)) if corrupt else data, fua=fua)

    def flush(self) -> None:
        """See `Device.flush`."""
        self._apply("flush", 0, 0)
        self.lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`. A corrupt rule has nothing to corrupt here."""
        self._apply("discard", offset, length)
        self.lower.discard(offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`. A corrupt rule has nothing to corrupt here."""
        self._apply("zero", offset, length)
        self.lower.zero(offset, length)

    def close(self) -> None:
        """See `Device.close`: nothing stalls any more; an owned lower device is closed."""
        with self._condition:
            self._released = True
            self._condition.notify_all()
        super().close()


def parse_rules(text: str) -> tuple[FaultRule, ...]:
    """The rules in a text of the module's grammar. Raises FormatError that quotes the rule."""
    return tuple(_parse_rule(part) for part in text.split(","))


def _parse_rule(text: str) -> FaultRule:
    operations, _, rest = text.partition(":")
    kind, *pairs = rest.split(":")
    where = f"fault rule {text!r}"
    if kind not in (each.value for each in FaultKind):
        raise FormatError(
            "there is no such kind of fault",
            where=where,
            found=repr(kind),
            expected=" ".join(each.value for each in FaultKind),
        )
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in _NAMES or name in values:
            raise FormatError(
                "an argument is wrong or repeated",
                where=where,
                found=repr(pair),
                expected=" ".join(_NAMES) + " once each",
            )
        values[name] = value
    try:
        return FaultRule(
            FaultKind(kind),
            frozenset(operations.split("+")),
            extent=_extent(values["extent"]) if "extent" in values else None,
            after=_number(values.get("after", "0")),
            count=_number(values["count"]) if "count" in values else None,
            errno=_errno(values.get("errno", "EIO")),
            delay_seconds=float(values.get("delay", "0")),
            probability=float(values.get("probability", "1")),
        )
    except ValueError as error:
        raise FormatError(str(error), where=where) from error


_NAMES = ("errno", "after", "count", "extent", "delay", "probability")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a decimal number")
    return int(text)


def _extent(text: str) -> Extent:
    offset, _, length = text.partition("+")
    return Extent(_number(offset), _number(length))


def _errno(text: str) -> int:
    if text in errno.errorcode.values():
        return int(getattr(errno, text))
    code = _number(text)
    if code not in errno.errorcode:
        raise ValueError(f"{code} is no errno")
    return code


def pack_rules(rules: Sequence[FaultRule]) -> str:
    """The text that `parse_rules` reads as these rules."""
    return ",".join(_pack_rule(rule) for rule in rules)


def _pack_rule(rule: FaultRule) -> str:
    fields = ["+".join(sorted(rule.operations)), rule.kind.value]
    if rule.errno != errno.EIO:
        fields.append(f"errno={errno.errorcode[rule.errno]}")
    if rule.after:
        fields.append(f"after={rule.after}")
    if rule.count is not None:
        fields.append(f"count={rule.count}")
    if rule.extent is not None:
        fields.append(f"extent={rule.extent.offset}+{rule.extent.length}")
    if rule.delay_seconds:
        fields.append(f"delay={rule.delay_seconds!r}")
    if rule.probability != 1:
        fields.append(f"probability={rule.probability!r}")
    return ":".join(fields)
