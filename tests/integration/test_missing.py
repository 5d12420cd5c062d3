"""A library or a program that is not installed: exit code 1, one line with what to type, and no verdict."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootpath.core.extras import EXTRAS
from tests.support.certificates import make_identity
from tests.support.tree import ROOT

GOLDEN = ROOT / "tests/golden/filesystems"
COMMANDS = {
    "remote": ("inspect http://127.0.0.1:1/disk.img", "serve https://127.0.0.1:1/x --run true"),
    "crypt": ("dm read --table crypt", "dm hash --table crypt", "dm serve --table crypt --run true"),
    "signatures": (
        f"verity sign {'00' * 32} --key key --key-certificate certificate -o out",
        "inspect --certificate certificate disk.img",
        "entries --certificate certificate disk.img",
        "boot --dry-run --certificate certificate disk.img",
        "verity open --print-table data hashes --root-hash-file hash --root-hash-signature data --certificate key",
        "build image tree --key key --key-certificate certificate -o out",
    ),
    "initramfs": ("build initramfs --with shell -o out", "build initramfs --list"),
    "zstd": ("entries --look-in root squashfs",),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("missing")
    identity = make_identity()
    (place / "key").write_bytes(identity.key)
    (place / "certificate").write_bytes(identity.certificate)
    (place / "crypt").write_text(f"0 8 crypt aes-xts-plain64 {'01' * 16}{'02' * 16} 0 data 0\n")
    (place / "data").write_bytes(bytes(1 << 16))
    made = bootpath(place, "verity format data hashes --root-hash-file hash")
    assert made.returncode == 0, made
    (place / "tree").mkdir()
    (place / "tree/file").touch()
    for kind, name in (("squashfs", "squashfs-zstd"), ("disk.img", "erofs-plain")):
        content = gzip.decompress((GOLDEN / f"{name}.img.gz").read_bytes())
        (place / kind).write_bytes(content + bytes(-len(content) % 512))
    return place


def bootpath(place: Path, words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bootpath", *words.split()],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """For PYTHONPATH: the libraries of every extra, none of which can be imported."""
    for module in {module for modules in EXTRAS.values() for module in modules}:
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(f"raise ModuleNotFoundError('blocked', name={module!r})\n")
    return tmp_path


@pytest.mark.parametrize(("extra", "words"), [(extra, words) for extra, each in COMMANDS.items() for words in each])
def test_a_library_that_is_missing(extra: str, words: str, place: Path, without: Path) -> None:
    done = bootpath(place, words, PYTHONPATH=str(without))
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"; pip install 'bootpath[{extra}]'\n"), done.stderr
    assert not (place / "out").exists()


def test_as_json(place: Path, without: Path) -> None:
    done = bootpath(place, "inspect --json --certificate certificate disk.img", PYTHONPATH=str(without))
    value = json.loads(done.stdout)
    assert (value["exit_code"], value["error"]["hint"]) == (1, "pip install 'bootpath[signatures]'")


def test_a_program_that_is_missing(place: Path, tmp_path: Path) -> None:
    done = bootpath(place, "boot --firmware bios disk.img", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "bootpath: qemu-system-x86_64 is not installed; apt install qemu-system-x86\n"
