"""An image for arm64, made on a PC and booted there: by our loader from its verified root, and by its own under UEFI.

All of it is made by our commands, from the distribution's packages for arm64, of which nothing is executed here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from subprocess import run

import pytest

from bootpath.cli.main import main
from tests.support.ddi import Signer
from tests.support.kernels import make_zboot
from tests.support.linuximage import ENTRY, ENTRY_PATH, INITRD_PATH, KERNEL_PATH
from tests.support.linuxroot import make_root
from tests.support.tools import arm64_files, stored, tool

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

INIT = """\
#!/bin/sh
mount -t proc proc /proc
echo "MACHINE $(/bin/busybox uname -m) ROOT $(grep ' / ' /proc/mounts)"
"""
LOGIN = ["--until", "MACHINE .*\\n", "--timeout", "300", "--serial"]


@dataclass(frozen=True)
class Image:
    path: Path
    tree: Path
    signer: Signer

    @property
    def trusted(self) -> list[str]:
        return ["--certificate", str(self.signer.certificate)]

    def built(self, name: str, *options: str) -> Path:
        """Another image of the tree, as it is now."""
        path = self.path.with_name(name)
        keys = ["--key", str(self.signer.key), "--key-certificate", str(self.signer.certificate)]
        arguments = [str(self.tree), "-o", str(path), "--all-root", "--architecture", "arm64", *keys, *options]
        assert main(["build", "image", *arguments]) == 0
        return path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    for program in ("qemu-system-aarch64", "setpriv", "mkfs.erofs"):
        tool(program)
    guest, directory = arm64_files(), tmp_path_factory.mktemp("arm64")
    tree = directory / "tree"
    busybox = next(path for place in ("bin", "usr/bin") if (path := guest / place / "busybox").is_file())
    make_root(tree, far_bytes=4096, program=busybox, console="ttyAMA0")
    (tree / "etc/init.d/rcS").write_text(INIT)
    for name in (KERNEL_PATH, ENTRY_PATH):
        (tree / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
    (tree / KERNEL_PATH.lstrip("/")).write_bytes(next(guest.glob("boot/vmlinuz-*")).read_bytes())
    (tree / ENTRY_PATH.lstrip("/")).write_text(ENTRY)
    initrd = ["-o", str(tree / INITRD_PATH.lstrip("/")), "--sysroot", str(guest), "--compression", "gzip"]
    shared = ["--busybox", str(guest / "shared/busybox")]
    assert main(["build", "initramfs", "--with", "verity", *initrd, *shared]) == 0
    made = Image(directory / "os.img", tree, Signer.make(directory))
    made.built("os.img")
    return made


def test_the_boot(image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", str(image.path), *image.trusted, *LOGIN, "--json"]) == 0
    said = capfd.readouterr()
    assert "MACHINE aarch64 ROOT /dev/mapper/root / erofs ro" in said.err
    boot = json.loads(said.out)
    assert boot["verdict"] == "verified"
    assert boot["run"]["seconds_to_pivot"] > 0


def test_a_sata_disk(image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", str(image.path), *image.trusted, *LOGIN, "--ahci", "--fixed"]) == 0
    said = capfd.readouterr()
    assert "systemd.verity_root_data=/dev/sda1" in said.out
    assert "Boots, verified" in said.out


def test_a_kernel_that_only_a_firmware_would_unpack(image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    """As distributions ship it that build with CONFIG_EFI_ZBOOT."""
    kernel = image.tree / KERNEL_PATH.lstrip("/")
    plain = kernel.read_bytes()
    packed = run([tool("zstd"), "-q", "-c", "-1", kernel], check=True, capture_output=True).stdout
    try:
        kernel.write_bytes(make_zboot(packed))
        path = image.built("zboot.img")
    finally:
        kernel.write_bytes(plain)
    assert main(["boot", str(path), *image.trusted, *LOGIN]) == 0
    assert "Boots, verified" in capfd.readouterr().out


def test_its_own_loader_under_uefi(image: Image, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The kernel is an EFI program; its default console is the one that the firmware names."""
    stored(Path("/usr/share/AAVMF/AAVMF_CODE.fd"))
    esp = tmp_path / "esp/EFI/BOOT"
    esp.mkdir(parents=True)
    (esp / "BOOTAA64.EFI").write_bytes((image.tree / KERNEL_PATH.lstrip("/")).read_bytes())
    path = image.built("uefi.img", "--esp", str(tmp_path / "esp"))
    uefi = ["--firmware", "uefi", "--architecture", "arm64", "--timeout", "600"]
    assert main(["boot", str(path), *uefi, "--until", "Linux version [^ ]*-arm64"]) == 0
    assert "qemu-system-aarch64" in capfd.readouterr().out


def test_what_systemd_says_of_it(image: Image, capfd: pytest.CaptureFixture[str]) -> None:
    done = run([tool("systemd-dissect"), "--json=short", image.path], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"systemd-dissect needs more than it has here: {done.stderr.strip()[:200]}")
    rows = json.loads(done.stdout.splitlines()[0])["mounts"]
    capfd.readouterr()
    assert main(["inspect", str(image.path), *image.trusted, "--json"]) == 0
    inspected = json.loads(capfd.readouterr().out)
    (root,) = (each for each in inspected["choice"]["candidates"] if each["designator"] == "root")
    (row,) = (each for each in rows if each["designator"] == "root")
    assert (row["architecture"], row["verity"]) == (root["architecture"], root["protection"]) == ("arm64", "signed")
