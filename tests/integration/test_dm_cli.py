"""bootpath dm: every command once, beside what the files hold."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
from pathlib import Path
from random import Random

import jsonschema
import pytest

from bootpath.cli.main import main
from tests.support.daemons import serving
from tests.support.tools import tool
from tests.support.tree import schema

SCHEMA = schema("dm")
KEY = bytes(range(64)).hex()
SIZE = 1 << 20


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate("ab"):
        (tmp_path / f"{name}.img").write_bytes(Random(index).randbytes(SIZE))
    (tmp_path / "cow.img").write_bytes(bytes(SIZE))
    path = tmp_path / "all.table"
    path.write_text(
        "low: 0 1024 linear a.img 8\nlow: 1024 2048 striped 2 16 a.img 0 8:1 0\n"
        f"enc: 0 1024 crypt aes-xts-plain64 {KEY} 0 a.img 0\nsnap: 0 3072 snapshot /dev/mapper/low cow.img P 8\n"
    )
    return path


def low() -> bytes:
    a, b = Path("a.img").read_bytes(), Path("b.img").read_bytes()
    chunks = [part[at : at + 8192] for at in range(0, SIZE // 2, 8192) for part in (a, b)]
    return a[4096 : 4096 + SIZE // 2] + b"".join(chunks)


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["dm", *arguments, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, SCHEMA)
    assert isinstance(value, dict)
    return value


def test_table(table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["dm", "table", str(table), "--picture", "p.png"]) == 0
    assert "striped: chunks of 8 KiB in turn from 2 stripes" in capsys.readouterr().out
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    value = json_of(capsys, "table", str(table))
    assert KEY not in json.dumps(value)
    assert KEY in json.dumps(json_of(capsys, "table", str(table), "--showkeys"))
    spaced = table.read_text().replace(" ", "   ").replace(":   ", ": ").encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(spaced)))
    assert main(["dm", "table", "-", "--normalise", "--showkeys"]) == 0
    assert capsys.readouterr().out == table.read_text()


def test_read_and_hash(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = ("--device", "8:1=b.img")
    arguments = ("--table", str(table), "--select", "snap", *device)
    content = low()
    assert main(["dm", "read", *arguments, "-o", "out"]) == 0
    assert Path("out").read_bytes() == content
    assert main(["dm", "read", *arguments, "-o", "out", "--offset", "1001", "--length", "70001"]) == 0
    assert Path("out").read_bytes() == content[1001:71002]
    assert main(["dm", "hash", *arguments]) == 0
    assert capsys.readouterr().out == f"{hashlib.sha256(content).hexdigest()}  snap\n"
    value = json_of(capsys, "hash", *arguments, "--algorithm", "blake2b", "--offset", "512")
    assert value["digest"] == hashlib.blake2b(content[512:]).hexdigest()
    assert Path("cow.img").read_bytes() == bytes(SIZE)


def test_serve(table: Path) -> None:
    nbdcopy, qemu_io = tool("nbdcopy"), tool("qemu-io")
    arguments = ("dm", "serve", "--table", table, "--select", "snap", "--device", "8:1=b.img")
    expected = bytearray(low())
    with serving("main", *arguments, "--writable") as server:
        subprocess.run(
            [qemu_io, "-f", "raw", "-c", "write -P 7 65536 12288", "-c", "flush", server.uri],
            check=True,
            capture_output=True,
        )
    expected[65536 : 65536 + 12288] = b"\x07" * 12288
    assert low() != expected
    with serving("main", *arguments) as server:  # what was written is on the COW device
        subprocess.run([nbdcopy, server.uri, "copy"], check=True)
        refused = subprocess.run([qemu_io, "-f", "raw", "-c", "write 0 512", server.uri], capture_output=True)
        assert refused.returncode != 0
    assert Path("copy").read_bytes() == expected


def test_serve_as_one_of_several_exports(table: Path) -> None:
    nbdcopy = tool("nbdcopy")
    Path("low.table").write_text(
        "\n".join(table.read_text().replace("low: ", "").replace("8:1", "b.img").split("\n")[:2])
    )
    with serving("main", "serve", "a.img", "--table", "low.table", "--read-only") as server:
        subprocess.run([nbdcopy, server.uri.replace(":///", ":///dm"), "copy"], check=True)
    assert Path("copy").read_bytes() == low()


def test_export(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dm", "export", str(table)]) == 1
    assert "the kernel cannot find the device" in capsys.readouterr().err
    names = [word for name in ("a.img=/dev/vda", "cow.img=/dev/vdb") for word in ("--device", name)]
    assert main(["dm", "export", str(table), *names]) == 0
    assert capsys.readouterr().out == table.read_text().replace("a.img", "/dev/vda").replace("cow.img", "/dev/vdb")
    Path("one").write_text("0 8 linear 8:1 0")
    arguments = ("--to", "dm-mod.create", "--dm-name", "root", "--dm-uuid", "U", "--dm-minor", "3", "--read-only")
    assert main(["dm", "export", "one", *arguments]) == 0
    exported = capsys.readouterr().out
    assert exported == 'dm-mod.create="root,U,3,ro,0 8 linear 8:1 0"\n'
    Path("word").write_text(exported)  # what is written can be read
    assert main(["dm", "export", "word", "--to", "dm-mod.create"]) == 0
    assert capsys.readouterr().out == exported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hash", "--table", "all.table"], "the table describes several devices; --select low or enc or snap"),
        (["hash", "--table", "all.table", "--select", "x"], "the table has no such device"),
        (["hash", "--table", "one", "--select", "x"], "its device has no name"),
        (
            ["read", "--table", "one", "--device", "8:7=a.img"],
            "the table has no device with the name that --device gives",
        ),
        (
            ["export", "all.table", "--device", "8:7=/dev/sda"],
            "the table has no device with the name that --device gives",
        ),
        (["read", "--table", "one", "--offset", "5000"], "byte 5000 is past the end; expected at most 4096"),
        (["read", "--table", "one", "--length", "5000"], "5000 bytes from byte 0 on are past the end"),
        (["hash", "--table", "all.table", "--select", "low"], "all.table: table line 2: striped: /dev/block/8:1"),
        (["table", "broken"], "broken: table: line 1, column 2: the line is too short"),
        (["table", "binary"], "binary: the table is not text in UTF-8"),
        (["hash", "--table", "bad"], "bad: line at sector 8: read of 4096 bytes at 0 failed"),
        (["table", "short"], "short: line 2: linear: the arguments do not fit the target"),
        (["export", "named"], "named: n: line 1: striped: the number of stripes"),
        (["table", "nothing"], "nothing: table: dmsetup found no devices"),
        (["table", "missing"], "missing: No such file"),
        (["export", "ours"], "ours: line 1: overlay: the target is one of this package"),
        (["export", "all.table", "--dm-name", "x"], "the table describes several devices"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], message: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("one").write_text("0 8 zero")
    Path("broken").write_text("0")
    Path("binary").write_bytes(b"\xff\xfe")
    Path("bad").write_text("0 8 zero\n8 8 error\n")
    Path("short").write_text("0 8 zero\n8 8 linear a\n")
    Path("named").write_text("n: 0 32 striped 2 16 a 0\n")
    Path("nothing").write_text("No devices found\n")
    Path("ours").write_text("0 8 overlay /dev/sda")
    assert main(["dm", *arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_mappings_of_names_with_equals_signs(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("part").write_text("0 8 linear PARTUUID=6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c004/PARTNROFF=1 0")
    name = "PARTUUID=6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c004/PARTNROFF=1=a.img"
    assert main(["dm", "hash", "--table", "part", "--device", name]) == 0
    digest = hashlib.sha256(Path("a.img").read_bytes()[:4096]).hexdigest()
    assert capsys.readouterr().out == f"{digest}  part\n"
    with pytest.raises(SystemExit) as caught:
        main(["dm", "hash", "--table", "part", "--device", "nothing"])
    assert caught.value.code == 2


def test_several_processes_cannot_serve_a_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dm", "serve", "--table", str(table), "--workers", "2"]) == 2
    assert "--workers cannot share" in capsys.readouterr().err


def test_an_output_may_be_a_device_of_the_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("copy.table").write_text("0 1024 linear a.img 8\n1024 8 zero")
    content = Path("a.img").read_bytes()
    assert main(["dm", "read", "--table", "copy.table", "-o", "a.img"]) == 0
    assert Path("a.img").read_bytes() == content[4096 : 4096 + SIZE // 2] + bytes(4096)
    Path("copy.table").write_text("0 8 zero\n8 8 error")
    assert main(["dm", "read", "--table", "copy.table", "-o", "b.img"]) == 1
    assert "error target" in capsys.readouterr().err
    assert Path("b.img").stat().st_size == SIZE
    assert sorted(path.name for path in Path().iterdir()) == sorted(
        ["a.img", "b.img", "cow.img", "all.table", "copy.table"]
    )
