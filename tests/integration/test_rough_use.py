"""The command line in rough hands: interrupted, terminated, without stdout, onto full disks and odd files.

One line on stderr, the documented exit code, and nothing half-written; never a traceback.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from tests.support.ddi import make_file_system
from tests.support.tools import missing, tool

MIB = 1 << 20
BIG = 4096 * MIB


def bootpath(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None, stdout: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bootpath", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("bootpath: ")
    return done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a small disk, a table over it, and a tree."""
    tool("mke2fs")
    (tmp_path / "work").mkdir()
    work = tmp_path / "work"
    (work / "disk.img").write_bytes(make_file_system(tmp_path))
    (work / "t.table").write_text("0 2048 linear disk.img 0\n")
    (work / "tree").mkdir()
    (work / "tree/file").write_bytes(Random(1).randbytes(3 * MIB))
    return work


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", path], capture_output=True, check=False
    )
    if mounted.returncode:
        missing("the right to mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


# Output that cannot be


@pytest.mark.parametrize("words", ["inspect disk.img", "inspect --json disk.img", "dm table t.table"])
def test_stdout_is_full_or_closed(words: str, place: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        error = one_line(bootpath(*words.split(), cwd=place, stdout=full))
    finally:
        os.close(full)
    assert "stdout cannot be written: No space left on device" in error
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "bootpath", *words.split()]
    done = subprocess.run(command, cwd=place, stderr=subprocess.PIPE, text=True, check=False)
    assert "stdout is closed" in one_line(done)


@pytest.mark.parametrize("words", ["--help", "--version", "dm table --help", "completion bash"])
def test_help_that_goes_nowhere(words: str, place: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert "stdout cannot be written" in one_line(bootpath(*words.split(), cwd=place, stdout=full))
    finally:
        os.close(full)


@pytest.mark.parametrize(("words", "code"), [("inspect none", 1), ("inspect", 2), ("--version", 0)])
def test_stderr_is_full(words: str, code: int, place: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "bootpath", *words.split()]
        done = subprocess.run(command, cwd=place, stdout=subprocess.DEVNULL, stderr=full, check=False)
    assert done.returncode == code


@pytest.mark.parametrize(
    "words",
    [
        "build image tree -o out --uki loop",
        "build image tree -o out --efi-loader loop",
        "build image --root tree -o out --esp loop",
        "build live tree -o out --efi-loader loop",
        "build live loop -o out",
        "build initramfs -o out --with none --init loop",
        "dm table loop",
    ],
)
def test_a_link_to_itself(words: str, place: Path) -> None:
    (place / "loop").symlink_to("loop")
    one_line(bootpath(*words.split(), cwd=place))
    assert not (place / "out").exists()


def test_a_mount_that_fails_is_the_only_object(place: Path, image: Path) -> None:
    done = bootpath("simulate", "--json", image, "--mount", "nowhere", cwd=place)
    value = json.loads(done.stdout)
    assert (done.returncode, value["exit_code"], value["error"]["type"]) == (1, 1, "FileSystemError")


def test_dm_read_without_stdout(place: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "bootpath", "dm", "read", "--table", "t.table"]
    done = subprocess.run(command, cwd=place, stderr=subprocess.PIPE, text=True, check=False)
    assert "stdout is closed" in one_line(done)


def test_stderr_is_closed(place: Path) -> None:
    """What is meant for people never lands among the results."""
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "bootpath", "inspect", "none.img"]
    done = subprocess.run(command, cwd=place, stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nobody_reads(unbuffered: str, place: Path) -> None:
    """Unbuffered, one system call may say that it wrote a part, and only the next that nobody reads."""
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "bootpath", "dm", "read", "--table", "t.table"]
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"PYTHONIOENCODING": "utf-8:strict"},
    ],
)
def test_what_a_terminal_cannot_show(environment: dict[str, str], place: Path) -> None:
    name = os.fsdecode(b"odd-\xff\xc3.img")
    (place / "disk.img").rename(place / name)
    done = bootpath("inspect", name, cwd=place, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Verdict: the whole disk would be the root" in done.stdout
    done = bootpath("inspect", "--json", name, cwd=place, environment=environment)
    assert json.loads(done.stdout)["disk"] == name
    assert "none-" in one_line(bootpath("inspect", f"none-{name}", cwd=place, environment=environment))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["dm", "read", "--table", "t.table", "-o", "{}/out"], "out"),
        (["build", "image", "tree", "-o", "{}/out"], None),
        (["verity", "format", "disk.img", "{}/out", "--data-block-size", "512", "--hash-block-size", "512"], "out"),
        (["verity", "format", "disk.img", "new", "--fec-device", "{}/out", "--fec-roots", "24"], None),
    ],
)
def test_the_disk_is_full(words: list[str], name: str | None, place: Path, small: Path) -> None:
    if words[0] == "build":
        tool("mkfs.erofs")
    (place / "disk.img").write_bytes(Random(2).randbytes(8 * MIB))
    before = sorted(os.listdir(place))
    error = one_line(bootpath(*(word.format(small) for word in words), cwd=place))
    assert "No space left on device" in error
    assert name is None or f"{small}/{name}: " in error
    assert os.listdir(small) == []
    assert sorted(os.listdir(place)) == before


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    """A block device of 64 KiB."""
    (tmp_path / "disk").write_bytes(bytes(64 << 10))
    command = [tool("losetup"), "--find", "--show", str(tmp_path / "disk")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        missing("the right to make loop devices")
    yield made.stdout.strip()
    subprocess.run([tool("losetup"), "--detach", made.stdout.strip()], check=True)


def test_a_block_device_that_is_too_short(place: Path, loop: str) -> None:
    size = "is too small; expected at least"
    words = ["verity", "format", "disk.img", loop, "--hash-block-size", "512", "--data-block-size", "512"]
    assert f"{loop}: the device {size}" in one_line(bootpath(*words, cwd=place))
    words = ["verity", "format", "disk.img", "new", "--fec-device", loop, "--fec-roots", "24"]
    assert f"{loop}: the device {size}" in one_line(bootpath(*words, cwd=place))
    assert not (place / "new").exists()
    error = one_line(bootpath("dm", "read", "--table", "t.table", "-o", loop, cwd=place))
    assert error == f"bootpath: {loop}: cannot write there: No space left on device\n"
    assert "is a block device" in one_line(bootpath("build", "image", "tree", "-o", loop, cwd=place))


# Output over what is there


def test_what_is_no_file_is_never_replaced(place: Path) -> None:
    """An image that is sent to /dev/null once took its place."""
    tool("mkfs.erofs")
    os.mkfifo(place / "pipe")
    for words in (["build", "image", "tree"], ["dm", "read", "--table", "t.table"]):
        assert bootpath(*words, "-o", os.devnull, cwd=place).returncode == 0
        assert Path(os.devnull).is_char_device()
        with subprocess.Popen(["wc", "-c", place / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
            assert bootpath(*words, "-o", "pipe", cwd=place).returncode == 0
            assert int(reader.communicate()[0].split()[0]) >= MIB
        assert (place / "pipe").is_fifo()
        assert "is a directory" in one_line(bootpath(*words, "-o", "tree", cwd=place))
    assert "the output is not a regular file" in one_line(
        bootpath("build", "image", "tree", "-o", "pipe", "--split", cwd=place)
    )


def test_the_root_hash_has_a_place_before_anything_is_hashed(place: Path) -> None:
    words = ["verity", "format", "disk.img", "hashes", "--root-hash-file"]
    assert "none/root: cannot write there" in one_line(bootpath(*words, "none/root", cwd=place))
    assert "is a directory" in one_line(bootpath(*words, "tree", cwd=place))
    assert not (place / "hashes").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["disk.img", "h", "--hash-offset", str((1 << 63) - 512)], "h: the end of the area is out of range"),
        (["disk.img", os.devnull], "this is a character device, not a disk; expected a regular file or a block device"),
        (["disk.img", "tree"], "tree: this is a directory, not a disk; expected a regular file or a block device"),
        (["disk.img", "https://127.0.0.1/h"], "cannot be written; expected a file or a block device"),
        (["tree", "h"], "tree: this is a directory, not a disk; expected a regular file or a block device"),
        (["empty", "h"], "a disk of 0 bytes is no disk"),
    ],
)
def test_verity_format_refuses(words: list[str], message: str, place: Path) -> None:
    (place / "empty").touch()
    before = sorted(os.listdir(place))
    assert message in one_line(bootpath("verity", "format", *words, cwd=place))
    assert sorted(os.listdir(place)) == before


