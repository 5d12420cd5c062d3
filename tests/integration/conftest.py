"""Images that many tests share; they are only read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootpath.cli.main import main
from tests.support.handover import handed_over
from tests.support.images import PASSWORD, make_image, make_tree
from tests.support.patterns import pattern

SERVED_BYTES = 1 << 20


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    return make_image(tmp_path_factory.mktemp("plain"), tree=tree)


@pytest.fixture(scope="session")
def locked_image(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    return make_image(tmp_path_factory.mktemp("locked"), tree=tree, password=PASSWORD)


@pytest.fixture(scope="session")
def served_words(tmp_path_factory: pytest.TempPathFactory, image: Path) -> dict[str, list[str]]:
    """What each command that serves is given to serve. The disks are only read."""
    directory = tmp_path_factory.mktemp("served")
    disk, hashes, root, table = (directory / name for name in ("disk", "hashes", "root", "table"))
    disk.write_bytes(pattern(0, SERVED_BYTES))
    table.write_text(f"0 {SERVED_BYTES // 512} linear {disk} 0\n")
    assert main(["verity", "format", str(disk), str(hashes), "--root-hash-file", str(root)]) == 0
    environment, memory = handed_over(image, directory)
    found = {
        "serve": ("serve", disk),
        "verity open": ("verity", "open", disk, hashes, "--root-hash-file", root),
        "dm serve": ("dm", "serve", "--table", table),
        "lived": ("--env", environment, "--preload-memory", memory, "--disk", image),
    }
    return {name: list(map(str, line)) for name, line in found.items()}


@pytest.fixture(scope="session")
def demo() -> Path:
    """Where `make` built big.img and mini.img."""
    directory = Path(os.environ.get("BOOTPATH_DEMO", "build/demo"))
    if not (directory / "big.img").exists() or not (directory / "mini.img").exists():
        if os.environ.get("CI"):
            pytest.fail(f"{directory} holds no big.img and mini.img, and CI skips nothing")
        pytest.skip(f"no big.img and mini.img in {directory}: make test builds them")
    return directory
