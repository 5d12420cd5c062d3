"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootpath.core.errors import Error
from bootpath.image.output import atomic_directory, atomic_output, check_output, scratch_directory, write_whole


def test_it_takes_the_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("before")
    with atomic_output(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert os.listdir(tmp_path) == ["result"]


def test_what_was_private_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.touch(0o600)
    with atomic_output(path) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o444)  # which keeps nobody from replacing it
    write_whole([(path, b"new")])
    assert path.stat().st_mode & 0o777 == 0o444


def test_a_new_file_is_as_any_other(tmp_path: Path) -> None:
    write_whole([(tmp_path / "result", b"new")])
    (tmp_path / "other").touch()
    assert (tmp_path / "result").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("fault", [ValueError(), KeyboardInterrupt(), OSError(errno.ENOENT, "no", "elsewhere")])
def test_what_fails_leaves_what_there_was(tmp_path: Path, fault: BaseException) -> None:
    path = tmp_path / "result"
    path.write_text("before")
    with pytest.raises(type(fault)), atomic_output(path) as temporary:
        _write_and_fail(temporary, fault)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["result"]


def _write_and_fail(path: Path, fault: BaseException) -> None:
    path.write_text("after")
    raise fault


def test_a_full_disk_is_the_outputs(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"result: cannot write there: No space"), atomic_output(tmp_path / "result"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there/target"
    link.symlink_to(target)
    for content in ("first", "second"):  # once for what does not exist yet
        with atomic_output(link) as temporary:
            assert temporary.parent == target.parent
            temporary.write_text(content)
        assert link.is_symlink()
        assert target.read_text() == content


def test_a_pipe_is_filled_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        with atomic_output(pipe) as temporary:
            temporary.write_text("through")
        assert reader.communicate()[0] == "through"
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_character_device_stays(tmp_path: Path) -> None:
    device = Path(os.devnull)
    with atomic_output(device) as temporary:
        assert temporary.parent != device.parent
        temporary.write_text("gone")
    assert device.is_char_device()


def test_a_directory_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(Error, match="is a directory"), atomic_output(tmp_path):
        pytest.fail("the work was done")
    with pytest.raises(Error, match="is a directory"):
        check_output(tmp_path)


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    for attempt in (lambda path: check_output(path), lambda path: atomic_output(path).__enter__()):
        with pytest.raises(Error, match=r"none/result: cannot write there: No such file"):
            attempt(tmp_path / "none/result")
    check_output(tmp_path / "result")


def test_several_or_none(tmp_path: Path) -> None:
    write_whole([(tmp_path / "a", b"1"), (tmp_path / "b", b"2")])
    assert (tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes() == b"12"
    with pytest.raises(Error, match="none/b"):
        write_whole([(tmp_path / "a", b"3"), (tmp_path / "none/b", b"4")])
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "made") as made:
        (made / "file").write_text("content")
    assert (tmp_path / "made/file").read_text() == "content"
    with pytest.raises(Error, match="cannot write there: Directory not empty"), atomic_directory(tmp_path / "made"):
        pass
    with pytest.raises(ValueError, match="no"), atomic_directory(tmp_path / "other"):
        raise ValueError("no")
    assert os.listdir(tmp_path) == ["made"]


# What a kill -9 leaves

_KILLED = """
import os, signal, sys
from pathlib import Path
from bootpath.image import output

place = Path(sys.argv[1])
with output.scratch_directory(place, "work") as scratch, output.atomic_output(place / "re[sult") as result:
    (scratch / "content").write_text("much")
    result.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", _KILLED, tmp_path], check=False)
    assert len(os.listdir(tmp_path)) == 2  # the second has removed what was the first one's
    with atomic_output(tmp_path / "re[sult"), scratch_directory(tmp_path, "work"):
        assert len(os.listdir(tmp_path)) == 2
    assert os.listdir(tmp_path) == ["re[sult"]


def test_what_others_write_stays(tmp_path: Path) -> None:
    ours = tmp_path / "result"
    names = [".result.0123456789ab.partial.txt", ".other.0123456789ab.partial", ".result.partial", "result"]
    for name in names:
        (tmp_path / name).write_text("before")
    with atomic_output(ours) as one, scratch_directory(tmp_path, "result") as scratch:
        one.write_text("one")
        with atomic_output(ours) as two:  # at the same time
            two.write_text("two")
        assert ours.read_text() == "two"
        assert scratch.is_dir()
    assert ours.read_text() == "one"
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_what_is_taken_away_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock
    swept: list[int] = []

    def sweep_first(fd: int, operation: int) -> None:
        if not swept:
            swept.append(fd)
            with atomic_output(tmp_path / "result"):
                pass
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    with atomic_output(tmp_path / "result") as temporary:
        temporary.write_text("ours")
    assert (tmp_path / "result").read_text() == "ours"
    assert swept


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with atomic_output(tmp_path / "result") as one, atomic_output(tmp_path / "result") as two:
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "result").read_text() == "one"
