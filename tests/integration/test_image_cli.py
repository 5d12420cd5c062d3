"""bootpath image: what it prints, and how it fails: one line, the right code, nothing left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from bootpath.cli.main import main
from tests.support.ddi import Signer
from tests.support.tools import tool
from tests.support.tree import schema

SCHEMA = schema("image")
SEED = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tool("mkfs.erofs")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/os-release").write_text("ID=demo\n")
    (tmp_path / "tree/data").write_bytes(b"data" * 3000)
    return tmp_path / "tree"


def definitions(directory: Path, **texts: str) -> Path:
    directory.mkdir()
    for name, text in texts.items():
        (directory / f"{name}.conf").write_text(f"[Partition]\n{text}\n")
    return directory


def command(action: str, *arguments: str | Path) -> list[str]:
    """``build`` writes an image, ``plan`` only shows it."""
    return ["build", "image", *map(str, arguments), *(["--dry-run"] if action == "plan" else [])]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    assert main([*command(*map(str, arguments)), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, SCHEMA)
    assert isinstance(value, dict)
    return value


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 1) -> str:
    """The one line on stderr; nothing may be left in the output's directory, which is the present one."""
    before = sorted(os.listdir())
    assert main(command(*map(str, arguments))) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert sorted(os.listdir()) == before
    return error


