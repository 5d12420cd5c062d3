from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.core.errors import Error
from bootpath.formats.repart.definition import FileSystemFormat
from bootpath.image.filesystems.filetree import collect_tree
from bootpath.image.filesystems.make import FileSystemRequest, make_file_system
from bootpath.image.filesystems.programs import Finished, HostPrograms, run_process

UUID_ = UUID("0d7e49a2-5b26-4c4c-8a6b-2f2d1c9f4a11")


class Recorder:
    """Stands in for programs: remembers what was run, and answers with what it was given."""

    def __init__(self, answer: Finished | None = None) -> None:
        self.answer = answer or Finished(0, "")
        self.commands: list[Sequence[str]] = []
        self.environments: list[Mapping[str, str]] = []

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> Finished:
        self.commands.append(command)
        self.environments.append(environment)
        return self.answer


def request(kind: FileSystemFormat, tmp_path: Path, **changes: object) -> FileSystemRequest:
    tree = collect_tree([], directories=["/proc"], base=tmp_path)
    return FileSystemRequest(kind, tree, UUID_, "label", None, **changes)  # type: ignore[arg-type]


def test_programs_get_an_environment_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    recorder = Recorder()
    HostPrograms(recorder, path="/opt/bin").call(["mkfs.erofs"], E2FSPROGS_FAKE_TIME="7")
    (environment,) = recorder.environments
    assert set(environment) == {"PATH", "LC_ALL", "TZ", "E2FSPROGS_FAKE_TIME"}
    assert environment["PATH"].startswith("/opt/bin:/usr/sbin:")


def test_a_failure_is_the_last_line_that_was_said() -> None:
    with pytest.raises(Error, match=r"^mksquashfs: the program failed with 3: no room$"):
        HostPrograms(Recorder(Finished(3, "first\nno room\n\n"))).call(["mksquashfs"])
    with pytest.raises(Error, match=r"^mksquashfs: the program failed with -9: silent$"):
        HostPrograms(Recorder(Finished(-9, ""))).call(["mksquashfs"])


def test_a_real_program() -> None:
    assert HostPrograms().call(["sh", "-c", "echo $LC_ALL; echo $TZ >&2"]) == "C\nUTC\n"
    assert run_process(["sh", "-c", "exit 4"], {"PATH": "/bin:/usr/bin"}).exit_code == 4
    with pytest.raises(Error, match=r"^mke2fs-of-nobody: the program is not installed$"):
        HostPrograms().call(["mke2fs-of-nobody"])


def test_times_and_identifiers_are_given_to_the_makers(tmp_path: Path) -> None:
    recorder = Recorder()
    (tmp_path / "out").touch()
    for kind in (FileSystemFormat.EROFS, FileSystemFormat.SQUASHFS):
        wanted = request(kind, tmp_path, epoch=5, all_root=True)
        make_file_system(wanted, tmp_path / "out", scratch=tmp_path, programs=HostPrograms(recorder))
    erofs, squashfs = (" ".join(command) for command in recorder.commands)
    assert f"-U{UUID_} -T5 --all-root" in erofs
    assert "-mkfs-time 5 -all-time 5 -all-root" in squashfs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_compression_that_a_format_does_not_have(tmp_path: Path) -> None:
    wanted = request(FileSystemFormat.EXT4, tmp_path, compression="zstd")
    with pytest.raises(Error, match="ext4: the value of Compression= is not supported; expected not given, found zstd"):
        make_file_system(wanted, tmp_path / "out", scratch=tmp_path, programs=HostPrograms(Recorder()))