def test_signing_writes_all_or_nothing(place: Path) -> None:
    command = [tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*command, "-subj", "/CN=me", "-keyout", "k", "-out", "c"], cwd=place, capture_output=True, check=True
    )
    words = ["verity", "sign", "00" * 32, "--key-certificate", "c", "-o", "sig", "--json-partition"]
    assert "none/part: cannot write there" in one_line(bootpath(*words, "none/part", "--key", "k", cwd=place))
    assert not (place / "sig").exists()
    # a key that is none is no verdict
    assert "the key cannot be read" in one_line(bootpath(*words, "part", "--key", "c", cwd=place))
    assert not (place / "sig").exists()
    error = one_line(bootpath("inspect", "--certificate", "k", "disk.img", cwd=place))
    assert error == "bootpath: k: the file holds no certificate; expected X.509, as PEM or DER\n"


# Ended early


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize(
    "words",
    [
        ["verity", "format", "big.img", "new.hash", "--fec-device", "new.fec"],
        ["dm", "read", "--table", "big.table", "-o", "new.out"],
        ["build", "image", "big.img", "-o", "new.img", "--verity"],
    ],
)
def test_ended_early(words: list[str], number: signal.Signals, code: int, place: Path) -> None:
    os.truncate(place / "disk.img", 8 * MIB)
    (place / "big.img").touch()
    os.truncate(place / "big.img", BIG)
    (place / "big.table").write_text(f"0 {BIG // 512} linear big.img 0\n")
    before = sorted(os.listdir(place))
    command = [sys.executable, "-m", "bootpath", *words]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while sorted(os.listdir(place)) == before and process.poll() is None:
            time.sleep(0.01)  # until it has begun to write
        process.send_signal(number)
        _, errors = process.communicate()
    said = "interrupted" if number is signal.SIGINT else f"terminated by {number.name}"
    assert (process.returncode, errors) == (code, f"bootpath: {said}\n")
    assert sorted(os.listdir(place)) == before


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("verity format big.img new", "verity format disk.img new"),
        ("dm read --table big.table -o new", "dm read --table t.table -o new"),
        ("build image big.img -o new --verity", "build image tree -o new"),
        ("build live huge -o new --size 4GiB", "build live tree -o new"),
    ],
)
def test_killed(words: str, again: str, place: Path) -> None:
    """What kill -9 leaves is gone when the same output is written once more."""
    (place / "big.img").touch()
    os.truncate(place / "big.img", BIG)
    (place / "big.table").write_text(f"0 {BIG // 512} linear big.img 0\n")
    (place / "huge").mkdir()
    (place / "huge/file").touch()
    os.truncate(place / "huge/file", 3 * BIG // 4)
    before = sorted(os.listdir(place))
    with subprocess.Popen([sys.executable, "-m", "bootpath", *words.split()], cwd=place) as process:
        while sorted(os.listdir(place)) == before and process.poll() is None:
            time.sleep(0.01)  # until it has begun to write
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert "new" not in os.listdir(place)
    done = bootpath(*again.split(), cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(place)) == sorted([*before, "new"])


def test_a_format_that_is_killed_leaves_no_volume(place: Path) -> None:
    """What is new, or holds nothing else, appears whole; the rest is written in place, and says so."""
    (place / "big.img").touch()
    os.truncate(place / "big.img", BIG)
    assert bootpath("verity", "format", "disk.img", "old", "--root-hash-file", "root", cwd=place).returncode == 0
    verify = ("verity", "verify", "disk.img", "old", "--root-hash-file", "root")
    words = [sys.executable, "-m", "bootpath", "verity", "format", "big.img"]

    with subprocess.Popen([*words, "old"], cwd=place, stderr=subprocess.PIPE) as process:
        while not any(place.glob(".old.*.partial")) and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        assert process.communicate()[1] == b""
    assert process.returncode == -signal.SIGKILL
    assert bootpath(*verify, cwd=place).returncode == 0

    with (place / "old").open("ab") as file:
        file.truncate(64 * MIB)  # it may hold something else now
    assert bootpath(*verify, cwd=place).returncode == 0
    with subprocess.Popen([*words, "old"], cwd=place, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        while (place / "old").read_bytes()[:512] != bytes(512) and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert said == "bootpath: old is overwritten in place: it holds no volume until this ends\n"
    for words in (["verity", "dump", "old"], list(verify)):
        assert "old: " in one_line(bootpath(*words, cwd=place))
    assert bootpath("verity", "format", "disk.img", "old", "--root-hash-file", "root", cwd=place).returncode == 0
    assert bootpath(*verify, cwd=place).returncode == 0


# Names that are no UTF-8

ODD = os.fsdecode(b"odd-\xff")


@pytest.mark.parametrize(
    "words",
    [
        "serve disk.img --socket {} --run true",
        "serve disk.img --socket {} --workers 2 --run true",
        "build image tree -o {}",
        "build image tree -o {} --json",
        "build live tree -o {}",
        "build live tree -o {} --json",
        "inspect disk.img --picture {}.png",
        "inspect disk.img --picture {}.svg --json",
        "verity format disk.img {} --root-hash-file {}.root --json",
        "dm read --table t.table -o {}",
    ],
)
def test_an_output_whose_name_is_no_utf8(words: str, place: Path) -> None:
    if "build image" in words:
        tool("mkfs.erofs")
    before = set(os.listdir(place))
    done = bootpath(*(word.format(ODD) for word in words.split()), cwd=place)
    assert done.returncode == 0, done.stderr
    if "--json" in words:
        json.loads(done.stdout)
    made = set(os.listdir(place)) - before
    assert all(name.startswith(ODD) for name in made)
    assert bool(made) is not words.startswith("serve")


def test_a_live_disk_and_a_server_whose_names_are_no_utf8(place: Path) -> None:
    assert bootpath("build", "live", "tree", "-o", ODD, cwd=place).returncode == 0
    done = bootpath("inspect", ODD, "--picture", f"{ODD}.png", "--json", cwd=place)
    assert json.loads(done.stdout)["disk"] == ODD
    python = f"{sys.executable} -m bootpath inspect"
    done = bootpath("serve", ODD, "--socket", f"{ODD}.sock", "--run", f"{python} $uri --json", cwd=place)
    assert "odd-%FF.sock" in done.stderr
    assert json.loads(done.stdout)["disk"].endswith("odd-%FF.sock")


# Options


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["inspect", "--jsn", "disk.img"],
            "bootpath inspect: error: unrecognized arguments: --jsn; did you mean --json?",
        ),
        (
            ["dm", "table", "--normalize", "t.table"],
            "bootpath dm table: error: unrecognized arguments: --normalize; did",
        ),
        (["verity", "dump", "a", "b", "c"], "bootpath verity dump: error: unrecognized arguments: b c\n"),
        (["inspect", "--picture", "x.jpg", "disk.img"], "expected a name that ends in .png or .svg"),
        (["dm", "table", "--picture", "x.jpg", "t.table"], "expected a name that ends in .png or .svg"),
        (["verity", "verify", "a", "b", "00" * 32, "--root-hash-file", "c"], "or --root-hash-file, not both"),
    ],
)
def test_usage(words: list[str], message: str, place: Path) -> None:
    done = bootpath(*words, cwd=place)
    assert done.returncode == 2
    assert message in done.stderr


