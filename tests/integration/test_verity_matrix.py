"""bootpath verity format beside veritysetup's, from the command line: every file equal, and each checks the other's.

Chosen at random, the same each time, with what is rare in it: single blocks, large blocks, areas in the data's file,
no superblock, parity.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from bootpath.cli.main import main
from tests.integration.test_veritysetup import veritysetup

UUID = "11111111-2222-3333-4444-555555555555"
DATA_SIZES = (512, 1024, 2048, 4096, 8192, 65536)
HASH_SIZES = (512, 1024, 4096, 4096, 16384, 524288)


@dataclass(frozen=True)
class Case:
    """What is asked for; `offset` is where the hash area begins, in the data's file when it is in the `same`."""

    blocks: int
    data_size: int
    hash_size: int
    same: bool
    superblock: bool
    options: tuple[str, ...]
    fec: tuple[str, ...]
    offset: int

    @classmethod
    def number(cls, seed: int) -> Case:
        random = Random(seed)
        data_size, hash_size = random.choice(DATA_SIZES), random.choice(HASH_SIZES)
        fec = random.random() < 0.4
        if fec:
            hash_size = data_size
        same, superblock = random.random() < 0.4, random.random() < 0.7
        blocks = random.choice((1, 1, 2, 3, random.randrange(4, 40), random.randrange(40, 400)))
        offset = -(-blocks * data_size // hash_size) * hash_size if same else random.choice((0, 0, hash_size))
        salt = random.choice(("-", random.randbytes(32).hex(), random.randbytes(random.randrange(1, 257)).hex()))
        options = (
            *("--hash", random.choice(("sha1", "sha224", "sha256", "sha384", "sha512"))),
            *("--format", str(random.randrange(2)), "--salt", salt, "--data-blocks", str(blocks)),
            *("--data-block-size", str(data_size), "--hash-block-size", str(hash_size)),
        )
        parity = ("--fec-roots", str(random.randrange(2, 25)), "--fec-offset", str(random.choice((0, data_size))))
        return cls(blocks, data_size, hash_size, same, superblock, options, parity if fec else (), offset)

    def words(self, files: dict[str, Path]) -> list[str]:
        """The options that both programs take."""
        words = [*self.options, "--hash-offset", str(self.offset)]
        words += [] if self.superblock else ["--no-superblock"]
        return words + (["--fec-device", str(files["fec"]), *self.fec] if self.fec else [])


@pytest.mark.parametrize("seed", range(40))
def test_equal_both_ways(seed: int, tmp_path: Path) -> None:
    case = Case.number(seed)
    (tmp_path / "data").write_bytes(Random(seed).randbytes(case.blocks * case.data_size))
    made: dict[str, tuple[dict[str, Path], str]] = {}
    for who in ("ours", "theirs"):
        place = tmp_path / who
        place.mkdir()
        files = {name: place / name for name in ("data", "hash", "fec")}
        shutil.copy(tmp_path / "data", files["data"])
        if case.same:
            files["hash"] = files["data"]
        root = place / "root"
        words = ["format", str(files["data"]), str(files["hash"]), "--root-hash-file", str(root), *case.words(files)]
        words += ["--uuid", UUID] if case.superblock else []
        if who == "ours":
            assert main(["verity", *words]) == 0
        else:
            for name in ("hash", "fec"):
                files[name].touch()
            veritysetup(*words)
        made[who] = files, root.read_text()
    (ours, our_root), (theirs, their_root) = made["ours"], made["theirs"]
    assert our_root == their_root
    for name in ("data", "hash", "fec") if case.fec else ("data", "hash"):
        assert ours[name].read_bytes() == theirs[name].read_bytes(), name
    assert main(["verity", "verify", str(theirs["data"]), str(theirs["hash"]), their_root, *case.words(theirs)]) == 0
    veritysetup("verify", ours["data"], ours["hash"], our_root, *case.words(ours))
