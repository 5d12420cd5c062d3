"""A bit that flips anywhere in an overlay file with checksums: the right data, or EIO, or FormatError.

So in one that was closed, and in one whose process was killed after a flush.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay import journal as overlayjournal
from bootpath.block.overlay import writer as overlaywriter
from bootpath.block.overlay.check import check_storage, repair_storage
from bootpath.block.overlay.file import OverlayFile, load_for
from bootpath.block.overlay.state import lay_out, load
from bootpath.core.device import checked, read_bytes
from bootpath.core.errors import FormatError, IntegrityError
from bootpath.core.extents import Extent
from tests.support.crashstorage import CrashStorage
from tests.support.patterns import pattern

BLOCK = 4096


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlayjournal, "LOG_MIN_BYTES", 2048)
    monkeypatch.setattr(overlaywriter, "_COMMIT_ENTRIES", 12)


def make(blocks: int, seed: int, *, killed: bool = False) -> tuple[bytes, bytes, MemoryDevice]:
    """(a file, the content of the disk, the base)."""
    random = Random(seed)
    size = blocks * BLOCK - 512
    base, storage = MemoryDevice(pattern(0, size)), CrashStorage()
    overlay = OverlayFile(storage, lay_out(storage, base, random=random.randbytes), base)
    disk = checked(overlay)
    for tag in range(1, 5 * blocks):
        offset = random.randrange(size // 512) * 512
        length = 512 * random.randint(1, min((size - offset) // 512, 24))
        match random.randrange(8):
            case 0:
                disk.discard(offset, length)
            case 1:
                disk.flush()
            case _:
                disk.write(offset, pattern(offset, length, tag))
    content = read_bytes(disk, 0, size)
    if killed:
        disk.write(0, pattern(0, 512, 1), fua=True)
        content = read_bytes(disk, 0, size)
        disk.write(0, pattern(0, 512, 2))
    else:
        disk.close()
    return bytes(storage.current), content, base


def outcome(image: bytes, content: bytes, base: MemoryDevice) -> str:
    """What a reader meets: right, EIO, FormatError. Wrong data fails."""
    storage = CrashStorage(image)
    try:
        overlay = OverlayFile(storage, load_for(storage, base, writable=True), base)
    except FormatError:
        return "FormatError"
    try:
        data = read_bytes(overlay, 0, len(content))
    except IntegrityError:
        pass
    else:
        assert data == content
        return "right"
    # Each block is right or EIO, and part of a damaged one cannot be written: that would make it look sound.
    damaged = 0
    for start in range(0, len(content), BLOCK):
        size = min(BLOCK, len(content) - start)
        try:
            assert read_bytes(overlay, start, size) == content[start : start + size]
        except IntegrityError:
            damaged += 1
            assert overlay.read_resident(start, 512) is None
            with pytest.raises(IntegrityError):
                overlay.write(start, bytes(512))
            overlay.write(start, content[start : start + size])
    assert damaged == 1
    assert read_bytes(overlay, 0, len(content)) == content
    return "EIO"


def flips(image: bytes, places: Iterator[int] | range, random: Random) -> Iterator[bytes]:
    damaged = bytearray(image)
    for offset in places:
        bit = 1 << random.randrange(8)
        damaged[offset] ^= bit
        yield bytes(damaged)
        damaged[offset] ^= bit


@pytest.mark.parametrize("killed", [False, True])
def test_a_bit_of_every_byte_of_a_small_file(killed: bool) -> None:
    image, content, base = make(2, 1, killed=killed)
    outcomes = {outcome(damaged, content, base) for damaged in flips(image, range(len(image)), Random(1))}
    assert outcomes == {"right", "EIO", "FormatError"}


@pytest.mark.parametrize("seed", range(4))
def test_bits_all_over_larger_files(seed: int) -> None:
    image, content, base = make(40, seed, killed=seed % 2 == 1)
    random = Random(seed)
    places = iter([random.randrange(len(image)) for _ in range(400)])
    assert "EIO" in {outcome(damaged, content, base) for damaged in flips(image, places, random)}


def lost(image: bytes) -> bytes:
    return bytes(len(image))


def shuffled(image: bytes) -> bytes:
    return image[BLOCK:] + image[:BLOCK]


@pytest.mark.parametrize("damage", [lost, shuffled])
def test_clusters_that_were_lost_or_that_changed_places(damage: Callable[[bytes], bytes]) -> None:
    image, content, base = make(20, 5)
    overlay = load(CrashStorage(image), writable=False)
    runs = [(value, count) for _, value, count in overlay.blocks.held() if value > 1 and count > 1]
    for value, count in runs:
        low, high = value * BLOCK, (value + count) * BLOCK
        storage = CrashStorage(image[:low] + damage(image[low:high]) + image[high:])
        disk = OverlayFile(storage, load_for(storage, base, writable=True), base)
        wrong = 0
        for start in range(0, len(content), BLOCK):
            size = min(BLOCK, len(content) - start)
            try:
                assert read_bytes(disk, start, size) == content[start : start + size]
            except IntegrityError:
                wrong += 1
        assert wrong == count
    assert runs


def test_what_check_finds_is_what_reads_find() -> None:
    image, content, base = make(40, 9)
    random = Random(9)
    seen = set()
    for damaged in flips(image, iter([random.randrange(len(image)) for _ in range(300)]), random):
        result = check_storage(CrashStorage(damaged))
        expected = outcome(damaged, content, base)
        codes = {finding.fault.code for finding in result.findings}
        seen |= codes
        assert ("data-damaged" in codes) == (expected == "EIO")
        assert ("unusable" in codes) == (expected == "FormatError")
        storage = CrashStorage(damaged)
        _, after = repair_storage(storage)
        assert not after.repairs
        assert after.damaged == (expected != "right")
        assert outcome(bytes(storage.current), content, base) == expected
    assert {"data-damaged", "header-damaged"} <= seen


@pytest.mark.parametrize("seed", range(3))
def test_any_damage_is_found_or_harmless_and_a_repair_makes_nothing_worse(seed: int) -> None:
    image, content, base = make(12, seed)
    random = Random(seed)
    for _ in range(150):
        damaged = bytearray(image)
        for _ in range(random.randint(1, 4)):
            low = random.randrange(len(image) // 512) * 512
            length = random.choice((512, 512, 4096))
            match random.randrange(4):
                case 0:
                    damaged[low : low + length] = bytes(len(damaged[low : low + length]))
                case 1:
                    damaged[low : low + length] = random.randbytes(len(damaged[low : low + length]))
                case 2:
                    other = random.randrange(len(image) // 512) * 512
                    damaged[low : low + 512] = image[other : other + 512]
                case _:
                    del damaged[len(damaged) - random.randint(1, 20000) :]
            damaged += bytes(-len(damaged) % 512)
        storage = CrashStorage(bytes(damaged))
        try:
            found = check_storage(storage)
            done, after = repair_storage(storage)
        except FormatError:
            assert not any(damaged[copy * BLOCK :].startswith(b"\x89bpovl\r\n") for copy in range(2))
            continue
        assert (done, after.repairs) == (found.repairs, ())
        lost = {finding.lost.disk for finding in after.findings if finding.lost is not None}
        before = readable(bytes(damaged), content, base)
        repaired = readable(bytes(storage.current), content, base)
        assert (repaired is None) == any(finding.fault.code == "unusable" for finding in after.findings)
        if repaired is not None:
            assert repaired == {
                start
                for start in range(0, len(content), BLOCK)
                if not any(disk.overlaps(Extent(start, 512)) for disk in lost)
            }
            assert before is None or before == repaired


def readable(image: bytes, content: bytes, base: MemoryDevice) -> set[int] | None:
    """Where the blocks begin that can be read, and are right; None when the file cannot be opened."""
    storage = CrashStorage(image)
    try:
        overlay = OverlayFile(storage, load_for(storage, base, writable=True), base)
    except FormatError:
        return None
    found = set()
    for start in range(0, len(content), BLOCK):
        size = min(BLOCK, len(content) - start)
        with contextlib.suppress(IntegrityError):
            assert read_bytes(overlay, start, size) == content[start : start + size]
            found.add(start)
    return found
