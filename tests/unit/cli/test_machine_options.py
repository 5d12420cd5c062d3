from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.cli.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--screenshot s.png", "--screenshot goes with --vm"),
        ("--until login", "--until goes with --vm"),
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
