from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from bootpath.block.leaves.remote import RemoteDevice, open_remote
from bootpath.block.leaves.remoteobject import ObjectVersion, TransientError, open_object
from bootpath.core.device import Identity, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import assert_pattern, pattern
from tests.support.rangeserver import ENDLESS_BYTES, Object, RangeServer
from tests.unit.block.support import KIB

SIZE = 1024 * KIB
CHUNK = 64 * KIB


class Scripted:
    """An object in memory that notes what is asked of it; `faults` are raised first, one for each request."""

    name = "memory://object"

    def __init__(self, size_bytes: int = SIZE) -> None:
        self.content = pattern(0, size_bytes)
        self.etag: str | None = '"1"'
        self.faults: list[DeviceError] = []
        self.gets: list[tuple[int, int]] = []
        self.before: Callable[[], None] = lambda: None

    def version(self) -> ObjectVersion:
        if self.faults:
            raise self.faults.pop(0)
        return ObjectVersion(len(self.content), self.etag)

    def get(self, start: int, end: int, version: ObjectVersion) -> bytes:
        self.gets.append((start, end))
        self.before()
        if self.faults:
            raise self.faults.pop(0)
        return self.content[start:end]


def device(
    remote: Scripted, *, cache_bytes: int = 4 * CHUNK, sleep: Callable[[float], None] | None = None
) -> RemoteDevice:
    return RemoteDevice(remote, chunk_bytes=CHUNK, cache_bytes=cache_bytes, sleep=sleep or (lambda _: None), tries=4)


def test_reads_are_of_whole_chunks_and_are_kept() -> None:
    remote = Scripted()
    disk = device(remote)
    assert_pattern(read_bytes(disk, 512, 1024), 512)
    assert_pattern(read_bytes(disk, 4096, 8192), 4096)
    assert remote.gets == [(0, CHUNK)]
    assert list(disk.extents(0, 4096)) == [Segment(0, 4096, "remote")]


def test_adjacent_missing_chunks_are_one_request() -> None:
    remote = Scripted()
    disk = device(remote)
    disk.read(2 * CHUNK, 512)
    assert_pattern(read_bytes(disk, 512, 6 * CHUNK), 512)
    assert remote.gets == [(2 * CHUNK, 3 * CHUNK), (0, 2 * CHUNK), (3 * CHUNK, 7 * CHUNK)]


def test_the_cache_is_bounded_and_forgets_the_longest_unused() -> None:
    remote = Scripted()
    disk = device(remote, cache_bytes=3 * CHUNK)
    for index in (0, 1, 2, 0, 3):
        disk.read(index * CHUNK, 512)
    assert disk.cached_bytes == 3 * CHUNK
    assert disk.read_resident(0, CHUNK) is not None
    assert disk.read_resident(CHUNK, 512) is None
    assert_pattern(read_bytes(disk, 0, SIZE), 0)  # more than the cache holds
    assert disk.cached_bytes == 3 * CHUNK
    disk.close()
    assert disk.cached_bytes == 0


def test_resident_reads_never_ask() -> None:
    remote = Scripted()
    disk = device(remote)
    assert disk.read_resident(0, 512) is None
    disk.read(0, 512)
    views = disk.read_resident(CHUNK - 512, 512)
    assert views is not None
    assert_pattern(b"".join(views), CHUNK - 512)
    assert disk.read_resident(CHUNK - 512, 1024) is None
    assert len(remote.gets) == 1


def test_one_fetch_serves_all_who_wait_for_it() -> None:
    remote = Scripted()
    disk = device(remote)
    entered, go = Event(), Event()

    def before() -> None:
        entered.set()
        assert go.wait(60)

    remote.before = before
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(read_bytes, disk, 0, 512)
        assert entered.wait(60)
        others = [pool.submit(read_bytes, disk, 512 * index, 512) for index in range(1, 6)]
        go.set()
        assert_pattern(first.result(), 0)
        for index, other in enumerate(others, start=1):
            assert_pattern(other.result(), 512 * index)
    assert remote.gets == [(0, CHUNK)]


def test_a_failed_fetch_fails_all_who_wait_and_is_tried_anew_later() -> None:
    remote = Scripted()
    disk = device(remote)
    remote.faults = [DeviceError("gone", errno=errno.ENOENT)]
    with pytest.raises(DeviceError, match="gone"):
        disk.read(0, 512)
    assert_pattern(read_bytes(disk, 0, 512), 0)


