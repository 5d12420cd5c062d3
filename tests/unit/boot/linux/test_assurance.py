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
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from tests.support.bootdisk import fat
from tests.support.ddi import Signer
from tests.support.linuximage import (
    ENTRY,
    INITRD_PATH,
    RootTree,
    fake_initrd,
    fake_kernel,
    make_linux_disk,
    make_volume,
)
from tests.support.pefiles import sbsign, signable_pe

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


@pytest.mark.parametrize(
    ("options", "assembly", "why"),
    [
        ("roothash={hash}", Assembly.BOOTPATH, ""),
        ("roothash={hash}", Assembly.INITRAMFS, ""),
        ("roothash={hash} root=/dev/mapper/root", Assembly.INITRAMFS, ""),
        ("quiet", Assembly.BOOTPATH, "only the disk itself says its root hash"),
        ("quiet -- roothash={hash}", Assembly.BOOTPATH, "only the disk itself says its root hash"),
        ("quiet -- roothash=00", Assembly.BOOTPATH, "only the disk itself says its root hash"),
        # Ours takes it for where the data is, that of systemd mounts it as it is.
        ("roothash={hash} root=/dev/sda9", Assembly.BOOTPATH, ""),
        ("roothash={hash} root=/dev/sda9", Assembly.INITRAMFS, "the command line names another root"),
        ("roothash={hash} root=/dev/sda9", Assembly.KERNEL, "the command line names another root"),
    ],
)
def test_the_root_hash_of_a_signed_image(tmp_path: Path, options: str, assembly: Assembly, why: str) -> None:
    """A unified kernel image vouches for the root hash that it gives to the kernel, and for nothing behind it."""
    signer = Signer.make(tmp_path)
    volume = make_volume(tmp_path / "volume", RootTree.demo(entry=""), None)
    line = options.format(hash=volume.root_hash.hex())
    sections = [
        (".linux", fake_kernel()),
        (".initrd", fake_initrd()),
        (".osrel", b"ID=os\n"),
        (".cmdline", line.encode()),
    ]
    uki = sbsign(tmp_path, signable_pe(sections), signer)
    disk = make_linux_disk(tmp_path / "disk.img", [("demo_1.0", volume)], esp=fat(tmp_path, {"EFI/Linux/os.efi": uki}))
    request = LinuxRequest(
        certificates=(signer.certificate.read_bytes(),), policy=parse_image_policy("*"), assembly=assembly
    )
    with closing(FileDevice.open(disk.path)) as device:
        found = load_linux(device, request, Timeline(time.monotonic))
    assert found.plan is not None, found.refusal
    assert (found.verdict is LinuxVerdict.VERIFIED) == (not why)
    if why:
        assert found.plan.weakest is not None
        assert (found.plan.weakest.what, str(found.plan.weakest.why)) == ("root", why)
