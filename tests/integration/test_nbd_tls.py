"""TLS: certificates as qemu and nbdkit name them, with libnbd (GnuTLS), qemu (GnuTLS) and Python (OpenSSL)."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.core.errors import DeviceError
from bootpath.formats.nbd import options as nbdoptions
from bootpath.formats.nbd.options import Option, Rep
from bootpath.serve.limits import Limits
from bootpath.serve.server.tls import load_tls
from tests.support.nbd import RawClient, Running, serving
from tests.support.patterns import pattern
from tests.support.pki import Authority, Pki, make_pki
from tests.support.tools import tool

SIZE = 4 << 20


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


class TlsClient(RawClient):
    """A raw client whose socket may become TLS."""

    def start_tls(self, certificates: Path) -> None:
        context = ssl.create_default_context(cafile=str(certificates / "ca-cert.pem"))
        if (certificates / "client-cert.pem").exists():
            context.load_cert_chain(certificates / "client-cert.pem", certificates / "client-key.pem")
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")


def connect(running: Running) -> TlsClient:
    return TlsClient(running.connect().socket)


def patterned() -> MemoryDevice:
    return MemoryDevice(bytearray(pattern(0, SIZE)))


def test_python(pki: Pki) -> None:
    with serving(patterned(), tls=load_tls(pki.server)) as running, connect(running) as client:
        client.greet()
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ERR_TLS_REQD
        assert client.outcome(Option.STARTTLS) == Rep.ACK
        client.start_tls(pki.clients["right"])
        assert client.outcome(Option.STARTTLS) == Rep.ERR_INVALID
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ACK
        go = nbdoptions.pack_info_request(nbdoptions.InfoRequest(""))
        assert client.outcome(Option.GO, go) == Rep.ACK
        assert client.read(0, SIZE) == pattern(0, SIZE)
        assert client.write(512, pattern(0, 1 << 20, tag=1)) == 0
        assert client.read(512, 1 << 20) == pattern(0, 1 << 20, tag=1)
        assert client.write(0, pattern(0, 512, tag=2)) == 0
        assert client.read(0, 512) == pattern(0, 512, tag=2)


@pytest.mark.parametrize("trusted", [True, False])
def test_who_is_signed_by_a_revoked_authority_does_not_get_in(trusted: bool, tmp_path: Path) -> None:
    ours = Authority("ours")
    between = Authority("between", under=ours)
    server, client = tmp_path / "server", tmp_path / "client"
    for directory, issued, name in (
        (server, ours.issue("server", server=True), "server"),
        (client, between.issue("client"), "client"),
    ):
        directory.mkdir()
        issued.write(directory, name)
        ours.write(directory)
    with (client / "client-cert.pem").open("ab") as file:
        file.write(between.written())
    revoked = () if trusted else (between,)
    (server / "ca-crl.pem").write_bytes(ours.revoke(*revoked) + between.revoke())
    with serving(patterned(), tls=load_tls(server)) as running, connect(running) as raw:
        raw.greet()
        assert raw.outcome(Option.STARTTLS) == Rep.ACK
        refused: AbstractContextManager[object] = nullcontext() if trusted else pytest.raises((OSError, EOFError))
        with refused:
            raw.start_tls(client)
            assert raw.outcome(Option.STRUCTURED_REPLY) == Rep.ACK


def test_what_was_negotiated_in_plain_text_is_forgotten(pki: Pki) -> None:
    with serving(patterned(), tls=load_tls(pki.server, required=False)) as running, connect(running) as client:
        client.greet()
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ACK
        assert client.outcome(Option.STARTTLS) == Rep.ACK
        client.start_tls(pki.clients["right"])
        assert client.outcome(Option.LIST_META_CONTEXT) == Rep.ERR_INVALID
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ACK


def test_injected_plain_text_ends_the_connection(pki: Pki) -> None:
    with serving(patterned(), tls=load_tls(pki.server)) as running:
        with connect(running) as client:
            client.greet()
            client.send(nbdoptions.pack_option(Option.STARTTLS), nbdoptions.pack_option(Option.STRUCTURED_REPLY))
            assert client.closed()
        with connect(running) as client:
            client.greet()
            assert client.outcome(Option.STARTTLS) == Rep.ACK
            client.send(nbdoptions.pack_option(Option.STRUCTURED_REPLY))
            # An alert may come first.
            while client.socket.recv(100):
                pass


def test_a_client_without_a_certificate(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bootpath.serve.server.connection")
    with serving(patterned(), tls=load_tls(pki.server)) as running:
        with connect(running) as client:
            client.greet()
            assert client.outcome(Option.STARTTLS) == Rep.ACK
            with pytest.raises((OSError, EOFError)):  # noqa: PT012 - TLS 1.3 tells it at the first read
                client.start_tls(pki.clients["none"])
                client.option(Option.LIST)
        with connect(running) as client:
            client.greet()
            assert client.outcome(Option.STARTTLS) == Rep.ACK
            client.start_tls(pki.clients["right"])
            assert client.outcome(Option.LIST) == Rep.ACK
    assert caplog.messages[0].endswith("the TLS handshake failed: peer did not return a certificate")
    assert len(caplog.messages) == 1


def test_a_silent_handshake_is_dropped(pki: Pki) -> None:
    limits = Limits(negotiation_seconds=0.05)
    with serving(patterned(), tls=load_tls(pki.server), limits=limits) as running, connect(running) as client:
        client.greet()
        client.send(nbdoptions.pack_option(Option.STARTTLS))
        client.receive(20)
        assert client.closed()


def test_libnbd(pki: Pki, tmp_path: Path) -> None:
    with serving(Overlay(patterned()), tls=load_tls(pki.server)) as running:
        uri = f"nbds+unix:///?socket={running.path}&tls-certificates={pki.clients['right']}&tls-hostname=localhost"
        info = subprocess.run([tool("nbdinfo"), uri], capture_output=True, text=True, timeout=60)
        assert info.returncode == 0, info.stderr
        assert "with TLS" in info.stdout
        copy = tmp_path / "copy.raw"
        source = tmp_path / "source.raw"
        source.write_bytes(pattern(0, SIZE, tag=3))
        subprocess.run([tool("nbdcopy"), "--connections=4", source, uri], check=True, timeout=60)
        subprocess.run([tool("nbdcopy"), uri, copy], check=True, timeout=60)
        assert copy.read_bytes() == source.read_bytes()
        plain = subprocess.run([tool("nbdinfo"), running.uri], capture_output=True, text=True, timeout=60)
        assert plain.returncode != 0


def test_qemu(pki: Pki) -> None:
    with serving(Overlay(patterned()), tls=load_tls(pki.server)) as running:
        options = f"driver=nbd,path={running.path},tls-creds=tls0,tls-hostname=localhost"
        command = (
            *(tool("qemu-io"), "--object", f"tls-creds-x509,id=tls0,dir={pki.clients['right']},endpoint=client"),
            *("--image-opts", options, "-c", "write -P 5 4k 300k", "-c", "read -P 5 4k 300k", "-c", "flush"),
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "failed" not in done.stdout


def test_files_that_are_not_there(pki: Pki, tmp_path: Path) -> None:
    for name in ("server-cert.pem", "server-key.pem", "ca-cert.pem"):
        with pytest.raises(DeviceError, match=f"{name} is missing; expected server-cert.pem, server-key.pem, ca-cert"):
            load_tls(tmp_path)
        (tmp_path / name).write_bytes((pki.server / name).read_bytes())
    load_tls(tmp_path)
    (tmp_path / "ca-cert.pem").unlink()
    load_tls(tmp_path, verify_clients=False)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("server-cert.pem", b"junk", "server-cert.pem and server-key.pem cannot be used"),
        ("server-key.pem", b"junk", "server-cert.pem and server-key.pem cannot be used"),
        ("ca-cert.pem", b"junk", "ca-cert.pem cannot be used"),
        ("ca-cert.pem", b"", "ca-cert.pem cannot be used"),
        ("ca-cert.pem", "crl", "ca-cert.pem has something other than certificates"),
        ("ca-crl.pem", b"junk", "ca-crl.pem cannot be used"),
        ("ca-crl.pem", "certificate", "ca-crl.pem has something other than lists of revoked certificates"),
        ("ca-crl.pem", "both", "ca-crl.pem has something other than lists of revoked certificates"),
    ],
)
def test_files_that_cannot_be_used(pki: Pki, tmp_path: Path, name: str, content: bytes | str, what: str) -> None:
    """Above all a list of revoked certificates in which somebody put one: it would be trusted."""
    shutil.copytree(pki.server, tmp_path / "server")
    stranger = (pki.clients["another authority"] / "client-cert.pem").read_bytes()
    made = {"crl": pki.crl, "certificate": stranger, "both": pki.crl + stranger}
    (tmp_path / "server" / name).write_bytes(content if isinstance(content, bytes) else made[content])
    with pytest.raises(DeviceError, match=f"server: {what}"):
        load_tls(tmp_path / "server")


def test_a_key_with_a_password_is_not_asked_for_one(pki: Pki, tmp_path: Path) -> None:
    shutil.copytree(pki.server, tmp_path / "server")
    key = tmp_path / "server" / "server-key.pem"
    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(DeviceError, match="cannot be used"):
        load_tls(tmp_path / "server")


def test_a_key_that_everybody_can_read(pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_tls(pki.server)
    assert caplog.text == ""
    shutil.copytree(pki.server, tmp_path / "server")
    (tmp_path / "server" / "server-key.pem").chmod(0o644)
    load_tls(tmp_path / "server")
    assert "server-key.pem: everybody on this machine can read it" in caplog.text


def test_a_session_is_not_taken_up_again(pki: Pki) -> None:
    """A certificate is shown each time: one that was revoked since would come in without."""
    context = ssl.create_default_context(cafile=str(pki.server / "ca-cert.pem"))
    right = pki.clients["right"]
    context.load_cert_chain(right / "client-cert.pem", right / "client-key.pem")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = version
        session: ssl.SSLSession | None = None
        with serving(patterned(), tls=load_tls(pki.server)) as running:
            for _ in range(2):
                with connect(running) as client:
                    client.greet()
                    assert client.outcome(Option.STARTTLS) == Rep.ACK
                    secure = context.wrap_socket(client.socket, server_hostname="localhost", session=session)
                    client.socket = secure
                    assert client.outcome(Option.LIST) == Rep.ACK
                    session = secure.session
                    assert not secure.session_reused


def test_a_socket_that_is_no_client(pki: Pki) -> None:
    """Something else than TLS after STARTTLS, and a client that leaves in the handshake."""
    with serving(patterned(), tls=load_tls(pki.server)) as running:
        for junk in (b"", b"\x16\x03\x01", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(5000)):
            with connect(running) as client:
                client.greet()
                assert client.outcome(Option.STARTTLS) == Rep.ACK
                client.send(junk)
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(1000):
                    pass


def test_several_processes(pki: Pki, tmp_path: Path) -> None:
    """The handshake is the forked process' own, with what the parent has loaded."""
    image = tmp_path / "image.raw"
    image.write_bytes(pattern(0, SIZE))
    query = f"?socket={tmp_path / 's'}&tls-certificates={pki.clients['right']}&tls-hostname=localhost"
    copying = f"{tool('nbdcopy')} --connections=4 'nbds+unix:///{query}' {tmp_path / 'copy'}"
    command = [sys.executable, "-m", "bootpath", "serve", str(image), "--workers", "2", "--tls-dir", str(pki.server)]
    command += ["--socket", str(tmp_path / "s"), "--run", copying]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy").read_bytes() == image.read_bytes()
