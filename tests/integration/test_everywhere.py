"""One disk in every place: a file, a loop device, an NBD server, http, https and S3. The same answers everywhere, and
only what is needed is read: counted, printed with -v, and compared with what the servers say they sent."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.formats.partitions.dps import Designator
from tests.integration.test_cli import run
from tests.support.ddi import MIB, Disk, Part, Signer, Volume, make_disk, make_file_system, protect
from tests.support.nbdserver import nbd_server
from tests.support.rangeserver import Object, RangeServer
from tests.support.s3server import S3Server
from tests.support.tools import missing, tool

HOME_BYTES = 64 * MIB
PLACES = ("file", "file URI", "loop device", "nbd", "http", "https", "s3")
REMOTE = ("http", "https", "s3")
_COUNT = re.compile(r"(.+): (\d+) reads?, (\d+) bytes of (\d+)(?:; (\d+) requests? for (\d+) bytes)?\n")


@dataclass(frozen=True)
class Made:
    """A signed DDI with a large partition that nobody has to read."""

    disk: Disk
    volume: Volume
    signer: Signer

    @property
    def size_bytes(self) -> int:
        return self.disk.path.stat().st_size


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = tmp_path_factory.mktemp("everywhere")
    signer = Signer.make(directory)
    volume = protect(directory, make_file_system(directory), signer)
    home = Part(Designator.HOME, b"", UUID(int=77), "home", size_bytes=HOME_BYTES)
    return Made(make_disk(directory / "os.img", [*volume.parts("os_1"), home]), volume, signer)


@dataclass
class Place:
    """Where the disk is, and who can say how much was sent."""

    name: str
    spec: str
    server: RangeServer | None = None

    @staticmethod
    def shown(spec: str) -> str:
        """As a disk is called in results."""
        return spec.removeprefix("file://")


@pytest.fixture(params=PLACES)
def place(
    request: pytest.FixtureRequest, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    name: str = request.param
    path = made.disk.path
    with ExitStack() as stack:
        if name == "file":
            yield Place(name, str(path))
        elif name == "file URI":
            yield Place(name, path.as_uri())
        elif name == "loop device":
            yield Place(name, stack.enter_context(closing(_Loop(path))).device)
        elif name == "nbd":
            socket = tmp_path / "socket"
            stack.enter_context(nbd_server(socket, tool("nbdkit"), "-f", "-r", "file", str(path)))
            yield Place(name, f"nbd+unix:///?socket={socket}")
        else:
            server = _server(name, tmp_path, monkeypatch)
            stack.callback(server.close)
            server.objects["/images/os.img"] = Object(path.read_bytes(), modified="Mon, 01 Jun 2026 12:00:00 GMT")
            yield Place(name, "s3://images/os.img" if name == "s3" else server.url("/images/os.img"), server)


class _Loop:
    """A loop device, read-only."""

    def __init__(self, path: Path) -> None:
        self._losetup = tool("losetup")
        command = [self._losetup, "--find", "--show", "--read-only", str(path)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            missing(f"the right to make loop devices ({made.stderr.strip()})")
        self.device = made.stdout.strip()

    def close(self) -> None:
        subprocess.run([self._losetup, "--detach", self.device], check=True)


def _server(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> RangeServer:
    if name == "s3":
        server = S3Server()
        for variable, value in server.environment().items():
            monkeypatch.setenv(variable, value)
        return server
    if name == "http":
        return RangeServer()
    monkeypatch.setenv("SSL_CERT_FILE", str(make_authority(directory)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return RangeServer(tls=context)


def make_authority(directory: Path) -> Path:
    """A certificate authority of our own, and a server's certificate for 127.0.0.1 by it."""

    def openssl(*arguments: str) -> None:
        subprocess.run([tool("openssl"), *arguments], cwd=directory, capture_output=True, check=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    (directory / "server.ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signed = ("-in", "server.csr", "-out", "server.pem", "-extfile", "server.ext", "-days", "2")
    openssl("x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", *signed)
    return directory / "ca.pem"


def counted(place: Place, errors: str, made: Made) -> int:
    """The bytes that -v says were read or fetched; a server must say the same."""
    found = _COUNT.fullmatch(errors)
    assert found is not None, errors
    _, _, asked, size, requests, fetched = found.groups()
    assert int(size) == made.size_bytes
    if place.server is None:
        assert fetched is None
        return int(asked)
    ranges = [header for method, _, header in place.server.requests if method == "GET"]
    sent = 0
    for header in ranges:
        low, high = map(int, str(header).removeprefix("bytes=").split("-"))
        sent += high - low + 1
    assert (int(requests), int(fetched)) == (len(ranges), sent)
    return sent


def test_inspect(place: Place, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    trusted = ("--certificate", made.signer.certificate)
    code, output, _ = run(capsys, "inspect", "--json", *trusted, made.disk.path)
    expected = json.loads(output)
    assert (code, expected["choice"]["verdict"]) == (0, "signed")
    code, output, errors = run(capsys, "inspect", "--json", "-v", *trusted, place.spec)
    assert code == 0
    assert json.loads(output.replace(Place.shown(place.spec), str(made.disk.path))) == expected
    assert counted(place, errors, made) < made.size_bytes // 30


def test_inspect_full(place: Place, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    """With --full the root and its hashes too, and still nothing else."""
    code, output, errors = run(capsys, "inspect", "-v", "--full", place.spec)
    assert (code, "Verified: all of 1, against its hash tree" in output) == (0, True)
    assert len(made.volume.data) < counted(place, errors, made) < 3 * len(made.volume.data)


def test_verity(place: Place, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    """Data and hashes are one disk; the root is its first partition, so the area is told by its offset."""
    if made.disk.offsets[1] % 4096:
        pytest.fail("the root does not begin at a whole block")
    offset = ("--hash-offset", str(made.disk.offsets[2]))
    code, output, errors = run(capsys, "verity", "dump", "-v", place.spec, *offset)
    assert (code, "Data blocks:      256" in output) == (0, True)
    assert counted(place, errors, made) <= 64 << 10


def test_dm(place: Place, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A verity row over the disk, by the places of its partitions; first a piece, then all of it."""
    data, hashes = (made.disk.offsets[number] // 512 for number in (1, 2))
    sectors = len(made.volume.data) // 512
    table, root_hash = tmp_path / "t", made.volume.root_hash.hex()
    dumped = run(capsys, "verity", "dump", "--json", made.disk.path, "--hash-offset", str(hashes * 512))[1]
    salt = json.loads(dumped)["salt"]
    table.write_text(
        f"data: 0 {sectors} linear DISK {data}\nhashes: 0 {len(made.volume.hashes) // 512} linear DISK {hashes}\n"
        f"root: 0 {sectors} verity 1 data hashes 4096 4096 {sectors // 8} 1 sha256 {root_hash} {salt}\n"
    )
    words = ("--table", table, "--select", "root", "--device", f"DISK={place.spec}", "-v")
    code, _, errors = run(capsys, "dm", "read", *words, "--offset", "8192", "--length", "4096", "-o", tmp_path / "out")
    assert code == 0
    assert (tmp_path / "out").read_bytes() == made.volume.data[8192:12288]
    assert sum(int(line.split(" bytes")[0].split()[-1]) for line in errors.splitlines()) <= 16 << 10
    code, output, _ = run(capsys, "dm", "hash", *words, "--algorithm", "sha1")
    assert code == 0
    assert output.split()[0] == hashlib.sha1(made.volume.data).hexdigest()


def test_verity_verify(made: Made, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data from anywhere, its hashes from a file: made by us from there, and checked from there."""
    hashes, root = tmp_path / "hashes", tmp_path / "root.hash"
    words = ("verity", "format", place.spec, hashes, "--root-hash-file", root, "--data-blocks", "512")
    assert run(capsys, *words)[0] == 0
    code, output, errors = run(capsys, "verity", "verify", "-v", place.spec, hashes, "--root-hash-file", root)
    assert (code, output) == (0, f"{place.spec}: verified, 512 blocks\n")
    assert int(errors.split(" reads, ")[1].split()[0]) == 2 * MIB
    check = ("veritysetup", "verify", str(made.disk.path), str(hashes), root.read_text())
    subprocess.run([tool(check[0]), *check[1:]], check=True)


# What only servers far away can do


@pytest.mark.parametrize("place", REMOTE, indirect=True)
def test_what_a_server_refuses(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = place.server
    assert server is not None
    code, _, errors = run(capsys, "inspect", place.spec.replace("os.img", "none.img"))
    assert (code, errors) == (
        1,
        f"bootpath: {place.spec.replace('os.img', 'none.img')}: the object is not found (404)\n",
    )
    if place.name == "https":
        monkeypatch.delenv("SSL_CERT_FILE")
        code, _, errors = run(capsys, "inspect", place.spec)
        assert code == 1
        assert "certificate is not trusted; found UnknownIssuer; name a file with" in errors
    if place.name == "s3":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
        code, _, errors = run(capsys, "inspect", place.spec)
        assert (code, errors) == (1, f"bootpath: {place.spec}: the server denies access (401 or 403)\n")


@pytest.mark.parametrize("place", REMOTE, indirect=True)
def test_an_object_that_changes(place: Place, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    """Never two versions in one answer."""
    server = place.server
    assert server is not None
    server.on_get = lambda number: setattr(server.objects["/images/os.img"], "etag", f'"version {number // 3}"')
    code, output, errors = run(capsys, "inspect", place.spec)
    assert (code, output) == (1, "")
    assert re.fullmatch(r"bootpath: .*os\.img: the object has changed: .*\n", errors), errors
