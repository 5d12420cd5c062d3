"""Every option that names a file, given what is none: one line, soon, and no memory of the size of a disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootpath.cli import lived
from bootpath.cli.main import main
from tests.support.images import make_image

ZEROS = "00" * 32
COMMANDS = [
    *(f"build live tree -o o.img --size 64MiB {option} FILE" for option in ("--password-file", "--kernel", "--initfs")),
    *(f"build live tree -o o.img --size 64MiB {option} FILE" for option in ("--efi-loader", "--bios-loader")),
    "build image tree -o o.img --key FILE --key-certificate one",
    "build image tree -o o.img --key one --key-certificate FILE",
    "build image tree -o o.img --key one --key-certificate one --key-password-file FILE",
    "build initramfs -o o.cpio --init FILE",
    "build initramfs -o o.cpio --busybox FILE",
    "build initramfs -o o.cpio --python FILE --python-module json",
    "inspect disk --certificate FILE",
    "inspect disk --password-file FILE",
    "inspect FILE",
    "entries disk --certificate FILE",
    "entries FILE",
    "plan disk --recorded FILE",
    "plan disk --password-file FILE",
    "plan FILE",
    "simulate live --plan FILE",
    "simulate disk --password-file FILE",
    "boot disk --dry-run --initrd FILE",
    "boot disk --dry-run --certificate FILE",
    "serve disk --plan FILE --socket s",
    "serve disk --password-file FILE --socket s",
    "serve disk --table FILE --socket s",
    "serve disk --status :0 --status-token-file FILE --socket s",
    "serve disk --tls-dir keys --tcp 127.0.0.1:0",
    "overlay info FILE",
    "overlay commit FILE disk --apply",
    "overlay discard FILE --apply",
    "verity verify data hash --root-hash-file FILE",
    f"verity verify FILE hash {ZEROS}",
    f"verity verify data FILE {ZEROS}",
    "verity dump FILE",
    "verity dump hash --fec-device FILE",
    "verity sign --root-hash-file FILE --key one --key-certificate one -o o",
    f"verity sign {ZEROS} --key FILE --key-certificate one -o o",
    f"verity sign {ZEROS} --key one --key-certificate FILE -o o",
    f"verity sign {ZEROS} --key one --key-certificate one --key-password-file FILE -o o",
    "verity open data hash --root-hash-file FILE",
    f"verity open data hash {ZEROS} --root-hash-signature FILE --certificate one",
    f"verity open data hash {ZEROS} --root-hash-signature one --certificate FILE",
    "dm table FILE",
    "dm read --table FILE",
    "dm hash --table FILE",
    "dm serve --table FILE --socket s",
    "dm export FILE",
    "lived --preload-memory disk --no-disk --socket s --env FILE",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("options")
    (directory / "tree").mkdir()
    (directory / "tree/a").write_text("a")
    os.mkfifo(directory / "pipe")
    make_image(directory, "live")
    for name, size in (("disk", 64 << 20), ("data", 1 << 20), ("hash", 1 << 20), ("one", 1), ("huge", 3 << 30)):
        (directory / name).touch()
        os.truncate(directory / name, size)
    return directory


def link_everything(directory: Path, target: Path) -> None:
    """A directory of certificates, each of which is the file."""
    directory.mkdir(exist_ok=True)
    for name in ("server-cert.pem", "server-key.pem", "ca-cert.pem"):
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(target)


@pytest.mark.parametrize("file", ["/dev/zero", "pipe", "huge"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_file_of_its_kind_is_refused(
    command: str, file: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    link_everything(place / "keys", place / file)
    monkeypatch.setenv("BOOTPATH_LIMITS", "file_wait_seconds=0 initrd_bytes=8MiB program_bytes=8MiB")
    name, *words = (file if word == "FILE" else word for word in command.split())
    code = lived.main(words) if name == "lived" else main([name, *words])
    said = capfd.readouterr().err.splitlines()
    assert code in (1, 3), said
    assert len(said) == 1 or command.startswith(("inspect", "entries", "plan FILE", "boot")), said
    assert all(line.startswith(("bootpath: ", "lived: ")) for line in said), said
