"""A root that the kernel assembles by itself, from dm-mod.create= on its command line: there is no initramfs.

The distribution's kernel has device-mapper as a module, so the full tests build one that has it inside.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootpath.cli.main import main
from tests.support.ddi import Signer
from tests.support.linuximage import find_in, flip
from tests.support.linuxroot import make_root
from tests.support.tools import small_kernel, tool

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

ENTRY = "title Small\nversion 1\nlinux /boot/vmlinuz\nlinux-appendroot yes\n"
INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo "ROOT $(grep ' / / ' /proc/self/mountinfo)"
echo "MAPPED $(cat /sys/block/dm-0/dm/name) $(cat /sys/block/dm-0/dev) over $(ls /sys/block/dm-0/slaves)"
"""
MAKERS = {"erofs": "mkfs.erofs", "squashfs": "mksquashfs", "ext4": "mkfs.ext4"}


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    tool("qemu-system-x86_64")
    tool("setpriv")
    return Signer.make(tmp_path_factory.mktemp("signer"))


def build(directory: Path, file_system: str, signer: Signer) -> Path:
    """A signed image whose entry has a kernel and no initrd."""
    tool(MAKERS[file_system])
    tree, image = directory / "tree", directory / "os.img"
    make_root(tree, far_bytes=4096)
    (tree / "etc/init.d/rcS").write_text(INIT)
    (tree / "boot").mkdir()
    (tree / "boot/vmlinuz").write_bytes(small_kernel().read_bytes())
    (tree / "loader/entries").mkdir(parents=True)
    (tree / "loader/entries/small-1.conf").write_text(ENTRY)
    keys = ["--key", str(signer.key), "--key-certificate", str(signer.certificate)]
    assert main(["build", "image", str(tree), "-o", str(image), "--all-root", "--file-system", file_system, *keys]) == 0
    return image


def boot(image: Path, signer: Signer) -> int:
    trusted = ["--certificate", str(signer.certificate)]
    return main(["boot", str(image), *trusted, "--serial", "--timeout", "120", "--until", "MAPPED .*\n"])


@pytest.mark.parametrize("file_system", MAKERS)
def test_the_kernel_mounts_the_verified_root(
    tmp_path: Path, file_system: str, signer: Signer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert boot(build(tmp_path, file_system, signer), signer) == 0
    said = capfd.readouterr()
    assert "Boots, verified" in said.out
    words = " ".join(said.err.split())
    assert re.search(rf"ROOT \d+ \d+ 253:0 / / ro\S* .*- {file_system} /dev/root ro", words)
    assert "MAPPED root 253:0 over vda1 vda2" in words, "data and hash tree"


def test_the_kernel_refuses_what_does_not_match(
    tmp_path: Path, signer: Signer, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a block that the loader does not read."""
    image = build(tmp_path, "erofs", signer)
    flip(image, find_in(image, b"BusyBox v1"))
    assert boot(image, signer) == 3
    said = capfd.readouterr()
    assert "data block" in said.err
    assert "is corrupted" in said.err
    assert "ROOT" not in said.err
