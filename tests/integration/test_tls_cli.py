"""Who gets in by TLS, through the command line: every command that serves, and other people's clients of every kind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from bootpath.cli import lived
from bootpath.cli.main import main
from tests.support.daemons import Daemon, serving
from tests.support.patterns import pattern
from tests.support.pki import STRANGERS, Pki, make_pki
from tests.support.tools import tool
from tests.support.tree import ROOT

SIZE = 1 << 20
COMMANDS = ("serve", "verity open", "dm serve", "lived")
KEY, OTHER_KEY = "00112233445566778899aabbccddeeff", "ff112233445566778899aabbccddeeff"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def program(command: str) -> str:
    return "lived" if command == "lived" else "main"


@dataclass(frozen=True)
class Gate:
    """A server that wants TLS, and what went through."""

    socket: Path
    daemon: Daemon

    def requests(self) -> int:
        """How many came in so far: of a status that is made after this call, since one is shown for a while."""
        before = status = self._status()
        while status["up_seconds"] == before["up_seconds"]:
            status = self._status()
        return sum(status["requests"].values())

    def _status(self) -> Any:
        with urlopen(f"{self.daemon.status}status.json", timeout=60) as answer:
            return json.load(answer)


@contextmanager
def gate(words: list[str], command: str, directory: Path, *options: str | Path, before: str = "") -> Iterator[Gate]:
    where = ("--socket", directory / "s", "--status", "127.0.0.1:0")
    with serving(program(command), *words, *options, *where, before=before) as daemon:
        assert daemon.uri == f"nbds+unix:///?socket={directory / 's'}"
        yield Gate(directory / "s", daemon)


def done(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)


# Clients: each reads of the default export.


def uri(gate: Gate, certificates: Path) -> str:
    return f"nbds+unix:///?socket={gate.socket}&tls-certificates={certificates}&tls-hostname=localhost"


def libnbd(gate: Gate, certificates: Path) -> subprocess.CompletedProcess[str]:
    return done(tool("nbdcopy"), uri(gate, certificates), "null:")


def qemu(gate: Gate, certificates: Path) -> subprocess.CompletedProcess[str]:
    """It would look at its own certificate first, and not even try."""
    credentials = f"tls-creds-x509,id=t,dir={certificates},endpoint=client,sanity-check=off"
    where = f"driver=nbd,path={gate.socket},tls-creds=t,tls-hostname=localhost"
    return done(tool("qemu-io"), "-r", "--object", credentials, "--image-opts", where, "-c", "read 0 4k")


def nbdkit(gate: Gate, certificates: Path) -> subprocess.CompletedProcess[str]:
    server = ("nbd", f"socket={gate.socket}", "tls=require", f"tls-certificates={certificates}")
    return done(tool("nbdkit"), "-r", "-U", "-", *server, "--run", f"{tool('nbdcopy')} $uri null:")


def ours(gate: Gate, certificates: Path) -> subprocess.CompletedProcess[str]:
    table = gate.socket.with_name("client.table")
    table.write_text("0 8 linear DISK 0\n")
    return done(
        *(sys.executable, "-m", "bootpath", "dm", "hash", "--table", table),
        *("--device", f"DISK={uri(gate, certificates)}"),
    )


CLIENTS = (libnbd, qemu, nbdkit, ours)


@pytest.mark.parametrize("command", COMMANDS)
def test_only_the_right_certificate_gets_in(
    command: str, served_words: dict[str, list[str]], pki: Pki, tmp_path: Path
) -> None:
    with gate(served_words[command], command, tmp_path, "--tls-dir", pki.server) as opened:
        for client in CLIENTS:
            for name in STRANGERS:
                refused = client(opened, pki.clients[name])
                assert refused.returncode != 0, (client.__name__, name, refused.stdout)
        plain = done(tool("nbdinfo"), f"nbd+unix:///?socket={opened.socket}")
        assert plain.returncode != 0
        assert opened.requests() == 0
        for client in CLIENTS:
            accepted = client(opened, pki.clients["right"])
            assert accepted.returncode == 0, (client.__name__, accepted.stderr)
        assert opened.requests() > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_without_client_authentication_anybody_gets_in(
    command: str, served_words: dict[str, list[str]], pki: Pki, tmp_path: Path
) -> None:
    """But with TLS, and the authority need not be there."""
    alone = tmp_path / "tls"
    alone.mkdir()
    for name in ("server-cert.pem", "server-key.pem"):
        shutil.copy(pki.server / name, alone / name)
    with gate(served_words[command], command, tmp_path, "--tls-dir", alone, "--tls-no-client-auth") as opened:
        for client in CLIENTS:
            assert client(opened, pki.clients["none"]).returncode == 0
        before = opened.requests()
        assert done(tool("nbdinfo"), f"nbd+unix:///?socket={opened.socket}").returncode != 0
        assert opened.requests() == before


def test_what_is_revoked_does_not_get_in(served_words: dict[str, list[str]], pki: Pki, tmp_path: Path) -> None:
    shutil.copytree(pki.server, tmp_path / "tls")
    enter = partial(gate, served_words["serve"], "serve", tmp_path, "--tls-dir", tmp_path / "tls")
    with enter() as opened:
        assert ours(opened, pki.clients["revoked"]).returncode == 0
    (tmp_path / "tls" / "ca-crl.pem").write_bytes(pki.crl)
    with enter() as opened:
        for client in CLIENTS:
            assert client(opened, pki.clients["revoked"]).returncode != 0
        assert opened.requests() == 0
        for client in CLIENTS:
            assert client(opened, pki.clients["right"]).returncode == 0
    (tmp_path / "tls" / "ca-crl.pem").write_bytes(pki.old_crl)
    with enter() as opened:
        assert ours(opened, pki.clients["right"]).returncode != 0
        assert opened.requests() == 0


def refusal(
    command: str, words: list[str], *options: str | Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The exit code and the line of a server that does not start; with a command, this process keeps its privileges."""
    run = {"main": main, "lived": lived.main}[program(command)]
    code = run([*words, *map(str, options), "--run", "exit 77"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_served_without_the_authority(
    command: str, served_words: dict[str, list[str]], pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pki.server, tmp_path / "tls")
    (tmp_path / "tls" / "ca-cert.pem").unlink()
    code, errors = refusal(command, served_words[command], "--tls-dir", tmp_path / "tls", capsys=capsys)
    assert code == 1
    assert errors == (
        f"bootpath: {tmp_path / 'tls'}: ca-cert.pem is missing; expected server-cert.pem, server-key.pem, ca-cert.pem; "
        "put the certificate of the CA of your clients there, or use --tls-no-client-auth\n"
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("options", [(), ("--tls-psk", "keys.psk")])
def test_client_authentication_is_left_out_only_of_certificates(
    command: str, options: tuple[str, ...], served_words: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    code, errors = refusal(command, served_words[command], *options, "--tls-no-client-auth", capsys=capsys)
    assert (code, "--tls-no-client-auth goes with --tls-dir only" in errors) == (2, True)


# Our client


def test_our_client_verifies_the_server(served_words: dict[str, list[str]], pki: Pki, tmp_path: Path) -> None:
    """By the authority that it is given, or the system's, and by name."""
    stranger = pki.clients["another authority"]
    shutil.copytree(pki.clients["right"], tmp_path / "client")
    shutil.copy(stranger / "client-cert.pem", tmp_path / "client" / "ca-cert.pem")
    read = (sys.executable, "-m", "bootpath", "dm", "hash", "--table", tmp_path / "table", "--device")
    (tmp_path / "table").write_text("0 8 linear DISK 0\n")
    with gate(served_words["serve"], "serve", tmp_path, "--tls-dir", pki.server) as opened:
        for query in (
            f"&tls-certificates={tmp_path / 'client'}",
            f"&tls-certificates={pki.clients['right']}&tls-hostname=elsewhere",
            "",
        ):
            refused = done(*read, f"DISK=nbds+unix:///?socket={opened.socket}{query}")
            assert refused.returncode == 1
            assert "certificate verify failed" in refused.stderr
            assert ("tls-certificates=DIR in the URI" in refused.stderr) == ("elsewhere" not in query)
            assert "_ssl.c" not in refused.stderr
        assert opened.requests() == 0
        query = f"&tls-certificates={tmp_path / 'client'}&tls-verify-peer=0"
        assert done(*read, f"DISK=nbds+unix:///?socket={opened.socket}{query}").returncode == 0


@pytest.mark.parametrize("tls", ["require", "off"])
def test_our_client_with_nbdkit(tls: str, pki: Pki, tmp_path: Path) -> None:
    """It verifies clients too, but not what a certificate is for; and where there is no TLS, there is no connection."""
    disk, table = tmp_path / "disk", tmp_path / "table"
    disk.write_bytes(pattern(0, SIZE))
    table.write_text(f"0 {SIZE // 512} linear DISK 0\n")
    hashed = f"{sys.executable} -m bootpath dm hash --table {table} --device"
    server = (tool("nbdkit"), "-U", "-", f"--tls={tls}", f"--tls-certificates={pki.server}", "--tls-verify-peer")
    for name in ("right", *(name for name in STRANGERS if name != "a server")):
        query = f"?socket=$unixsocket&tls-certificates={pki.clients[name]}"
        found = done(*server, "file", disk, "--run", f'{hashed} "DISK=nbds+unix:///{query}"')
        if tls == "require":
            assert (found.returncode == 0) == (name == "right"), (name, found.stderr)
        else:
            assert "the server's policy refuses" in found.stderr or "NBD_OPT_STARTTLS" in found.stderr


# Keys that both ends share


def test_keys_need_a_python_that_has_them(
    served_words: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("ssl.SSLContext.set_psk_server_callback", raising=False)
    (tmp_path / "keys.psk").write_text(f"alice:{KEY}\n")
    code, errors = refusal("serve", served_words["serve"], "--tls-psk", tmp_path / "keys.psk", capsys=capsys)
    expected = (
        f"bootpath: {tmp_path / 'keys.psk'}: TLS with pre-shared keys needs Python 3.13 or newer; use certificates\n"
    )
    assert (code, errors) == (1, expected)


WITH_KEYS = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.support import pskcontext; pskcontext.install()"


def psk_libnbd(gate: Gate, user: str, directory: Path) -> subprocess.CompletedProcess[str]:
    query = f"socket={gate.socket}&tls-psk-file={directory / 'keys.psk'}"
    return done(tool("nbdcopy"), f"nbds+unix://{user}@/?{query}", "null:")


def psk_qemu(gate: Gate, user: str, directory: Path) -> subprocess.CompletedProcess[str]:
    credentials = f"tls-creds-psk,id=t,dir={directory},endpoint=client,username={user}"
    where = f"driver=nbd,path={gate.socket},tls-creds=t"
    return done(tool("qemu-io"), "-r", "--object", credentials, "--image-opts", where, "-c", "read 0 4k")


def psk_nbdkit(gate: Gate, user: str, directory: Path) -> subprocess.CompletedProcess[str]:
    server = (
        "nbd",
        f"socket={gate.socket}",
        "tls=require",
        f"tls-psk={directory / 'keys.psk'}",
        f"tls-username={user}",
    )
    return done(tool("nbdkit"), "-r", "-U", "-", *server, "--run", f"{tool('nbdcopy')} $uri null:")


PSK_CLIENTS = (psk_libnbd, psk_qemu, psk_nbdkit)


@pytest.mark.parametrize("command", COMMANDS)
def test_only_the_right_key_gets_in(command: str, served_words: dict[str, list[str]], pki: Pki, tmp_path: Path) -> None:
    """OpenSSL's own, where this Python has not the callback (`tests.support.pskcontext`)."""
    for name, key in (("right", KEY), ("wrong", OTHER_KEY)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.psk").write_text(f"alice:{key}\nbob:{KEY}\n")
    keys = tmp_path / "keys.psk"
    keys.touch(0o600)
    keys.write_text(f"alice:{KEY}\n")
    with gate(served_words[command], command, tmp_path, "--tls-psk", keys, before=WITH_KEYS) as opened:
        for client in PSK_CLIENTS:
            for user, given in (("alice", "wrong"), ("bob", "right")):
                refused = client(opened, user, tmp_path / given)
                assert refused.returncode != 0, (client.__name__, user, refused.stdout)
        for certified in CLIENTS:
            assert certified(opened, pki.clients["right"]).returncode != 0
        assert opened.requests() == 0
        for client in PSK_CLIENTS:
            accepted = client(opened, "alice", tmp_path / "right")
            assert accepted.returncode == 0, (client.__name__, accepted.stderr)


def test_our_client_with_a_key(pki: Pki, tmp_path: Path, served_words: dict[str, list[str]]) -> None:
    """And with nothing else: a server that shows a certificate instead is refused, signed by whomever."""
    keys, wrong = tmp_path / "keys.psk", tmp_path / "wrong.psk"
    keys.touch(0o600)
    keys.write_text(f"alice:{KEY}\n")
    wrong.write_text(f"alice:{OTHER_KEY}\n")
    table = tmp_path / "table"
    table.write_text("0 8 linear DISK 0\n")
    script = f"{WITH_KEYS}; from bootpath.cli.main import main; sys.exit(main())"

    def read(socket: Path, user: str, file: Path) -> subprocess.CompletedProcess[str]:
        disk = f"DISK=nbds+unix://{user}@/?socket={socket}&tls-psk-file={file}"
        return done(sys.executable, "-c", script, "dm", "hash", "--table", table, "--device", disk)

    with gate(served_words["serve"], "serve", tmp_path, "--tls-psk", keys, before=WITH_KEYS) as opened:
        assert read(opened.socket, "alice", keys).returncode == 0
        before = opened.requests()
        assert read(opened.socket, "alice", wrong).returncode == 1
        nobody = read(opened.socket, "bob", keys)
        assert "the URI's user has no key; found 'bob'" in nobody.stderr
        assert opened.requests() == before
    with gate(served_words["serve"], "serve", tmp_path, "--tls-dir", pki.server, "--tls-no-client-auth") as opened:
        assert read(opened.socket, "alice", keys).returncode == 1
        assert opened.requests() == 0
