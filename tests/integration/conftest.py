"""Images that many tests share; they are only read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.images import PASSWORD, make_image, make_tree


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
def demo() -> Path:
    """Where `make` built big.img and mini.img."""
    directory = Path(os.environ.get("BOOTPATH_DEMO", "build/demo"))
    if not (directory / "big.img").exists() or not (directory / "mini.img").exists():
        if os.environ.get("CI"):
            pytest.fail(f"{directory} holds no big.img and mini.img, and CI skips nothing")
        pytest.skip(f"no big.img and mini.img in {directory}: make test builds them")
    return directory
