"""bootpath verity beside veritysetup: each checks and shows what the other has made."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from random import Random

import jsonschema
import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.table.veritytarget import open_verity_target
from bootpath.cli.main import main
from bootpath.core.device import read_bytes
from bootpath.formats.dm.table import parse_line
from bootpath.formats.dm.verity import VerityTarget
from bootpath.formats.verity.signature import parse_verity_signature
from tests.integration.test_veritysetup import veritysetup
from tests.support.certificates import NOW, make_identity
from tests.support.tools import tool
from tests.support.tree import schema

SCHEMA = schema("verity")
BLOCKS = 300


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "root.img"
    path.write_bytes(Random(1).randbytes(BLOCKS * 4096))
    return path


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    assert main(["verity", *map(str, arguments), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, SCHEMA)
    assert isinstance(value, dict)
    return value


def test_ours_is_theirs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes, root = tmp_path / "h", tmp_path / "root.hash"
    made = json_of(capsys, "format", data, hashes, "--root-hash-file", root)
    assert root.read_text() == made["root_hash"]
    veritysetup("verify", data, hashes, root.read_text())
    dumped = veritysetup("dump", hashes)
    assert str(made["uuid"]) in dumped
    assert str(made["salt"]) in dumped


def test_theirs_is_ours(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes, root = tmp_path / "h", tmp_path / "root.hash"
    hashes.touch()
    veritysetup("format", data, hashes, "--hash", "sha512", "--root-hash-file", root)
    assert main(["verity", "verify", str(data), str(hashes), root.read_text()]) == 0
    assert "verified, 300 blocks" in capsys.readouterr().out
    assert json_of(capsys, "dump", hashes)["algorithm"] == "sha512"


def test_one_file_without_a_superblock(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = (data, data, "--hash-offset", str(BLOCKS * 4096), "--no-superblock", "--data-blocks", str(BLOCKS))
    made = json_of(capsys, "format", *common, "--salt", "abcd")
    options = ("--hash-offset", str(BLOCKS * 4096), "--no-superblock", "--data-blocks", str(BLOCKS), "--salt", "abcd")
    veritysetup("verify", data, data, str(made["root_hash"]), *options)
    assert json_of(capsys, "verify", data, data, str(made["root_hash"]), *options)["verified"] is True


def test_a_flipped_bit_is_found(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes = tmp_path / "h"
    root = str(json_of(capsys, "format", data, hashes)["root_hash"])
    with data.open("r+b") as file:
        file.seek(200 * 4096 + 17)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 4]))
    assert main(["verity", "verify", str(data), str(hashes), root]) == 3
    assert "data block 200 does not match" in capsys.readouterr().err
    assert main(["verity", "verify", str(data), str(hashes), root, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["mismatches"] == [{"what": "data", "level": 0, "block": 200}]


def test_what_is_behind_the_tree_is_not_called_verified(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes, root_hash = tmp_path / "hashes", tmp_path / "root.hash"
    assert main(["verity", "format", str(data), str(hashes), "--root-hash-file", str(root_hash)]) == 0
    words = ["verity", "verify", str(data), str(hashes), "--root-hash-file", str(root_hash)]
    capsys.readouterr()
    assert main(words) == 0
    assert "not verified" not in capsys.readouterr().err
    with data.open("ab") as file:
        file.write(bytes(8192))
    assert main(words) == 0
    assert "the last 8192 bytes are behind what the root hash is of, and were not verified" in capsys.readouterr().err


def test_the_area_may_not_lie_in_the_data(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = data.read_bytes()
    assert main(["verity", "format", str(data), str(data)]) == 1
    assert "lies in the data area" in capsys.readouterr().err
    assert data.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a disk of 0 bytes is no disk"),
        (bytes(4096), "magic is wrong"),
        (b"verity\0\0\2" + bytes(4096 - 9), "version is unknown"),
    ],
)
def test_what_is_no_hash_area(content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h").write_bytes(content)
    assert main(["verity", "dump", str(tmp_path / "h")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def spoil(path: Path, *blocks: int) -> None:
    with path.open("r+b") as file:
        for block in blocks:
            file.seek(block * 4096)
            file.write(bytes(4096))


def test_fec_data_is_veritysetups_and_repairs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = ("--fec-device", tmp_path / "f"), ("--fec-device", tmp_path / "tf")
    made = json_of(capsys, "format", data, tmp_path / "h", *ours, "--salt", "00", "--fec-roots", "3")
    root = str(made["root_hash"])
    assert (made["fec_roots"], made["fec_blocks"]) == (3, 6)
    (tmp_path / "th").touch()
    options = ("--salt", "00", "--uuid", str(made["uuid"]), "--fec-roots", "3")
    dumped = veritysetup("format", data, tmp_path / "th", *theirs, *options)
    assert "FEC blocks:     \t6\n" in dumped
    assert (tmp_path / "f").read_bytes() == (tmp_path / "tf").read_bytes()
    assert json_of(capsys, "dump", tmp_path / "h", *ours, "--fec-roots", "3")["fec_covered_blocks"] == 304

    spoil(data, 7, 8, 200)
    verify = ("verify", data, tmp_path / "h", root)
    assert main(["verity", *map(str, verify)]) == 3
    capsys.readouterr()
    assert main(["verity", *map(str, (*verify, *theirs, "--fec-roots", "3"))]) == 0
    shown = capsys.readouterr()
    assert "root.img: repairable, 300 blocks: FEC can correct all that do not match: 3 data blocks, 0 hash blocks" in (
        shown.out
    )
    found = json_of(capsys, *verify, *ours, "--fec-roots", "3")
    assert (found["verdict"], found["verified"], found["repaired_blocks"]) == ("repairable", True, 3)
    spoil(data, *range(8))  # more than three of a codeword
    assert main(["verity", *map(str, (*verify, *ours, "--fec-roots", "3", "--json"))]) == 3
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert (found["verdict"], found["verified"], found["repaired_blocks"]) == ("bad", False, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fec-device", "{data}"), "lies in the data area"),
        (("--fec-device", "{hashes}", "--fec-offset", "4096"), "the fec area lies in the hash area"),
        (
            ("--fec-device", "{hashes}"),
            "in the hash area; expected byte 20480 or more, found byte 0",
        ),
        (("--fec-device", "{data}.fec", "--fec-offset", "77"), "the FEC offset is not valid"),
        (("--fec-device", "{data}.fec", "--hash-block-size", "1024"), "hash_block_size is not data_block_size"),
    ],
)
def test_parity_that_cannot_be(
    options: tuple[str, ...], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, hashes = data.read_bytes(), tmp_path / "h"
    words = [option.format(data=data, hashes=hashes) for option in options]
    assert main(["verity", "format", str(data), str(hashes), *words]) == 1
    assert message in capsys.readouterr().err
    assert data.read_bytes() == before
    assert not hashes.exists()


@pytest.fixture
def signed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The directory of a volume with a signature and its certificate."""
    identity = make_identity(days=10000)
    (tmp_path / "key").write_bytes(identity.key)
    (tmp_path / "certificate").write_bytes(identity.certificate)
    json_of(capsys, "format", data, tmp_path / "h", "--root-hash-file", tmp_path / "root")
    where = (
        "--root-hash-file",
        tmp_path / "root",
        "--key",
        tmp_path / "key",
        "--key-certificate",
        tmp_path / "certificate",
    )
    said = json_of(capsys, "sign", *where, "-o", tmp_path / "p7s", "--json-partition", tmp_path / "partition")
    value = parse_verity_signature((tmp_path / "partition").read_bytes())
    assert value.root_hash.hex() == said["root_hash"] == (tmp_path / "root").read_text()
    assert value.signature == b64decode(str(said["signature"])) == (tmp_path / "p7s").read_bytes()
    assert value.certificate_fingerprint is not None
    assert value.certificate_fingerprint.hex() == said["certificate_fingerprint"]
    return tmp_path


