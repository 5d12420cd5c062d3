"""Text from a disk, a table or a server that forges lines, clears the screen or turns the direction of writing.

Each source of such text is shown by every command that reads it; none may let more through than printable characters
and the line feeds of the report itself (CWE-150).
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import pytest

from bootpath.formats.partitions.dps import Designator, type_guid
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from tests.integration.test_cli import run
from tests.support.bootdisk import fat
from tests.support.bootfiles import pe_image
from tests.support.ddi import make_file_system, make_ubi_image
from tests.support.gptdisk import apply
from tests.support.lvmdisk import disk as lvm_disk
from tests.support.lvmdisk import group, logical, physical, segment

LINE = (
    "\x1b[2J\x1b]0;t\x07\x9b2J\u202everdict\u2066\u200b\ufeff\u2028Verdict: boots\x85\x0bVerdict: boots\r\x7f\U000e0001"
)
LABEL = "a\nVerdict: boots\r\n\x1b[2J\u202e"
MIB = 1 << 20
ESP_LBA, ROOT_LBA = 2048, 20480
COMMANDS = (
    ("inspect",),
    ("inspect", "--full"),
    ("entries", "--all", "--look-in", "esp,root"),
    ("boot", "--dry-run"),
    ("plan",),
    ("simulate",),
)


def with_labels(directory: Path) -> Path:
    """Two partitions with such labels, and boot entries of all types whose every text is such a text."""
    texts = {
        "loader/entries/x.conf": f"title {LINE}\nversion {LINE}\nsort-key {LINE}\nmachine-id {LINE}\nlinux /linux\n"
        f"initrd /{LINE}\noptions quiet {LINE}\nunknown-{LINE} x\n",
        "loader/entries/y.conf": f"title {LINE}\nlinux /{LINE}\n",
        "extlinux/extlinux.conf": f"menu title {LINE}\nlabel {LINE}\n  menu label {LINE}\n  kernel /linux\n"
        f"  append {LINE}\nlabel other{LINE}\n  kernel /{LINE}\n  fdt /{LINE}\n",
    }
    release = f"ID=os\nVERSION_ID=1\nPRETTY_NAME='{LINE}'\nIMAGE_VERSION='{LINE}'\n".encode()
    image = pe_image([(".linux", bytes(512)), (".osrel", release), (".cmdline", LINE.encode()), (".uname", b"\x1b[2J")])
    content = {name: text.encode() for name, text in texts.items()}
    esp = fat(directory, {**content, "linux": bytes(512), "EFI/Linux/os.efi": image})
    root = make_file_system(directory, label="\x1b[2J\nVerdict: b")
    size = ROOT_LBA * 512 + len(root) + MIB
    parts = (
        Partition(1, type_guid(Designator.ESP, None), UUID(int=1), ESP_LBA, ROOT_LBA - 1, 0, LABEL, 512),
        Partition(2, type_guid(Designator.LINUX_GENERIC, None), UUID(int=2), *blocks(root), 0, LABEL + "2", 512),
    )
    disk = bytearray(size)
    apply(disk, pack_gpt(new_gpt(size, UUID(int=9), parts, 512)))
    apply(disk, [(ESP_LBA * 512, esp), (ROOT_LBA * 512, root)])
    path = directory / "labels.img"
    path.write_bytes(disk)
    return path


def blocks(root: bytes) -> tuple[int, int]:
    return ROOT_LBA, ROOT_LBA + len(root) // 512 - 1


def with_volume_names(directory: Path) -> Path:
    name = "\x1b[2J\u202eVerdict"
    return make_ubi_image(directory / "volumes.ubi", {name: bytes(4096)}, static=[name])


def with_group_names(directory: Path) -> Path:
    volumes = {"lv": logical(1, {**segment(0, 8, "pv0", 0), "type": LABEL})}
    text = group({"pv0": {**physical(1, 64), "device": LABEL}}, volumes, system_id=LABEL)
    path = directory / "group.img"
    path.write_bytes(lvm_disk(1, text))
    return path


DISKS: Mapping[str, Callable[[Path], Path]] = {
    "labels and entries": with_labels,
    "UBI volumes": with_volume_names,
    "LVM2": with_group_names,
}


def check(text: str) -> None:
    shown = text.split("\n")
    assert [line for line in shown if not line.isprintable()] == []
    assert [line for line in shown if line.startswith("Verdict: boots")] == []
    assert sum(line.startswith("Verdict:") for line in shown) <= 1


@pytest.fixture(scope="module", params=DISKS)
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return DISKS[request.param](tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_disk_writes_no_line_of_a_report(
    hostile: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    _, output, errors = run(capsys, *command, hostile)
    check(output)
    check(errors)
    assert "\\x1b[2J" in output + errors or command[0] in ("plan", "simulate")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_has_the_exact_text_and_is_ascii(
    hostile: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    _, output, errors = run(capsys, *command, "--json", hostile)
    assert output.isascii()
    check(output)
    check(errors)
    json.loads(output)
    assert "\\u001b[2J" in output or command[0] in ("plan", "simulate")


def test_a_picture_has_printable_text(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "inspect", "--picture", tmp_path / "p.svg", hostile)
    texts = [each.text or "" for each in ElementTree.parse(tmp_path / "p.svg").iter() if each.tag.endswith("text")]
    assert texts
    assert all(map(str.isprintable, texts))


def test_a_file_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (LABEL, LINE, b"\xff\xfe".decode(errors="surrogateescape")):
        path = tmp_path / name
        path.write_bytes(bytes(4096))
        for command in COMMANDS:
            _, output, errors = run(capsys, *command, path)
            check(output)
            check(errors)
        _, output, errors = run(capsys, "inspect", tmp_path / f"{name}-missing")
        check(output + errors)
        assert errors.count("\n") == 1


@pytest.mark.parametrize("action", [("table",), ("table", "--normalise"), ("export", "--to", "concise"), ("read",)])
def test_a_table(action: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table"
    escape = "\x1b[2J\u202e"
    table.write_text(f"name{escape}: 0 8 linear /dev/{escape} 0\n", encoding="utf-8")
    _, output, errors = run(capsys, "dm", *action, table)
    check(errors)
    if action == ("table",):
        check(output)
        assert "\\x1b[2J" in output + errors


# Servers


@pytest.fixture
def answering() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A server on a port of the loopback that gives each client to a function."""
    listeners, threads = [], []

    def start(answer: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                with client:
                    client.settimeout(10)
                    try:
                        answer(client)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        listeners.append(listener)
        threads.append(thread)
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def refuse_nbd(client: socket.socket) -> None:
    """Every option is answered with an error and such a message (proto.md, "Option reply types")."""
    client.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    client.recv(4)
    message = LABEL.encode() + LINE.encode()
    while len(head := client.recv(16, socket.MSG_WAITALL)) == 16:
        option, length = struct.unpack(">8xII", head)
        client.recv(length, socket.MSG_WAITALL)
        client.sendall(struct.pack(">QIII", 0x3E889045565A9, option, 0x80000006, len(message)) + message)


def refuse_http(client: socket.socket) -> None:
    client.recv(4096)
    body = (LABEL + LINE).encode()
    reason = "\x1b[2J\u202e".encode()
    client.sendall(
        b"HTTP/1.1 403 " + reason + b"\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    )


@pytest.mark.parametrize(("scheme", "answer"), [("nbd", refuse_nbd), ("http", refuse_http)], ids=["nbd", "http"])
def test_what_a_server_says(
    scheme: str,
    answer: Callable[[socket.socket], None],
    answering: Callable[[Callable[[socket.socket], None]], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = answering(answer)
    code, output, errors = run(capsys, "inspect", f"{scheme}://127.0.0.1:{port}/disk")
    assert (code, output) == (1, "")
    check(errors)
    assert errors.count("\n") == 1
