"""Where a page's commands run: a directory with the files that the page speaks of, made small and real.

What several pages need is made once, in `Stock`.
"""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import ssl
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.support.ddi import Signer, run
from tests.support.images import make_image, make_tree
from tests.support.linuxsystem import LinuxSystem, make_initrd, make_system
from tests.support.rangeserver import Object, RangeServer
from tests.support.s3server import S3Server
from tests.support.tools import tool
from tests.support.tree import ROOT


@dataclass
class Stock:
    """What is made once for all pages, and only read."""

    directory: Path

    @cached_property
    def tree(self) -> Path:
        """The root of a small live image."""
        return make_tree(self.directory / "tree")

    @cached_property
    def live_image(self) -> Path:
        return make_image(self.directory, tree=self.tree)

    @cached_property
    def signer(self) -> Signer:
        return Signer.make(self.directory, "me")

    @cached_property
    def system(self) -> LinuxSystem:
        """A Linux that boots in a machine, protected and signed."""
        initrd = make_initrd(self.directory / "initrd", "verity")
        (self.directory / "system").mkdir()
        return make_system(self.directory / "system", initrd, self.signer)

    @cached_property
    def ddi(self) -> Path:
        """The system as a discoverable disk image."""
        path = self.directory / "ddi.img"
        keys = ("--key", self.signer.key, "--key-certificate", self.signer.certificate)
        run(sys.executable, "-m", "bootpath", "build", "image", self.system.tree, "-o", path, "--all-root", *keys)
        return path


@dataclass
class Scene:
    """A page's directory. `stack` ends what was started for it."""

    folder: Path
    stock: Stock
    stack: ExitStack
    environment: dict[str, str] = field(default_factory=dict)
    covered: tuple[str, ...] = ()
    """Folders of the machine that root's commands write to: theirs are empty, and gone with the page."""

    def __post_init__(self) -> None:
        self.bin.mkdir()
        path = (str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin")
        self.environment.update(os.environ, PATH=os.pathsep.join(path), PYTHONUNBUFFERED="1", PYTHONPATH=str(ROOT))

    @property
    def bin(self) -> Path:
        """Programs before all others."""
        return self.folder.with_name(f"{self.folder.name}.bin")

    def copy(self, source: Path, name: str = "") -> Path:
        """A file or tree, which commands may change."""
        target = self.folder / (name or source.name)
        if source.is_dir():
            return Path(shutil.copytree(source, target, symlinks=True))
        run("cp", "--sparse=always", source, target)
        return target

    def link(self, source: Path, name: str = "") -> None:
        """A file that commands only read."""
        (self.folder / (name or source.name)).symlink_to(source)

    def sparse(self, name: str, size_bytes: int) -> Path:
        """A file of zeros."""
        path = self.folder / name
        path.touch()
        os.truncate(path, size_bytes)
        return path

    def identity(self, signer: Signer, key: str, certificate: str) -> None:
        self.link(signer.key, key)
        self.link(signer.certificate, certificate)

    def program(self, name: str, script: str) -> None:
        """A program that stands for one that needs more than a test has."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)

    def serve_https(self, host: str, path: str, content: bytes) -> None:
        """An object at https://HOST/PATH: a server on the loopback with a certificate for that name, behind a proxy."""
        authority = make_authority(self.folder.with_name(f"{self.folder.name}.tls"), f"DNS:{host}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.with_name("server.pem"), authority.with_name("server.key"))
        server = RangeServer(tls=context)
        self.stack.callback(server.close)
        server.objects[path] = Object(content)
        proxy = self.stack.enter_context(Proxy(server.port))
        self.environment.update(SSL_CERT_FILE=str(authority), https_proxy=f"http://127.0.0.1:{proxy.port}")

    def serve_s3(self, path: str, content: bytes) -> None:
        """An object at s3:/PATH."""
        server = S3Server()
        self.stack.callback(server.close)
        server.objects[path] = Object(content)
        self.environment.update(server.environment(), no_proxy="127.0.0.1")


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy whose every CONNECT leads to one port of the loopback."""

    daemon_threads = True

    def __init__(self, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.target_port = target_port
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        while self.rfile.readline().strip():  # the request and its headers
            pass
        with socket.create_connection(("127.0.0.1", self.server.target_port)) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True).start()
            _pump(self.connection, upstream)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(1 << 16):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of them is gone, and so is the connection


def make_authority(directory: Path, name: str) -> Path:
    """A certificate authority, ca.pem, and by it a server's certificate for this alternative name."""

    def openssl(*arguments: object) -> None:
        run(tool("openssl"), *arguments)

    directory.mkdir(exist_ok=True)
    authority, key, request = directory / "ca.pem", directory / "server.key", directory / "server.csr"
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    days = ("-days", 2)
    openssl("req", "-x509", *new, "-keyout", directory / "ca.key", "-out", authority, *days, "-subj", "/CN=authority")
    openssl("req", *new, "-keyout", key, "-out", request, "-subj", "/CN=server")
    (directory / "server.ext").write_text(f"subjectAltName={name}\nbasicConstraints=CA:FALSE\n")
    signed = ("-in", request, "-out", directory / "server.pem", "-extfile", directory / "server.ext", *days)
    openssl("x509", "-req", "-CA", authority, "-CAkey", directory / "ca.key", "-CAcreateserial", *signed)
    return authority
