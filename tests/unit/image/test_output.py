"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from bootpath.core.errors import Error
from bootpath.image.output import atomic_directory, atomic_output, check_output, write_whole


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
