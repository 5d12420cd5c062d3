"""`bootpath repair`: a plan first, then the damaged copy from the good one; sgdisk judges."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from bootpath.cli.main import main
from tests.support.gptdisk import gpt_image
from tests.support.mbrdisk import disk, table
from tests.support.tools import tool
from tests.support.tree import schema

SCHEMA = schema("repair")
LAST = 255 * 512


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    code = main(["repair", "--json", *words])
    page = json.loads(capsys.readouterr().out)
    if code in (0, 3):
        jsonschema.validate(page, SCHEMA)
    return code, page


@pytest.mark.parametrize(
    ("offset", "verdict", "step"),
    [
        (512 + 60, "primary damaged", "first-copy"),
        (1024 + 130, "primary damaged", "first-copy"),
        (LAST + 60, "backup damaged", "backup-copy"),
        (510, "sound", "mbr"),
    ],
)
def test_a_repair_is_a_plan_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offset: int, verdict: str, step: str
) -> None:
    path, sound = tmp_path / "disk.img", gpt_image()
    damaged = bytearray(sound)
    damaged[offset] ^= 1
    path.write_bytes(damaged)
    code, page = as_json(capsys, str(path))
    assert (code, page["verdict"], page["applied"]) == (3, verdict, False)
    assert [each["reason"] for each in page["steps"]] == [step]  # type: ignore[attr-defined]
    assert path.read_bytes() == damaged
    code, page = as_json(capsys, str(path), "--apply")
    assert (code, page["applied"]) == (0, True)
    assert path.read_bytes() == sound
    code, page = as_json(capsys, str(path), "--apply")
    assert (code, page["verdict"], page["steps"], page["applied"]) == (0, "sound", [], False)
    assert "No problems found" in subprocess.check_output([tool("sgdisk"), "-v", path], text=True)


def test_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, damaged = tmp_path / "disk.img", gpt_image()
    damaged[512:1024] = bytes(512)
    path.write_bytes(damaged)
    assert main(["repair", str(path)]) == 3
    said = capsys.readouterr().out
    assert "would: write the first copy of the partition table from the backup copy\n  16384 bytes at byte 1024" in said
    assert said.endswith("Verdict: damaged; use --apply to repair it\n")
    assert main(["repair", str(path), "--apply"]) == 0
    assert capsys.readouterr().out.endswith("Verdict: repaired\n")
    assert main(["repair", str(path)]) == 0
    assert capsys.readouterr().out.endswith("Verdict: nothing to repair\n")


def test_what_cannot_be_repaired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "disk.img"
    both = gpt_image()
    both[512 + 60] ^= 1
    both[LAST + 60] ^= 1
    for content, said in (
        (bytes(1 << 20), "there is no GPT"),
        (both, "neither copy is usable"),
        (gpt_image()[: 100 * 512], "the disk or image was cut short"),
        (disk(64, {0: table((0, 0x83, 8, 8))}), "the disk has an MBR, of which there is no second copy"),
    ):
        path.write_bytes(content)
        assert main(["repair", str(path), "--apply"]) == 1
        assert said in capsys.readouterr().err
        assert path.read_bytes() == content
