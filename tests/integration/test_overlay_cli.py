"""``bootpath overlay``: what it prints, its JSON, its exit codes, and that nothing is written without --apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.overlay.file import OverlayFile
from bootpath.block.overlay.storage import GrowingFile
from bootpath.cli.main import main
from tests.support.patterns import pattern
from tests.support.tree import schema

SIZE = 1 << 20
BLOCK = 4096


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(pattern(0, SIZE))
    return path


def made(base: Path, *, checksums: bool = True) -> Path:
    path = base.parent / "changes.overlay"
    overlay = OverlayFile.create(path, FileDevice.open(base), checksums=checksums)
    overlay.write(8192, pattern(8192, 3 * BLOCK, tag=1))
    overlay.discard(65536, BLOCK)
    overlay.close()
    return path


@pytest.fixture
def overlay(base: Path) -> Path:
    return made(base)


def damage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 1,)))


def first_cluster(path: Path) -> int:
    return path.read_bytes().index(pattern(8192, BLOCK, tag=1)) // BLOCK


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, list[str]]:
    code = main(["overlay", *map(str, words)])
    said = capsys.readouterr()
    return code, [*said.out.splitlines(), *said.err.splitlines()]


def as_json(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, Any]]:
    code, lines = run(capsys, *words, "--json")
    value: dict[str, Any] = json.loads("\n".join(lines))
    jsonschema.validate(value, schema("overlay"))
    return code, value


@pytest.mark.parametrize("checksums", [True, False])
def test_info_says_whether_there_are_checksums(base: Path, capsys: pytest.CaptureFixture[str], checksums: bool) -> None:
    path = made(base, checksums=checksums)
    assert as_json(capsys, "info", path)[1]["checksums"] is checksums
    shown = run(capsys, "info", path)[1]
    assert f"checksums        {'yes' if checksums else 'no'}" in shown
    assert "dirty            12 KiB" in shown


def test_a_sound_overlay(overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", overlay) == (0, [f"{overlay}: sound"])
    code, value = as_json(capsys, "check", overlay)
    assert code == 0
    assert (value["damaged"], value["findings"], value["held_bytes"]) == (False, [], 3 * BLOCK)
    assert (value["checksums"], value["closed"], value["repaired"]) == (True, True, [])
    before = overlay.read_bytes()
    assert run(capsys, "check", overlay, "--repair", "--apply") == (0, [f"{overlay}: sound"])
    assert overlay.read_bytes() == before


def test_without_checksums_it_says_so(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made(base, checksums=False)
    damage(path, first_cluster(path) * BLOCK + 100)
    expected = f"{path}: sound (it has no checksums: changed data is not noticed)"
    assert run(capsys, "check", path) == (0, [expected])


def test_lost_data(overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = first_cluster(overlay)
    damage(overlay, (cluster + 1) * BLOCK)
    damage(overlay, (cluster + 2) * BLOCK)
    place = f"bytes 12288 to 20479 of the disk, clusters {cluster + 1} to {cluster + 2} of the file"
    found = [
        f"damaged: {place}: the data does not match its checksum",
        f"{overlay}: damaged, 8 KiB of the disk are lost: reads of them fail with EIO until they are written again",
    ]
    assert run(capsys, "check", overlay) == (3, found)
    found.insert(1, "nothing of this can be repaired")
    for words in (("--repair",), ("--repair", "--apply")):
        assert run(capsys, "check", overlay, *words) == (3, found)
    code, value = as_json(capsys, "check", overlay)
    assert code == 3
    assert value["findings"] == [
        {
            "fault": {"reason": "data-damaged", "text": "the data does not match its checksum"},
            "damage": True,
            "lost": {"cluster": cluster + 1, "clusters": 2, "offset": 12288, "length": 8192},
            "repair": None,
        }
    ]


def test_a_repair_is_a_plan_first(overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = overlay.read_bytes()
    damage(overlay, 100)
    with overlay.open("ab") as file:
        file.write(bytes(BLOCK))
    damaged = overlay.read_bytes()
    findings = [
        "damaged: copy 0 of the header is damaged: the header's checksum does not match",
        "not finished: 4096 bytes at the end of the file belong to nothing",
    ]
    assert run(capsys, "check", overlay) == (3, [*findings, f"{overlay}: damaged, nothing is lost"])
    code, lines = run(capsys, "check", overlay, "--repair")
    assert code == 3
    assert lines[2:4] == [
        "would write copy 0 of the header again, from the other; use --apply to do it",
        "would cut 4096 bytes at the end of the file; use --apply to do it",
    ]
    code, value = as_json(capsys, "check", overlay, "--repair")
    assert (code, value["repaired"]) == (3, [])
    assert [finding["repair"]["reason"] for finding in value["findings"]] == ["write-header", "cut"]
    assert overlay.read_bytes() == damaged
    code, value = as_json(capsys, "check", overlay, "--repair", "--apply")
    assert (code, value["damaged"], value["findings"]) == (0, False, [])
    assert [repair["reason"] for repair in value["repaired"]] == ["write-header", "cut"]
    assert overlay.read_bytes() == good


def test_nothing_can_be_done(overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(overlay, 100)
    damage(overlay, BLOCK + 100)
    code, lines = run(capsys, "check", overlay, "--repair")
    assert (code, lines[-1]) == (3, f"{overlay}: damaged: nothing can be read or repaired")
    code, value = as_json(capsys, "check", overlay, "--repair", "--apply")
    assert (code, value["uuid"], value["findings"][0]["fault"]["reason"]) == (3, None, "unusable")


def test_what_is_refused(base: Path, overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", base)[0] == 1
    assert run(capsys, "check", base.parent / "none")[0] == 1
    code, lines = run(capsys, "check", overlay, "--apply")
    assert (code, "--apply goes with --repair" in lines[-1]) == (2, True)
    in_use = OverlayFile.open(overlay, FileDevice.open(base))
    for words in ((), ("--repair", "--apply")):
        code, lines = run(capsys, "check", overlay, *words)
        assert (code, lines) == (1, [f"bootpath: {overlay}: the file is in use by another process or device"])
    in_use.close()


# Without --apply


def test_a_plan_says_what_apply_will_do(base: Path, overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = base.read_bytes(), overlay.read_bytes()
    code, lines = run(capsys, "commit", overlay, base)
    assert (code, lines) == (
        0,
        [f"would write 16 KiB into {base}, then empty {overlay}; use --apply to do it"],
    )
    code, lines = run(capsys, "discard", overlay)
    assert (code, lines) == (0, [f"would drop 16 KiB of changes in {overlay}; use --apply to do it"])
    assert (base.read_bytes(), overlay.read_bytes()) == before
    assert run(capsys, "commit", overlay, base, "--apply") == (
        0,
        [f"{base}: 16 KiB written, {overlay} is empty"],
    )


@pytest.mark.parametrize("apply", [(), ("--apply",)])
def test_a_commit_that_would_fail_fails_without_apply_too(
    base: Path, overlay: Path, capsys: pytest.CaptureFixture[str], apply: tuple[str, ...]
) -> None:
    other = base.parent / "other.img"
    other.write_bytes(bytes(SIZE))
    code, lines = run(capsys, "commit", overlay, other, *apply)
    assert (code, len(lines), "another base" in lines[0]) == (1, 1, True)
    assert run(capsys, "commit", overlay, base.parent / "none", *apply)[0] == 1
    held = GrowingFile.open_locked(base)
    code, lines = run(capsys, "commit", overlay, base, *apply)
    assert (code, lines) == (1, [f"bootpath: {base}: the file is in use by another process or device"])
    held.close()
    damage(overlay, first_cluster(overlay) * BLOCK)
    before = base.read_bytes(), overlay.read_bytes()
    code, lines = run(capsys, "commit", overlay, base, *apply)
    assert (code, "does not match its checksum" in lines[0]) == (3, True)
    # It has not begun, so that the overlay still serves what is sound.
    assert (base.read_bytes(), overlay.read_bytes()) == before


@pytest.mark.parametrize("apply", [(), ("--apply",)])
def test_a_discard_that_would_fail_fails_without_apply_too(
    base: Path, overlay: Path, capsys: pytest.CaptureFixture[str], apply: tuple[str, ...]
) -> None:
    in_use = OverlayFile.open(overlay, FileDevice.open(base))
    assert run(capsys, "discard", overlay, *apply)[0] == 1
    in_use.close()