def test_backoff_doubles_up_to_its_longest_and_ends() -> None:
    remote = Scripted()
    pauses: list[float] = []
    disk = RemoteDevice(remote, chunk_bytes=CHUNK, tries=6, backoff=(1, 5), sleep=pauses.append)
    remote.faults = [TransientError("503")] * 5
    assert_pattern(read_bytes(disk, 0, 512), 0)
    assert pauses == [1, 2, 4, 5, 5]
    remote.faults = [TransientError("503")] * 6
    with pytest.raises(DeviceError, match=r"503 \(6 tries\)") as error:
        disk.read(CHUNK, 512)
    assert error.value.errno_name == "EIO"
    remote.faults = [DeviceError("404", errno=errno.ENOENT), TransientError("never reached")]
    with pytest.raises(DeviceError, match="404"):
        disk.read(CHUNK, 512)
    assert len(remote.faults) == 1


def test_the_opening_is_tried_again_too() -> None:
    remote = Scripted()
    remote.faults = [TransientError("503")] * 3
    assert device(remote).size_bytes == SIZE


def test_a_server_without_versions_is_refused() -> None:
    remote = Scripted()
    remote.etag = None
    with pytest.raises(DeviceError, match="neither ETag nor Last-Modified"):
        device(remote)
    assert RemoteDevice(remote, unversioned=True).size_bytes == SIZE


def test_the_last_block_is_filled_up_with_zeros() -> None:
    remote = Scripted(CHUNK)
    remote.content += b"tail"
    disk = checked(device(remote))
    assert disk.size_bytes == CHUNK + 512
    assert_pattern(read_bytes(disk, 0, CHUNK), 0)
    assert read_bytes(disk, CHUNK, 512) == b"tail" + bytes(508)
    with pytest.raises(DeviceError, match="past the end"):
        disk.read(CHUNK + 512, 512)
    with pytest.raises(DeviceError, match="read-only"):
        disk.write(0, bytes(512))


def test_nothing_is_no_disk() -> None:
    with pytest.raises(DeviceError, match="a disk of 0 bytes is no disk"):
        device(Scripted(0))


def test_parameters() -> None:
    with pytest.raises(ValueError, match="chunk_bytes"):
        RemoteDevice(Scripted(), chunk_bytes=1000)


# Through obstore and HTTP

obstore = pytest.importorskip("obstore")


@pytest.fixture
def server() -> Iterator[RangeServer]:
    server = RangeServer()
    server.objects["/disk.img"] = Object(pattern(0, SIZE))
    yield server
    server.close()


def remote_disk(
    server: RangeServer, path: str = "/disk.img", *, tries: int = 3, timeout_seconds: float = 20
) -> RemoteDevice:
    remote = open_object(server.url(path), timeout_seconds=timeout_seconds)
    return RemoteDevice(remote, chunk_bytes=CHUNK, sleep=lambda _: None, tries=tries)


def test_http(server: RangeServer) -> None:
    disk = open_remote(server.url("/disk.img"))
    assert disk.size_bytes == SIZE
    assert disk.identity == Identity(server.url("/disk.img"))
    assert_pattern(read_bytes(disk, 0, SIZE), 0)
    disk.close()


@pytest.mark.parametrize("manner", [500, 503, 429, 408, "truncate", "drop", "wrong-range"])
def test_what_may_pass_is_tried_again(server: RangeServer, manner: str | int) -> None:
    disk = remote_disk(server)
    server.objects["/disk.img"].script = [manner, manner]
    assert_pattern(read_bytes(disk, 8192, 8192), 8192)
    assert server.gets() == ["bytes=0-65535"] * 3
    server.objects["/disk.img"].script = [manner] * 3
    with pytest.raises(DeviceError, match=r"http://127.0.0.1:\d+/disk\.img: ") as error:
        disk.read(CHUNK, 512)
    assert error.value.errno_name == "EIO"


@pytest.mark.parametrize(
    ("manner", "code", "what"),
    [
        (404, "ENOENT", r"not found \(404\)"),
        (401, "EACCES", r"the server denies access \(401 or 403\)"),
        (403, "EACCES", r"the server denies access \(401 or 403\)"),
        (410, "EIO", "the server answers 410 Gone"),
        (416, "EIO", "changed: the server answers 416"),
        ("ignore-range", "ENOTSUP", "the server ignores ranges"),
    ],
)
def test_what_cannot_pass_fails_at_once(server: RangeServer, manner: str | int, code: str, what: str) -> None:
    disk = remote_disk(server)
    server.objects["/disk.img"].script = [manner]
    with pytest.raises(DeviceError, match=what) as error:
        disk.read(0, 512)
    assert error.value.errno_name == code
    assert len(server.gets()) == 1


