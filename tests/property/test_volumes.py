"""Laws of volume managers: what is written by hand is read again, and a volume reads as its model does."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Identity, read_bytes
from bootpath.formats.lvm2.label import read_lvm2
from bootpath.formats.lvm2.text import Section, parse_lvm_text
from bootpath.formats.ubi.attach import read_ubi
from bootpath.image.contents.lvm import find_volume_groups
from tests.support.lvmdisk import disk, group, logical, pack_text, physical, segment
from tests.support.ubiimage import LEB, Flash, content_of, copied_header, record, static_header, vid_header
from tests.support.volumes import open_logical_volume, open_ubi_volume

EXTENT = 4096
START = 131072
SECTOR = 512

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.+-/@", min_size=1, max_size=8)
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(st.integers(-(2**63), 2**64 - 1), strings)
trees = st.recursive(
    st.dictionaries(names, st.one_of(scalars, st.lists(scalars, max_size=4)), max_size=4),
    lambda inner: st.dictionaries(names, st.one_of(scalars, inner), max_size=4),
    max_leaves=12,
)


def as_tree(section: Section) -> dict[str, Any]:
    return {
        name: as_tree(value) if isinstance(value, Section) else list(value) if isinstance(value, tuple) else value
        for name, value in section.items.items()
    }


@given(trees)
def test_lvm_text_is_read_as_it_was_written(tree: dict[str, Any]) -> None:
    assert as_tree(parse_lvm_text(pack_text(tree))) == tree


@given(st.integers(512, 16383), st.integers(0, 15000))
def test_a_text_anywhere_in_the_ring(place: int, length: int) -> None:
    text = group({"pv0": physical(1, 1)}, {}, seqno=7) + "#" * min(length, 15000)
    member = read_lvm2(MemoryDevice(bytes(disk(1, text, place=place))))
    assert member.faults == ()
    assert member.group is not None
    assert member.group.seqno == 7


@st.composite
def layouts(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, list[tuple[int, int] | None]]]:
    """Logical volumes on three disks of 12 extents, and for each sector of each the disk and the sector there."""
    free = [(index, extent) for index in range(3) for extent in range(12)]
    volumes: dict[str, Any] = {}
    models: dict[str, list[tuple[int, int] | None]] = {}
    for number in range(draw(st.integers(1, 3))):
        segments: list[dict[str, Any]] = []
        model: list[tuple[int, int] | None] = []
        start = 0
        for _ in range(draw(st.integers(1, 3))):
            stripes = draw(st.integers(1, 3))
            rows = draw(st.integers(1, 3))
            pieces = []
            for index in draw(st.permutations(range(3)))[:stripes]:
                first = draw(st.integers(0, 12 - rows))
                wanted = [(index, first + row) for row in range(rows)]
                if all(place in free for place in wanted):
                    pieces.append((index, first))
                    free = [place for place in free if place not in wanted]
            if not pieces:
                segments.append(segment(start, rows, kind="zero"))
                model += [None] * (rows * 8)
                start += rows
                continue
            chunk = draw(st.sampled_from([1, 2, 8]))
            arguments = [part for index, first in pieces for part in (f"pv{index}", first)]
            count = rows * len(pieces)
            segments.append(segment(start, count, *arguments, size=chunk if len(pieces) > 1 else 0))
            for sector in range(count * 8):
                unit = chunk if len(pieces) > 1 else count * 8
                stripe, within = divmod(sector, unit)
                index, first = pieces[stripe % len(pieces)]
                model.append((index, START // SECTOR + first * 8 + stripe // len(pieces) * unit + within))
            start += count
        volumes[f"lv{number}"] = logical(10 + number, *segments)
        models[f"lv{number}"] = model
    return volumes, models


@settings(max_examples=60)
@given(layouts(), st.permutations(range(3)))
def test_logical_volumes_read_as_their_models(
    layout: tuple[dict[str, Any], dict[str, list[tuple[int, int] | None]]], order: list[int]
) -> None:
    volumes, models = layout
    text = group({f"pv{index}": physical(index + 1, 12, start=START // SECTOR) for index in range(3)}, volumes)
    images = [disk(index + 1, text if index < 2 else None) for index in range(3)]
    for index, image in enumerate(images):
        for sector in range(START // SECTOR, len(image) // SECTOR):
            image[sector * SECTOR : sector * SECTOR + 3] = bytes((index + 1, sector >> 8, sector & 255))
    devices = [MemoryDevice(bytes(images[index]), identity=Identity(f"disk{index}")) for index in order]
    (found,) = find_volume_groups(devices).groups
    for volume in found.volumes:
        opened = open_logical_volume(found, volume)
        content = read_bytes(opened, 0, opened.size_bytes)
        model = models[volume.name]
        assert len(content) == len(model) * SECTOR
        for sector, place in enumerate(model):
            expected = bytes(3) if place is None else bytes((place[0] + 1, place[1] >> 8, place[1] & 255))
            assert content[sector * SECTOR : sector * SECTOR + 3] == expected
        opened.close()


versions = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans()), max_size=12)


@settings(max_examples=60)
@given(versions, st.integers(0, 3 * LEB), st.randoms(use_true_random=False))
def test_ubi_volumes_read_as_their_models(
    written: list[tuple[int, bool, bool]], static_bytes: int, random: Any
) -> None:
    """LEBs are written again, some as copies, some torn; whatever order they lie in, the last whole one is read."""
    image = Flash({0: record("dynamic", 6), 1: record("static", 3, kind=2)}).layout()
    blocks: list[tuple[bytes, bytes]] = []
    model: dict[int, bytes] = {}
    for number, (lnum, copy, torn) in enumerate(written):
        content = content_of(number)
        header = copied_header if copy else lambda volume, lnum, _, **more: vid_header(volume, lnum, **more)
        damaged = copy and torn and lnum in model
        blocks.append((header(0, lnum, content, sqnum=100 + number), content[:-1] + b"?" if damaged else content))
        if not damaged:
            model[lnum] = content
    static = content_of(500, static_bytes)
    parts = [static[start : start + LEB] for start in range(0, static_bytes, LEB)]
    blocks += [(static_header(1, lnum, part, len(parts), sqnum=900 + lnum), part) for lnum, part in enumerate(parts)]
    blocks += [(b"", b"")] * 3
    random.shuffle(blocks)
    for header_bytes, content in blocks:
        image.peb(header_bytes, content)
    device = image.device()
    ubi = read_ubi(device)
    dynamic, fixed = ubi.volumes
    opened = open_ubi_volume(device, ubi, dynamic)
    expected = b"".join(model.get(lnum, b"\xff" * LEB) for lnum in range(6))
    assert read_bytes(opened, 0, opened.size_bytes) == expected
    assert ubi.counts.used == 2 + len(model) + len(parts)
    assert ubi.counts.stale == len(written) - len(model)
    if fixed.refusal is None:
        opened = open_ubi_volume(device, ubi, fixed)
        assert read_bytes(opened, 0, opened.size_bytes) == static[: len(static) // 512 * 512]
    else:
        assert static_bytes < 512