def opening(directory: Path, *more: str | Path) -> list[str]:
    common = (directory / "root.img", directory / "h", "--root-hash-file", directory / "root")
    return ["verity", "open", *map(str, (*common, *more))]


@pytest.mark.parametrize("signature", ["p7s", "partition"])
def test_a_row_of_a_signed_volume(signature: str, signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--root-hash-signature", signed / signature, "--certificate", signed / "certificate", "--print-table")
    assert main(opening(signed, *options, "--check-at-most-once")) == 0
    shown = capsys.readouterr()
    assert "signed by CN=tester" in shown.err
    line = parse_line(shown.out.strip())
    assert (line.num_sectors, line.target) == (BLOCKS * 8, "verity")
    device = open_verity_target(VerityTarget.parse(line.args), FileDevice.open)
    assert device.options.check_at_most_once
    assert read_bytes(device, 0, device.size_bytes) == (signed / "root.img").read_bytes()


def test_options_may_stand_between_the_operands(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As veritysetup takes them: argparse by itself settles that there is no ROOT_HASH when it meets the options."""
    hashes = tmp_path / "h"
    root = str(json_of(capsys, "format", data, "--salt", "-", hashes)["root_hash"])
    for words in (
        [data, hashes, "--hash-offset", "0", root],
        [data, "--hash-offset=0", hashes, "--data-blocks", str(BLOCKS), root, "--json"],
        ["--hash-offset", "0", data, hashes, root],
        [data, hashes, root, "--hash-offset", "0"],
    ):
        assert main(["verity", "verify", *map(str, words)]) == 0, words
    for action in ("verify", "open"):
        with pytest.raises(SystemExit) as refusal:
            main(["verity", action, str(data), str(hashes), "--hash-offset", "0"])
        assert refusal.value.code == 2
        assert "give the root hash, or --root-hash-file" in capsys.readouterr().err
        with pytest.raises(SystemExit) as refusal:
            main(["verity", action, str(data), str(hashes), "--hash-offset", "0", root, root])
        assert refusal.value.code == 2


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--data-blocks", "299", "the superblock contradicts --data-blocks; expected 299, found 300"),
        ("--hash", "sha512", "the superblock contradicts --hash; expected sha512, found sha256"),
        ("--format", "0", "the superblock contradicts --format; expected 0, found 1"),
        ("--data-block-size", "1024", "the superblock contradicts --data-block-size; expected 1024, found 4096"),
        ("--hash-block-size", "1024", "the superblock contradicts --hash-block-size; expected 1024, found 4096"),
        ("--salt", "-", "the superblock contradicts --salt; expected no salt, found abcd"),
    ],
)
def test_what_the_superblock_contradicts_is_not_ignored(
    option: str, value: str, message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = tmp_path / "h"
    root = str(json_of(capsys, "format", data, hashes, "--salt", "abcd")["root_hash"])
    assert main(["verity", "verify", str(data), str(hashes), root, option, value]) == 1
    assert message in capsys.readouterr().err


def test_tasklets_are_for_the_kernel(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_of(capsys, "format", data, tmp_path / "h", "--root-hash-file", tmp_path / "root")
    assert main(opening(tmp_path, "--print-table", "--use-tasklets", "--ignore-zero-blocks")) == 0
    assert capsys.readouterr().out.strip().endswith(" 2 ignore_zero_blocks try_verify_in_tasklet")


def test_a_table_line_with_fec(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parity = ("--fec-device", str(tmp_path / "f"), "--fec-offset", "8192")
    json_of(capsys, "format", data, tmp_path / "h", "--root-hash-file", tmp_path / "root", *parity)
    assert main(opening(tmp_path, *parity, "--print-table")) == 0
    line = capsys.readouterr().out.strip()
    expected = f" 8 use_fec_from_device {tmp_path}/f fec_blocks 304 fec_start 2 fec_roots 2"
    assert line.endswith(expected)
    content = data.read_bytes()
    spoil(data, 5)
    device = open_verity_target(VerityTarget.parse(parse_line(line).args), FileDevice.open)
    assert read_bytes(device, 0, device.size_bytes) == content


def test_a_key_in_place_of_a_root_hash_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text("-----BEGIN PRIVATE KEY-----\nMIIE")
    assert main(["verity", "verify", "data", "hash", "--root-hash-file", str(key)]) == 1
    message = "the root hash is not hexadecimal; expected hexadecimal digits, found '-----BEGIN PRIVA'"
    assert capsys.readouterr().err == f"bootpath: {key}: verity: {message}\n"


def test_nothing_is_opened_with_a_signature_that_does_not_verify(
    signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger, old = make_identity(serial=8, days=10000), make_identity(start=NOW.replace(year=2001))
    (signed / "stranger").write_bytes(stranger.certificate)
    (signed / "old-key").write_bytes(old.key)
    (signed / "old").write_bytes(old.certificate)
    (signed / "junk").write_bytes(b"junk")
    (signed / "other").write_bytes(json.dumps({"rootHash": "ab" * 32, "signature": "YQ=="}).encode())
    sign = (
        "sign",
        "--root-hash-file",
        signed / "root",
        "--key",
        signed / "old-key",
        "--key-certificate",
        signed / "old",
    )
    json_of(capsys, *sign, "-o", signed / "old-p7s")
    served = signed / "served"
    for signature, certificate, message in (
        ("p7s", "stranger", "none of those that are trusted"),
        ("old-p7s", "old", "expired at 2001"),
        ("junk", "certificate", "not a signature"),
        ("other", "certificate", "the signature is for another root hash"),
    ):
        options = ("--root-hash-signature", signed / signature, "--certificate", signed / certificate)
        assert main(opening(signed, *options, "--run", f"touch {served}")) == 3, signature
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not served.exists()


@pytest.mark.parametrize(
    "options",
    [("--certificate", "c"), ("--root-hash-signature", "s"), ("--ignore-corruption", "--panic-on-corruption")],
)
def test_options_that_contradict(options: tuple[str, ...], signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as failure:
        main(opening(signed, "--print-table", *options))
    assert failure.value.code == 2


def test_a_volume_is_served_and_checked_at_every_read(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy, nbdcopy = signed / "copy", tool("nbdcopy")
    options = ("--root-hash-signature", signed / "p7s", "--certificate", signed / "certificate")

    def serve() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bootpath", *opening(signed, *options, "--run", f"{nbdcopy} $uri {copy}")]
        return subprocess.run(command, capture_output=True, text=True)

    done = serve()
    assert done.returncode == 0, done.stderr
    assert copy.read_bytes() == (signed / "root.img").read_bytes()
    spoil(signed / "root.img", 250)
    done = serve()
    assert done.returncode != 0
    assert "Input/output error" in done.stderr


def test_signing_needs_to_know_where_to(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--key", signed / "key", "--key-certificate", signed / "certificate")
    with pytest.raises(SystemExit) as failure:
        main(["verity", "sign", "ab" * 32, *map(str, options)])
    assert failure.value.code == 2
    with pytest.raises(SystemExit) as failure:
        main(["verity", "sign", "ab" * 31, *map(str, options), "--json"])
    assert failure.value.code == 2
    assert "the root hash has the wrong length" in capsys.readouterr().err