def test_a_server_that_stalls_is_left(server: RangeServer) -> None:
    disk = remote_disk(server, timeout_seconds=0.2)
    server.objects["/disk.img"].script = ["stall"]
    assert_pattern(read_bytes(disk, 0, 512), 0)
    assert server.stalled.acquire(blocking=False)
    assert len(server.gets()) == 2


def test_an_answer_that_does_not_end_is_not_taken_in(server: RangeServer) -> None:
    disk = remote_disk(server)
    server.objects["/disk.img"].script = ["endless"]
    assert_pattern(read_bytes(disk, 0, 512), 0)  # at the second try
    assert server.sent_bytes < ENDLESS_BYTES // 4


def test_a_redirect_is_followed(server: RangeServer) -> None:
    server.objects["/mirror.img"] = Object(pattern(0, SIZE))
    disk = remote_disk(server)
    server.objects["/disk.img"].script = ["redirect:/mirror.img"]
    assert_pattern(read_bytes(disk, 0, 512), 0)
    server.objects["/mirror.img"].etag = '"another"'
    server.objects["/disk.img"].script = ["redirect:/mirror.img"]
    with pytest.raises(DeviceError, match="changed"):
        disk.read(CHUNK, 512)


@pytest.mark.parametrize("ignore_if_match", [False, True])
@pytest.mark.parametrize("etag", ['"two"', 'W/"one"', None])
def test_an_object_that_changes_is_never_a_mixture(
    server: RangeServer, etag: str | None, ignore_if_match: bool
) -> None:
    disk = remote_disk(server)
    disk.read(0, 512)
    changed = Object(pattern(0, SIZE, tag=9), etag=etag, ignore_if_match=ignore_if_match)
    server.objects["/disk.img"] = changed
    with pytest.raises(DeviceError, match=r"disk\.img: the object has changed: ") as error:
        disk.read(0, 2 * CHUNK)
    assert error.value.errno_name == "EIO"
    assert_pattern(read_bytes(disk, 0, CHUNK), 0)  # what was read is still true


def test_a_weak_etag_is_compared_here(server: RangeServer) -> None:
    server.objects["/disk.img"].etag = 'W/"one"'
    disk = remote_disk(server)
    assert_pattern(read_bytes(disk, 0, 512), 0)
    server.objects["/disk.img"].etag = 'W/"two"'
    with pytest.raises(DeviceError, match="the object has changed: another etag"):
        disk.read(CHUNK, 512)


def test_an_object_that_shrinks(server: RangeServer) -> None:
    disk = remote_disk(server)
    server.objects["/disk.img"].content = pattern(0, CHUNK)
    with pytest.raises(DeviceError, match="changed"):
        disk.read(0, 512)
    with pytest.raises(DeviceError, match="changed"):
        disk.read(4 * CHUNK, 512)


def test_secrets_stay_out_of_messages(server: RangeServer) -> None:
    server.objects["/disk.img?signature=hush"] = Object(pattern(0, SIZE))
    disk = remote_disk(server, "/disk.img?signature=hush")
    assert_pattern(read_bytes(disk, 0, 512), 0)
    assert "hush" not in disk.identity.name
    for manner in (500, "drop", 404, 410):
        server.objects["/disk.img?signature=hush"].script = [manner] * 3
        with pytest.raises(DeviceError) as error:
            disk.read(CHUNK, 512)
        assert "hush" not in str(error.value)


def test_nobody_listens() -> None:
    server = RangeServer()
    url = server.url("/disk.img")
    server.close()
    with pytest.raises(DeviceError, match="request failed") as error:
        RemoteDevice(open_object(url), tries=2, sleep=lambda _: None)
    assert error.value.errno_name == "EIO"


def test_s3(server: RangeServer) -> None:
    server.objects["/bucket/images/disk.img"] = Object(pattern(0, SIZE))
    config = {"endpoint": server.url(""), "region": "us-east-1", "skip_signature": True}
    disk = RemoteDevice(open_object("s3://bucket/images/disk.img", s3_config=config), chunk_bytes=CHUNK)
    assert_pattern(read_bytes(disk, 512, 3 * CHUNK), 512)
    assert disk.identity.name == "s3://bucket/images/disk.img"


@pytest.mark.parametrize("url", ["ftp://host/disk.img", "http:///disk.img", "s3://bucket", "s3://bucket/", "disk.img"])
def test_other_urls(url: str) -> None:
    with pytest.raises(DeviceError) as error:
        open_object(url)
    assert error.value.errno_name == "EINVAL"


def test_without_obstore_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "obstore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(DeviceError, match=r"obstore, which is not installed; pip install 'bootpath\[remote\]'"):
        open_object("http://127.0.0.1/disk.img")


def test_obstore_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, bootpath.block.leaves.remote; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
