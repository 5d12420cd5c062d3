from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, FaultHit, FaultKind, FaultRule, pack_rules, parse_rules
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.extents import Extent
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting, disk, whole

SIZE = 16 * KIB
ALL = frozenset({"read", "write", "flush", "discard", "zero"})


def writable() -> MemoryDevice:
    return MemoryDevice(bytearray(pattern(0, SIZE)))


def outcomes(fault: Fault, offsets: range) -> list[bool]:
    result = []
    for offset in offsets:
        try:
            fault.read(offset, 512)
            result.append(True)
        except DeviceError:
            result.append(False)
    return result


def test_without_rules_everything_passes_through() -> None:
    lower = Counting(bytearray(pattern(0, SIZE)))
    lower.resident = True
    fault = Fault(lower, [], owns=True)
    assert_pattern(read_bytes(fault, 512, 4096), 512)
    assert fault.read_resident(0, 512) is not None
    fault.write(0, pattern(0, 512, tag=1), fua=True)
    fault.zero(512, 512)
    fault.discard(1024, 512)
    fault.flush()
    assert read_bytes(lower, 0, 1536) == pattern(0, 512, tag=1) + bytes(1024)
    assert [segment.source for segment in fault.extents(0, 512)] == ["memory"]
    assert fault.hits == []
    fault.close()
    assert lower.closed == 1


def test_error_carries_its_errno_and_does_not_reach_the_disk() -> None:
    lower = writable()
    fault = Fault(lower, [FaultRule(FaultKind.ERROR, ALL, errno=errno.ENOSPC)])
    operations: list[Callable[[], object]] = [
        lambda: fault.read(0, 512),
        lambda: fault.write(0, bytes(512)),
        lambda: fault.zero(0, 512),
        lambda: fault.discard(0, 512),
        lambda: fault.flush(),
    ]
    for operation in operations:
        with pytest.raises(DeviceError, match="failed: fault rule 0") as caught:
            operation()
        assert caught.value.errno == errno.ENOSPC
    assert_pattern(whole(lower), 0)
    assert [hit.operation for hit in fault.hits] == ["read", "write", "zero", "discard", "flush"]


def test_after_and_count_choose_which() -> None:
    fault = Fault(disk(SIZE), [FaultRule(FaultKind.ERROR, after=2, count=3)])
    assert outcomes(fault, range(0, 8 * 512, 512)) == [True, True, False, False, False, True, True, True]
    assert fault.hits == [FaultHit(0, "read", offset, 512) for offset in (1024, 1536, 2048)]


def test_extent_chooses_where() -> None:
    fault = Fault(disk(SIZE), [FaultRule(FaultKind.ERROR, extent=Extent(1000, 100))])
    assert outcomes(fault, range(0, 4 * 512, 512)) == [True, False, False, True]


def test_probability_is_seeded_and_each_rule_has_its_own_numbers() -> None:
    def run(seed: int, rules: list[FaultRule]) -> list[bool]:
        return outcomes(Fault(disk(SIZE), rules, seed=seed, sleep=lambda seconds: None), range(0, SIZE, 512))

    rule = FaultRule(FaultKind.ERROR, probability=0.5)
    first = run(1, [rule])
    assert first == run(1, [rule])
    assert first != run(2, [rule])
    assert 4 < sum(first) < 28
    assert run(1, [rule, FaultRule(FaultKind.DELAY, probability=0.5)]) == first


def test_delay_sleeps_and_goes_on() -> None:
    slept: list[float] = []
    fault = Fault(disk(SIZE), [FaultRule(FaultKind.DELAY, delay_seconds=0.25)], sleep=slept.append)
    assert_pattern(read_bytes(fault, 0, 512), 0)
    assert slept == [0.25]


def test_corrupt_flips_one_bit_of_a_copy() -> None:
    lower = writable()
    fault = Fault(lower, [FaultRule(FaultKind.CORRUPT, frozenset({"read"}), extent=Extent(600, 8))], seed=3)
    data = read_bytes(fault, 512, 512)
    changed = [index for index, (one, other) in enumerate(zip(data, pattern(512, 512), strict=True)) if one != other]
    assert len(changed) == 1
    assert 600 <= 512 + changed[0] < 608
    assert (data[changed[0]] ^ pattern(512, 512)[changed[0]]).bit_count() == 1
    assert_pattern(whole(lower), 0)
    assert read_bytes(Fault(lower, fault.rules, seed=3), 512, 512) == data  # the same seed, the same bit
    assert_pattern(read_bytes(fault, 0, 512), 0)


