"""``bootpath inspect`` of what distributions make, whole and broken in ten ways each: one verdict, one exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID
from zlib import crc32

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.table.stack import open_table
from bootpath.boot.inspection.inspect import inspect_disk
from bootpath.boot.inspection.values import InspectionRequest
from bootpath.cli.main import main
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.table import parse_table
from bootpath.formats.partitions.dps import Architecture, Designator, type_guid
from bootpath.image.roots.reasons import ProblemReason
from tests.integration.test_cli import run, run_json
from tests.support.ddi import (
    DATA_BYTES,
    DISK_GUID,
    MIB,
    PEB_BYTES,
    UBI_DATA_OFFSET,
    Disk,
    Part,
    Signer,
    Volume,
    make_disk,
    make_file_system,
    make_lvm_disk,
    make_ubi_image,
    pack_signature,
    protect,
)
from tests.support.images import copy, make_image, make_tree
from tests.support.kernels import make_efi_image
from tests.support.nbdserver import nbd_server
from tests.support.rangeserver import Object, RangeServer
from tests.support.tools import tool

SUPERBLOCK = 1024  # of ext4


@dataclass(frozen=True)
class Made:
    """Images that are only read, and what is in them."""

    signer: Signer
    stranger: Signer
    old: Volume
    new: Volume
    signed: Disk
    twins: Disk
    lvm: Disk
    ubi: Path
    live: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = tmp_path_factory.mktemp("inspect")
    signer, stranger = Signer.make(directory), Signer.make(directory, "stranger")
    plain = make_file_system(directory)
    old = protect(directory, plain, signer)
    new = protect(directory, make_file_system(directory, text="newer\n"), signer)
    volumes = {"kernel": b"kernel" * 1000, "rootfs": plain, "data": b"nothing" * 500}
    return Made(
        signer=signer,
        stranger=stranger,
        old=old,
        new=new,
        signed=make_disk(directory / "signed.img", old.parts("os_1")),
        twins=make_disk(directory / "twins.img", [*old.parts("os_1"), *old.parts("os_1", serial=2)]),
        lvm=make_lvm_disk(directory / "lvm.img", plain),
        ubi=make_ubi_image(directory / "ubi.img", volumes, static=["kernel", "rootfs"]),
        live=make_image(directory, "live.img", tree=make_tree(directory / "tree", bulk_bytes=MIB), size_bytes=8 * MIB),
    )


class Image(bytearray):
    """The bytes of an image that is about to be broken."""

    def flip(self, offset: int) -> None:
        self[offset] ^= 1

    def wipe(self, offset: int, length: int, value: int = 0) -> None:
        self[offset : offset + length] = bytes([value]) * length

    def entry(self, number: int) -> slice:
        """The partition entry in the primary array; `seal` makes its checksums right again, in both copies."""
        return slice(1024 + (number - 1) * 128, 1024 + number * 128)

    def set_entry(self, number: int, offset: int, value: bytes) -> None:
        start = self.entry(number).start + offset
        self[start : start + len(value)] = value
        self.seal()

    def swap_entries(self, one: int, other: int) -> None:
        self[self.entry(one)], self[self.entry(other)] = self[self.entry(other)], self[self.entry(one)]
        self.seal()

    def drop_entry(self, number: int) -> None:
        self[self.entry(number)] = bytes(128)
        self.seal()

    def seal(self) -> None:
        array = self[1024 : 1024 + 128 * 128]
        last = len(self) - 512
        self[last - len(array) : last] = array
        for header in (512, last):
            self[header + 88 : header + 92] = crc32(array).to_bytes(4, "little")
            self[header + 16 : header + 20] = bytes(4)
            self[header + 16 : header + 20] = crc32(self[header : header + 92]).to_bytes(4, "little")


def cut(image: Image, offset: int) -> None:
    del image[offset:]


def drop(image: Image, *numbers: int) -> None:
    for number in numbers:
        image.drop_entry(number)


def wipe_tables(image: Image, offset: int = 0, length: int = 0) -> None:
    """Both headers of the partition table, and something else."""
    for place in (512, len(image) - 512):
        image.wipe(place, 92)
    image.wipe(offset, length)


@dataclass(frozen=True)
class Break:
    """What is done to an image, and what must come of it: the exit code, and words of the one line that says why."""

    change: Callable[[Image, Made], object]
    code: int
    says: str
    options: tuple[str, ...] = ()


def check(capsys: pytest.CaptureFixture[str], made: Made, source: Path, broken: Path, case: Break) -> None:
    image = Image(source.read_bytes())
    case.change(image, made)
    broken.write_bytes(image)
    certificate = str(made.signer.certificate)
    options = [word.replace("CERTIFICATE", certificate) for word in case.options]
    code, output, errors = run(capsys, "inspect", broken, *options)
    verdicts = [line for line in output.splitlines() if line.startswith("Verdict: ")]
    assert errors == ""
    assert code == case.code, output
    assert len(verdicts) == 1, output
    assert case.says in (output if case.code == 0 else verdicts[0]), output
    assert ("would be" in verdicts[0] or "would boot" in verdicts[0]) is (case.code == 0)
    assert run_json(capsys, "inspect", "inspect", broken, *options)[0] == case.code


# A signed image


def at(disk: Disk, number: int, offset: int = 0) -> int:
    return disk.offsets[number] + offset


def other_signature(image: Image, made: Made) -> None:
    content = pack_signature(made.old.root_hash.hex(), made.stranger.sign(made.old.root_hash.hex()))
    start = at(made.signed, 3)
    image[start : start + len(content)] = content


def signature_of_another(image: Image, made: Made) -> None:
    assert made.new.signature is not None
    start = at(made.signed, 3)
    image[start : start + len(made.new.signature)] = made.new.signature


def other_tree(image: Image, made: Made) -> None:
    start = at(made.signed, 2)
    image[start : start + len(made.new.hashes)] = made.new.hashes


LAST = DATA_BYTES - 1
CERTIFIED = ("--certificate", "CERTIFICATE")
SIGNED = {
    "whole": Break(lambda image, made: None, 0, "signed by CN=signer", CERTIFIED),
    "data block": Break(lambda i, m: i.flip(at(m.signed, 1, LAST)), 3, "data block 255", (*CERTIFIED, "--full")),
    "file system": Break(lambda i, m: i.flip(at(m.signed, 1, SUPERBLOCK + 8)), 3, "checksum", CERTIFIED),
    "leaf of the tree": Break(lambda i, m: i.flip(at(m.signed, 2, 2 * 4096)), 3, "hash block", (*CERTIFIED, "--full")),
    "root of the tree": Break(lambda i, m: i.flip(at(m.signed, 2, 4096)), 3, "but has another root hash", CERTIFIED),
    "verity superblock": Break(lambda i, m: i.flip(at(m.signed, 2)), 3, "partition 2", CERTIFIED),
    "another tree": Break(other_tree, 3, "but has another root hash", CERTIFIED),
    "another signer": Break(other_signature, 3, "root hash signature: ", CERTIFIED),
    "signature of another": Break(signature_of_another, 3, "for another root hash", CERTIFIED),
    "signature wiped": Break(lambda i, m: i.wipe(at(m.signed, 3), 4096), 3, "signature in partition 3", CERTIFIED),
    "signature dropped": Break(lambda i, m: i.drop_entry(3), 3, "and this is verity", CERTIFIED),
    "tree dropped": Break(lambda i, m: i.drop_entry(2), 3, "no hash partition for its root hash", CERTIFIED),
    "UUID of the data": Break(lambda i, m: i.set_entry(1, 16, bytes(16)), 0, "not the first 128 bits", CERTIFIED),
    "no-auto": Break(lambda i, m: i.set_entry(1, 48, (1 << 63).to_bytes(8, "little")), 3, "no-auto", CERTIFIED),
    "unfinished": Break(lambda i, m: i.set_entry(1, 56, "PRT#".encode("utf-16-le")), 3, "not complete", CERTIFIED),
    "cut short": Break(lambda i, m: cut(i, at(m.signed, 1, 4096)), 3, "is the image truncated?", CERTIFIED),
    "both tables": Break(lambda i, m: wipe_tables(i), 3, "neither a RedoxFS nor", CERTIFIED),
    "one table": Break(lambda i, m: i.flip(512 + 60), 0, "primary damaged", CERTIFIED),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_image(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path, name: str) -> None:
    check(capsys, made, made.signed.path, tmp_path / "broken.img", SIGNED[name])


# A and B that are the same


def name_slot(number: int, label: str) -> Callable[[Image, Made], object]:
    return lambda image, made: image.set_entry(number, 56, label.encode("utf-16-le").ljust(72, b"\0"))


TWINS = {
    "whole": Break(lambda image, made: None, 3, "ambiguous: identical root partitions: 1 ("),
    "first slot": Break(lambda image, made: None, 0, "partition 1 ", ("--slot", "1")),
    "second slot": Break(lambda image, made: None, 0, "partition 4 ", ("--slot", f"{DISK_GUID}:4:4352")),
    "no such slot": Break(lambda image, made: None, 3, "there is no root in the slot '9'", ("--slot", "9")),
    "newer label": Break(name_slot(4, "os_2"), 3, "ambiguous"),  # the UUIDs are the same still
    "content differs": Break(lambda i, m: i.flip(at(m.twins, 4, LAST)), 3, "ambiguous"),
    "content differs, full": Break(
        lambda i, m: i.flip(at(m.twins, 4, LAST)), 3, "data block 255", ("--slot", "4", "--full")
    ),
    "other slot full": Break(lambda i, m: i.flip(at(m.twins, 4, LAST)), 0, "all of 1", ("--slot", "1", "--full")),
    "B not bootable": Break(lambda i, m: i.set_entry(4, 48, (1 << 63).to_bytes(8, "little")), 0, "partition 1 "),
    "B unfinished": Break(name_slot(4, "PND#os_2"), 0, "partition 1 "),
    "B's file system": Break(lambda i, m: i.flip(at(m.twins, 4, SUPERBLOCK + 8)), 0, "partition 1 "),
    "B's root hash": Break(lambda i, m: i.flip(at(m.twins, 5, 4096)), 3, "ambiguous"),  # A's tree protects it too
    "A gone": Break(lambda i, m: drop(i, 1, 2, 3), 0, "partition 4 "),
    "swapped numbers": Break(lambda i, m: i.swap_entries(1, 4), 3, "ambiguous"),
    "root hash given": Break(lambda image, made: None, 3, "ambiguous", ("--root-hash", "HASH")),
}


@pytest.mark.parametrize("name", TWINS)
def test_identical_slots(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path, name: str) -> None:
    case = TWINS[name]
    options = tuple(word.replace("HASH", made.old.root_hash.hex()) for word in case.options)
    check(capsys, made, made.twins.path, tmp_path / "broken.img", Break(case.change, case.code, case.says, options))


# LVM2

LVM: Mapping[str, Break] = {
    "whole": Break(lambda image, made: None, 0, "logical volume vg0/root would be the root: unprotected"),
    "policy": Break(lambda image, made: None, 3, "requires root to be verity", ("--policy", "root=verity")),
    "a label": Break(lambda i, m: i.wipe(at(m.lvm, 1), 2048), 3, "missing"),
    "a label's checksum": Break(lambda i, m: i.flip(at(m.lvm, 1, 512 + 40)), 3, "vg0/root"),
    "one metadata area": Break(lambda i, m: i.wipe(at(m.lvm, 1, 4096), 512), 0, "vg0/root"),
    "two metadata areas": Break(lambda i, m: wipe_metadata(i, m.lvm, 1, 2), 0, "vg0/root"),
    "a physical volume": Break(lambda i, m: i.drop_entry(1), 3, "missing"),
    "another physical volume": Break(lambda i, m: i.drop_entry(3), 0, "is missing"),
    "a copied physical volume": Break(
        lambda i, m: i.__setitem__(
            slice(at(m.lvm, 3), at(m.lvm, 3) + 6 * MIB), i[at(m.lvm, 1) : at(m.lvm, 1) + 6 * MIB]
        ),
        3,
        "more than one device is the physical volume",
    ),
    "the file system": Break(lambda i, m: flip_superblock(i), 3, "checksum"),
    "no file system": Break(lambda i, m: wipe_superblock(i), 3, "it holds no file system"),
    "cut short": Break(lambda i, m: cut(i, at(m.lvm, 1, 4 * MIB)), 3, "neither a RedoxFS nor"),
    "cut behind it": Break(
        lambda i, m: cut(i, at(m.lvm, 2)), 0, "partition 2 (LBA 14336 to 26623) ends after the disk"
    ),
    "no-auto": Break(lambda i, m: i.set_entry(1, 48, (1 << 63).to_bytes(8, "little")), 0, "vg0/root"),
}


def wipe_metadata(image: Image, disk: Disk, *numbers: int) -> None:
    for number in numbers:
        image.wipe(disk.offsets[number] + 4096, 28 << 10)


def find_superblock(image: Image) -> int:
    magic = image.find(b"\x53\xef", 2 * 512)
    while magic >= 0 and (magic - 56) % 1024:
        magic = image.find(b"\x53\xef", magic + 1)
    assert magic > 0
    return magic - 56


def flip_superblock(image: Image) -> None:
    image.flip(find_superblock(image) + 8)


def wipe_superblock(image: Image) -> None:
    image.wipe(find_superblock(image), 1024)


@pytest.mark.parametrize("name", LVM)
def test_logical_volumes(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path, name: str) -> None:
    check(capsys, made, made.lvm.path, tmp_path / "broken.img", LVM[name])


# UBI


def peb_of(image: Image, volume: int, lnum: int) -> int:
    """Where the PEB of a logical eraseblock begins, by its VID header."""
    for start in range(0, len(image), PEB_BYTES):
        vid = start + 512
        if image[vid : vid + 4] == b"UBI!" and image[vid + 8 : vid + 16] == volume.to_bytes(4) + lnum.to_bytes(4):
            return start
    raise AssertionError(f"volume {volume} has no LEB {lnum}")


LAYOUT = 0x7FFFEFFF


def flip_volume_tables(image: Image) -> None:
    for lnum in (0, 1):
        image.flip(peb_of(image, LAYOUT, lnum) + UBI_DATA_OFFSET)


UBI: Mapping[str, Break] = {
    "whole": Break(lambda image, made: None, 0, "UBI volume ubi/rootfs would be the root: unprotected"),
    "verified": Break(
        lambda image, made: None, 0, "Undamaged: all of ubi/rootfs, by the CRCs of its eraseblocks", ("--full",)
    ),
    "policy": Break(lambda image, made: None, 3, "requires root to be signed", ("--policy", "root=signed")),
    "one volume table": Break(lambda i, m: i.flip(peb_of(i, LAYOUT, 0) + UBI_DATA_OFFSET), 0, "volume table"),
    "both volume tables": Break(lambda i, m: flip_volume_tables(i), 3, "layout volume"),
    "first erase counter": Break(lambda i, m: i.flip(8), 0, "would be the root: unprotected"),
    "a block's header": Break(lambda i, m: i.flip(peb_of(i, 1, 0) + 512 + 8), 3, "ubi/rootfs"),
    "the file system": Break(lambda i, m: i.flip(peb_of(i, 1, 0) + UBI_DATA_OFFSET + SUPERBLOCK + 8), 3, "checksum"),
    "a data block": Break(
        lambda i, m: i.flip(peb_of(i, 1, 9) + UBI_DATA_OFFSET + 7), 3, "logical eraseblock 9", ("--full",)
    ),
    "a data block, not looked at": Break(lambda i, m: i.flip(peb_of(i, 1, 9) + UBI_DATA_OFFSET + 7), 0, "rootfs"),
    "erased": Break(lambda i, m: i.wipe(0, len(i), 0xFF), 3, "neither a RedoxFS nor"),
    "cut short": Break(lambda i, m: cut(i, 20 * PEB_BYTES), 3, "ubi/rootfs"),
    "no table at all": Break(lambda i, m: i.wipe(0, 2 * PEB_BYTES, 0xFF), 3, "no volume table"),
}


@pytest.mark.parametrize("name", UBI)
def test_ubi_volumes(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path, name: str) -> None:
    check(capsys, made, made.ubi, tmp_path / "broken.img", UBI[name])


# A live disk: what it said before it still says

RING = 2 * MIB
LIVE: Mapping[str, Break] = {
    "whole": Break(lambda image, made: None, 0, "would boot"),
    "slot 0 of the ring": Break(lambda i, m: i.wipe(RING, 4096), 3, "ring slot 0 has no valid header"),
    "the ring": Break(lambda i, m: i.wipe(RING, MIB), 3, "no valid RedoxFS header"),
    "a bit of slot 0": Break(lambda i, m: i.flip(RING + 100), 3, "ring slot 0"),
    "one table": Break(lambda i, m: i.flip(512 + 60), 0, "primary damaged"),
    "both tables": Break(lambda i, m: wipe_tables(i), 0, "fixed offset 2 MiB"),
    "both tables and the ring": Break(lambda i, m: wipe_tables(i, RING, MIB), 3, "there is neither a RedoxFS nor"),
    "cut short": Break(lambda i, m: cut(i, RING + 2 * MIB), 3, "truncated"),
    "zeros": Break(lambda i, m: i.wipe(0, len(i)), 3, "there is neither a RedoxFS nor"),
    "the root directory": Break(lambda i, m: i.wipe(RING + MIB, len(i) - RING - 2 * MIB), 3, "does not boot"),
    "the kernel's magic": Break(lambda i, m: i.flip(i.find(b"\x7fELF", RING)), 3, "does not boot"),
}


@pytest.mark.parametrize("name", LIVE)
def test_live_disks(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path, name: str) -> None:
    case = LIVE[name]
    image = Image(made.live.read_bytes())
    case.change(image, made)
    broken = tmp_path / "broken.img"
    broken.write_bytes(image)
    code, output, _ = run(capsys, "inspect", broken)
    assert code == case.code, output
    assert case.says in output
    assert run_json(capsys, "inspect", "inspect", broken)[0] == case.code


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--certificate", "CERTIFICATE"), "requires root to be signed"),
        (("--policy", "root=encrypted"), "requires root to be encrypted"),
        (("--policy", "-"), "leaves it unused"),
        (("--slot", "2"), "it is not in the slot 2"),
        (("--root-hash", "ab" * 32), "has no hash tree to compare with the root hash"),
    ],
)
def test_demands_on_a_live_disk(
    capsys: pytest.CaptureFixture[str], made: Made, options: tuple[str, str], says: str
) -> None:
    """What was demanded is never passed over."""
    words = [word.replace("CERTIFICATE", str(made.signer.certificate)) for word in options]
    code, output, _ = run(capsys, "inspect", made.live, *words)
    assert code == 3
    assert says in output
    assert run(capsys, "inspect", made.live, "--slot", "3", "--policy", "root=unprotected")[0] == 0


# Where it comes from


def test_over_nbd(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    with nbd_server(socket, tool("nbdkit"), "-f", "file", str(made.signed.path)):
        code, output, errors = run(capsys, "inspect", "-v", f"nbd+unix:///?socket={socket}", *certified(made))
    assert code == 0
    assert "signed by CN=signer" in output
    assert int(errors.split(" bytes")[0].split()[-1]) < 512 << 10


def test_over_http(capsys: pytest.CaptureFixture[str], made: Made) -> None:
    server = RangeServer()
    server.objects["/os.raw"] = Object(made.signed.path.read_bytes())
    with closing(server):
        code, output, errors = run(capsys, "inspect", "-v", server.url("/os.raw"), *certified(made))
    assert code == 0
    assert "signed by CN=signer" in output
    assert int(errors.split(" bytes")[0].split()[-1]) < 512 << 10


def certified(made: Made) -> tuple[str, str]:
    return ("--certificate", str(made.signer.certificate))


# What cannot be read


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_bad_place(number: int, capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path) -> None:
    """It is shown, and so is what the others hold; nothing is chosen, not even what looks whole."""
    start, size = made.signed.offsets[number] // 512, made.signed.path.stat().st_size // 512
    rows = [(0, start, f"linear {made.signed.path} 0"), (start, 8, "error")]
    rows.append((start + 8, size - start - 8, f"linear {made.signed.path} {start + 8}"))
    table = parse_table("\n".join(f"{first} {count} {words}" for first, count, words in rows))
    with closing(open_table(table, FileDevice.open)) as disk:
        with pytest.raises(DeviceError):
            inspect_disk(disk)
        inspection = inspect_disk(disk, InspectionRequest(in_parts=True))
        assert not inspection.boots
        assert inspection.problems[0].cause.reason is ProblemReason.INCOMPLETE
        nodes = [node for node in inspection.contents.nodes() if node.partition is not None]
        assert [node.path for node in nodes if node.refusal is not None] == [str(number)]
        assert all(node.superblocks or node.signature for node in nodes if node.path != str(number))
    (tmp_path / "t").write_text("\n".join(f"{first} {count} {words}" for first, count, words in rows))
    inspect = f"{sys.executable} -m bootpath inspect $uri; test $? = 1"
    assert main(["dm", "serve", "--table", str(tmp_path / "t"), "--run", inspect]) == 0
    capsys.readouterr()


# What systemd says


def test_as_systemd_dissects(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path) -> None:
    """Of a whole image, and of two versions of which the newer is to be taken."""
    two = make_disk(tmp_path / "two.raw", [*made.new.parts("os_2"), *made.old.parts("os_10", serial=2)])
    for path in (made.signed.path, two.path):
        image = copy(path, tmp_path / "image.raw")
        command = [tool("systemd-dissect"), "--json=short", str(image)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not done.stdout.strip():
            pytest.skip(f"systemd-dissect needs more than it has here: {done.stderr.strip()[:200]}")
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
        theirs = {row["designator"]: row for row in json.loads(line)["mounts"]}
        _, result = run_json(capsys, "inspect", "inspect", image)
        choice = result["choice"]
        assert isinstance(choice, dict)
        (ours,) = [candidate for candidate in choice["candidates"] if candidate["path"] == choice["root"]]
        assert ours["path"] == str(theirs["root"]["partno"])
        assert ours["hash_partition"] == str(theirs["root-verity"]["partno"])
        assert ours["signature_partition"] == str(theirs["root-verity-sig"]["partno"])
        assert ours["architecture"] == theirs["root"]["architecture"]


REPART = {
    "10-root": "Type=root\nFormat=ext4\nCopyFiles={tree}:/\nVerity=data\nSizeMinBytes=2M\nSizeMaxBytes=2M\n",
    "20-verity": "Type=root-verity\nVerity=hash\nSizeMinBytes=1M\nSizeMaxBytes=1M\n",
    "30-signature": "Type=root-verity-sig\nVerity=signature\n",
}


def test_an_image_by_systemd_repart(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path) -> None:
    tree, image = tmp_path / "tree", tmp_path / "repart.raw"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/os-release").write_text("ID=test\n")
    for name, text in REPART.items():
        (tmp_path / f"{name}.conf").write_text(f"[Partition]\n{text.format(tree=tree)}VerityMatchKey=root\n")
    command = [tool("systemd-repart"), "--empty=create", "--size=8M", "--dry-run=no", f"--definitions={tmp_path}"]
    command += [f"--private-key={made.signer.key}", f"--certificate={made.signer.certificate}", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"systemd-repart needs more than it has here: {done.stderr.strip()[-200:]}")
    code, output, _ = run(capsys, "inspect", image, "--full", *certified(made))
    assert code == 3  # there is no kernel, and the rest is right
    assert "does not boot: 1 (" in output
    assert "there is no boot entry" in output
    assert "would be the root on x86-64: root hash signed by CN=signer" in output
    assert "Verified: all of 1" in output


# The rest of the options


def test_whose_kernel_a_live_disk_has(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path) -> None:
    """A Linux is booted by our loader, Redox by its own, which is nothing against the disk."""
    assert "Boot files, of Redox" in run(capsys, "inspect", made.live)[1]
    for command in (["boot"], ["boot", "--dry-run"]):
        code, _, errors = run(capsys, *command, made.live)
        assert code == 1
        assert "the kernel is Redox's, which Redox's own boot loader starts; bootpath boot --firmware" in errors
    tree = make_tree(tmp_path / "tree", bulk_bytes=MIB)
    boot = tree / "usr/lib/boot"
    (boot / "kernel").write_bytes(bytes(0x202) + b"HdrS" + bytes(506))
    (boot / "initfs").write_bytes(b"070701")
    live = make_image(tmp_path, "linux.img", tree=tree, size_bytes=8 * MIB)
    code, output, _ = run(capsys, "inspect", live)
    assert (code, "Boot files, of a Linux" in output, "would boot" in output) == (0, True, True)
    for command in (["entries"], ["boot", "--dry-run"], ["simulate"]):
        code, output, _ = run(capsys, *command, live)
        assert code == 0, command
    (boot / "initfs").unlink()
    broken = make_image(tmp_path, "broken.img", tree=tree, size_bytes=8 * MIB)
    for command in (["inspect"], ["entries"], ["boot", "--dry-run"], ["boot"], ["simulate"]):
        code, output, errors = run(capsys, *command, broken)
        assert code == 3, command
        assert "does not boot: /usr/lib/boot/initfs: the file is missing, and a loader needs it" in output + errors


def test_policy_and_architecture(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path) -> None:
    kernel = {"boot/vmlinuz": make_efi_image()}
    volume = protect(tmp_path, make_file_system(tmp_path, files=kernel), made.signer)
    arm = volume.parts("os_9", architecture=Architecture.ARM64, serial=3)
    esp = Part(Designator.ESP, bytes(4096), UUID(int=9))
    disk = make_disk(tmp_path / "both.img", [*made.old.parts("os_1"), *arm, esp])
    code, output, _ = run(capsys, "inspect", disk.path)
    assert code == 3
    assert "ambiguous: there is a root partition for each of x86-64 and arm64; name the architecture" in output
    code, output, _ = run(capsys, "inspect", disk.path, "--architecture", "aarch64")
    assert code == 0
    assert "partition 4 (os_9) would be the root on arm64" in output
    policy = "root=verity:esp=absent:=open"
    code, output, _ = run(capsys, "inspect", disk.path, "--architecture", "x86-64", "--policy", policy)
    assert code == 3
    assert "the policy allows no esp partition" in output


@pytest.mark.parametrize(
    "options",
    [
        ("--policy", "root=grbl"),
        ("--architecture", "pdp11"),
        ("--root-hash", "xyz"),
        ("--root-hash", "00"),
        ("--picture", "disk.gif"),
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], made: Made, options: tuple[str, str]) -> None:
    code, output, errors = run(capsys, "inspect", made.signed.path, *options)
    assert (code, output) == (2, "")
    assert options[0] in errors.splitlines()[-1]


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<svg ")])
def test_pictures(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path, suffix: str, magic: bytes) -> None:
    for source in (made.signed.path, made.lvm.path, made.ubi, made.live):
        picture = tmp_path / f"disk{suffix}"
        assert run(capsys, "inspect", source, "--picture", picture)[0] == 0
        assert picture.read_bytes().startswith(magic)


def test_a_missing_certificate_is_an_error(capsys: pytest.CaptureFixture[str], made: Made, tmp_path: Path) -> None:
    code, _, errors = run(capsys, "inspect", made.signed.path, "--certificate", tmp_path / "none.pem")
    assert code == 1
    assert "none.pem" in errors


def test_types_are_the_specifications(made: Made) -> None:
    """sgdisk, which made the disks, knows the type of an x86-64 root under a name of its own."""
    output = subprocess.run([tool("sgdisk"), "-i", "1", made.signed.path], capture_output=True, text=True, check=True)
    assert str(type_guid(Designator.ROOT, Architecture.X86_64)).upper() in output.stdout
