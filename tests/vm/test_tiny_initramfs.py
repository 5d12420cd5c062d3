"""The initramfs without Python, in a real kernel: it finds the root, has it verified, pivots; or says why not.

The images are made by independent tools: mksquashfs, veritysetup, sgdisk, lvm2, ubinize, mkfs.ubifs, openssl, sbsign.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.boot.initramfs.build import combine_recipes
from bootpath.boot.initramfs.compression import Compression
from bootpath.boot.protocol.events import parse_event
from bootpath.formats.cmdline.devices import UbiVolumeId, parse_logical_volume, parse_slot
from bootpath.formats.cmdline.parameters import join_parameters
from bootpath.formats.cmdline.root import OnFail, RootParameters, pack_root_parameters
from bootpath.formats.partitions.gptheader import LINUX_FS, Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from bootpath.vm.config import MachineConfig, Uefi
from bootpath.vm.disks import Disk
from bootpath.vm.qemu import QEMU
from tests.support.linuxsystem import make_initrd
from tests.support.tinyroot import (
    MIB,
    Entry,
    GptDisk,
    VerityImage,
    Volumes,
    enrol,
    flip,
    make_disk,
    make_erofs,
    make_esp,
    make_ext4,
    make_flash,
    make_signature,
    make_signed_uki,
    make_signer,
    make_squashfs,
    make_tree,
    make_ubifs,
    make_verity,
    make_volumes,
)
from tests.support.tools import guest_file, guest_kernel, stored
from tests.vm.conftest import Start

SECONDS = 180.0
LIMIT_BYTES = 4 << 20
ERASE_BYTES = 128 << 10
OVMF = Path("/usr/share/OVMF")
ESP = UUID("0fc63daf-8483-4772-8e79-3d69d8477de5")

Build = Callable[..., Path]
Boot = Callable[..., QEMU]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Makes each initramfs once."""
    directory = tmp_path_factory.mktemp("tiny")
    made: dict[tuple[object, ...], Path] = {}

    def make(*kinds: str, modules: tuple[str, ...] = (), compression: Compression = Compression.GZIP) -> Path:
        key = (kinds, modules, compression)
        if key not in made:
            made[key] = make_initrd(directory / str(len(made)), *kinds, modules=modules, compression=compression)
        return made[key]

    return make


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> VerityImage:
    """A root that calls itself a."""
    directory = tmp_path_factory.mktemp("image")
    return make_verity(make_squashfs(make_tree(directory / "tree"), directory / "a.squashfs"))


@pytest.fixture
def boot(start: Start) -> Boot:
    """Starts a machine from an initramfs, kernel parameters and disks."""

    def begin(initramfs: Path, root: RootParameters, *disks: Path, more: str = "") -> QEMU:
        line = f"console=ttyS0 panic=-1 quiet {join_parameters(pack_root_parameters(root))} {more}"
        attached = tuple(Disk(f"disk{number}", path) for number, path in enumerate(disks))
        return start(MachineConfig(kernel=guest_kernel(), initrd=initramfs, cmdline=line, disks=attached))

    return begin


def comes_up(machine: QEMU, name: str = "a") -> str:
    """The root is there, with a prompt; what is mounted."""
    mounted = machine.console.wait_for(re.compile(r"ROOT (.*)\n"), SECONDS)[1]
    assert machine.console.wait_for(re.compile(r"IMAGE (\S*) ARGS"), SECONDS)[1] == name
    machine.console.send_line("echo prom''pt")
    machine.console.wait_for("\nprompt", SECONDS)
    return mounted


def refuses(machine: QEMU, pattern: str) -> None:
    """One line says why, and the machine reboots, which ends it."""
    machine.console.wait_for(re.compile(rf"^bootpath: {pattern}\n", re.MULTILINE), SECONDS)
    machine.console.wait_for("init ends here: onfail=reboot", SECONDS)
    assert machine.wait_exit(SECONDS) == 0
    assert "ROOT" not in machine.console.text
    faults = [line for line in machine.console.text.split("\n") if re.match(r"bootpath: [a-z]", line)]
    assert len(faults) == 1, faults


