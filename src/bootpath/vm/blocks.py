"""How much a machine's disks have been used, from QEMU's query-blockstats.

Source: QMP reference, BlockStats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bootpath.core.errors import FormatError

_PERIPHERAL = "/machine/peripheral/"


@dataclass(frozen=True, slots=True)
class BlockStatistics:
    """What the guest did with one disk since it was plugged in: completed operations, and their bytes."""

    read_bytes: int = 0
    read_operations: int = 0
    written_bytes: int = 0
    write_operations: int = 0
    flush_operations: int = 0
    discarded_bytes: int = 0
    failed_operations: int = 0


def parse_block_statistics(reply: object) -> dict[str, BlockStatistics]:
    """The disks in query-blockstats' reply, by name. Raises FormatError for a reply that is none."""
    if not isinstance(reply, list):
        raise FormatError("the reply is not a list", where="query-blockstats")
    found: dict[str, BlockStatistics] = {}
    for entry in reply:
        if not isinstance(entry, dict):
            raise FormatError("an entry is not an object", where="query-blockstats")
        name = disk_of(entry.get("qdev"))
        if name is not None:
            found[name] = _statistics(entry.get("stats"))
    return found


def disk_of(qdev: object) -> str | None:
    """The disk's name in the ``qdev`` of query-block and query-blockstats; None for what is no disk of ours.

    A device is called by its id, and one that is a part of another, as with virtio, by its path.
    """
    if not isinstance(qdev, str):
        return None
    if qdev.startswith(_PERIPHERAL):
        return qdev[len(_PERIPHERAL) :].partition("/")[0]
    # Flash chips and other drives that are built in have other paths.
    return None if qdev.startswith("/") or not qdev else qdev


def _statistics(stats: object) -> BlockStatistics:
    if not isinstance(stats, dict):
        raise FormatError("an entry has no stats", where="query-blockstats")
    failed = ("failed_rd_operations", "failed_wr_operations", "failed_flush_operations", "failed_unmap_operations")
    return BlockStatistics(
        _number(stats, "rd_bytes"),
        _number(stats, "rd_operations"),
        _number(stats, "wr_bytes"),
        _number(stats, "wr_operations"),
        _number(stats, "flush_operations"),
        _number(stats, "unmap_bytes"),
        sum(_number(stats, name) for name in failed),
    )


def _number(stats: Mapping[str, object], name: str) -> int:
    value = stats.get(name, 0)
    if not isinstance(value, int):
        raise FormatError(f"{name} is not a number", where="query-blockstats")
    return value
