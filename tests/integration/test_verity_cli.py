"""bootpath verity beside veritysetup: each checks and shows what the other has made."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import jsonschema
import pytest

from bootpath.cli.main import main
from tests.integration.test_veritysetup import veritysetup

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/verity.json").read_text())
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


def test_the_area_may_not_lie_in_the_data(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = data.read_bytes()
    assert main(["verity", "format", str(data), str(data)]) == 1
    assert "lies in the data" in capsys.readouterr().err
    assert data.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no room"), (bytes(4096), "magic is"), (b"verity\0\0\2" + bytes(4096 - 9), "version is")],
)
def test_what_is_no_hash_area(content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h").write_bytes(content)
    assert main(["verity", "dump", str(tmp_path / "h")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
