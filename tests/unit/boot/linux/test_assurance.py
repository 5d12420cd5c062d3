"""Who vouches for the root that would be mounted."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from bootpath.formats.cmdline.address import Assembly
from tests.support.ddi import Signer
from tests.support.linuximage import ENTRY, INITRD_PATH, RootTree, make_linux_disk, make_volume

WITHOUT_INITRD = ENTRY.replace(f"initrd {INITRD_PATH}\n", "")


def boot(directory: Path, entry: str, assembly: Assembly) -> LinuxBoot:
    """The decision on an image that is signed, by a caller who has its certificate."""
    signer = Signer.make(directory)
    volume = make_volume(directory / "volume", RootTree.demo(entry=entry), signer)
    disk = make_linux_disk(directory / "disk.img", [("demo_1.0", volume)])
    request = LinuxRequest(certificates=(signer.certificate.read_bytes(),), assembly=assembly)
    with closing(FileDevice.open(disk.path)) as device:
        return load_linux(device, request, Timeline(time.monotonic))


@pytest.mark.parametrize("assembly", [Assembly.KERNEL, Assembly.BOOTPATH])
def test_without_an_initramfs_the_kernel_mounts_what_it_assembles(tmp_path: Path, assembly: Assembly) -> None:
    assert boot(tmp_path, WITHOUT_INITRD, assembly).verdict is LinuxVerdict.VERIFIED


def test_an_initramfs_behind_the_kernel_s_assembly_may_mount_another_root(tmp_path: Path) -> None:
    assert str(boot(tmp_path, ENTRY, Assembly.KERNEL).refusal).endswith(
        "the root that would be mounted is not verified: the kernel assembles it, but there is an initramfs, which may "
        "mount another one; a policy can allow more"
    )
