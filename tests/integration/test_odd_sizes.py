"""Disks whose size is no whole block, and disks of nothing: the same answer from every command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootpath.cli.main import main
from tests.support.daemons import serving
from tests.support.tools import tool

DATA = bytes(range(1, 101)) * 30
COMMANDS: dict[str, Callable[[str, Path], list[str]]] = {
    "inspect": lambda disk, _: ["inspect", disk],
    "entries": lambda disk, _: ["entries", disk],
    "plan": lambda disk, _: ["plan", disk],
    "simulate": lambda disk, _: ["simulate", disk],
    "boot": lambda disk, _: ["boot", disk],
    "boot --dry-run": lambda disk, _: ["boot", disk, "--dry-run"],
    "boot --firmware": lambda disk, _: ["boot", disk, "--firmware", "bios", "--until", "x"],
    "serve": lambda disk, at: ["serve", disk, "--socket", str(at / "s"), "--run", "exit 77"],
    "serve --table": lambda disk, at: ["serve", str(at / "other"), "--table", str(at / "table"), "--run", "exit 77"],
    "verity format": lambda disk, at: ["verity", "format", disk, str(at / "hashes")],
    "verity verify": lambda disk, at: ["verity", "verify", disk, disk, "00" * 32],
    "verity dump": lambda disk, _: ["verity", "dump", disk],
    "verity open": lambda disk, at: ["verity", "open", disk, disk, "00" * 32, "--run", "exit 77"],
    "dm serve": lambda _, at: ["dm", "serve", "--table", str(at / "table"), "--run", "exit 77"],
    "dm read": lambda _, at: ["dm", "read", "--table", str(at / "table")],
    "dm hash": lambda _, at: ["dm", "hash", "--table", str(at / "table")],
    "overlay commit": lambda disk, at: ["overlay", "commit", str(at / "overlay"), disk, "--apply"],
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "other").write_bytes(bytes(1 << 20))
    (tmp_path / "table").write_text(f"0 1 linear {tmp_path / 'disk'} 0\n")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_of_nothing_is_a_failure(command: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = place / "disk"
    disk.touch()
    if command == "overlay commit":
        _overlay(place)
        capsys.readouterr()
    assert main(COMMANDS[command](str(disk), place)) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "a disk of 0 bytes is no disk" in said[0]


def _overlay(place: Path) -> None:
    words = ["serve", str(place / "other"), "--overlay", str(place / "overlay"), "--socket", str(place / "s")]
    assert main([*words, "--run", "true"]) == 0


@pytest.mark.parametrize("size", [1, 300, 1000, 3000])
@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("verity open", "overlay commit")])
def test_an_end_within_a_block_is_said(
    command: str, size: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "disk").write_bytes(DATA[:size])
    assert main(COMMANDS[command](str(place / "disk"), place)) in (0, 1, 3, 77)
    assert f"its {size} bytes end within a block, which {-size % 512} zero bytes fill up" in capsys.readouterr().err


@pytest.mark.parametrize("size", [1, 300, 1000, 3000])
def test_all_that_is_there_is_served(size: int, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(DATA[:size])
    with serving("main", "serve", tmp_path / "disk", "--socket", tmp_path / "s", lines_before=1) as daemon:
        copied = subprocess.run([tool("nbdcopy"), daemon.uri, "-"], check=True, capture_output=True).stdout
    assert copied == DATA[:size] + bytes(-size % 512)


def test_it_is_not_written_as_a_disk(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "disk").write_bytes(DATA[:1000])
    assert main(["dm", "serve", "--table", str(place / "table"), "--writable", "--run", "exit 77"]) == 1
    assert "the last block is not whole, so this cannot be written as a disk" in capsys.readouterr().err
    assert (place / "disk").read_bytes() == DATA[:1000]


def test_a_volume_says_what_it_does_not_protect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_bytes(bytes(10_000))
    assert main(["verity", "format", str(tmp_path / "data"), str(tmp_path / "hashes")]) == 0
    assert "the last 2048 bytes are no whole data block: they are not hashed" in capsys.readouterr().err


@pytest.fixture
def odd_export(tmp_path: Path) -> Iterator[str]:
    """An export of nbdkit with 1000 bytes."""
    (tmp_path / "odd").write_bytes(DATA[:1000])
    socket = tmp_path / "nbdkit.sock"
    with subprocess.Popen([tool("nbdkit"), "-f", "-U", socket, "file", tmp_path / "odd"]) as process:
        try:
            while not socket.exists() and process.poll() is None:
                pass
            yield f"nbd+unix:///?socket={socket}"
        finally:
            process.terminate()


def test_an_export_of_another_server_is_filled_up_too(odd_export: str, tmp_path: Path) -> None:
    with serving("main", "serve", odd_export, "--socket", tmp_path / "s", lines_before=1) as daemon:
        copied = subprocess.run([tool("nbdcopy"), daemon.uri, "-"], check=True, capture_output=True).stdout
    assert copied == DATA[:1000] + bytes(24)
