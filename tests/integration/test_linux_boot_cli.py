"""``bootpath boot`` of an image-based Linux: what it explains, its exit codes, and which disks it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootpath.boot.machine.firmware import ServedImage
from bootpath.cli.main import main
from tests.support.ddi import Disk, Signer
from tests.support.images import make_image
from tests.support.linuximage import FAR, RootTree, find_in, flip, make_linux_disk, make_volume
from tests.support.tree import schema

SCHEMA = schema("linuxboot")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> tuple[Disk, Signer]:
    directory = tmp_path_factory.mktemp("linux")
    signer = Signer.make(directory)
    volume = make_volume(directory / "v", RootTree.demo(), signer)
    return make_linux_disk(directory / "os.img", [("demo_1", volume)]), signer


def dry_run(disk: Path, *options: str) -> int:
    return main(["boot", str(disk), "--dry-run", *options])


def as_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(report, SCHEMA)
    return report


def test_the_tree_tells_every_decision(system: tuple[Disk, Signer], capsys: pytest.CaptureFixture[str]) -> None:
    disk, signer = system
    assert dry_run(disk.path, "--certificate", str(signer.certificate), "--append", "debug") == 0
    said = capsys.readouterr().out
    assert "├─ policy: only what is signed, and what is in it (a certificate was given)" in said
    assert "opened through verity: root hash signed by CN=signer" in said
    assert "entry demo-1 (type 1, root /loader/entries/demo-1.conf): chosen" in said
    words = {tuple(line.strip(" │├└─").split()[:2]) for line in said.splitlines()}
    assert {("[entry]", "quiet"), ("[caller]", "debug"), ("[machine]", "panic=-1")} <= words
    assert said.splitlines()[-1] == "Verdict: verified: root hash signed by CN=signer"


def test_exit_codes_say_the_verdict(
    system: tuple[Disk, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk, _ = system
    assert dry_run(disk.path) == 4
    assert "Verdict: unverified, but allowed by the policy: kernel: only the disk itself" in capsys.readouterr().out
    assert dry_run(disk.path, "--policy", "root=signed") == 3
    other = Signer.make(tmp_path, "other")
    assert dry_run(disk.path, "--certificate", str(other.certificate)) == 3
    assert "Verdict: does not boot" in capsys.readouterr().out
    assert dry_run(tmp_path / "missing.img") == 1
    assert dry_run(disk.path, "--certificate", __file__) == 1
    assert "test_linux_boot_cli.py: the file holds no certificate" in capsys.readouterr().err


def test_another_root_hash_and_a_root_that_was_changed(tmp_path: Path) -> None:
    """What is not read for the boot is verified when it is read; with --full before."""
    volume = make_volume(tmp_path / "v", RootTree.demo(), None)
    disk = make_linux_disk(tmp_path / "os.img", [("demo_1", volume)])
    assert dry_run(disk.path, "--root-hash", "ab" * 32) == 3
    assert dry_run(disk.path, "--full") == 4
    flip(disk.path, find_in(disk.path, FAR) + len(FAR) // 2)
    assert dry_run(disk.path) == 4
    assert dry_run(disk.path, "--full") == 3


def test_json_has_all_of_it(system: tuple[Disk, Signer], capsys: pytest.CaptureFixture[str]) -> None:
    disk, signer = system
    assert dry_run(disk.path, "--certificate", str(signer.certificate), "--full", "--json") == 0
    report = as_json(capsys)
    assert report["verdict"] == "verified"
    assert report["chosen"] == "1"
    (attempt,) = report["attempts"]
    assert attempt["verified_whole"]
    assert [part["what"] for part in report["runs"]["parts"]] == ["kernel", "initrd", "command line", "root"]
    assert {each["source"] for each in report["runs"]["parameters"]} == {"entry", "loader", "machine"}
    assert report["run"] is None


def test_json_of_a_refusal(system: tuple[Disk, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk, signer = system
    path = tmp_path / "os.img"
    path.write_bytes(disk.path.read_bytes())
    flip(path, find_in(path, b"title Demo"))
    assert dry_run(path, "--certificate", str(signer.certificate), "--json") == 3
    report = as_json(capsys)
    assert report["verdict"] == "refused"
    assert report["refusal"]["reason"] == "no-candidate"
    assert "data block" in report["refusal"]["text"]
    assert report["runs"] is None
    assert report["attempts"][0]["failure"]["reason"] == "not-loaded"


def test_options_of_the_request(
    system: tuple[Disk, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk, signer = system
    (tmp_path / "mine").write_bytes(b"070701mine")
    words = ["--certificate", str(signer.certificate), "--initrd", str(tmp_path / "mine"), "--fixed", "--ahci"]
    assert dry_run(disk.path, *words, "--json") == 4
    runs = as_json(capsys)["runs"]
    assert "systemd.verity_root_data=/dev/sda1" in runs["command_line"]
    assert runs["parts"][1] | {"sha256": ""} == {
        "what": "initrd",
        "origin": str(tmp_path / "mine"),
        "size_bytes": 10,
        "sha256": "",
        "assurance": "unverified",
        "reason": "given-initrd",
        "text": "it was given, and nothing vouches for it",
    }
    assert dry_run(disk.path, *words, "--trust-initrd") == 0
    assert dry_run(disk.path, "--entry", "other") == 3
    assert dry_run(disk.path, "--slot", "1") == 4
    assert dry_run(disk.path, "--architecture", "aarch64") == 3
    assert "it is for x86-64" in capsys.readouterr().out


def test_the_signature_for_the_kernel(
    system: tuple[Disk, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk, signer = system
    words = ["--kernel-signature", "--certificate", str(signer.certificate)]
    assert dry_run(disk.path, *words) == 0
    assert "systemd.verity_root_options=root-hash-signature=PARTUUID=" in capsys.readouterr().out
    assert dry_run(disk.path, *words, "--assembly", "initramfs") == 3
    assert "only the initramfs of bootpath" in capsys.readouterr().out
    unsigned = make_linux_disk(tmp_path / "os.img", [("demo_1", make_volume(tmp_path / "v", RootTree.demo(), None))])
    assert dry_run(unsigned.path, "--kernel-signature") == 3
    assert "the root hash has no signature that the kernel could check" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dry-run --preload full", "--preload is for a simulation or a live disk with a RedoxFS; "),
        ("--no-disk --slot 1", "--no-disk is for a simulation or a live disk with a RedoxFS; "),
        ("--trust-initrd", "--trust-initrd goes with --initrd"),
        ("--dry-run --serial", "--dry-run does not go with --serial: no machine is started"),
        ("--firmware uefi --slot 1", "--slot is for an image-based Linux; --firmware lets the disk"),
    ],
)
def test_what_does_not_go_together(
    system: tuple[Disk, Signer], words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["boot", str(system[0].path), *words.split()]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["--root-hash 12", "--policy root=gold", "--architecture z80", "--next-candidate always"]
)
def test_values_that_are_none(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "os.img", "--dry-run", *words.split()])
    assert caught.value.code == 2


def test_a_live_disk_is_still_a_live_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = make_image(tmp_path)
    assert main(["simulate", str(image)]) == 0
    assert "50_rootfs" in capsys.readouterr().out
    assert main(["boot", str(image), "--initrd", "x"]) == 2
    assert "--initrd goes with --kernel" in capsys.readouterr().err
    assert dry_run(image) == 1
    assert "the kernel is Redox's, which Redox's own boot loader starts" in capsys.readouterr().err


def test_how_much_is_read_for_the_entries(system: tuple[Disk, Signer], capsys: pytest.CaptureFixture[str]) -> None:
    """A root that the policy does not name is looked at like any partition, and not opened."""
    path = str(system[0].path)
    counts = []
    for words in ("--look-in root", "--look-in root --policy root=unused", "--look-in esp"):
        main(["entries", "-v", *words.split(), path])
        counts.append(int(capsys.readouterr().err.splitlines()[0].rpartition(", ")[2].split()[0]))
    assert counts[0] > counts[1] == counts[2]


def test_a_disk_that_is_served(system: tuple[Disk, Signer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ServedImage(system[0].path, tmp_path / "os.sock") as served:
        assert main(["boot", served.uri, "--dry-run", "--certificate", str(system[1].certificate)]) == 0
    image = make_image(tmp_path)
    with ServedImage(image, tmp_path / "live.sock") as served:
        assert main(["simulate", served.uri]) == 0
        assert "50_rootfs" in capsys.readouterr().out
        assert main(["boot", served.uri]) == 2
        assert "is a file or a block device" in capsys.readouterr().err


def test_a_disk_that_is_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    for command in ("boot", "simulate", "inspect", "entries"):
        assert main([command, str(tmp_path / "disk.img")]) == 3
        assert "does not boot: " in "".join(capsys.readouterr())


@pytest.mark.parametrize(("next_candidate", "root", "codes"), [("never", None, (3, 3)), ("policy", "3", (0, 4))])
def test_what_full_finds_is_part_of_the_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], next_candidate: str, root: str | None, codes: tuple[int, int]
) -> None:
    """A byte that nothing reads for the boot is damaged: with --full, every command gives that root up."""
    newer, older = (make_volume(tmp_path / f"volume{seed}", RootTree.demo(seed), None) for seed in (2, 1))
    disk = make_linux_disk(tmp_path / "disk.img", [("demo_2.0", newer), ("demo_1.0", older)])
    flip(disk.path, find_in(disk.path, FAR))
    options = ("--full", "--next-candidate", next_candidate)
    assert main(["inspect", str(disk.path), "--json", *options]) == codes[0]
    inspected = json.loads(capsys.readouterr().out)
    assert (inspected["decision"]["root"], inspected["boots"]) == (root, root is not None)
    assert inspected["checked"] == ([] if root is None else [{"path": root, "against": "hash-tree"}])
    assert dry_run(disk.path, "--json", *options) == codes[1]
    booted = as_json(capsys)
    assert booted["chosen"] == root
    assert booted["refusal"] == inspected["decision"]["refusal"]
