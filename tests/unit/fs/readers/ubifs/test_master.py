"""The master node: the newest that counts, after each way in which a power cut can end the writing of two of them."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.fs.readers.ubifs.master import read_master
from bootpath.fs.readers.ubifs.nodes import Place
from tests.support.ubifsimage import LEB_BYTES, Image, master, small
from tests.unit.fs.readers.ubifs.test_nodes import lebs_of

STEP = 512
ROOT = Place(12, 0, 48)
FULL = LEB_BYTES // STEP
TORN = b"\x31\x18\x10\x06torn" + b"\0" * 100


def node(commit: int, **more: int) -> bytes:
    return master(ROOT, commit=commit, **more)


def image_of(first: list[bytes], second: list[bytes]) -> Image:
    image = small().finish()
    for leb, nodes in ((1, first), (2, second)):
        image.put(leb, 0, b"\xff" * LEB_BYTES)
        for index, each in enumerate(nodes):
            image.put(leb, index * STEP, each)
    return image


def commits(count: int) -> list[bytes]:
    return [node(commit) for commit in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, FULL])
def test_both_agree(count: int) -> None:
    found = read_master(lebs_of(image_of(commits(count), [node(n + 1, sequence=9) for n in range(count)])))
    assert (found.commit, found.clean, found.root, found.log_leb) == (count, True, ROOT, 3)


def test_not_unmounted() -> None:
    found = read_master(lebs_of(image_of([node(1, flags=1)], [node(1, flags=1)])))
    assert not found.clean


@pytest.mark.parametrize(
    ("first", "second", "commit"),
    [
        # the second was not written, or not to its end
        (commits(3), commits(2), 3),
        (commits(3), [*commits(2), TORN], 3),
        # the first was not written to its end
        ([*commits(2), TORN], commits(2), 2),
        # the first was erased when it was full, then written, and the second not yet, or erased
        ([node(FULL + 1)], commits(FULL), FULL + 1),
        ([node(FULL + 1)], [], FULL + 1),
        ([node(FULL + 1)], [TORN], FULL + 1),
        # the first was erased only
        ([], commits(FULL), FULL),
        ([TORN], commits(FULL), FULL),
        # what a recovery wrote counts, whatever the second has
        ([node(5, flags=4)], commits(3), 5),
    ],
)
def test_recovery(first: list[bytes], second: list[bytes], commit: int) -> None:
    found = read_master(lebs_of(image_of(first, second)))
    assert (found.commit, found.clean) == (commit, False)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([], commits(2)),
        (commits(2), []),
        (commits(4), commits(2)),
        (commits(2), commits(3)),
        (commits(2), [node(1), node(9)]),
        ([*commits(3), TORN], commits(2)),
        ([*commits(1), TORN, TORN], commits(1)),
        ([*commits(1), TORN, b"", TORN], commits(1)),
    ],
)
def test_what_no_power_cut_does(first: list[bytes], second: list[bytes]) -> None:
    with pytest.raises(FormatError, match="image: ubifs: corrupt: the master nodes"):
        read_master(lebs_of(image_of(first, second)))


def test_fields_out_of_range() -> None:
    wrong = [node(1, log=5)]
    with pytest.raises(FormatError, match="the log begins outside its area; expected 3 to 4, found 5"):
        read_master(lebs_of(image_of(wrong, wrong)))
