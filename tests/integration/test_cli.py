"""The command line: results, bad input, exit codes. One clear line, no traceback, the image untouched."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from bootpath.cli.main import build_parser, main
from bootpath.formats.partitions.gpt import read_gpt
from bootpath.formats.partitions.gptwrite import pack_gpt
from tests.support.images import FAR_FILE, FS_UUID, MIB, PASSWORD, copy, digest, make_tree, patch
from tests.support.tree import SCHEMAS

FS_OFFSET = 2 * MIB
BLOCK = 4096


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    output, errors = capsys.readouterr()
    assert "Traceback" not in errors
    return code, output, errors


def run_json(capsys: pytest.CaptureFixture[str], schema: str, *arguments: str | Path) -> tuple[int, dict[str, object]]:
    code, output, _ = run(capsys, *arguments, "--json")
    result = json.loads(output)
    jsonschema.validate(result, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return code, result


# Results


def test_inspect(capsys: pytest.CaptureFixture[str], image: Path) -> None:
    code, output, _ = run(capsys, "inspect", image)
    assert code == 0
    for expected in ("sound", "REDOX", "allocator log", "/usr/lib/boot/kernel", "would boot", str(FS_UUID)):
        assert expected in output
    code, result = run_json(capsys, "inspect", "inspect", image)
    assert (code, result["boots"], result["problems"]) == (0, True, [])


def test_inspect_locked(capsys: pytest.CaptureFixture[str], locked_image: Path, tmp_path: Path) -> None:
    code, output, _ = run(capsys, "inspect", locked_image)
    assert code == 0
    assert "--password-file" in output
    secret = tmp_path / "secret"
    secret.write_bytes(PASSWORD + b"\n")
    code, result = run_json(capsys, "inspect", "inspect", locked_image, "--password-file", secret)
    assert code == 0
    assert result["file_system"] is not None


def test_inspect_bare_file_system(capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.redoxfs"
    bare.write_bytes(image.read_bytes()[FS_OFFSET:])
    code, output, _ = run(capsys, "inspect", bare)
    assert code == 0
    assert "start of the image" in output


def test_plan(capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path) -> None:
    code, result = run_json(
        capsys, "plan", "plan", image, "--touch", FAR_FILE, "--preload", "2MiB", "-o", tmp_path / "p.plan"
    )
    assert code == 3
    assert result["mounts"] is False
    miss = result["first_miss"]
    assert isinstance(miss, dict)
    assert miss["offset"] + miss["length"] > 2 * MIB
    assert miss["error"] == "EINVAL"
    code, _, _ = run(capsys, "simulate", image, "--plan", tmp_path / "p.plan", "--no-disk", "--touch", FAR_FILE)
    assert code == 0


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<svg ")])
def test_plan_picture(
    capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path, suffix: str, magic: bytes
) -> None:
    picture = tmp_path / f"plan{suffix}"
    code, _, _ = run(capsys, "plan", image, "--preload", "23MiB", "--picture", picture)
    assert code == 0
    assert picture.read_bytes().startswith(magic)
    assert [entry.name for entry in tmp_path.iterdir()] == [picture.name]


def test_simulate(capsys: pytest.CaptureFixture[str], image: Path) -> None:
    code, result = run_json(capsys, "simulate", "simulate", image)
    assert code == 0
    assert result["mounted"] is True
    assert isinstance(result["timeline"], list)
    assert {step["actor"] for step in result["timeline"]} == {"loader", "10_lived", "40_drivers", "50_rootfs", "boot"}


def test_simulate_failure_is_json_too(capsys: pytest.CaptureFixture[str], image: Path) -> None:
    code, result = run_json(
        capsys, "simulate", "simulate", image, "--classic", "--preload", "2MiB", "--touch", FAR_FILE
    )
    assert code == 3
    assert isinstance(result["first_miss"], dict)
    assert result["first_miss"]["error"] == "EINVAL"


def test_simulate_show_env(capsys: pytest.CaptureFixture[str], image: Path) -> None:
    code, output, _ = run(capsys, "simulate", image, "--show-env")
    assert code == 0
    assert re.search(r"^DISK_LIVE_PARTIAL=1$", output, re.MULTILINE)
    assert re.search(rf"^REDOXFS_UUID={FS_UUID}$", output, re.MULTILINE)


def test_record_then_plan(capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path) -> None:
    trace, plan = tmp_path / "t", tmp_path / "p"
    assert run(capsys, "simulate", image, "--touch", FAR_FILE, "--record", trace)[0] == 0
    assert run(capsys, "plan", image, "--recorded", trace, "-o", plan)[0] == 0
    assert run(capsys, "simulate", image, "--plan", plan, "--no-disk", "--touch", FAR_FILE)[0] == 0


def test_fault_rule(capsys: pytest.CaptureFixture[str], image: Path) -> None:
    code, _, errors = run(
        capsys, "simulate", image, "--touch", FAR_FILE, "--deadline", "10ms", "--fault", "read:error:errno=EIO:after=9"
    )
    assert code == 3
    assert "EIO" in errors


def test_build_is_reproducible(
    capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    images = [tmp_path / name for name in ("a.img", "b.img")]
    for output in images:
        code, result = run_json(capsys, "build", "build", "live", tree, "-o", output, "--uuid", str(FS_UUID))
        assert code == 0
        assert result["files"] == 6
    assert digest(images[0]) == digest(images[1])


def test_build_replaces_kernel_and_initfs(capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path) -> None:
    kernel, initfs, output = tmp_path / "kernel", tmp_path / "initfs", tmp_path / "d.img"
    kernel.write_bytes(b"\x7fELF" + bytes(3 * MIB))
    initfs.write_bytes(b"RedoxFtw")
    assert run(capsys, "build", "live", tree, "-o", output, "--kernel", kernel, "--initfs", initfs)[0] == 0
    _, result = run_json(capsys, "inspect", "inspect", output)
    assert isinstance(result["file_system"], dict)
    sizes = {file["path"]: file["size_bytes"] for file in result["file_system"]["boot_files"]}
    assert sizes == {"/usr/lib/boot/kernel": 3 * MIB + 4, "/usr/lib/boot/initfs": 8}


def test_build_is_sparse(capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "d.img"
    assert run(capsys, "build", "live", tree, "-o", output, "--size", "1GiB")[0] == 0
    assert output.stat().st_size == 1 << 30
    assert output.stat().st_blocks * 512 < 16 * MIB


# Bad input


def truncate(path: Path) -> None:
    os.truncate(path, 12 * MIB)


def zero_ring_slot_0(path: Path) -> None:
    patch(path, FS_OFFSET, bytes(BLOCK))


def zero_ring(path: Path) -> None:
    patch(path, FS_OFFSET, bytes(MIB))


def stale_ring(path: Path) -> None:
    """A header of an earlier file system with a higher generation in the last slot."""
    from contextlib import closing

    from bootpath.block.leaves.memory import MemoryDevice
    from bootpath.fs.redox.redoxfs import RedoxFS
    from bootpath.fs.redox.ring import scan_ring

    with closing(MemoryDevice(8 * MIB)) as other, RedoxFS.create(other, uuid=type(FS_UUID)(int=7), created_ns=0) as fs:
        for _ in range(600):
            fs.chmod("/", 0o700)
            fs.chmod("/", 0o755)
        newest = scan_ring(other).newest
        assert newest is not None
        block = bytes(other.read(newest.slot * BLOCK, BLOCK)[0])
    patch(path, FS_OFFSET + newest.slot * BLOCK, block)


def damage_log(path: Path) -> None:
    from contextlib import closing

    from bootpath.block.leaves.file import FileDevice
    from bootpath.image.redox.discovery import open_root

    with closing(FileDevice.open(path)) as disk, open_root(disk) as fs:
        offset = fs.log_extents()[0].extent.offset
    patch(path, FS_OFFSET + offset + 100, b"\xff\xff")


def damage_both_gpts(path: Path) -> None:
    patch(path, 512 + 56, b"\xff\xff")
    patch(path, path.stat().st_size - 512 + 56, b"\xff\xff")
    zero_ring(path)


def zeros(path: Path) -> None:
    path.write_bytes(bytes(4 * MIB))


def one_byte(path: Path) -> None:
    path.write_bytes(b"x")


def text(path: Path) -> None:
    path.write_text("this is not a disk\n" * 1000)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (truncate, "truncated|cut short|larger than"),
    "ring slot 0 zeroed": (zero_ring_slot_0, "ring slot 0 has no valid header"),
    "ring zeroed": (zero_ring, "no valid RedoxFS header"),
    "stale ring": (stale_ring, "stale header"),
    "allocator log damaged": (damage_log, "corrupt|hash|allocator"),
    "partition tables and ring damaged": (damage_both_gpts, "gpt|CRC"),
    "zeros": (zeros, "neither a RedoxFS nor|the disk has no RedoxFS"),
    "one byte": (one_byte, "neither a RedoxFS nor|the disk has no RedoxFS"),
    "text": (text, "neither a RedoxFS nor|the disk has no RedoxFS"),
}


@pytest.mark.parametrize("command", ["inspect", "plan", "simulate"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_images(
    capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path, damage: str, command: str
) -> None:
    change, pattern = DAMAGE[damage]
    broken = copy(image, tmp_path / "broken.img")
    change(broken)
    before = digest(broken)
    code, output, errors = run(capsys, command, broken)
    assert digest(broken) == before
    lines = [line for line in errors.splitlines() if not line.startswith("bootpath: warning: ")]
    if command == "inspect" or (command == "simulate" and output):
        assert code == 3
        assert re.search(pattern, output, re.IGNORECASE)
        assert lines == []
    else:
        assert code in (1, 3)
        assert len(lines) == 1
        assert lines[0].startswith("bootpath: ")
        assert re.search(pattern, lines[0], re.IGNORECASE), errors


@pytest.mark.parametrize("copy_offset", [512 + 56, -512 + 56])
def test_one_damaged_gpt_is_said_and_survived(
    capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path, copy_offset: int
) -> None:
    broken = copy(image, tmp_path / "broken.img")
    patch(broken, copy_offset % broken.stat().st_size, b"\xff\xff")
    code, output, _ = run(capsys, "inspect", broken)
    assert code == 0
    assert "CRC" in output
    assert run(capsys, "simulate", broken)[0] == 0


def test_pack_gpt_repairs_the_primary(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from contextlib import closing

    from bootpath.block.leaves.file import FileDevice

    broken = copy(image, tmp_path / "broken.img")
    patch(broken, 512 + 56, b"\xff\xff")
    with closing(FileDevice.open(broken, writable=True)) as disk:
        for offset, data in pack_gpt(read_gpt(disk)):
            disk.write(offset, data)
    _, result = run_json(capsys, "inspect", "inspect", broken)
    assert isinstance(result["gpt"], dict)
    assert result["gpt"]["verdict"] == "sound"


def test_no_such_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for command in ("inspect", "plan", "simulate", "boot"):
        code, _, errors = run(capsys, command, tmp_path / "nothing.img")
        assert code == 1
        assert errors.count("\n") == 1
        assert "nothing.img" in errors


def test_a_directory_is_no_disk(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, errors = run(capsys, "inspect", tmp_path)
    assert code == 1
    assert errors.count("\n") == 1


@pytest.mark.parametrize("password", [None, b"wrong"])
def test_wrong_and_missing_passwords(
    capsys: pytest.CaptureFixture[str], locked_image: Path, tmp_path: Path, password: bytes | None
) -> None:
    options: list[str | Path] = []
    if password is not None:
        (tmp_path / "secret").write_bytes(password)
        options = ["--password-file", tmp_path / "secret"]
    for command in ("plan", "simulate"):
        code, _, errors = run(capsys, command, locked_image, *options)
        assert code == 1
        assert "password" in errors
        assert errors.count("\n") == 1


def test_password_for_an_open_image(capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    code, _, errors = run(capsys, "simulate", image, "--password-file", tmp_path / "secret")
    assert code == 1
    assert "not encrypted" in errors


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"format":"bootpath.plan","version":2}', b"x" * 99]
)
def test_what_is_no_plan(capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan").write_bytes(content)
    for arguments in (("simulate", image, "--plan"), ("plan", image, "--recorded")):
        code, _, errors = run(capsys, *arguments, tmp_path / "plan")
        assert code == 1
        assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "x", "--classic", "--plan", "p"],
        ["simulate", "x", "--classic", "--from-disk"],
        ["simulate", "x", "--no-disk", "--from-disk"],
        ["simulate", "x", "--preload", "some"],
        ["simulate", "x", "--plan", "p", "--preload", "full"],
        ["plan", "x", "--picture", "p.gif"],
        ["plan", "x", "--preload", "-1"],
        ["build", "live", "t"],
        ["build", "live", "t", "-o", "x", "--uuid", "1"],
        ["unknown"],
        [],
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, output, errors = run(capsys, *arguments)
    assert (code, output) == (2, "")
    assert errors


@pytest.mark.parametrize("rule", ["read", "read:explode", "read:error:errno=EWHAT", "read:error:after=x"])
def test_bad_fault_rules(capsys: pytest.CaptureFixture[str], image: Path, rule: str) -> None:
    code, _, errors = run(capsys, "simulate", image, "--fault", rule)
    assert code == 2
    assert "argument --fault: fault rule" in errors


def test_build_errors(capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "d.img"
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"MZ")
    cases: list[tuple[list[str | Path], str]] = [
        (["build", "live", tmp_path / "no", "-o", output], "not a directory"),
        (["build", "live", tree, "-o", output, "--size", "8MiB"], "No space|ENOSPC|full|does not fit"),
        (["build", "live", tree, "-o", output, "--size", "1MiB"], "the disk is too small"),
        (["build", "live", tree, "-o", output, "--kernel", wrong], "not a kernel"),
        (["build", "live", tree, "-o", output, "--initfs", wrong], "not a Redox initfs"),
        (["build", "live", tree, "-o", tmp_path / "no/d.img"], "cannot write there"),
    ]
    for arguments, pattern in cases:
        code, _, errors = run(capsys, *arguments)
        assert code == 1, arguments
        assert re.search(pattern, errors, re.IGNORECASE), errors
        assert errors.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["wrong"]


def test_a_failed_build_leaves_the_old_image(capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "d.img"
    output.write_bytes(b"precious")
    assert run(capsys, "build", "live", tree, "-o", output, "--size", "8MiB")[0] == 1
    assert output.read_bytes() == b"precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.img"]


def test_a_killed_build_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    """The build reads its tree from a fifo-like place: it is stopped in the middle for certain."""
    source = make_tree(tmp_path / "tree", bulk_bytes=40 * MIB)
    output = tmp_path / "d.img"
    program = (
        "import sys, bootpath.image.redox.build as b\n"
        "from bootpath.cli.main import main\n"
        "from bootpath.fs import RedoxFS\n"
        "archive = RedoxFS.archive\n"
        "def stop(self, *a, **k):\n"
        "    archive(self, *a, **k)\n"
        "    print('in the middle', flush=True)\n"
        "    sys.stdin.read()\n"
        "RedoxFS.archive = stop\n"
        f"main(['build', 'live', {str(source)!r}, '-o', {str(output)!r}])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "in the middle\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not output.exists()


def test_interrupt_ends_with_130_and_no_traces(capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path) -> None:
    from bootpath.fs.redox.redoxfs import RedoxFS

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RedoxFS, "archive", interrupt)
        code, _, errors = run(capsys, "build", "live", tree, "-o", tmp_path / "d.img")
    assert code == 130
    assert errors == "bootpath: interrupted\n"
    assert list(tmp_path.iterdir()) == []


# The command line itself


def test_version_help_and_completion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[:2] == (0, "bootpath 0.1.0\n")
    for command in ("inspect", "plan", "simulate", "boot"):
        code, output, _ = run(capsys, command, "--help")
        assert code == 0
        assert "examples:" in output
    for shell in ("bash", "zsh", "tcsh"):
        code, output, _ = run(capsys, "completion", shell)
        assert code == 0
        assert "bootpath" in output


def test_completion_is_valid_bash(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(run(capsys, "completion", "bash")[1])
    subprocess.run(["bash", "-n", script], check=True)


def test_version_imports_little() -> None:
    code = (
        "import sys\n"
        "from bootpath.cli.main import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = {'bootpath._native', 'bootpath.block', 'bootpath.formats', 'rich', 'PIL', 'shtab', 'json'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_command_has_help() -> None:
    assert "COMMAND" in build_parser().format_help()


def test_closed_pipe_is_no_traceback(image: Path) -> None:
    program = f"{sys.executable} -m bootpath inspect {image} | head -c 1"
    result = subprocess.run(program, shell=True, capture_output=True, text=True, check=True)
    assert result.stderr == ""
