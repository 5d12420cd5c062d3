"""The verdict on a damaged volume with FEC: of verify, of the target that reads it, and of veritysetup.

What is damaged is named by the cases; each says what each of the three has to say of it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import jsonschema
import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.table.veritytarget import open_verity_target
from bootpath.cli.main import main
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.table import parse_line
from bootpath.formats.dm.verity import VerityTarget
from tests.integration.test_veritysetup import veritysetup
from tests.support.tree import schema

BLOCK = 4096
COUNT = 1000
ROUNDS = 4  # blocks of a region, of 1009 blocks and 253 regions
ZEROS = range(600, 640)
SCHEMA = schema("verity")


@dataclass(frozen=True)
class Volume:
    """A volume with FEC data, and zeros among its data."""

    place: Path

    def path(self, name: str) -> Path:
        return self.place / name

    def flip(self, name: str, offset: int, count: int = 1) -> None:
        content = bytearray(self.path(name).read_bytes())
        for index in range(offset, offset + count):
            content[index] ^= 0x41
        self.path(name).write_bytes(content)

    def words(self, *, fec: bool) -> list[str]:
        root = self.path("root").read_text()
        return [str(self.path("data")), str(self.path("hash")), root] + (
            ["--fec-device", str(self.path("fec"))] if fec else []
        )


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    content = bytearray(Random(3).randbytes(COUNT * BLOCK))
    content[ZEROS.start * BLOCK : ZEROS.stop * BLOCK] = bytes(len(ZEROS) * BLOCK)
    made = Volume(tmp_path)
    made.path("data").write_bytes(content)
    made.path("original").write_bytes(content)
    words = ["format", made.path("data"), made.path("hash"), "--fec-device", made.path("fec")]
    assert main(["verity", *map(str, words), "--root-hash-file", str(made.path("root"))]) == 0
    return made


@dataclass(frozen=True)
class Case:
    """A damage; the verdict with FEC, and how many blocks that corrects; whether it is one without FEC."""

    damage: Callable[[Volume], object]
    verdict: str
    corrected: int | None = None
    without_fec: str = "bad"
    wrong_fec: bool = False
    theirs: str | None = None  # where veritysetup has another one


def _flip_blocks(*blocks: int, count: int = 1) -> Callable[[Volume], None]:
    def damage(volume: Volume) -> None:
        for block in blocks:
            volume.flip("data", block * BLOCK, count)

    return damage


def _overwrite(volume: Volume) -> None:
    volume.path("data").write_bytes(Random(4).randbytes(COUNT * BLOCK))


def _flip_data_and_parity(volume: Volume) -> None:
    volume.flip("data", BLOCK)
    volume.flip("fec", 5000)


CASES = {
    "sound": Case(lambda volume: None, "good", without_fec="good"),
    "one byte of data": Case(_flip_blocks(17), "repairable", 1),
    # veritysetup corrects bytes at unknown places, one of two roots; we know which blocks are wrong, as the kernel does
    "as many blocks as roots": Case(_flip_blocks(1, 1 + ROUNDS, count=BLOCK), "repairable", 2, theirs="bad"),
    "a burst": Case(_flip_blocks(*range(20, 20 + ROUNDS)), "repairable", ROUNDS),
    # which veritysetup "corrects" into other codewords, without comparing them with a hash
    "more blocks than roots": Case(
        _flip_blocks(1, 1 + ROUNDS, 1 + 2 * ROUNDS, count=BLOCK), "bad", theirs="repairable"
    ),
    "a zero block": Case(_flip_blocks(ZEROS.start), "repairable", 1),
    "more zero blocks than roots": Case(_flip_blocks(*ZEROS, count=BLOCK), "bad"),
    "a leaf of the tree": Case(lambda volume: volume.flip("hash", 3 * BLOCK), "repairable", 1),
    "the top of the tree": Case(lambda volume: volume.flip("hash", BLOCK), "repairable", 1),
    "parity": Case(lambda volume: volume.flip("fec", 5000), "good", without_fec="good", wrong_fec=True),
    "parity, and data": Case(_flip_data_and_parity, "repairable", 1),
    "all of the data": Case(_overwrite, "bad"),
    "zeros in place of the data": Case(lambda volume: volume.path("data").write_bytes(bytes(COUNT * BLOCK)), "bad"),
    "all of the tree": Case(lambda volume: volume.flip("hash", BLOCK, 9 * BLOCK), "bad"),
}


def ours(volume: Volume, capsys: pytest.CaptureFixture[str], *, fec: bool) -> dict[str, object]:
    """What verify says as JSON; the exit code and the text say the same."""
    words = ["verity", "verify", *volume.words(fec=fec)]
    capsys.readouterr()
    code = main([*words, "--json"])
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, SCHEMA)
    assert code == (3 if value["verdict"] == "bad" else 0)
    assert main(words) == code
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{volume.path('data')}: ") == (code == 0)
    assert ("repairable" in shown.out) == (value["verdict"] == "repairable")
    assert ("verified" in shown.out) == (value["verdict"] == "good")
    assert isinstance(value, dict)
    return value


def theirs(volume: Volume, *, fec: bool) -> str:
    try:
        said = veritysetup("verify", *volume.words(fec=fec))
    except subprocess.CalledProcessError:
        return "bad"
    return "repairable" if "repairable" in said else "good"


def is_read(volume: Volume, capsys: pytest.CaptureFixture[str], *, fec: bool, option: str = "") -> bool:
    """Whether the target that `verity open` serves reads all of the volume, and reads what it should."""
    capsys.readouterr()
    words = ["verity", "open", *volume.words(fec=fec), "--print-table"]
    assert main(words + ([option] if option else [])) == 0
    line = parse_line(capsys.readouterr().out.strip())
    device = open_verity_target(VerityTarget.parse(line.args), FileDevice.open)
    try:
        content = read_bytes(device, 0, device.size_bytes)
    except DeviceError:
        return False
    assert content == volume.path("original").read_bytes()
    return True


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_verdicts(case: Case, volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    case.damage(volume)
    found = ours(volume, capsys, fec=True)
    assert (found["verdict"], found.get("repaired_blocks")) == (case.verdict, case.corrected)
    assert bool(found.get("wrong_fec_blocks")) == case.wrong_fec
    assert theirs(volume, fec=True) == (case.theirs or case.verdict)
    assert ours(volume, capsys, fec=False)["verdict"] == theirs(volume, fec=False) == case.without_fec
    assert is_read(volume, capsys, fec=True) == (case.verdict != "bad")
    assert is_read(volume, capsys, fec=False) == (case.without_fec != "bad")


def test_zeros_are_assumed_with_ignore_zero_blocks_alone(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    """With and without FEC; and FEC corrects what stands beside such blocks as if they held zeros."""
    CASES["more zero blocks than roots"].damage(volume)
    for fec in (True, False):
        assert not is_read(volume, capsys, fec=fec)
        assert is_read(volume, capsys, fec=fec, option="--ignore-zero-blocks")
    volume.flip("data", 0, BLOCK)
    assert is_read(volume, capsys, fec=True, option="--ignore-zero-blocks")
    assert not is_read(volume, capsys, fec=False, option="--ignore-zero-blocks")


@pytest.mark.parametrize("name", ["data", "hash", "fec"])
def test_a_volume_that_is_cut_off(name: str, volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused by who opens it, and by veritysetup, which reads no FEC data of a volume that needs none."""
    path = volume.path(name)
    path.write_bytes(path.read_bytes()[:-BLOCK])
    assert main(["verity", "verify", *volume.words(fec=True)]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert re.search("ends (beyond|past) the device|too short", shown.err)
    assert theirs(volume, fec=True) == ("good" if name == "fec" else "bad")
