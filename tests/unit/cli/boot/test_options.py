"""The table of boot options: every option is refused in every mode that it does not go with, with the reason."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from bootpath.boot import look
from bootpath.boot.redox.preload import PreloadKind
from bootpath.cli.boot import command
from bootpath.cli.boot.options import (
    CONFLICTS,
    FIRMWARE,
    LINUX,
    LIVE,
    MACHINE,
    NEEDED,
    OPTIONS,
    SIMULATE,
    BootMode,
    BootOption,
    check_conflicts,
    check_mode,
    check_needed,
    given_options,
)
from bootpath.cli.failures import UsageError
from bootpath.cli.main import build_parser, main
from bootpath.image.kind import DiskKind, JudgedKind, KindReason

VALUES = {
    "--preload": "full",
    "--policy": "root=signed",
    "--root-hash": "ab" * 32,
    "--memory": "1MiB",
    "--look-in": "esp",
    "--fault": "read:error",
}
WRONG = [(option, mode) for option in OPTIONS for mode in BootMode if mode not in option.modes]


def words(option: BootOption) -> list[str]:
    if option.action == "store_true":
        return [option.flag]
    if option.choices:
        return [option.flag, option.choices[0]]
    return [option.flag, VALUES.get(option.flag, "x86-64" if option.flag == "--architecture" else "1")]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    return path


def refuse_to_start(*_: object) -> int:
    raise AssertionError("the boot must not start")


@pytest.mark.parametrize(
    ("option", "mode"), WRONG, ids=[f"{option.flag} of {mode.name.lower()}" for option, mode in WRONG]
)
def test_an_option_of_another_mode_is_refused(
    option: BootOption,
    mode: BootMode,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judged = {
        LIVE: JudgedKind(DiskKind.LIVE_REDOXFS, KindReason.REDOXFS("partition 3")),
        LINUX: JudgedKind(DiskKind.LINUX, KindReason.ROOT_TYPE("partition 2")),
    }.get(mode, JudgedKind(DiskKind.UNKNOWN, KindReason.NOTHING()))
    places = ("a RedoxFS",) if mode is LIVE else ()
    monkeypatch.setattr(look, "disk_kind", lambda _: judged)
    monkeypatch.setattr(look, "search_redoxfs", lambda *_: places)
    for name in ("run_live", "run_linux", "run_firmware"):
        monkeypatch.setattr(command, name, refuse_to_start)
    arguments = ["simulate" if mode is SIMULATE else "boot", str(disk), *words(option)]
    if mode is FIRMWARE:
        arguments += ["--firmware", "bios"]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"bootpath {arguments[0]}: {option.flag} is for ")
    if option.modes & MACHINE and mode in (LIVE, LINUX):
        assert line.endswith(f"; {disk}: {judged.why}")


def test_the_command_is_named_that_has_the_option(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", str(disk), "--touch", "/etc"]) == 2
    assert f"bootpath simulate {disk} --touch" in capsys.readouterr().err
    assert main(["simulate", str(disk), "--memory", "1MiB"]) == 2
    assert "bootpath boot does" in capsys.readouterr().err


def test_every_option_is_in_one_row_and_in_a_group() -> None:
    flags = [option.flag for option in OPTIONS]
    assert len(set(flags)) == len(flags)
    assert all(option.modes and option.help for option in OPTIONS)
    assert all(option.group for option in OPTIONS if SIMULATE in option.modes)


def test_rules_name_options_of_the_table() -> None:
    flags = {option.flag for option in OPTIONS}
    assert {flag for rule in CONFLICTS for flag in (rule.flag, *rule.others)} <= flags
    assert {flag for row in NEEDED for flag in row[:2]} <= flags


@pytest.mark.parametrize(("flag", "other"), [(rule.flag, other) for rule in CONFLICTS for other in rule.others])
def test_what_does_not_go_together_is_refused(flag: str, other: str) -> None:
    given = [option for option in OPTIONS if option.flag in (flag, other)]
    with pytest.raises(UsageError, match=f"{flag} does not go with {other}"):
        check_conflicts(given, command="bootpath boot")


@pytest.mark.parametrize(("flag", "needed", "mode"), NEEDED)
def test_what_needs_another_option_is_refused_without_it(flag: str, needed: str, mode: BootMode | None) -> None:
    given = [option for option in OPTIONS if option.flag == flag]
    with pytest.raises(UsageError, match=f"{flag} goes with {needed}"):
        check_needed(given, mode or LINUX, command="bootpath boot")


def test_an_option_of_the_mode_is_accepted() -> None:
    for option in OPTIONS:
        for mode in option.modes:
            check_mode([option], mode, "", command="")


def test_what_was_typed_is_told_from_defaults() -> None:
    options = build_parser(["boot"]).parse_args(["boot", "disk.img", "--timeout", "300"])
    assert [option.flag for option in given_options(options)] == ["--timeout"]
    assert given_options(Namespace()) == ()


def test_the_parser_knows_the_kinds_of_preload() -> None:
    from bootpath.cli.arguments import preload

    assert {preload("full"), preload("plan")} <= {kind.value for kind in PreloadKind}