def gpt_disk(directory: Path, image: VerityImage, name: str = "disk.img") -> GptDisk:
    entries = (Entry(image.data, image.data_uuid), Entry(image.hashes, image.hash_uuid))
    return make_disk(directory / name, *entries)


def root_of(image: VerityImage, **more: object) -> RootParameters:
    return RootParameters(root_hash=bytes.fromhex(image.root_hash), **more)  # type: ignore[arg-type]


def test_the_root_hash_alone_finds_and_verifies_the_root(
    boot: Boot, build: Build, image: VerityImage, tmp_path: Path
) -> None:
    machine = boot(build("verity"), root_of(image), gpt_disk(tmp_path, image).path)
    assert comes_up(machine).startswith("/dev/mapper/root / squashfs ro")
    events = [event for line in machine.console.text.split("\n") if (event := parse_event(line))]
    assert [f"{event.unit} {event.what}" for event in events] == [
        "init started",
        "modules loaded",
        "devices found the data",
        "devices found the hash",
        "verity opened",
        "root mounted",
        "init pivots",
    ]
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)
    assert f"{events[-1].seconds:.2f} s after the kernel started" in events[-1].detail


@pytest.mark.parametrize("text", [b"hsqs", b"BusyBox v1"], ids=["superblock", "interpreter of init"])
def test_a_flipped_bit_is_refused(boot: Boot, build: Build, image: VerityImage, tmp_path: Path, text: bytes) -> None:
    disk = gpt_disk(tmp_path, image)
    place = image.data.read_bytes().find(text)
    assert place >= 0
    flip(disk.path, disk.first_lba[0] * 512 + place + len(text))
    refuses(
        boot(build("verity"), root_of(image), disk.path),
        rf"verity: /dev/vda1 does not match its root hash {image.root_hash}",
    )


def test_another_root_hash_is_refused(boot: Boot, build: Build, image: VerityImage, tmp_path: Path) -> None:
    other = bytes(reversed(bytes.fromhex(image.root_hash)))
    root = RootParameters(root_hash=other, verity_data="/dev/vda1", verity_hash=f"PARTUUID={image.hash_uuid}")
    machine = boot(build("verity"), root, gpt_disk(tmp_path, image).path)
    refuses(machine, rf"verity: /dev/vda1 does not match its root hash {other.hex()}")


def test_an_algorithm_that_brings_its_own_root_hash_is_refused(
    boot: Boot, build: Build, image: VerityImage, tmp_path: Path
) -> None:
    """The superblock is not trusted: arguments in its algorithm would come before the others of the table."""
    disk = gpt_disk(tmp_path, image)
    with disk.path.open("r+b") as file:
        file.seek(disk.first_lba[1] * 512 + 32)
        file.write(b"sha256 0000000000000000 -".ljust(32, b"\0"))
    refuses(boot(build("verity"), root_of(image), disk.path), "verity: the hash algorithm is not a name")


def test_a_signature_by_a_key_the_kernel_does_not_trust(
    boot: Boot, build: Build, image: VerityImage, tmp_path: Path
) -> None:
    """The kernel looks into its own keyrings, and ours is in none of them: with and without the demand for one."""
    signature = make_signature(tmp_path, image.root_hash, make_signer(tmp_path))
    root = root_of(image, verity_options=(f"root-hash-signature=base64:{signature}",))
    machine = boot(build("verity"), root, gpt_disk(tmp_path, image).path)
    refuses(machine, "verity: the kernel refuses the root hash: .*")


def test_a_kernel_that_demands_a_signature(boot: Boot, build: Build, image: VerityImage, tmp_path: Path) -> None:
    more = "dm_verity.require_signatures=1"
    machine = boot(build("verity"), root_of(image), gpt_disk(tmp_path, image).path, more=more)
    refuses(machine, "verity: the kernel refuses the root hash: .*")


