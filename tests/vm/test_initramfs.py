"""Initramfs archives in a real kernel: it unpacks them, modules load, and Python starts with nothing behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bootpath
from bootpath.boot.initramfs.build import RECIPES, InitramfsSpec, PythonGuest, build_initramfs, python_init
from bootpath.boot.initramfs.compression import Compression
from bootpath.vm.config import Accelerator, MachineConfig
from bootpath.vm.qemu import QEMU
from tests.support.tools import guest_files, guest_kernel, tool

COMMAND_LINE = "console=ttyS0 panic=-1 quiet"
DEADLINE_SECONDS = 180.0

SHELL = b"""\
#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "$module" || echo "FAILED $module"; done < /etc/bootpath/modules
rmmod nbd && modprobe nbd
echo "BLOCK $(test -b /dev/nbd0 && echo nbd0) MODULES $(lsmod | cut -d ' ' -f 1 | sort | tr '\\n' ' ')END"
poweroff -f
"""

GUEST = """\
import os
import sys

import bootpath
import bootpath.core
import bootpath.serve


def main():
    print(f"PYTHON {sys.version.split()[0]} BOOTPATH {bootpath.__version__} {len(sys.modules)} END", flush=True)
    os.execv("/bin/busybox", ["poweroff", "-f"])
"""


def boot(archive: Path, pattern: str, *, unpack_kernel: bool = True) -> re.Match[str]:
    """What the guest prints. The machine goes away with the block, whatever happens."""
    tool("qemu-system-x86_64")
    config = MachineConfig(
        memory_bytes=512 << 20,
        kernel=guest_kernel(),
        initrd=archive,
        cmdline=COMMAND_LINE,
        unpack_kernel=unpack_kernel,
    )
    with QEMU(config, accelerator=Accelerator.TCG) as machine:
        match = machine.console.wait_for(re.compile(pattern), DEADLINE_SECONDS)
        machine.wait_exit(DEADLINE_SECONDS)
        return match


@pytest.mark.parametrize("compression", Compression)
def test_a_shell_starts_and_modules_load(tmp_path: Path, compression: Compression) -> None:
    if compression is Compression.ZSTD:
        pytest.importorskip("zstandard")
    spec = InitramfsSpec(
        guest_files(), SHELL, modules=("virtio_pci", "virtio_blk", "nbd"), compression=compression, mtime_seconds=1
    )
    built = build_initramfs(spec, tmp_path / "initramfs")
    match = boot(built.path, r"BLOCK (\w*) MODULES (.*) END", unpack_kernel=compression is not Compression.NONE)
    assert match[1] == "nbd0"
    assert set(match[2].split()) >= set(built.plan.modules)


def test_python_starts_and_imports_bootpath(tmp_path: Path) -> None:
    (tmp_path / "tiny_guest.py").write_text(GUEST)
    live = RECIPES["live"]
    source = Path(bootpath.__file__).parents[1]
    spec = InitramfsSpec(
        guest_files(),
        python_init("tiny_guest"),
        modules=live.modules,
        wanted_modules=live.wanted_modules,
        python=PythonGuest(("tiny_guest",), search_path=(source, tmp_path)),
        compression=Compression.GZIP,
    )
    built = build_initramfs(spec, tmp_path / "initramfs")
    match = boot(built.path, r"PYTHON (\S+) BOOTPATH (\S+) (\d+) END")
    assert match[1].startswith(f"{built.plan.python_version}.")
    assert match[2] == bootpath.__version__
