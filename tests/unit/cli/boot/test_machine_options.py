from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.cli.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--screenshot s.png", "--screenshot goes with --vm"),
        ("--until login", "--until goes with --vm"),
        ("--vm --screenshot /no/such/s.png", "--screenshot /no/such/s.png: there is no such directory"),
        ("--vm --from-disk", "--from-disk does not go with --vm"),
        ("--vm --fault read:error", "--fault does not go with --vm"),
        ("--vm --processes", "--processes does not go with --vm"),
        ("--vm --kernel k", "--kernel and --initrd go together"),
        ("--vm --disk a --disk b", "a machine has one --disk"),
        ("--vm --ahci --disk-delay 3", "--ahci disks cannot be plugged in"),
    ],
)
def test_options_that_contradict_each_other(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["boot", str(tmp_path / "disk.img"), *words.split()]) == 2
    assert said in capsys.readouterr().err


def test_until_is_an_expression(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "disk.img", "--vm", "--until", "("])
    assert caught.value.code == 2
    assert "not a regular expression" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "1KiB", "1.5MiB", "some"])
def test_a_machine_has_whole_mebibytes_of_memory(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "disk.img", "--vm", "--memory", text])
    assert caught.value.code == 2
    assert "argument --memory" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--vm --firmware bios", "--vm", "--dry-run"])
def test_a_disk_that_is_missing_is_one_line(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", str(tmp_path / "disk.img"), *words.split()]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [f"bootpath: {tmp_path}/disk.img: open: No such file or directory"]