def test_json_of_a_plan_and_of_an_image(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signer = Signer.make(tree.parent)
    options = (
        tree,
        "--key",
        signer.key,
        "--key-certificate",
        signer.certificate,
        "--seed",
        SEED,
        "--esp",
        tree,
        "--slots",
        "2",
    )
    planned = run_json(capsys, "plan", *options)
    built = run_json(capsys, "build", *options, "-o", "os.img", "--split")
    assert planned["partitions"] == built["partitions"]
    assert built["output"] == "os.img"
    assert built["split"] == [
        f"os.{name}.img" for name in ("esp", "root-x86-64", "root-x86-64-verity", "root-x86-64-verity-sig")
    ]
    assert os.stat("os.img").st_size == built["size_bytes"] == planned["size_bytes"]


def test_the_short_form_writes_its_definitions_down(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--verity", "--seed", SEED, "--label", "demo_1")
    first = run_json(capsys, "plan", tree, *options, "--definitions", "repart.d")
    second = run_json(capsys, "plan", "repart.d", "--seed", SEED)
    assert first == second


def test_loader_and_kernels_have_their_places(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess

    for name in ("boot.efi", "demo_1.efi"):
        Path(name).write_bytes(b"MZ" + name.encode())
    options = ("--efi-loader", "boot.efi", "--uki", "demo_1.efi", "--architecture", "arm64", "--esp-size", "4MiB")
    built = run_json(capsys, "build", "--root", tree, *options, "-o", "os.img", "--split")
    partitions = built["partitions"]
    assert isinstance(partitions, list)
    assert [each["type"] for each in partitions] == ["esp", "root-arm64"]
    for path, name in (("EFI/BOOT/BOOTAA64.EFI", "boot.efi"), ("EFI/Linux/demo_1.efi", "demo_1.efi")):
        found = subprocess.run([tool("mtype"), "-i", "os.esp.img", f"::{path}"], check=True, capture_output=True)
        assert found.stdout == b"MZ" + name.encode()


def test_inspect_names_the_root(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = run_json(capsys, "build", tree, "--verity", "-o", "os.img", "--architecture", "x86-64")
    assert built["warnings"] == []
    main(["inspect", "os.img"])
    assert "root-x86-64" in capsys.readouterr().out


def test_a_file_system_image_is_taken_as_it_is(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("root.raw").write_bytes(bytes(range(256)) * 64)
    run_json(capsys, "build", "root.raw", "--verity", "-o", "os.img", "--split", "--architecture", "x86-64")
    assert Path("os.root-x86-64.img").read_bytes() == Path("root.raw").read_bytes()


def test_warnings_go_to_stderr(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    definitions(tree.parent / "defs", a="Type=esp\nPriority=3\nCopyFiles=/:/")
    assert main(command("plan", "defs", "--copy-source", str(tree))) == 0
    captured = capsys.readouterr()
    assert captured.err == "bootpath: warning: a.conf:3: Priority= is ignored: every partition is made, or none\n"
    assert "esp" in captured.out


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "Type=root\nCopyFiles=/nowhere:/"}, "a.conf: /nowhere: the source of CopyFiles= does not exist"),
        ({"a": "Type=root\nCopyBlocks=/nowhere"}, "a.conf: /nowhere: the source of CopyBlocks= does not exist"),
        ({"a": "Type=root\nSise=4"}, "defs: a.conf:3: [Partition] Sise=: the key is unknown"),
        ({"a": f"Type=root\nLabel={'x' * 37}"}, "the label is too long; expected at most 36, found 37 UTF-16 units"),
        (
            {"a": "Type=root\nFormat=erofs\nCopyFiles=/{tree}:/\nSizeMaxBytes=4K", "b": "Type=esp"},
            "a.conf: the content is too large for the partition",
        ),
        (
            dict.fromkeys("ab", "Type=root\nCopyFiles=/{tree}:/\nVerity=data\nVerityMatchKey=r"),
            "b.conf: there is already a Verity=data for VerityMatchKey=r; expected one of each, found a.conf",
        ),
        (
            {"a": "Type=esp\nCopyFiles=/{tree}:/\nFormat=vfat\nCompression=zstd"},
            "a.conf: vfat: the value of Compression= is not supported",
        ),
        ({"a": "Type=root\nFormat=erofs\nCompression=zip"}, "Compression= is not supported; expected one of lz4"),
        (
            {
                "a": "Type=root\nFormat=erofs\nVerity=data\nVerityMatchKey=r",
                "b": "Type=root-verity\nVerity=hash\nVerityMatchKey=r",
                "c": "Type=root-verity-sig\nVerity=signature\nVerityMatchKey=r",
            },
            "c.conf: the partition has to hold a signature, and there is no key; give --key and --certificate",
        ),
        ({"a": "Type=home", "b": "Type=home"}, "two partitions would be written to the same file; found os.home.img"),
    ],
)
def test_what_cannot_be_built(
    files: dict[str, str], message: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = {name: text.replace("/{tree}", str(tree)) for name, text in files.items()}
    definitions(tree.parent / "defs", **filled)
    assert message in refused(capsys, "build", "defs", "-o", "os.img", "--split")


def test_outputs_that_cannot_be(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot write there" in refused(capsys, "build", tree, "-o", "nowhere/os.img")
    assert "the output is inside a source of the image" in refused(capsys, "build", tree, "-o", tree / "os.img")
    assert "the output is inside a source of the image" in refused(capsys, "build", ".", "-o", "os.img")
    assert "at least" in refused(capsys, "build", tree, "-o", "os.img", "--size", "1MiB")
    Path("os.img").mkdir()
    refused(capsys, "build", tree, "-o", "os.img")


def test_an_image_that_exists_stays_when_the_next_one_fails(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("os.img").write_text("the last one")
    refused(capsys, "build", tree, "-o", "os.img", "--compression", "zip")
    assert Path("os.img").read_text() == "the last one"


def test_keys_of_no_use(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signer, other = Signer.make(tree.parent), Signer.make(tree.parent, "other")
    assert "the key is not the certificate's" in refused(
        capsys, "build", tree, "-o", "os.img", "--key", signer.key, "--key-certificate", other.certificate
    )
    assert "cannot be signed" in refused(
        capsys, "build", tree, "-o", "os.img", "--key", tree / "etc/os-release", "--key-certificate", signer.certificate
    )
    assert "No such file" in refused(
        capsys, "build", tree, "-o", "os.img", "--key", "nokey", "--key-certificate", signer.certificate
    )


def test_a_program_that_is_missing_is_named_with_its_package(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bootpath.image.filesystems.programs._SEARCH", ())
    monkeypatch.setenv("PATH", str(tree))
    error = refused(capsys, "build", tree, "-o", "os.img")
    assert error == "bootpath: 20-root.conf: mkfs.erofs: the program is not installed; apt install erofs-utils\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["defs", "--verity"],
        ["tree", "--root", "tree"],
        ["tree", "--architecture", "pdp11"],
        ["tree", "--key", "k"],
        ["tree", "--key-certificate", "c"],
        ["tree", "--fill", "half"],
        ["tree", "--seed", "1"],
    ],
)
def test_usage(arguments: list[str], tree: Path) -> None:
    definitions(tree.parent / "defs", a="Type=esp")
    with pytest.raises(SystemExit) as left:
        main(command("plan", *arguments))
    assert left.value.code == 2


def test_drop_in_directories_are_refused(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    definitions(tree.parent / "defs", a="Type=esp")
    (tree.parent / "defs/a.conf.d").mkdir()
    assert "drop-in directories are not read" in refused(capsys, "plan", "defs")
