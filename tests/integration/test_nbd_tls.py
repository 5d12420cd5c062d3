"""TLS: certificates as qemu and nbdkit name them, with libnbd (GnuTLS), qemu (GnuTLS) and Python (OpenSSL)."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.core.errors import DeviceError
from bootpath.formats.nbd import options as nbdoptions
from bootpath.formats.nbd.options import Option, Rep
from bootpath.serve.limits import Limits
from bootpath.serve.server.tls import load_tls
from tests.support.nbd import RawClient, Running, serving
from tests.support.patterns import pattern
from tests.support.tools import tool

SIZE = 4 << 20


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server for localhost and a client."""
    openssl = tool("openssl")
    path = tmp_path_factory.mktemp("pki")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=path, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca-cert.pem", "-days", "2", "-subj", "/CN=test CA")
    for name in ("server", "client"):
        (path / f"{name}.ext").write_text("subjectAltName=DNS:localhost\n")
        run("req", *key, "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-in", f"{name}.csr", "-out", f"{name}-cert.pem", "-extfile", f"{name}.ext", "-days", "2")
        run("x509", "-req", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", *signed)
    return path


class TlsClient(RawClient):
    """A raw client whose socket may become TLS."""

    def start_tls(self, certificates: Path, *, certified: bool = True) -> None:
        context = ssl.create_default_context(cafile=str(certificates / "ca-cert.pem"))
        if certified:
            context.load_cert_chain(certificates / "client-cert.pem", certificates / "client-key.pem")
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")


def connect(running: Running) -> TlsClient:
    return TlsClient(running.connect().socket)


def patterned() -> MemoryDevice:
    return MemoryDevice(bytearray(pattern(0, SIZE)))


def test_python(certificates: Path) -> None:
    with serving(patterned(), tls=load_tls(certificates)) as running, connect(running) as client:
        client.greet()
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ERR_TLS_REQD
        assert client.outcome(Option.STARTTLS) == Rep.ACK
        client.start_tls(certificates)
        assert client.outcome(Option.STARTTLS) == Rep.ERR_INVALID
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ACK
        go = nbdoptions.pack_info_request(nbdoptions.InfoRequest(""))
        assert client.outcome(Option.GO, go) == Rep.ACK
        assert client.read(0, SIZE) == pattern(0, SIZE)
        assert client.write(512, pattern(0, 1 << 20, tag=1)) == 0
        assert client.read(512, 1 << 20) == pattern(0, 1 << 20, tag=1)
        assert client.write(0, pattern(0, 512, tag=2)) == 0
        assert client.read(0, 512) == pattern(0, 512, tag=2)


def test_what_was_negotiated_in_plain_text_is_forgotten(certificates: Path) -> None:
    with serving(patterned(), tls=load_tls(certificates, required=False)) as running, connect(running) as client:
        client.greet()
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ACK
        assert client.outcome(Option.STARTTLS) == Rep.ACK
        client.start_tls(certificates)
        assert client.outcome(Option.LIST_META_CONTEXT) == Rep.ERR_INVALID
        assert client.outcome(Option.STRUCTURED_REPLY) == Rep.ACK


def test_injected_plain_text_ends_the_connection(certificates: Path) -> None:
    with serving(patterned(), tls=load_tls(certificates)) as running:
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


def test_a_client_without_a_certificate(certificates: Path) -> None:
    with serving(patterned(), tls=load_tls(certificates, verify_clients=True)) as running:
        with connect(running) as client:
            client.greet()
            assert client.outcome(Option.STARTTLS) == Rep.ACK
            with pytest.raises((OSError, EOFError)):  # noqa: PT012 - TLS 1.3 tells it at the first read
                client.start_tls(certificates, certified=False)
                client.option(Option.LIST)
        with connect(running) as client:
            client.greet()
            assert client.outcome(Option.STARTTLS) == Rep.ACK
            client.start_tls(certificates)
            assert client.outcome(Option.LIST) == Rep.ACK


def test_a_silent_handshake_is_dropped(certificates: Path) -> None:
    limits = Limits(negotiation_seconds=0.05)
    with serving(patterned(), tls=load_tls(certificates), limits=limits) as running, connect(running) as client:
        client.greet()
        client.send(nbdoptions.pack_option(Option.STARTTLS))
        client.receive(20)
        assert client.closed()


def test_libnbd(certificates: Path, tmp_path: Path) -> None:
    with serving(Overlay(patterned()), tls=load_tls(certificates, verify_clients=True)) as running:
        uri = f"nbds+unix:///?socket={running.path}&tls-certificates={certificates}&tls-hostname=localhost"
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


def test_qemu(certificates: Path) -> None:
    with serving(Overlay(patterned()), tls=load_tls(certificates, verify_clients=True)) as running:
        options = f"driver=nbd,path={running.path},tls-creds=tls0,tls-hostname=localhost"
        command = (
            *(tool("qemu-io"), "--object", f"tls-creds-x509,id=tls0,dir={certificates},endpoint=client"),
            *("--image-opts", options, "-c", "write -P 5 4k 300k", "-c", "read -P 5 4k 300k", "-c", "flush"),
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "failed" not in done.stdout


def test_certificates_that_are_not_there(tmp_path: Path, certificates: Path) -> None:
    with pytest.raises(DeviceError, match=r"server-cert\.pem"):
        load_tls(tmp_path)
    (tmp_path / "server-cert.pem").write_text("junk")
    (tmp_path / "server-key.pem").write_text("junk")
    with pytest.raises(DeviceError, match="cannot be used"):
        load_tls(tmp_path)


def test_a_socket_that_is_no_client(certificates: Path) -> None:
    """Something else than TLS after STARTTLS, and a client that leaves in the handshake."""
    with serving(patterned(), tls=load_tls(certificates)) as running:
        for junk in (b"", b"\x16\x03\x01", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(5000)):
            with connect(running) as client:
                client.greet()
                assert client.outcome(Option.STARTTLS) == Rep.ACK
                client.send(junk)
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(1000):
                    pass


def test_several_processes(certificates: Path, tmp_path: Path) -> None:
    """The handshake is the forked process' own, with what the parent has loaded."""
    image = tmp_path / "image.raw"
    image.write_bytes(pattern(0, SIZE))
    directory = tmp_path / "tls"
    directory.mkdir()
    for name in ("ca-cert.pem", "server-cert.pem", "server-key.pem"):
        (directory / name).symlink_to(certificates / name)
    query = f"?socket={tmp_path / 's'}&tls-certificates={certificates}&tls-hostname=localhost"
    copying = f"{tool('nbdcopy')} --connections=4 'nbds+unix:///{query}' {tmp_path / 'copy'}"
    command = [sys.executable, "-m", "bootpath", "serve", str(image), "--workers", "2", "--tls-dir", str(directory)]
    command += ["--socket", str(tmp_path / "s"), "--run", copying]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy").read_bytes() == image.read_bytes()
