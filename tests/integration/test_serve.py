"""``bootpath serve`` and ``lived`` as processes, with real clients."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.open import open_device
from bootpath.cli.main import main
from bootpath.core.device import checked, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.errors import raises
from tests.support.handover import handed_over
from tests.support.images import FAR_FILE, MIB, copy, digest, make_image
from tests.support.tools import tool

FS_OFFSET = 2 * MIB


@contextmanager
def serving(program: str, *arguments: str | Path) -> Iterator[str]:
    """Run a server; yields the URI it says it serves."""
    command = [sys.executable, "-c", f"import sys; from bootpath.cli.{program} import main; sys.exit(main())"]
    with subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            assert line.startswith("serving "), line + process.stderr.read()
            yield line.split()[1]
        finally:
            process.terminate()
            errors = process.stderr.read()
        assert process.wait() == 0, errors
        assert "Traceback" not in errors


def run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def with_export(uri: str, export: str) -> str:
    return uri.replace(":///?", f":///{export}?")


@pytest.mark.parametrize("preload", ["0", "full", "plan", "3MiB"])
def test_a_copy_of_what_is_served_is_the_disk(image: Path, tmp_path: Path, preload: str) -> None:
    with serving("main", "serve", image, "--preload", preload, "--socket", tmp_path / "s") as uri:
        assert run(tool("nbdinfo"), "--size", uri).strip() == str(image.stat().st_size)
        run(tool("nbdcopy"), "--connections=4", uri, tmp_path / "copy")
        run(tool("qemu-img"), "compare", "-f", "raw", "-F", "raw", image, uri)
    assert digest(tmp_path / "copy") == digest(image)
    assert not (tmp_path / "s").exists()


def test_the_run_option_and_its_exit_code(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(image), "--preload", "plan", "--run", f"{tool('nbdinfo')} --list $uri && exit 7"]) == 7
    output = capfd.readouterr().out
    for name in ('export=""', 'export="disk/0"', 'export="disk.live"'):
        assert name in output


def test_exports_share_what_is_written(image: Path, tmp_path: Path) -> None:
    before = digest(image)
    with serving("main", "serve", image, "--socket", tmp_path / "s") as uri:
        run(tool("qemu-io"), "-f", "raw", "-c", f"write -P 0xab {FS_OFFSET + 8 * MIB} 8k", uri)
        said = run(tool("qemu-io"), "-f", "raw", "-c", f"read -P 0xab {8 * MIB} 8k", with_export(uri, "disk.live"))
        assert "verification failed" not in said
        with closing(open_device(with_export(uri, "disk.live"))) as device, RedoxFS.open(checked(device)) as fs:
            assert fs.exists("/etc/passwd")
    assert digest(image) == before


def test_an_overlay_for_each_client(image: Path, tmp_path: Path) -> None:
    with (
        serving("main", "serve", image, "--overlay-per-client", "--socket", tmp_path / "s") as uri,
        closing(open_device(uri, writable=True)) as one,
        closing(open_device(uri, writable=True)) as two,
    ):
        original = read_bytes(two, 4096, 4096)
        one.write(4096, b"\xab" * 4096)
        assert read_bytes(one, 4096, 4096) == b"\xab" * 4096
        assert read_bytes(two, 4096, 4096) == original


def test_a_persistent_overlay_lasts(image: Path, tmp_path: Path) -> None:
    arguments = ("serve", image, "--overlay", tmp_path / "changes", "--socket", tmp_path / "s")
    with serving("main", *arguments) as uri:
        run(tool("qemu-io"), "-f", "raw", "-c", "write -P 0xcd 1M 64k", "-c", "flush", uri)
    with serving("main", *arguments) as uri:
        assert "verification failed" not in run(tool("qemu-io"), "-f", "raw", "-c", "read -P 0xcd 1M 64k", uri)


def test_a_damaged_block_of_a_persistent_overlay_is_eio_until_it_is_written(image: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "o"
    arguments = ("serve", image, "--overlay", overlay, "--socket", tmp_path / "s")
    block = b"\xcd" * 4096
    with serving("main", *arguments) as uri, closing(open_device(uri)) as disk:
        disk.write(MIB, block * 16)
        disk.flush()
    with overlay.open("r+b") as file:
        file.seek(overlay.read_bytes().index(block * 16) + 2 * 4096)
        file.write(b"\xcc")
    with serving("main", *arguments) as uri, closing(open_device(uri)) as disk:
        for _ in range(2):
            with raises(DeviceError, errno=errno.EIO):
                disk.read(MIB, 65536)
        assert read_bytes(disk, MIB, 8192) == block * 2
        assert read_bytes(disk, MIB + 3 * 4096, 13 * 4096) == block * 13
        with raises(DeviceError, errno=errno.EIO):
            disk.write(MIB + 8192, bytes(512))
        disk.write(MIB + 8192, block)
        assert read_bytes(disk, MIB, 65536) == block * 16


def test_what_was_flushed_survives_kill_9(image: Path, tmp_path: Path) -> None:
    arguments = ("serve", image, "--overlay", tmp_path / "o", "--socket", tmp_path / "s")
    command = [sys.executable, "-m", "bootpath", *map(str, arguments)]
    qemu_io = tool("qemu-io")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        uri = server.stderr.readline().split()[1]
        run(qemu_io, "-f", "raw", "-c", "write -P 0xcd 1M 64k", "-c", "flush", uri)
        server.send_signal(signal.SIGKILL)
    with serving("main", *arguments) as uri:
        assert "verification failed" not in run(tool("qemu-io"), "-f", "raw", "-c", "read -P 0xcd 1M 64k", uri)


def test_overlay_info_commit_and_discard(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, overlay = copy(image, tmp_path / "base.img"), tmp_path / "changes"
    with serving("main", "serve", base, "--overlay", overlay, "--socket", tmp_path / "s") as uri:
        run(tool("qemu-io"), "-f", "raw", "-c", "write -P 0xcd 1M 64k", "-c", "flush", uri)
    before = digest(base)
    assert main(["overlay", "info", str(overlay), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dirty_bytes"] == 65536
    assert main(["overlay", "commit", str(overlay), str(base)]) == 0
    assert "would write 64 KiB" in capsys.readouterr().out
    assert digest(base) == before
    assert main(["overlay", "commit", str(overlay), str(base), "--apply"]) == 0
    assert base.read_bytes()[MIB : MIB + 65536] == b"\xcd" * 65536
    assert main(["overlay", "discard", str(overlay), "--apply"]) == 0
    assert main(["overlay", "info", str(base)]) == 1


def test_a_table(image: Path, tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text(f"0 2048 linear {image} 4096\n2048 2048 zero\n")
    with (
        serving("main", "serve", image, "--table", table, "--socket", tmp_path / "s") as uri,
        closing(open_device(with_export(uri, "dm"))) as device,
    ):
        assert read_bytes(device, 0, MIB) == image.read_bytes()[FS_OFFSET : FS_OFFSET + MIB]
        assert read_bytes(device, MIB, MIB) == bytes(MIB)


def test_read_only(image: Path, tmp_path: Path) -> None:
    with serving("main", "serve", image, "--read-only", "--socket", tmp_path / "s") as uri:
        assert json.loads(run(tool("nbdinfo"), "--json", uri))["exports"][0]["is_read_only"] is True


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--tcp", "0.0.0.0:0"], "reachable from other machines"),
        (["--tcp", ":0"], "reachable from other machines"),
        (["--read-only", "--overlay", "x"], "keeps no writes"),
        (["--overlay-per-client", "--overlay", "x"], "in RAM"),
        (["--no-overlay-checksums"], "add --overlay FILE"),
        (["--plan", "p", "--preload", "full"], "--preload plan only"),
    ],
)
def test_usage(image: Path, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], pattern: str) -> None:
    assert main(["serve", str(image), *arguments]) == 2
    assert pattern in capsys.readouterr().err


def test_what_is_no_address(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", str(image), "--tcp", "nonsense"])
    assert end.value.code == 2
    assert "not HOST:PORT" in capsys.readouterr().err


def test_tcp_on_loopback(image: Path) -> None:
    with serving("main", "serve", image, "--tcp", "127.0.0.1:0") as uri:
        assert uri.startswith("nbd://127.0.0.1:")
        assert run(tool("nbdinfo"), "--size", uri).strip() == str(image.stat().st_size)


def test_the_service_manager_is_told(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert main(["serve", str(image), "--run", "true"]) == 0
        said = [manager.recv(4096).decode().splitlines()[0] for _ in range(2)]
    assert said == ["READY=1", "STOPPING=1"]


# lived


@contextmanager
def lived(image: Path, directory: Path, *arguments: str | Path) -> Iterator[str]:
    """The daemon, started on what a boot loader leaves."""
    environment, memory = handed_over(image, directory)
    arguments = ("--env", environment, "--preload-memory", memory, *arguments)
    with serving("lived", *arguments, "--socket", directory / "s") as uri:
        yield uri


def test_lived_serves_before_there_is_a_disk(image: Path, tmp_path: Path) -> None:
    disk = tmp_path / "late.img"
    with (
        lived(image, tmp_path, "--disk", disk, "--deadline", "20") as uri,
        closing(open_device(uri, writable=True)) as device,
        RedoxFS.open(checked(device), cleanup=True) as fs,
    ):
        assert fs.read("/etc/passwd").startswith(b"root;")
        os.rename(copy(image, tmp_path / "arriving.img"), disk)
        assert len(fs.read(FAR_FILE)) == 6 * MIB
    assert digest(disk) == digest(image)


def test_lived_with_workers(image: Path, tmp_path: Path) -> None:
    """Every process finds the disk for itself, when it appears; what is written they share."""
    disk = tmp_path / "late.img"
    with (
        lived(image, tmp_path, "--disk", disk, "--deadline", "20", "--workers", "2") as uri,
        ExitStack() as stack,
    ):
        one, two = (stack.enter_context(closing(open_device(uri, writable=True))) for _ in range(2))
        with RedoxFS.open(checked(one), cleanup=True) as fs:
            assert fs.read("/etc/passwd").startswith(b"root;")
        os.rename(copy(image, tmp_path / "arriving.img"), disk)
        last = one.size_bytes - 4096
        content = disk.read_bytes()[FS_OFFSET:][last : last + 4096]
        assert [read_bytes(device, last, 4096) for device in (one, two)] == [content, content]
        one.write(last, b"\xab" * 4096)
        assert read_bytes(two, last, 4096) == b"\xab" * 4096
    assert digest(disk) == digest(image)


def test_lived_refuses_another_disk(image: Path, tmp_path: Path) -> None:
    other = make_image(tmp_path, "other.img", uuid=UUID(int=5))
    with (
        lived(image, tmp_path, "--disk", other, "--deadline", "1") as uri,
        closing(open_device(uri, writable=True)) as device,
        RedoxFS.open(checked(device), cleanup=True) as fs,
    ):
        assert fs.read("/etc/passwd").startswith(b"root;")
        with pytest.raises(Exception, match=r"EIO|failed|error"):
            fs.read(FAR_FILE)


def test_lived_with_a_driver_in_another_process(image: Path, tmp_path: Path) -> None:
    """lived and the disk's driver are processes of their own; the driver dies and another comes."""
    driver_socket = tmp_path / "driver"
    driver_uri = f"nbd+unix:///?socket={driver_socket}"
    with (
        lived(image, tmp_path, "--disk", driver_uri, "--deadline", "20") as uri,
        closing(open_device(uri, writable=True)) as device,
        RedoxFS.open(checked(device), cleanup=True) as fs,
    ):
        fs.read("/etc/passwd")
        driver = ("serve", image, "--read-only", "--socket", driver_socket)
        with serving("main", *driver):
            assert len(fs.read(FAR_FILE, 0, MIB)) == MIB
        with serving("main", *driver):
            assert len(fs.read(FAR_FILE, 3 * MIB, MIB)) == MIB


@pytest.mark.parametrize(
    ("environment", "pattern"),
    [
        (b"", "not a live boot"),
        (b"DISK_LIVE_ADDR=x\nDISK_LIVE_SIZE=0000000000001000\n", "DISK_LIVE_ADDR"),
        (b"DISK_LIVE_ADDR=0000000000001000\nDISK_LIVE_SIZE=0000000000001000\n", "REDOXFS_FULL_SIZE"),
    ],
)
def test_lived_refuses_what_is_no_handoff(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: bytes, pattern: str
) -> None:
    from bootpath.cli import lived

    (tmp_path / "env").write_bytes(environment)
    (tmp_path / "memory").write_bytes(bytes(4096))
    arguments = ["--env", str(tmp_path / "env"), "--preload-memory", str(tmp_path / "memory"), "--no-disk"]
    # With a command it keeps this process's privileges, which other tests need.
    code = lived.main([*arguments, "--run", "true"])
    assert code in (1, 3)
    errors = capsys.readouterr().err
    assert pattern in errors
    assert errors.count("\n") == 1