def test_a_signature_by_the_key_of_the_machines_owner(
    start: Start, build: Build, image: VerityImage, tmp_path: Path
) -> None:
    """Secure Boot, shim, a Debian kernel that is locked down and demands signatures: our MOK signed UKI and root."""
    signer = make_signer(tmp_path)
    signature = make_signature(tmp_path, image.root_hash, signer)
    root = root_of(image, verity_options=(f"root-hash-signature=base64:{signature}",))
    line = join_parameters(pack_root_parameters(root))
    uki = make_signed_uki(
        tmp_path / "uki.efi",
        kernel=guest_kernel(),
        initrd=build("verity"),
        command_line=f"console=ttyS0 panic=-1 quiet dm_verity.require_signatures=1 {line}",
        stub=stored(Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")),
        signer=signer,
    )
    shim = guest_file("usr/lib/shim/shimx64.efi.signed")
    esp = Entry(make_esp(tmp_path / "esp.img", {"BOOTX64.EFI": shim, "grubx64.efi": uki}), ESP, type="ef00")
    disk = make_disk(
        tmp_path / "disk.img", esp, Entry(image.data, image.data_uuid), Entry(image.hashes, image.hash_uuid)
    )
    code, variables = stored(OVMF / "OVMF_CODE_4M.fd"), stored(OVMF / "OVMF_VARS_4M.ms.fd")
    firmware = Uefi(code, enrol(variables, tmp_path / "variables.fd", signer))
    machine = start(MachineConfig(memory_bytes=512 * MIB, firmware=firmware, disks=(Disk("disk", disk.path),)))
    assert comes_up(machine).startswith("/dev/mapper/root / squashfs ro")
    assert "its signature is good" in machine.console.text
    machine.console.send_line("cat /sys/module/dm_verity/parameters/require_signatures")
    machine.console.wait_for("\nY", SECONDS)


def test_a_logical_volume_by_uuid_in_four_mebibytes(
    boot: Boot, build: Build, image: VerityImage, tmp_path: Path
) -> None:
    """All parts together, compressed as a user gets it."""
    initramfs = build("lvm", "verity", "ubi", compression=combine_recipes(["lvm"]).compression)
    assert initramfs.stat().st_size < LIMIT_BYTES
    volumes = make_volumes(tmp_path / "pv.img", {"root": image.data, "hash": image.hashes})
    root = root_of(
        image,
        logical_volume=parse_logical_volume(volumes["root"]),
        verity_hash=f"LV={volumes['hash']}",
    )
    assert comes_up(boot(initramfs, root, volumes.path)).startswith("/dev/mapper/root / squashfs ro")


def test_no_such_volume(boot: Boot, build: Build, tmp_path: Path, image: VerityImage) -> None:
    volumes = make_volumes(tmp_path / "pv.img", {"root": image.data})
    group, volume = volumes["root"].split("/")
    other = f"{group}/{volume[::-1]}"
    root = RootParameters(logical_volume=parse_logical_volume(other), wait_seconds=1)
    refuses(boot(build("lvm"), root, volumes.path), rf"devices: no data device LV={other} after 1 s.*")


def volume_image(directory: Path, image: VerityImage, block_bytes: int) -> tuple[Volumes, list[str]]:
    """A volume with a disk image for blocks of this size, root and hash tree in it; and their slots."""
    first, partitions, contents = 256, [], []
    for number, (content, guid) in enumerate(((image.data, image.data_uuid), (image.hashes, image.hash_uuid)), start=1):
        blocks = -(-content.stat().st_size // block_bytes)
        partitions.append(Partition(number, LINUX_FS, guid, first, first + blocks - 1, block_bytes=block_bytes))
        contents.append((first * block_bytes, content.read_bytes()))
        first += blocks
    path, size = directory / "disk.raw", (first + 64) * block_bytes
    with path.open("wb") as file:
        file.truncate(size)
        for offset, written in (*pack_gpt(new_gpt(size, ESP, partitions, block_bytes)), *contents):
            file.seek(offset)
            file.write(written)
    volumes = make_volumes(directory / "pv.img", {"image": path})
    return volumes, [f"{ESP}:{each.number}:{each.first_lba}" for each in partitions]


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_the_partitions_of_a_disk_image_in_a_volume(
    boot: Boot, build: Build, image: VerityImage, tmp_path: Path, block_bytes: int
) -> None:
    """Whatever the size of a block was where the image was made: the kernel would find no partitions in it."""
    volumes, slots = volume_image(tmp_path, image, block_bytes)
    volume = f"LV={volumes['image']}"
    data, hashes = map(parse_slot, slots)
    root = root_of(image, verity_data=f"{volume}/1", verity_hash=f"{volume}/2", slot=data, hash_slot=hashes)
    machine = boot(build("lvm", "verity"), root, volumes.path)
    assert comes_up(machine).startswith("/dev/mapper/root / squashfs ro")


@pytest.mark.parametrize("number", [1, 7])
def test_a_partition_of_a_volume_that_is_not_there_or_another_one_is_refused(
    boot: Boot, build: Build, image: VerityImage, tmp_path: Path, number: int
) -> None:
    volumes, slots = volume_image(tmp_path, image, 512)
    device = f"LV={volumes['image']}/{number}"
    wrong = f"{ESP}:1:2048"
    slot = parse_slot(wrong) if number == 1 else None
    why = f"not at the slot {wrong}, but {slots[0]}" if number == 1 else "the volume has no partition 7"
    root = RootParameters(root=device, slot=slot, wait_seconds=1)
    refuses(boot(build("lvm"), root, volumes.path), f"devices: no data device {device} after 1 s: {why}")


def flash_parameters(path: str) -> str:
    return f"block2mtd.block2mtd=/dev/{path},{ERASE_BYTES},flash"


def test_a_root_on_raw_flash_with_verity_on_ubiblock(
    boot: Boot, build: Build, image: VerityImage, tmp_path: Path
) -> None:
    flash = make_flash(tmp_path / "flash.img", {"root": image.data, "tree": image.hashes}, erase_bytes=ERASE_BYTES)
    initramfs = build("verity", "ubi")
    root = root_of(image, ubi_volume=UbiVolumeId("flash", "root"), verity_hash="UBI=flash:tree")
    machine = boot(initramfs, root, flash, more=flash_parameters("vda"))
    assert comes_up(machine).startswith("/dev/mapper/root / squashfs ro")
    assert "is /dev/ubiblock0_0" in machine.console.text


@pytest.fixture
def ubifs_flash(tmp_path: Path) -> Path:
    """A UBIFS in a volume that is called root."""
    volume = make_ubifs(make_tree(tmp_path / "tree"), tmp_path / "root.ubifs", erase_bytes=ERASE_BYTES)
    return make_flash(tmp_path / "flash.img", {"root": volume}, erase_bytes=ERASE_BYTES, size_bytes=16 * MIB)


def test_a_root_on_ubifs(boot: Boot, build: Build, ubifs_flash: Path) -> None:
    root = RootParameters(ubi_volume=UbiVolumeId("flash", "root"), file_system="ubifs", read_only=True)
    machine = boot(build("ubifs"), root, ubifs_flash, more=flash_parameters("vda"))
    assert comes_up(machine).startswith("ubi0_0 / ubifs ro")


def test_a_root_on_ubifs_as_linux_names_it(boot: Boot, build: Build, ubifs_flash: Path) -> None:
    root = RootParameters(root="ubi0:root", file_system="ubifs")
    machine = boot(build("ubifs"), root, ubifs_flash, more=f"{flash_parameters('vda')} ubi.mtd=flash")
    assert comes_up(machine).startswith("ubi0_0 / ubifs ro")


def test_a_flash_that_nobody_attached(boot: Boot, build: Build, ubifs_flash: Path) -> None:
    root = RootParameters(root="ubi0:root", file_system="ubifs", wait_seconds=3)
    refuses(
        boot(build("ubifs"), root, ubifs_flash, more=flash_parameters("vda")),
        r"devices: no data device ubi0:root after 3 s: ubi0 is not attached: ubi.mtd= says on which flash it is",
    )


def test_an_initramfs_without_ubifs(boot: Boot, build: Build, ubifs_flash: Path) -> None:
    root = RootParameters(root="UBI=flash:root", file_system="ubifs")
    refuses(
        boot(build("ubi"), root, ubifs_flash, more=flash_parameters("vda")),
        r"root: the kernel has no UBIFS: the initramfs is not built --with ubifs",
    )


@pytest.fixture
def twins(tmp_path: Path, image: VerityImage) -> GptDisk:
    """Two partitions with one PARTUUID, and different roots in them so that one can see which was taken."""
    other = make_squashfs(make_tree(tmp_path / "other", "b"), tmp_path / "b.squashfs")
    uuid = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
    return make_disk(tmp_path / "twins.img", Entry(image.data, uuid), Entry(other, uuid))


TWIN = "PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4"


def test_of_identical_partitions_the_slot_decides(boot: Boot, build: Build, twins: GptDisk) -> None:
    machine = boot(build("verity"), RootParameters(root=TWIN, slot=parse_slot(twins.slot(2))), twins.path)
    assert comes_up(machine, "b").startswith("/dev/vda2 / squashfs ro")


def test_identical_partitions_without_a_slot_are_refused(boot: Boot, build: Build, twins: GptDisk) -> None:
    refuses(
        boot(build("verity"), RootParameters(root=TWIN), twins.path),
        rf"devices: {TWIN} is ambiguous: /dev/vda1 \({twins.slot(1)}\) /dev/vda2 \({twins.slot(2)}\)",
    )


def test_a_slot_where_something_else_is_is_refused(boot: Boot, build: Build, twins: GptDisk) -> None:
    """The loader's disk is not this one, or was partitioned anew since: the number fits, the first LBA does not."""
    guid, number, lba = twins.slot(2).split(":")
    slot = parse_slot(f"{guid}:{number}:{int(lba) + 8}")
    refuses(
        boot(build("verity"), RootParameters(root="/dev/vda2", slot=slot, wait_seconds=1), twins.path),
        rf"devices: no data device /dev/vda2 after 1 s: not at the slot {slot}, but /dev/vda2 \({twins.slot(2)}\)",
    )


def test_an_ext4_by_its_label(boot: Boot, build: Build, tmp_path: Path) -> None:
    """A whole disk, and a blank in a value."""
    disk = make_ext4(make_tree(tmp_path / "tree"), tmp_path / "root.ext4", label="my root")
    assert comes_up(boot(build("verity"), RootParameters(root="LABEL=my root", read_only=False), disk)).startswith(
        "/dev/vda / ext4 rw"
    )


def test_an_erofs_by_its_uuid(boot: Boot, build: Build, tmp_path: Path) -> None:
    disk = make_erofs(make_tree(tmp_path / "tree"), tmp_path / "root.erofs", uuid=ESP)
    assert comes_up(boot(build("verity"), RootParameters(root=f"UUID={ESP}"), disk)).startswith("/dev/vda / erofs ro")


def test_a_shell_where_one_is_asked_for(boot: Boot, build: Build, tmp_path: Path) -> None:
    root = RootParameters(root="LABEL=nothing here", wait_seconds=0, on_fail=OnFail.SHELL)
    machine = boot(build("verity"), root)
    machine.console.wait_for("bootpath: devices: no data device LABEL=nothing here after 0 s\n", SECONDS)
    machine.console.wait_for("init ends here: onfail=shell", SECONDS)
    machine.console.send_line("echo I am $((6 * 7)); exit")
    machine.console.wait_for("\nI am 42", SECONDS)
    assert machine.wait_exit(SECONDS) == 0


def test_a_halt_where_one_is_asked_for(boot: Boot, build: Build) -> None:
    """Also for parameters that cannot be read."""
    machine = boot(build("verity"), RootParameters(on_fail=OnFail.HALT), more="bootpath.sloot=1")
    machine.console.wait_for("bootpath: parameters: bootpath.sloot=1 is not a parameter of bootpath\n", SECONDS)
    machine.console.wait_for("init ends here: onfail=halt", SECONDS)
    machine.console.wait_for("System halted", SECONDS)
