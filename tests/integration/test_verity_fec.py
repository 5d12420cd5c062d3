"""Our parity is veritysetup's, byte for byte, wherever it lies; each mends with what the other has made."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.core.device import read_bytes
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.verity.correction import Corrected
from bootpath.image.verity.format import Formatted, format_volume
from bootpath.image.verity.verify import VolumeState, verify_volume
from bootpath.image.verity.volume import FecOptions, VerityVolume, open_fec
from tests.integration.test_veritysetup import veritysetup

BLOCK_SIZES = (512, 1024, 4096)
COUNTS = (1, 2, 252, 253, 254, 700)
ROOTS = (2, 3, 13, 24)
ID = UUID(int=5)
SALT = bytes(range(32))


def sample(count: int) -> list[tuple[int, int, int, str, bool]]:
    """Some of the matrix, the same each time."""
    rows = list(product(BLOCK_SIZES, COUNTS, ROOTS, ("sha1", "sha256", "sha512"), (True, False)))
    return Random(6).sample(rows, count)


def write_data(path: Path, size: int) -> None:
    path.write_bytes(Random(size).randbytes(size))


def theirs(data: Path, hashes: Path, parameters: VerityParameters, *more: str | Path, superblock: bool = True) -> str:
    """The root hash that veritysetup finds."""
    root = data.with_name("their-root")
    size = str(parameters.data_block_size)
    veritysetup(
        *("format", data, hashes, "--hash", parameters.algorithm, "--salt", parameters.salt.hex()),
        *("--data-block-size", size, "--hash-block-size", size, "--data-blocks", str(parameters.data_blocks)),
        *(("--uuid", str(ID)) if superblock else ("--no-superblock",)),
        *("--root-hash-file", root, *more),
    )
    return root.read_text()


@pytest.mark.parametrize(("size", "count", "roots", "algorithm", "superblock"), sample(24))
def test_the_same_bytes(size: int, count: int, roots: int, algorithm: str, superblock: bool, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_data(data, count * size)
    parameters = VerityParameters(count, algorithm, SALT, size, size)
    their_hash = theirs(
        *(data, tmp_path / "their-h", parameters, "--fec-device", tmp_path / "their-f", "--fec-roots", str(roots)),
        superblock=superblock,
    )
    made = format_volume(
        data,
        tmp_path / "h",
        parameters,
        uuid=ID if superblock else None,
        fec=FecOptions(tmp_path / "f", roots=roots),
    )
    assert made.root_hash.hex() == their_hash
    assert made.fec is not None
    for name in "hf":
        assert (tmp_path / name).read_bytes() == (tmp_path / f"their-{name}").read_bytes()


HASHES_AT, FEC_AT = 300 * 4096, 400 * 4096


@pytest.mark.parametrize(
    ("hashes", "hash_offset", "fec", "fec_offset"),
    [
        ("both", HASHES_AT, "fec", 0),
        ("both", HASHES_AT, "both", FEC_AT),
        ("hashes", 0, "both", FEC_AT),
        ("hashes", 0, "hashes", FEC_AT),
        ("hashes", 8192, "fec", 4096),
        ("hashes", 512, "fec", 1536),
    ],
)
@pytest.mark.parametrize("tail", [0, 20000], ids=["exact", "longer"])
def test_wherever_it_lies(hashes: str, hash_offset: int, fec: str, fec_offset: int, tail: int, tmp_path: Path) -> None:
    """Data in "both". What follows the tree on its device is covered too: here, leftovers of `tail` bytes."""
    parameters = VerityParameters(300, salt=SALT)
    for side in ("ours", "theirs"):
        (tmp_path / side).mkdir()
        write_data(tmp_path / side / "both", HASHES_AT)
        if tail:
            write_data(tmp_path / side / "hashes", 60000 + tail)
        if fec == hashes:  # veritysetup covers all before the parity, and makes no hole there
            with (tmp_path / side / fec).open("ab") as file:
                file.truncate(FEC_AT)
    ours, their = tmp_path / "ours", tmp_path / "theirs"
    their_hash = theirs(
        *(their / "both", their / hashes, parameters, "--hash-offset", str(hash_offset)),
        *("--fec-device", their / fec, "--fec-offset", str(fec_offset)),
    )
    made = format_volume(
        ours / "both", ours / hashes, parameters, uuid=ID, offset=hash_offset, fec=FecOptions(ours / fec, fec_offset)
    )
    assert made.root_hash.hex() == their_hash
    for path in their.iterdir():
        if path.name != "their-root":
            assert path.read_bytes() == (ours / path.name).read_bytes(), path.name


@pytest.fixture
def volume(tmp_path: Path) -> tuple[Path, Formatted]:
    data = tmp_path / "data"
    write_data(data, 1000 * 4096)
    parameters = VerityParameters(1000, salt=SALT)
    made = format_volume(data, tmp_path / "h", parameters, uuid=ID, fec=FecOptions(tmp_path / "f", roots=4))
    theirs(data, tmp_path / "their-h", parameters, "--fec-device", tmp_path / "their-f", "--fec-roots", "4")
    return tmp_path, made


def break_blocks(path: Path, *blocks: int) -> None:
    with path.open("r+b") as file:
        for block in blocks:
            file.seek(block * 4096)
            file.write(bytes(4096))


def test_veritysetup_repairs_with_our_fec(volume: tuple[Path, Formatted]) -> None:
    directory, made = volume
    break_blocks(directory / "data", 10, 11, 300)
    break_blocks(directory / "h", 3)
    arguments = ("verify", directory / "data", directory / "h", made.root_hash.hex())
    with pytest.raises(subprocess.CalledProcessError):
        veritysetup(*arguments)
    assert "repairable errors" in veritysetup(*arguments, "--fec-device", directory / "f", "--fec-roots", "4")


def test_we_repair_with_their_fec(volume: tuple[Path, Formatted]) -> None:
    directory, made = volume
    content = (directory / "data").read_bytes()
    break_blocks(directory / "data", *range(101, 105))
    break_blocks(directory / "their-h", 1, 5)
    data, hashes, fec = (FileDevice.open(directory / name) for name in ("data", "their-h", "their-f"))
    place = FecOptions(directory / "their-f", roots=4)
    parity = open_fec(fec, made.area, hashes, place, on_hash_device=False)
    opened = VerityVolume.open(data, hashes, made.area, made.root_hash.hex(), fec=parity)
    device = opened.device()
    assert read_bytes(device, 0, device.size_bytes) == content
    assert opened.check() != []
    verification = verify_volume(opened)
    assert (verification.verdict, verification.corrected) == (VolumeState.REPAIRABLE, Corrected(4, 2))
    opened.close()