# Images that are none, or not all there


def test_an_image_cut_short(tmp_path: Path) -> None:
    from tests.support.ddi import Signer, make_disk, protect

    volume = protect(tmp_path, make_file_system(tmp_path), Signer.make(tmp_path))
    disk = make_disk(tmp_path / "whole.img", volume.parts("os_1"))
    os.truncate(disk.path, disk.offsets[2])
    done = bootpath("inspect", disk.path, cwd=tmp_path)
    assert done.returncode == 3
    assert "The disk was cut short: at least" in done.stdout
    assert "Write the backup copy anew" not in done.stdout  # it would make it worse
    assert done.stdout.count("partition 2 (LBA") == 1


def test_a_closed_standard_input() -> None:
    command = ["sh", "-c", '"$0" -m bootpath dm table - <&-', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "bootpath: standard input is closed\n")


def test_what_is_no_disk(place: Path) -> None:
    os.mkfifo(place / "pipe")
    for name, kind in {"tree": "a directory", "pipe": "a pipe", os.devnull: "a character device"}.items():
        error = one_line(bootpath("inspect", name, cwd=place))
        assert f"{name}: this is {kind}, not a disk; expected a regular file or a block device" in error
    (place / "tiny").write_bytes(bytes(511))
    done = bootpath("inspect", "tiny", cwd=place)
    assert (done.returncode, "does not boot: " in done.stdout) == (3, True)
    said = "its 511 bytes end within a block, which 1 zero bytes fill up"
    assert done.stderr == f"bootpath: warning: tiny: {said}\n"


def test_what_is_no_program_is_doubted(place: Path) -> None:
    tool("mkfs.erofs")
    done = bootpath("build", "image", "tree", "-o", "os.img", "--uki", "t.table", "--efi-loader", "t.table", cwd=place)
    assert done.returncode == 0
    assert "warning: t.table is no unified kernel image: " in done.stderr
    assert "warning: t.table is no program for firmware: " in done.stderr
    done = bootpath("build", "image", "os.img", "-o", "twice.img", cwd=place)
    assert done.stderr == "bootpath: warning: os.img is no image of a file system: it begins with a partition table\n"
