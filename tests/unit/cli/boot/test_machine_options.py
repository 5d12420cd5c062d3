from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.cli.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--ahci --disk-delay 3", "--ahci does not go with --disk-delay: SATA disks cannot be plugged in"),
        ("--no-disk --disk a", "--no-disk does not go with --disk: there is no physical disk"),
        ("--classic --plan p", "--classic does not go with --plan"),
    ],
)
def test_options_that_contradict_each_other(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["boot", str(tmp_path / "disk.img"), *words.split()]) == 2
    assert said in capsys.readouterr().err


def test_a_screenshot_has_a_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "disk.img", "--screenshot", "/no/such/s.png"]) == 1
    assert capsys.readouterr().err == "bootpath: /no/such/s.png: cannot write there: there is no such directory\n"


def test_until_is_an_expression(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "disk.img", "--until", "("])
    assert caught.value.code == 2
    assert "not a regular expression" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "1KiB", "1.5MiB", "some"])
def test_a_machine_has_whole_mebibytes_of_memory(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "disk.img", "--memory", text])
    assert caught.value.code == 2
    assert "argument --memory" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--firmware bios", "", "--dry-run"])
def test_a_disk_that_is_missing_is_one_line(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", str(tmp_path / "disk.img"), *words.split()]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"bootpath: {tmp_path}/disk.img: the file cannot be opened: No such file or directory"
    ]
