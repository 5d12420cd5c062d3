from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.vm.blocks import BlockStatistics, parse_block_statistics

STATS = {"rd_bytes": 1, "rd_operations": 2, "wr_bytes": 3, "wr_operations": 4, "flush_operations": 5, "unmap_bytes": 6}


def test_disks_by_name() -> None:
    reply = [
        {"device": "pflash0", "qdev": "/machine/system.flash0", "stats": STATS},
        {"device": "", "qdev": "/machine/peripheral/root/virtio-backend", "node-name": "root", "stats": STATS},
        {"device": "", "qdev": "data", "stats": {**STATS, "failed_rd_operations": 7}},
        {"device": "floppy", "stats": STATS},
    ]
    assert parse_block_statistics(reply) == {
        "root": BlockStatistics(1, 2, 3, 4, 5, 6),
        "data": BlockStatistics(1, 2, 3, 4, 5, 6, 7),
    }


@pytest.mark.parametrize(
    "reply",
    [
        {},
        [1],
        [{"qdev": "/machine/peripheral/a"}],
        [{"qdev": "/machine/peripheral/a", "stats": {"rd_bytes": "many"}}],
    ],
)
def test_replies_that_are_none(reply: object) -> None:
    with pytest.raises(FormatError):
        parse_block_statistics(reply)