def test_corrupt_on_the_way_down_leaves_the_callers_buffer_alone() -> None:
    lower = writable()
    data = bytearray(pattern(0, 512, tag=1))
    Fault(lower, [FaultRule(FaultKind.CORRUPT, frozenset({"write"}))]).write(0, data)
    assert_pattern(bytes(data), 0, tag=1)
    assert sum(one != other for one, other in zip(read_bytes(lower, 0, 512), data, strict=True)) == 1


def test_short_is_eio_never_a_short_success() -> None:
    fault = Fault(disk(SIZE), [FaultRule(FaultKind.SHORT, errno=errno.EPERM)])
    with pytest.raises(DeviceError, match="came up short") as caught:
        fault.read(0, 512)
    assert caught.value.errno == errno.EIO


def test_stall_blocks_until_release_and_stalls_again() -> None:
    fault = Fault(disk(SIZE), [FaultRule(FaultKind.STALL)])
    with ThreadPoolExecutor() as pool:
        for round_ in range(2):
            reads = [pool.submit(read_bytes, fault, index * 512, 512) for index in range(2)]
            assert fault.wait_stalled(2)
            assert not any(read.done() for read in reads)
            fault.release()
            assert [read.result(10) for read in reads] == [pattern(0, 512), pattern(512, 512)]
            assert len(fault.hits) == 2 * (round_ + 1)
        last = pool.submit(read_bytes, fault, 0, 512)
        assert fault.wait_stalled()
        fault.close()
        assert last.result(10) == pattern(0, 512)
        assert pool.submit(read_bytes, fault, 0, 512).result(10) == pattern(0, 512)
    assert not fault.wait_stalled(timeout_seconds=0)


def test_a_range_that_a_rule_could_hit_is_not_resident() -> None:
    fault = Fault(
        disk(SIZE),
        [FaultRule(FaultKind.ERROR, extent=Extent(0, 512), count=1), FaultRule(FaultKind.ERROR, frozenset({"write"}))],
    )
    assert fault.read_resident(0, 512) is None
    assert fault.read_resident(512, 512) is not None
    assert fault.hits == []
    assert outcomes(fault, range(0, 512, 512)) == [False]
    assert fault.read_resident(0, 512) is not None  # the rule is spent


def test_several_rules_hit_in_order_until_one_fails() -> None:
    slept: list[float] = []
    rules = [
        FaultRule(FaultKind.DELAY, delay_seconds=1),
        FaultRule(FaultKind.ERROR, count=1),
        FaultRule(FaultKind.CORRUPT),
    ]
    fault = Fault(disk(SIZE), rules, sleep=slept.append)
    with pytest.raises(DeviceError):
        fault.read(0, 512)
    assert read_bytes(fault, 0, 512) != pattern(0, 512)
    assert [hit.rule for hit in fault.hits] == [0, 1, 0, 2]
    assert slept == [1, 1]


def test_rules_are_parsed() -> None:
    text = (
        "read:error:errno=EIO:after=3:count=1:extent=0+4096,"
        "write+flush:stall:errno=ENOSPC,"
        "zero:delay:delay=0.5:probability=0.25"
    )
    assert parse_rules(text) == (
        FaultRule(FaultKind.ERROR, frozenset({"read"}), Extent(0, 4096), 3, 1),
        FaultRule(FaultKind.STALL, frozenset({"write", "flush"}), errno=errno.ENOSPC),
        FaultRule(FaultKind.DELAY, frozenset({"zero"}), delay_seconds=0.5, probability=0.25),
    )
    assert parse_rules("read:error:errno=28") == parse_rules("read:error:errno=ENOSPC")
    assert parse_rules(pack_rules(parse_rules(text))) == parse_rules(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "read",
        "read:",
        "read:explode",
        "look:error",
        "+:error",
        "read:error:after",
        "read:error:after=",
        "read:error:after=-1",
        "read:error:after=1:after=2",
        "read:error:wrong=1",
        "read:error:errno=EWHAT",
        "read:error:errno=99999",
        "read:error:extent=5",
        "read:error:extent=0x0+5",
        "read:error:count=" + "9" * 5000,
        "read:delay:delay=nan",
        "read:delay:delay=-1",
        "read:delay:delay=inf",
        "read:error:probability=2",
        "read:error,",
    ],
)
def test_rules_that_are_wrong_are_named(text: str) -> None:
    with pytest.raises(FormatError, match="fault rule"):
        parse_rules(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"operations": frozenset()}, "operations"),
        ({"operations": frozenset({"look"})}, "operations"),
        ({"after": -1}, "negative"),
        ({"count": -1}, "negative"),
        ({"delay_seconds": float("nan")}, "delay"),
        ({"probability": 1.5}, "probability"),
    ],
)
def test_a_rule_that_means_nothing_cannot_be_made(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FaultRule(FaultKind.ERROR, **arguments)
