"""Discoverable disk images of ours before the tools that read them, and beside systemd-repart's own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.core.device import read_bytes
from bootpath.formats.partitions.dps import Architecture, data_uuid, hash_uuid
from bootpath.formats.partitions.gpt import read_gpt
from bootpath.formats.repart.definition import FileSystemFormat, pack_repart
from bootpath.formats.verity.signature import parse_verity_signature
from bootpath.image.ddi.build import BuiltDdi, build_ddi, plan_ddi
from bootpath.image.ddi.definitions import read_definitions
from bootpath.image.ddi.draft import DdiImage, SigningKey, SlotFill
from bootpath.image.ddi.shortform import ShortForm
from bootpath.image.filesystems.programs import HostPrograms
from bootpath.image.signatures.roothash import verify_root_hash
from tests.support.ddi import Signer
from tests.support.tools import tool

SEED = UUID("11111111-2222-4333-8444-555555555555")
EPOCH = 1_700_000_000
X86 = Architecture.X86_64
PROGRAMS = HostPrograms(path=os.environ["PATH"])
MAKERS = {"erofs": "mkfs.erofs", "squashfs": "mksquashfs", "ext4": "mke2fs"}
FORMATS = pytest.mark.parametrize("name", MAKERS)


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def with_loop_devices() -> None:
    if os.geteuid() or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices")


def make_tree(directory: Path, order: int = 1) -> Path:
    """The same tree, made in one order or the other: it has other inodes and other change times."""
    for number in (range(5), reversed(range(5)))[order < 0]:
        below = directory / f"d{number}"
        below.mkdir(parents=True)
        (below / f"file{number}").write_bytes(b"%d" % number * 5000)
        (below / "link").symlink_to(f"file{number}")
    (directory / "etc").mkdir()
    (directory / "etc/os-release").write_text("ID=demo\nVERSION_ID=1\n")
    os.link(directory / "d0/file0", directory / "hard")
    (directory / "d1").chmod(0o1700)
    return directory


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture
def esp(tmp_path: Path) -> Path:
    (tmp_path / "esp/loader/entries").mkdir(parents=True)
    (tmp_path / "esp/loader/entries/demo-1.0+3-0.conf").write_text("title demo\n")
    return tmp_path / "esp"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.make(tmp_path_factory.mktemp("signer"))


def key_of(signer: Signer) -> SigningKey:
    return SigningKey(signer.key.read_bytes(), signer.certificate.read_bytes())


def build(short: ShortForm, output: Path, signing: SigningKey | None = None, **changes: object) -> BuiltDdi:
    options: dict[str, object] = {"epoch": EPOCH, "signing": signing, **changes}
    image = DdiImage(short.definitions(X86), SEED, X86, **options)  # type: ignore[arg-type]
    return build_ddi(image, output, programs=PROGRAMS, split=True)


def part_files(built: BuiltDdi) -> Mapping[str, Path]:
    return {path.name.split(".")[1]: path for path in built.split}


@FORMATS
def test_the_judges_agree(name: str, tmp_path: Path, tree: Path, esp: Path, signer: Signer) -> None:
    tool(MAKERS[name])
    short = ShortForm(root=tree, format=FileSystemFormat(name), signed=True, esp=esp, loader=tree / "hard")
    built = build(short, tmp_path / "os.img", key_of(signer))
    assert "No problems found" in run(tool("sgdisk"), "-v", built.path)
    files = part_files(built)
    root_hash = next(iter(built.plan.root_hashes.values()))
    run(tool("veritysetup"), "verify", files["root-x86-64"], files["root-x86-64-verity"], root_hash.hex())
    kind = run(tool("blkid"), "-p", "-o", "value", "-s", "TYPE", files["root-x86-64"])
    assert kind.strip() == name
    assert run(tool("blkid"), "-p", "-o", "value", "-s", "TYPE", files["esp"]).strip() == "vfat"
    run(tool("fsck.fat"), "-n", files["esp"])
    assert "DEMO-1~1 CON" in run(tool("mdir"), "-i", files["esp"], "::loader/entries").upper()
    if name == "ext4":
        run(tool("e2fsck"), "-fn", files["root-x86-64"])
    elif name == "erofs":
        run(tool("fsck.erofs"), files["root-x86-64"])
    else:
        assert "squashfs-root/etc/os-release" in run(tool("unsquashfs"), "-l", files["root-x86-64"])
    signature = parse_verity_signature(files["root-x86-64-verity-sig"].read_bytes())
    assert signature.root_hash == root_hash
    verify_root_hash(signature.signature, root_hash, [signer.certificate.read_bytes()])


def test_the_split_files_are_the_partitions(tmp_path: Path, tree: Path) -> None:
    tool("mkfs.erofs")
    built = build(ShortForm(root=tree, verity=True), tmp_path / "os.img")
    with closing(FileDevice.open(built.path)) as disk:
        for partition in read_gpt(disk).partitions:
            content = read_bytes(disk, partition.offset_bytes, partition.size_bytes)
            assert content == part_files(built)[partition.name].read_bytes()


def test_the_pair_of_uuids_is_the_root_hash(tmp_path: Path, tree: Path) -> None:
    tool("mkfs.erofs")
    built = build(ShortForm(root=tree, verity=True), tmp_path / "os.img")
    (root_hash,) = built.plan.root_hashes.values()
    with closing(FileDevice.open(built.path)) as disk:
        guids = [partition.guid for partition in read_gpt(disk).partitions]
    assert guids == [data_uuid(root_hash), hash_uuid(root_hash)]


@FORMATS
def test_the_same_input_gives_the_same_bytes(name: str, tmp_path: Path, esp: Path, signer: Signer) -> None:
    tool(MAKERS[name])
    images = []
    for order in (1, -1):
        tree = make_tree(tmp_path / f"tree{order}", order)
        # Directories of one and extra files of the other, so that the tree is laid down first.
        short = ShortForm(root=tree, format=FileSystemFormat(name), signed=True, esp=esp)
        images.append(build(short, tmp_path / f"os{order}.img", key_of(signer), slots=2, fill=SlotFill.BOTH))
    assert images[0].path.read_bytes() == images[1].path.read_bytes()
    assert images[0].allocated_bytes < images[0].plan.size_bytes // 4


def test_the_plan_is_what_is_built(tmp_path: Path, tree: Path, esp: Path) -> None:
    tool("mkfs.erofs")
    image = DdiImage(ShortForm(root=tree, verity=True, esp=esp).definitions(X86), SEED, X86, epoch=EPOCH)
    plan = plan_ddi(image, programs=PROGRAMS, scratch=tmp_path)
    assert build_ddi(image, tmp_path / "os.img", programs=PROGRAMS).plan == plan
    assert sorted(path.name for path in tmp_path.iterdir()) == ["esp", "os.img", "tree"]


def test_the_short_form_is_the_same_as_its_files(tmp_path: Path, tree: Path, esp: Path) -> None:
    tool("mkfs.erofs")
    definitions = ShortForm(root=tree, verity=True, esp=esp).definitions(X86)
    (tmp_path / "defs").mkdir()
    for definition in definitions:
        (tmp_path / "defs" / definition.name).write_bytes(pack_repart(definition))
    written = read_definitions(tmp_path / "defs", X86)
    assert written == definitions


@pytest.mark.parametrize("fill", SlotFill)
def test_two_slots(fill: SlotFill, tmp_path: Path, tree: Path, esp: Path, signer: Signer) -> None:
    tool("mkfs.erofs")
    short = ShortForm(root=tree, signed=True, esp=esp, root_bytes=8 << 20)
    built = build(short, tmp_path / "os.img", key_of(signer), slots=2, fill=fill)
    assert "No problems found" in run(tool("sgdisk"), "-v", built.path)
    first, second = built.plan.partitions[1:4], built.plan.partitions[4:7]
    assert [each.partition.size_bytes for each in first] == [each.partition.size_bytes for each in second]
    assert first[1].partition.size_bytes >= (8 << 20) // 128
    with closing(FileDevice.open(built.path)) as disk:
        contents = [
            read_bytes(disk, each.partition.offset_bytes, each.partition.size_bytes) for each in (*first, *second)
        ]
    if fill is SlotFill.EMPTY:
        assert {each.partition.name for each in second} == {"_empty"}
        assert not any(any(content) for content in contents[3:])
        return
    assert contents[0] == contents[3]
    assert contents[1] != contents[4]
    guids = {each.partition.guid for each in (*first, *second)}
    assert len(guids) == 6
    for number, (data, hashes) in enumerate(((contents[0], contents[1]), (contents[3], contents[4]))):
        (tmp_path / "data").write_bytes(data)
        (tmp_path / "hashes").write_bytes(hashes)
        root_hash = list(built.plan.root_hashes.values())[number]
        run(tool("veritysetup"), "verify", tmp_path / "data", tmp_path / "hashes", root_hash.hex())


def test_systemd_dissect_finds_what_is_meant(tmp_path: Path, tree: Path, esp: Path, signer: Signer) -> None:
    with_loop_devices()
    tool("mkfs.erofs")
    dissect = tool("systemd-dissect")
    short = ShortForm(root=tree, signed=True, esp=esp)
    built = build(short, tmp_path / "os.img", key_of(signer), slots=2, fill=SlotFill.BOTH)
    found = json.loads(run(dissect, "--json=short", built.path))
    mounts = {each["designator"]: each for each in found["mounts"]}
    assert found["useBootableUefi"] is True
    assert set(mounts) == {"root", "esp", "root-verity", "root-verity-sig"}
    assert (mounts["root"]["verity"], mounts["root"]["fstype"], mounts["root"]["partno"]) == ("signed", "erofs", 2)


DEFINITIONS = {
    "10-esp": "Type=esp\nFormat=vfat\nSizeMinBytes=33M\nSizeMaxBytes=33M",
    "20-root": "Type=root\nFormat=squashfs\nCopyFiles={tree}:/\nVerity=data\nVerityMatchKey=r\nReadOnly=yes",
    "21-hash": "Type=root-verity\nVerity=hash\nVerityMatchKey=r",
    "22-sig": "Type=root-verity-sig\nVerity=signature\nVerityMatchKey=r\nLabel=signature",
    "30-home": "Type=home\nFormat=ext4\nNoAuto=yes\nSizeMinBytes=16M\nSizeMaxBytes=16M",
    "31-home": "Type=home\nSizeMaxBytes=11M\nReadOnly=yes",
    "40-swap": "Type=swap\nFlags=0x5000000000000\nSizeMinBytes=4880K\nSizeMaxBytes=6M",
    "50-data": "Type=linux-generic\nUUID=0d7e49a2-5b26-4c4c-8a6b-2f2d1c9f4a11\nLabel=data",
    "60-boot": "Type=xbootldr",
    "70-usr": "Type=usr-arm64\nCopyBlocks={blocks}",
}


def test_systemd_repart_makes_the_same_table(tmp_path: Path, tree: Path, signer: Signer) -> None:
    with_loop_devices()
    repart = tool("systemd-repart")
    tool("mksquashfs")
    blocks = tmp_path / "blocks"
    blocks.write_bytes(b"block" * 4096 * 3)
    definitions = tmp_path / "repart.d"
    definitions.mkdir()
    for name, text in DEFINITIONS.items():
        content = text.format(tree=tree, blocks=blocks)
        (definitions / f"{name}.conf").write_text(f"[Partition]\n{content}\n")
    theirs = tmp_path / "theirs.img"
    options = ["--empty=create", "--size=auto", f"--seed={SEED}", f"--definitions={definitions}", "--dry-run=no"]
    keys = [f"--private-key={signer.key}", f"--certificate={signer.certificate}"]
    run(repart, *options, *keys, "--no-pager", theirs)
    image = DdiImage(
        read_definitions(definitions, X86), SEED, X86, alignment_bytes=4096, signing=key_of(signer), epoch=EPOCH
    )
    built = build_ddi(image, tmp_path / "ours.img", programs=PROGRAMS)
    with closing(FileDevice.open(theirs)) as disk:
        expected = read_gpt(disk)
    ours = built.plan.gpt
    assert (ours.disk_guid, ours.size_bytes) == (expected.disk_guid, expected.size_bytes)
    by_root_hash = {"20-root.conf", "21-hash.conf"}  # the manual leaves salt and block size open
    for planned, partition in zip(built.plan.partitions, expected.partitions, strict=True):
        mine = planned.partition
        assert (mine.number, mine.type_guid, mine.name) == (partition.number, partition.type_guid, partition.name)
        assert (mine.first_lba, mine.last_lba) == (partition.first_lba, partition.last_lba)
        assert f"{mine.flags:#x}" == f"{partition.flags:#x}"
        assert mine.guid == partition.guid or planned.definition.name in by_root_hash
    # ... and takes ours for what these definitions describe: it has nothing to add.
    table = json.loads(run(repart, f"--definitions={definitions}", f"--seed={SEED}", *keys, "--json=short", built.path))
    assert {each["activity"] for each in table} == {"unchanged"}


def test_blocks_and_several_sources(tmp_path: Path, tree: Path) -> None:
    tool("mkfs.erofs")
    definitions = tmp_path / "repart.d"
    definitions.mkdir()
    (tmp_path / "blocks").write_bytes(b"x" * 512 * 11)
    (definitions / "1.conf").write_text("[Partition]\nType=usr\nCopyBlocks=/blocks\nVerity=data\nVerityMatchKey=u\n")
    (definitions / "2.conf").write_text("[Partition]\nType=usr-verity\nVerity=hash\nVerityMatchKey=u\nMinimize=best\n")
    (definitions / "3.conf").write_text(
        "[Partition]\nType=root\nFormat=erofs\nMinimize=best\nCopyFiles=/tree:/\nCopyFiles=/blocks:/opt/blocks\n"
        "ExcludeFiles=/tree/d0 /tree/d1/\nMakeDirectories=/proc\n"
    )
    image = DdiImage(read_definitions(definitions, X86), SEED, X86, copy_source=tmp_path, epoch=EPOCH)
    built = build_ddi(image, tmp_path / "os.img", programs=PROGRAMS, split=True)
    files = part_files(built)
    (root_hash,) = built.plan.root_hashes.values()
    run(tool("veritysetup"), "verify", files["usr-x86-64"], files["usr-x86-64-verity"], root_hash.hex())
    assert files["usr-x86-64"].read_bytes()[: 512 * 12] == b"x" * 512 * 11 + bytes(512)
    run(tool("fsck.erofs"), f"--extract={tmp_path / 'out'}", files["root-x86-64"])
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")}
    assert {"proc", "opt/blocks", "d1", "etc/os-release", "hard"} <= found
    assert not any(name.startswith(("d0", "d1/")) for name in found)


def test_ext4_of_many_files_that_is_laid_down_first(tmp_path: Path, tree: Path) -> None:
    """More inodes than the usual ratio gives, with a journal, in a partition larger than it needs; and a swap."""
    tool("mke2fs")
    tool("mkswap")
    (tree / "many").mkdir()
    for number in range(3000):
        (tree / f"many/{number}").write_bytes(b"%d" % number)
    definitions = tmp_path / "repart.d"
    definitions.mkdir()
    (definitions / "1.conf").write_text(
        "[Partition]\nType=home\nCopyFiles=/tree:/user\nMakeDirectories=/empty\nSizeMinBytes=48M\n"
    )
    (definitions / "2.conf").write_text("[Partition]\nType=swap\nFormat=swap\nSizeMinBytes=1M\nLabel=more\n")
    image = DdiImage(read_definitions(definitions, X86), SEED, X86, copy_source=tmp_path, epoch=EPOCH, all_root=True)
    images = [build_ddi(image, tmp_path / f"{name}.img", programs=PROGRAMS, split=True) for name in "ab"]
    assert images[0].path.read_bytes() == images[1].path.read_bytes()
    files = part_files(images[0])
    assert files["home"].stat().st_size == 48 << 20
    run(tool("e2fsck"), "-fn", files["home"])
    listing = run(tool("debugfs"), "-R", "ls -l /user/many", files["home"])
    assert listing.count("14-Nov-2023 22:13") == 3002
    assert run(tool("blkid"), "-p", "-o", "value", "-s", "LABEL", files["swap"]).strip() == "more"
