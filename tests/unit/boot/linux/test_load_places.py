"""Entries elsewhere: on the EFI partition, in UKIs, in extlinux.conf, in volumes; and disks that change answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.readonly import ReadOnly
from bootpath.boot.linux.assurance import AssuranceReason
from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, NextCandidate, RefusalReason
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.menu import LoaderReason
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from bootpath.core.device import Buffer, Device, Segment
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from tests.support.bootdisk import fat
from tests.support.bootfiles import pe_image
from tests.support.ddi import Part, Signer, Volume, make_disk, make_ubi_image
from tests.support.linuximage import (
    ENTRY_PATH,
    INITRD_PATH,
    KERNEL_PATH,
    RootTree,
    fake_initrd,
    fake_kernel,
    find_in,
    flip,
    make_linux_disk,
    make_volume,
)
from tests.support.pefiles import sbsign, signable_pe

ESP_OPEN = parse_image_policy("root=signed+verity:esp=unprotected:=ignore")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.make(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def bare(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """A root without any boot entry."""
    tree = RootTree({"/etc/os-release": b"ID=demo\n" * 600})
    return make_volume(tmp_path_factory.mktemp("bare") / "v", tree, signer)


def load(disk: Device, **request: object) -> LinuxBoot:
    return load_linux(disk, LinuxRequest(**request), Timeline(time.monotonic))  # type: ignore[arg-type]


def load_file(path: Path, **request: object) -> LinuxBoot:
    with closing(FileDevice.open(path)) as disk:
        return load(disk, **request)


def with_esp(directory: Path, volume: Volume, files: Mapping[str, bytes]) -> Path:
    return make_linux_disk(directory / "disk.img", [("demo_1", volume)], esp=fat(directory, files)).path


def test_an_entry_of_the_efi_partition_is_unverified(bare: Volume, signer: Signer, tmp_path: Path) -> None:
    entry = b"title x\nlinux /k\ninitrd /i\noptions quiet\n"
    path = with_esp(tmp_path, bare, {"k": fake_kernel(), "i": fake_initrd(), "loader/entries/x.conf": entry})
    trusted = (signer.certificate.read_bytes(),)
    refused = load_file(path, certificates=trusted)
    assert refused.verdict is LinuxVerdict.REFUSED
    assert LoaderReason.UNPROTECTED.text in str(refused.refusal)
    boot = load_file(path, certificates=trusted, policy=ESP_OPEN)
    assert boot.verdict is LinuxVerdict.UNVERIFIED
    assert boot.loaded is not None
    assert boot.plan is not None
    reasons = {part.what: part.why for part in boot.plan.parts}
    assert reasons["kernel"] == AssuranceReason.BOOT_PARTITION("esp")
    assert reasons["root"] == AssuranceReason.ROOT_HASH_SIGNED("CN=signer")
    assert f"roothash={bare.root_hash.hex()}" in boot.plan.command_line


def test_a_uki_brings_its_parts(bare: Volume, signer: Signer, tmp_path: Path) -> None:
    options = f"roothash={bare.root_hash.hex()} quiet\0".encode()
    uki = pe_image(
        [
            (".linux", fake_kernel()),
            (".osrel", b"ID=os\nVERSION_ID=3\n"),
            (".cmdline", options),
            (".initrd", fake_initrd()),
        ]
    )
    path = with_esp(tmp_path, bare, {"EFI/Linux/os_3.efi": uki})
    boot = load_file(path, certificates=(signer.certificate.read_bytes(),), policy=ESP_OPEN)
    assert boot.loaded is not None, boot.refusal
    assert boot.plan is not None
    assert boot.loaded.kernel == fake_kernel()
    assert boot.loaded.initrd == fake_initrd()
    assert boot.verdict is LinuxVerdict.UNVERIFIED
    assert boot.plan.parts[0].why.reason is AssuranceReason.BAD_SIGNATURE
    words = boot.plan.command_line.split()
    assert words[:2] == [f"roothash={bare.root_hash.hex()}", "quiet"]
    assert words[2].startswith("bootpath.slot=")


def signed_uki(directory: Path, signer: Signer, options: str) -> bytes:
    sections = [
        (".osrel", b"ID=os\nVERSION_ID=3\n"),
        (".cmdline", options.encode()),
        (".linux", fake_kernel()),
        (".initrd", fake_initrd()),
    ]
    return sbsign(directory, signable_pe(sections), signer)


def test_a_signed_uki_is_verified(bare: Volume, signer: Signer, tmp_path: Path) -> None:
    path = with_esp(tmp_path, bare, {"EFI/Linux/os_3.efi": signed_uki(tmp_path, signer, "quiet")})
    trusted = (signer.certificate.read_bytes(),)
    boot = load_file(path, certificates=trusted)
    assert boot.verdict is LinuxVerdict.VERIFIED, boot.refusal
    assert boot.loaded is not None
    assert boot.plan is not None
    assert (boot.loaded.kernel, boot.loaded.initrd) == (fake_kernel(), fake_initrd())
    reasons = {part.what: part.why for part in boot.plan.parts}
    assert reasons.pop("root") == AssuranceReason.ROOT_HASH_SIGNED("CN=signer")
    assert set(reasons.values()) == {AssuranceReason.SIGNED("CN=signer")}
    assert f"roothash={bare.root_hash.hex()}" in boot.plan.command_line
    # Without the signer there is nothing to believe it by, and a root hash alone does not vouch for it.
    refused = load_file(path, root_hash=bare.root_hash)
    assert "no certificate was given for the image" in str(refused.refusal)


@pytest.mark.parametrize(
    "text", [fake_kernel()[50_000:50_100], b"quiet", b"VERSION_ID"], ids=["kernel", "command line", "os"]
)
def test_a_flipped_bit_of_a_signed_uki(bare: Volume, signer: Signer, tmp_path: Path, text: bytes) -> None:
    path = with_esp(tmp_path, bare, {"EFI/Linux/os_3.efi": signed_uki(tmp_path, signer, "quiet")})
    flip(path, find_in(path, text))
    trusted = (signer.certificate.read_bytes(),)
    boot = load_file(path, certificates=trusted)
    assert boot.verdict is LinuxVerdict.REFUSED
    assert "the entry is not verified: it has no valid signature: " in str(boot.refusal)
    allowed = load_file(path, certificates=trusted, policy=ESP_OPEN)
    assert allowed.verdict is LinuxVerdict.UNVERIFIED
    assert allowed.plan is not None
    assert allowed.plan.parts[0].why.reason is AssuranceReason.BAD_SIGNATURE


def test_a_signed_command_line_vouches_for_the_root_hash_on_it(signer: Signer, tmp_path: Path) -> None:
    unsigned = make_volume(tmp_path / "v", RootTree({"/etc/os-release": b"ID=demo\n" * 600}), None)
    options = f"roothash={unsigned.root_hash.hex()} quiet"
    path = with_esp(tmp_path, unsigned, {"EFI/Linux/os_3.efi": signed_uki(tmp_path, signer, options)})
    policy = parse_image_policy("root=verity:esp=unprotected:=ignore")
    boot = load_file(path, certificates=(signer.certificate.read_bytes(),), policy=policy)
    assert boot.verdict is LinuxVerdict.VERIFIED, boot.refusal
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.plan.parts[-1].why.reason is AssuranceReason.HASH_ON_COMMAND_LINE


def test_an_add_on_has_to_be_signed_too(bare: Volume, signer: Signer, tmp_path: Path) -> None:
    addon = signable_pe([(".cmdline", b"debug")])
    trusted = (signer.certificate.read_bytes(),)
    for number, (content, verdict) in enumerate(
        ((addon, LinuxVerdict.REFUSED), (sbsign(tmp_path, addon, signer), LinuxVerdict.VERIFIED))
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        files = {
            "EFI/Linux/os_3.efi": signed_uki(tmp_path, signer, "quiet"),
            "EFI/Linux/os_3.efi.extra.d/debug.addon.efi": content,
        }
        boot = load_file(with_esp(directory, bare, files), certificates=trusted)
        assert boot.verdict is verdict, boot.refusal
        assert boot.plan is None or boot.plan.command_line.startswith("quiet debug roothash=")


def test_an_image_that_changes_behind_the_signature(bare: Volume, signer: Signer, tmp_path: Path) -> None:
    """The signed bytes are the first answer, other ones the second: what runs is what was verified."""
    path = with_esp(tmp_path, bare, {"EFI/Linux/os_3.efi": signed_uki(tmp_path, signer, "quiet")})
    content = path.read_bytes()
    evil = content.replace(fake_kernel()[200_000:400_000], fake_kernel(2)[200_000:400_000])
    assert evil != content
    disk = SecondAnswers(MemoryDevice(content), MemoryDevice(evil))
    boot = load(disk, certificates=(signer.certificate.read_bytes(),))
    assert boot.verdict is LinuxVerdict.VERIFIED, boot.refusal
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.kernel == fake_kernel()


def test_extlinux_in_the_root(signer: Signer, tmp_path: Path) -> None:
    menu = b"default b\nlabel a\nkernel /missing\nlabel b\nkernel ../vmlinuz\ninitrd ../initrd\nappend quiet\n"
    tree = RootTree.demo()
    del tree.files[ENTRY_PATH]
    tree.files["/boot/extlinux/extlinux.conf"] = menu
    volume = make_volume(tmp_path / "v", tree, signer)
    path = make_linux_disk(tmp_path / "disk.img", [("demo_1", volume)]).path
    boot = load_file(path, certificates=(signer.certificate.read_bytes(),))
    assert boot.verdict is LinuxVerdict.VERIFIED, boot.refusal
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.plan.entry.entry.id == "b"
    assert (boot.loaded.kernel, boot.loaded.initrd) == (fake_kernel(), fake_initrd())


def test_a_devicetree_is_loaded_with_the_rest(signer: Signer, tmp_path: Path) -> None:
    tree = RootTree.demo(entry=f"title x\nlinux {KERNEL_PATH}\ninitrd {INITRD_PATH}\ndevicetree /board.dtb\n")
    tree.files["/board.dtb"] = b"\xd0\x0d\xfe\xed" + bytes(60)
    volume = make_volume(tmp_path / "v", tree, signer)
    boot = load_file(make_linux_disk(tmp_path / "disk.img", [("demo_1", volume)]).path)
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.devicetree == tree.files["/board.dtb"]
    assert [part.what for part in boot.plan.parts] == ["kernel", "initrd", "device tree", "root"]


def test_volumes_of_ubi_are_protected_by_their_neighbours(signer: Signer, tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "v", RootTree.demo(), signer)
    assert volume.signature is not None
    volumes = {"root": volume.data, "root-verity": volume.hashes, "root-verity-sig": volume.signature}
    image = make_ubi_image(tmp_path / "ubi.img", volumes, static=("root-verity-sig",))
    trusted = (signer.certificate.read_bytes(),)
    boot = load_file(image, certificates=trusted)
    assert boot.verdict is LinuxVerdict.VERIFIED, boot.refusal
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.kernel == fake_kernel()
    line = boot.plan.command_line
    assert line.startswith("quiet block2mtd.block2mtd=/dev/vda,16384 ubi.mtd=0,512 roothash=")
    assert "systemd.verity_root_data=UBI=0:root systemd.verity_root_hash=UBI=0:root-verity" in line


def test_a_disk_that_is_the_root(tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "v", RootTree.demo(), None)
    (tmp_path / "disk.img").write_bytes(volume.data)
    boot = load_file(tmp_path / "disk.img")
    assert boot.loaded is not None, boot.refusal
    assert boot.plan is not None
    assert boot.plan.command_line == "quiet root=/dev/vda"
    assert boot.plan.parts[-1].why.reason is AssuranceReason.NO_VERITY


def test_nothing_on_it(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    boot = load_file(tmp_path / "disk.img")
    assert boot.verdict is LinuxVerdict.REFUSED
    assert boot.order.refusal is not None
    assert boot.order.refusal.reason is RefusalReason.NOTHING
    assert boot.attempts == ()


@dataclass
class SecondAnswers(ReadOnly):
    """A disk whose pages are those of `first` until they were read once (`grace` times), and then those of `second`."""

    first: Device
    second: Device
    grace: int = 1

    def __post_init__(self) -> None:
        self.size_bytes, self.block_bytes = self.first.size_bytes, self.first.block_bytes
        self.identity = self.first.identity
        self.seen: dict[int, int] = {}

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        parts: list[Buffer] = []
        for start in range(offset, offset + length, 512):
            count = self.seen[start] = self.seen.get(start, 0) + 1
            parts += (self.first if count <= self.grace else self.second).read(start, 512)
        return parts

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return None

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        return self.first.extents(offset, length)

    def close(self) -> None:
        """Both are the test's."""


