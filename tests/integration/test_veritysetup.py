"""Our trees, superblocks and root hashes are veritysetup's, byte for byte, over a matrix; both ways."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.targets.verity.verity import Verity
from bootpath.core.device import read_bytes
from bootpath.formats.verity.tree import (
    ALGORITHMS,
    SUPERBLOCK_BYTES,
    VerityParameters,
    VeritySuperblock,
    pack_verity_superblock,
    parse_verity_superblock,
    tree_start,
)
from bootpath.image.verity.tree import Mismatch, build_tree, check_tree
from tests.support.tools import tool

SIZES = ((4096, 4096), (512, 512), (1024, 4096), (4096, 1024), (4096, 512), (65536, 4096))
BLOCKS = (1, 2, 127, 128, 129, 1000)
SALTS = ("-", "00", "ab" * 32, "cd" * 256)


def sample(count: int) -> list[tuple[str, int, tuple[int, int], int, str]]:
    """Some of the matrix, the same each time; every algorithm with both hash types is in it."""
    random = Random(4)
    rows = [
        (algorithm, hash_type, random.choice(SIZES), random.choice(BLOCKS), random.choice(SALTS))
        for algorithm, hash_type in product(ALGORITHMS, (0, 1))
    ]
    return rows + random.sample(list(product(ALGORITHMS, (0, 1), SIZES, BLOCKS, SALTS)), count)


def veritysetup(*arguments: str | Path) -> str:
    """What it prints, both ways; CalledProcessError when it fails."""
    done = subprocess.run(
        [tool("veritysetup"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout)
    return done.stdout


def write_data(path: Path, size: int) -> None:
    path.write_bytes(Random(size).randbytes(size))


@pytest.mark.parametrize(("algorithm", "hash_type", "sizes", "blocks", "salt"), sample(50))
def test_the_same_bytes(
    algorithm: str, hash_type: int, sizes: tuple[int, int], blocks: int, salt: str, tmp_path: Path
) -> None:
    data_size, hash_size = sizes
    data, theirs, ours = tmp_path / "data", tmp_path / "theirs", tmp_path / "ours"
    write_data(data, blocks * data_size)
    theirs.touch()
    said = veritysetup(
        *("format", data, theirs, "--hash", algorithm, "--format", str(hash_type), "--salt", salt),
        *("--data-block-size", str(data_size), "--hash-block-size", str(hash_size)),
    )
    found = re.search(r"Root hash:\s+(\S+)", said)
    assert found is not None
    content = theirs.read_bytes()
    superblock = parse_verity_superblock(content[:SUPERBLOCK_BYTES])
    assert pack_verity_superblock(superblock) == content[:SUPERBLOCK_BYTES]
    parameters = superblock.parameters
    assert parameters.data_blocks == blocks
    start = superblock.tree_start(0)

    ours.write_bytes(content[:SUPERBLOCK_BYTES].ljust(len(content), b"\0"))
    disk, target = FileDevice.open(data), FileDevice.open(ours, writable=True)
    root_hash = build_tree(disk, target, parameters, start_block=start)
    assert root_hash.hex() == found[1]
    assert ours.read_bytes() == content
    assert check_tree(disk, target, parameters, root_hash, start_block=start) == []
    device = Verity(disk, target, parameters, root_hash, start_block=start)
    assert read_bytes(device, 0, device.size_bytes) == data.read_bytes()
    disk.close()
    target.close()


@pytest.mark.parametrize("superblock", [True, False])
def test_data_and_tree_in_one_file(superblock: bool, tmp_path: Path) -> None:
    path, size = tmp_path / "both", 300 * 4096
    write_data(path, size)
    with path.open("ab") as file:
        file.truncate(size + (64 << 10))
    parameters = VerityParameters(300, salt=bytes(range(32)))
    uuid = UUID(int=7)
    start = tree_start(size, 4096, superblock=superblock)
    device = FileDevice.open(path, writable=True)
    if superblock:
        device.write(size, pack_verity_superblock(VeritySuperblock(parameters, uuid)))
    root_hash = build_tree(device, device, parameters, start_block=start)
    device.close()
    options = ["--hash-offset", str(size)]
    if not superblock:
        options += ["--no-superblock", "--data-blocks", "300", "--salt", parameters.salt.hex()]
    veritysetup("verify", path, path, root_hash.hex(), *options)
    if superblock:
        assert str(uuid) in veritysetup("dump", path, *options)


def test_both_find_the_same_flaw(tmp_path: Path) -> None:
    data, hashes = tmp_path / "data", tmp_path / "hashes"
    write_data(data, 500 * 4096)
    parameters = VerityParameters(500)
    hashes.write_bytes(
        pack_verity_superblock(VeritySuperblock(parameters, UUID(int=1))).ljust((2 + parameters.tree_blocks()) * 4096)
    )
    disk, tree = FileDevice.open(data, writable=True), FileDevice.open(hashes, writable=True)
    root_hash = build_tree(disk, tree, parameters, start_block=1)
    flipped = bytearray(read_bytes(disk, 77 * 4096, 512))
    flipped[5] ^= 1
    disk.write(77 * 4096, bytes(flipped))
    assert check_tree(disk, tree, parameters, root_hash, start_block=1) == [Mismatch(-1, 77)]
    with pytest.raises(subprocess.CalledProcessError) as failure:
        veritysetup("verify", data, hashes, root_hash.hex())
    assert str(77 * 4096) in failure.value.output
    disk.close()
    tree.close()
