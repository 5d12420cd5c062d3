"""Loading through verity: what runs, how sure it is, and what each flipped bit comes to."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.linux.assurance import AssuranceReason
from bootpath.boot.linux.choice import (
    GivenInitrd,
    LinuxRequest,
    LinuxVerdict,
    NextCandidate,
    NoteReason,
    RefusalReason,
)
from bootpath.boot.linux.cmdline import ParameterSource
from bootpath.boot.linux.files import join_initrds
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from bootpath.core.limits import limits_raised
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.image.entries.find import find_entries
from tests.support.ddi import Disk, Signer, Volume
from tests.support.linuximage import (
    ENTRY,
    FAR,
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

NEVER, POLICY = NextCandidate.NEVER, NextCandidate.POLICY


@dataclass(frozen=True)
class System:
    """Two versions of an image, and who signed them."""

    disk: Disk
    old: Volume
    new: Volume
    signer: Signer

    @property
    def certificates(self) -> tuple[bytes, ...]:
        return (self.signer.certificate.read_bytes(),)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> System:
    directory = tmp_path_factory.mktemp("linux")
    signer = Signer.make(directory)
    old = make_volume(directory / "old", RootTree.demo(1), signer)
    new = make_volume(directory / "new", RootTree.demo(2), signer)
    disk = make_linux_disk(directory / "disk.img", [("demo_1.0", old), ("demo_2.0", new)])
    return System(disk, old, new, signer)


@pytest.fixture
def system(made: System, tmp_path: Path) -> System:
    """The same in a file of its own."""
    path = tmp_path / "disk.img"
    shutil.copyfile(made.disk.path, path)
    return replace(made, disk=Disk(path, made.disk.offsets))


def load(path: Path, **request: object) -> LinuxBoot:
    with closing(FileDevice.open(path)) as disk:
        return load_linux(disk, LinuxRequest(**request), Timeline(time.monotonic))  # type: ignore[arg-type]


def load_signed(system: System, **request: object) -> LinuxBoot:
    return load(system.disk.path, certificates=system.certificates, **request)


def test_the_newest_version_is_loaded_and_all_of_it_is_verified(system: System) -> None:
    boot = load_signed(system)
    assert boot.refusal is None
    assert boot.verdict is LinuxVerdict.VERIFIED
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.kernel == fake_kernel(2)
    assert boot.loaded.initrd == fake_initrd(2)
    assert boot.chosen is not None
    assert boot.chosen.data.path == "4"
    signed = AssuranceReason.ROOT_HASH_SIGNED("CN=signer")
    assert {part.what: part.why for part in boot.plan.parts} == dict.fromkeys(
        ("kernel", "initrd", "command line", "root"), signed
    )


def test_the_command_line_names_root_and_slot_and_says_who_put_it_there(system: System) -> None:
    boot = load_signed(system)
    assert boot.loaded is not None
    assert boot.plan is not None
    placed = {each.key: each for each in boot.plan.parameters}
    assert placed["quiet"].source is ParameterSource.ENTRY
    assert placed["roothash"].text == f"roothash={system.new.root_hash.hex()}"
    assert placed["roothash"].source is ParameterSource.LOADER
    location = boot.contents.node("4").location  # type: ignore[union-attr]
    assert placed["bootpath.slot"].text == f"bootpath.slot={location.disk_id}:4:{location.first_lba}"
    assert placed["bootpath.hash_slot"].text.split(":")[1] == "5"


def test_fixed_names_instead_of_uuids(system: System) -> None:
    boot = load_signed(system, fixed=True, disk_name="/dev/sda")
    assert boot.loaded is not None
    assert boot.plan is not None
    assert "systemd.verity_root_data=/dev/sda4 systemd.verity_root_hash=/dev/sda5" in boot.plan.command_line
    assert "bootpath.slot=" in boot.plan.command_line


def test_a_root_hash_that_is_given_says_which_image_is_meant(system: System) -> None:
    boot = load(system.disk.path, root_hash=system.old.root_hash)
    assert boot.verdict is LinuxVerdict.VERIFIED
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.kernel == fake_kernel(1)
    assert boot.plan.parts[0].why.reason is AssuranceReason.HASH_GIVEN


def test_without_anything_to_trust_it_is_unverified_and_allowed(system: System) -> None:
    boot = load(system.disk.path)
    assert boot.verdict is LinuxVerdict.UNVERIFIED
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.plan.parts[0].why.reason is AssuranceReason.HASH_OF_DISK


def test_an_initrd_that_is_given_is_believed_only_when_the_caller_says_so(system: System) -> None:
    given = GivenInitrd("mine", b"070701mine")
    boot = load_signed(system, initrd=given)
    assert boot.verdict is LinuxVerdict.UNVERIFIED
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.initrd == b"070701mine"
    assert load_signed(system, initrd=replace(given, trusted=True)).verdict is LinuxVerdict.VERIFIED


def test_another_signer_is_refused(system: System, tmp_path: Path) -> None:
    boot = load(system.disk.path, certificates=(Signer.make(tmp_path, "other").certificate.read_bytes(),))
    assert boot.verdict is LinuxVerdict.REFUSED
    assert boot.refusal is not None
    assert str(boot.refusal).startswith("4 (")


def test_the_slot_decides(system: System) -> None:
    boot = load_signed(system, slot="1")
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.kernel == fake_kernel(1)
    assert load_signed(system, slot="9").verdict is LinuxVerdict.REFUSED


def signature_of(path: Path, system: System) -> int:
    return find_in(path, b'"signature": "', system.disk.offsets[6]) + 400


WHERE: dict[str, tuple[Callable[[Path, System], int], str, str]] = {
    "kernel": (lambda path, system: find_in(path, fake_kernel(2)[100_000:100_100]), "data block", ""),
    "entry": (lambda path, system: find_in(path, b"title Demo", system.disk.offsets[4]), "data block", ""),
    "tree": (lambda path, system: system.disk.offsets[5] + 2 * 4096 + 100, "does not match", ""),
    "root of the tree": (lambda path, system: system.disk.offsets[5] + 4096 + 5, "but has another root hash", ""),
    "superblock": (lambda path, system: system.disk.offsets[5] + 88, "but has another root hash", ""),
    "signature": (signature_of, "sign", ""),
}


@pytest.mark.parametrize("name", WHERE)
def test_a_flipped_bit_is_refused_with_its_reason(system: System, name: str) -> None:
    place, reason, _ = WHERE[name]
    flip(system.disk.path, place(system.disk.path, system))
    boot = load_signed(system)
    assert boot.verdict is LinuxVerdict.REFUSED
    assert boot.refusal is not None
    assert str(boot.refusal).startswith("4 (")
    assert reason in str(boot.refusal)
    assert len(boot.attempts) == 1


@pytest.mark.parametrize("name", WHERE)
def test_the_next_candidate_is_tried_when_that_is_allowed(system: System, name: str) -> None:
    flip(system.disk.path, WHERE[name][0](system.disk.path, system))
    boot = load_signed(system, next_candidate=POLICY)
    assert boot.verdict is LinuxVerdict.VERIFIED
    assert [attempt.candidate and attempt.candidate.data.path for attempt in boot.attempts] == ["4", "1"]
    assert boot.attempts[0].failure is not None
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.loaded.kernel == fake_kernel(1)


def test_candidates_are_tried_up_to_a_limit(system: System) -> None:
    flip(system.disk.path, next(iter(WHERE.values()))[0](system.disk.path, system))
    with limits_raised(boot_attempts=1):
        boot = load_signed(system, next_candidate=POLICY)
    assert boot.verdict is LinuxVerdict.REFUSED
    assert [attempt.plan for attempt in boot.attempts] == [None, None]
    assert "too many candidates were tried" in str(boot.refusal)


@pytest.mark.parametrize("offset", [512 + 60, 1024 + 128 * 3 + 40], ids=["header", "entry"])
def test_a_flipped_bit_of_the_partition_table(system: System, offset: int) -> None:
    flip(system.disk.path, offset)
    boot = load_signed(system)
    assert boot.verdict is LinuxVerdict.VERIFIED
    assert [note.reason for note in boot.order.notes] == [NoteReason.BACKUP_USED]


def test_a_flipped_bit_of_the_backup_table_is_told(system: System) -> None:
    """Nothing is read from there as long as the first copy is whole."""
    flip(system.disk.path, system.disk.path.stat().st_size - 512 + 60)
    boot = load_signed(system)
    assert boot.verdict is LinuxVerdict.VERIFIED
    assert boot.order.notes[0].reason is NoteReason.BACKUP_DAMAGED
    assert str(boot.order.notes[0].details[0]).startswith("gpt: header at LBA")
    with closing(FileDevice.open(system.disk.path)) as disk:
        assert find_entries(disk).warnings[0].startswith("the partition table: gpt: header at LBA")


def test_data_that_nobody_loads_is_found_only_by_reading_all(system: System, tmp_path: Path) -> None:
    flip(system.disk.path, find_in(system.disk.path, FAR, system.disk.offsets[4]) + 9000)
    assert load_signed(system).verdict is LinuxVerdict.VERIFIED
    boot = load_signed(system, full=True)
    assert boot.verdict is LinuxVerdict.REFUSED
    assert boot.attempts[0].failure is not None
    assert "data block " in str(boot.attempts[0].failure)
    assert "does not match the root hash" in str(boot.attempts[0].failure)


def test_identical_slots_are_decided_by_a_slot_alone(made: System, tmp_path: Path) -> None:
    disk = make_linux_disk(tmp_path / "disk.img", [("demo_1.0", made.old), ("demo_1.0", made.old)])
    boot = load(disk.path, certificates=made.certificates, next_candidate=POLICY)
    assert boot.verdict is LinuxVerdict.REFUSED
    assert boot.order.refusal is not None
    assert boot.order.refusal.reason is RefusalReason.AMBIGUOUS
    boot = load(disk.path, certificates=made.certificates, slot="4")
    assert boot.loaded is not None
    assert boot.plan is not None
    assert ":4:" in boot.plan.command_line


def test_an_entry_may_name_the_root_itself(made: System, tmp_path: Path) -> None:
    entry = ENTRY.replace("linux-appendroot yes\n", "").replace("quiet", "root=/dev/sdz9 -- single")
    volume = make_volume(tmp_path / "v", RootTree.demo(entry=entry), made.signer)
    disk = make_linux_disk(tmp_path / "disk.img", [("demo_1.0", volume)])
    refused = load(disk.path, certificates=made.certificates)
    assert "the root that would be mounted is not verified" in str(refused.refusal)
    anything = parse_image_policy("*")
    boot = load(disk.path, certificates=made.certificates, policy=anything, append="loglevel=7")
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.plan.command_line == "root=/dev/sdz9 loglevel=7 -- single"
    assert boot.verdict is LinuxVerdict.UNVERIFIED
    assert boot.plan.parts[-1].why.reason is AssuranceReason.NO_ROOT_HASH


def test_without_an_initrd_the_kernel_puts_the_root_together(made: System, tmp_path: Path) -> None:
    entry = ENTRY.replace(f"initrd {INITRD_PATH}\n", "")
    volume = make_volume(tmp_path / "v", RootTree.demo(entry=entry), made.signer)
    disk = make_linux_disk(tmp_path / "disk.img", [("demo_1.0", volume)])
    boot = load(disk.path, certificates=made.certificates)
    assert boot.loaded is not None
    assert boot.plan is not None
    assert "dm-mod.create=" in boot.plan.command_line
    assert boot.verdict is LinuxVerdict.VERIFIED


def test_entries_that_cannot_be_booted(made: System, tmp_path: Path) -> None:
    entry = ENTRY.replace("options", "devicetree-overlay /overlay\noptions")
    tree = RootTree.demo(entry=entry)
    tree.files["/overlay"] = b"dtbo"
    tree.files["/loader/entries/efi.conf"] = b"title x\nefi /overlay\n"
    volume = make_volume(tmp_path / "v", tree, made.signer)
    disk = make_linux_disk(tmp_path / "disk.img", [("demo_1.0", volume)])
    for name, reason in (
        ("demo-1", "device tree overlays"),
        ("efi", "an EFI program"),
        ("other", "there is no entry 'other'"),
    ):
        assert reason in str(load(disk.path, certificates=made.certificates, entry=name).refusal)


def test_a_candidate_that_failed_elsewhere_is_skipped_when_that_is_allowed(system: System) -> None:
    skipped = (("4", "its init cannot be read"),)
    refused = load_signed(system, skipped=skipped)
    assert [each.failure for each in refused.attempts] == [RefusalReason.FAILED_BEFORE("its init cannot be read")]
    boot = load_signed(system, skipped=skipped, next_candidate=POLICY)
    assert boot.chosen is not None
    assert boot.chosen.data.path == "1"


def test_initrds_are_joined_at_multiples_of_four() -> None:
    pieces = list(join_initrds([[b"abc", b"de"], [], [b""], [b"fgh"], [b"i"]]))
    assert pieces == [b"abc", b"de", b"\0\0\0", b"fgh", b"\0", b"i"]
    assert list(join_initrds([])) == []


def test_the_kernel_path_is_where_it_was_read(system: System) -> None:
    boot = load_signed(system)
    assert boot.loaded is not None
    assert boot.plan is not None
    assert boot.plan.parts[0].origin == KERNEL_PATH
    assert boot.attempts[0].table == "verity"


def test_a_slot_that_is_no_auto_is_booted_when_it_is_named(made: System, tmp_path: Path) -> None:
    names = [("demo_1.0", made.old), ("demo_2.0", made.new)]
    disk = make_linux_disk(tmp_path / "disk.img", names, flags=((), (63,)))
    by_itself = load(disk.path, certificates=made.certificates)
    assert by_itself.chosen is not None
    assert by_itself.chosen.data.path == "1"
    for named in ({"slot": "4"}, {"root_hash": made.new.root_hash}):
        boot = load(disk.path, certificates=made.certificates, **named)
        assert boot.verdict is LinuxVerdict.VERIFIED, boot.refusal
        assert boot.loaded is not None
        assert boot.plan is not None
        assert boot.loaded.kernel == fake_kernel(2)