@pytest.fixture(scope="module")
def two_faces(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two disks with the same table; the other one's root is right in itself, under a root hash of its own."""
    tmp_path = tmp_path_factory.mktemp("faces")
    good = make_volume(tmp_path / "good", RootTree.demo(1), signer)
    evil = make_volume(tmp_path / "evil", RootTree.demo(2), None)
    assert len(good.data) == len(evil.data)
    assert good.signature is not None
    mask = Volume(evil.data, evil.hashes, good.root_hash, good.signature)
    first, second = (make_linux_disk(tmp_path / f"{n}.img", [("demo_1", v)]).path for n, v in enumerate((good, mask)))
    return first, second


@pytest.mark.parametrize("grace", [1, 2, 3, 5])
@pytest.mark.parametrize("turned", [False, True], ids=["good then evil", "evil then good"])
def test_what_runs_is_what_was_verified_whatever_the_disk_says_later(
    signer: Signer, two_faces: tuple[Path, Path], grace: int, turned: bool
) -> None:
    request = {"certificates": (signer.certificate.read_bytes(),), "next_candidate": NextCandidate.POLICY}
    with closing(FileDevice.open(two_faces[0])) as first, closing(FileDevice.open(two_faces[1])) as second:
        pair = (second, first) if turned else (first, second)
        boot = load(SecondAnswers(*pair, grace), **request)
    if boot.loaded is None:
        assert boot.refusal is not None
        return
    assert boot.loaded.kernel == fake_kernel(1)
    assert boot.loaded.initrd == fake_initrd(1)
    assert not turned or grace > 1


def test_the_kernel_is_read_once(signer: Signer, tmp_path: Path) -> None:
    """A disk whose kernel is another one from the second answer on: what runs is what the first answer was."""
    good = make_volume(tmp_path / "good", RootTree.demo(1), signer)
    path = make_linux_disk(tmp_path / "disk.img", [("demo_1", good)]).path
    content = path.read_bytes()
    inside = slice(140_000, 250_000)  # one block of the squashfs; its borders are read, and checked, twice
    kernel = fake_kernel(1)[inside]
    place = content.find(kernel)
    evil = content[:place] + fake_kernel(2)[inside] + content[place + len(kernel) :]
    with closing(FileDevice.open(path)) as disk:
        boot = load(SecondAnswers(disk, MemoryDevice(evil)), certificates=(signer.certificate.read_bytes(),))
        assert boot.verdict is LinuxVerdict.VERIFIED, boot.refusal
        assert boot.loaded is not None
        assert boot.plan is not None
        assert boot.loaded.kernel == fake_kernel(1)
        # A disk that is evil from the first answer on does not boot.
        boot = load(SecondAnswers(MemoryDevice(evil), disk), certificates=(signer.certificate.read_bytes(),))
        assert boot.verdict is LinuxVerdict.REFUSED
        assert "data block" in str(boot.refusal)


def test_a_usr_that_nothing_vouches_for_is_no_part_of_a_verified_system(
    tmp_path: Path, bare: Volume, signer: Signer
) -> None:
    """Our initramfs mounts no /usr, others do."""
    plain = Part(Designator.USR, bare.data, UUID(int=77), "usr_1")
    system = make_volume(tmp_path / "root", RootTree.demo(), signer)
    path = make_disk(tmp_path / "disk.img", [*system.parts("root_1"), plain]).path
    trusted = (signer.certificate.read_bytes(),)
    boot = load_file(path, certificates=trusted, policy=parse_image_policy("*"))
    assert boot.verdict is LinuxVerdict.UNVERIFIED
    assert boot.plan is not None
    assert boot.plan.weakest is not None
    assert boot.plan.weakest.what == "/usr"
    assert load_file(path, certificates=trusted).verdict is LinuxVerdict.REFUSED
