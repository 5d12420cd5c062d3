"""README's verified image, made by its recipe with our commands alone: the decisions it shows, and the boot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootpath.cli.main import main
from tests.support.tools import guest_files, tool
from tests.support.tree import ROOT

RECIPE = ROOT / "demo/verified.sh"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for program in ("mkfs.erofs", "openssl", "qemu-system-x86_64"):
        tool(program)
    path = tmp_path_factory.mktemp("demo") / "ddi.img"
    subprocess.run([RECIPE, path, guest_files()], check=True, capture_output=True)
    return path


def test_the_decisions(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate = str(image.with_name("os.crt"))
    assert main(["boot", str(image), "--dry-run", "--certificate", certificate]) == 0
    output = capsys.readouterr().out
    assert "entry demo-1 (type 1, root /loader/entries/demo-1.conf): chosen" in output
    assert output.count("verified: root hash signed by CN=me") == 5, (
        "kernel, initrd, command line, root, and the verdict"
    )
    assert main(["boot", str(image), "--dry-run"]) == 4, "nobody vouches for the root hash"


def test_the_boot(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", str(image), "--certificate", str(image.with_name("os.crt"))]) == 0
    assert "Boots, verified" in capsys.readouterr().out
