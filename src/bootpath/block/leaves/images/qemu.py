"""A disk of a virtual machine, read by qemu-nbd, which is a process of ours for as long as the device is open.

The process is given an open file and a socket that is connected already, and no name that somebody else could use: the
socket listens at a path that is gone before the process starts. It serves one client, us, and ends when that one is
gone, however we end: qemu-nbd(8), "terminates when the last client disconnects". What it says of an image that it
cannot open is the error.

The socket is passed as a service manager does (sd_listen_fds(3)): descriptor 3, with LISTEN_FDS and LISTEN_PID.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import tempfile
import time
from contextlib import ExitStack, suppress
from typing import IO

from bootpath.block.leaves.images.unpack import UnpackedDevice, UnpackProgress, unpack_whole
from bootpath.block.leaves.images.virtual import file_region, image_node
from bootpath.block.leaves.nbdclient import NbdDevice
from bootpath.block.leaves.nbdconnection import NbdConnection
from bootpath.block.targets.filter import Filter
from bootpath.core.device import Device, Identity, SupportsFileno, read_bytes
from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import DeviceError, Error
from bootpath.core.extras import apt_install
from bootpath.formats.diskimages.recognise import ImageKind

PROGRAM = "qemu-nbd"
START_SECONDS = 60.0
_END_SECONDS = 5.0
_IMAGE_FD, _SOCKET_FD = 4, 3
_FREE_FD = 10  # above those of the process
_SHELL = "/bin/sh"
# The process's own number is known to nobody before it runs.
_START = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
_PIECE_BYTES = 1 << 20
_MAX_SAID_BYTES = 4096


class QemuDevice(Filter):
    """The disk, by `client`, which it owns as it owns the process and the file."""

    def __init__(
        self, client: NbdDevice, pid: int, lower: Device, *, disk_images: tuple[DiskImage, ...], identity: Identity
    ) -> None:
        super().__init__(client, identity=identity, owns=True)
        self._images = disk_images
        self._pid = pid
        self._file = lower

    @property
    def disk_images(self) -> tuple[DiskImage, ...]:
        """See `SupportsDiskImages`."""
        return self._images

    def close(self) -> None:
        """See `Device.close`: the process is told by the end of the connection, and waited for."""
        super().close()
        if self._pid:
            _end(self._pid)
            self._pid = 0
        self._file.close()


def open_virtual(
    lower: Device,
    kind: ImageKind,
    outer: tuple[DiskImage, ...],
    *,
    allow_backing_file: bool,
    progress: UnpackProgress | None,
) -> QemuDevice:
    """The disk in the image `lower`, which is closed with it. Raises Error when qemu-nbd is not installed, FormatError
    for an image that names other files, LimitError, DeviceError."""
    name = lower.identity.name
    program = shutil.which(PROGRAM)
    if program is None:
        raise Error(
            f"the disk is a {kind.value} image, which {PROGRAM} reads, and that is not installed",
            where=name,
            hint=apt_install(PROGRAM),
        )
    images, size = outer, file_region(lower).size_bytes
    if isinstance(lower, SupportsFileno):
        descriptor = lower.fileno()
    else:
        lower = unpacked = _as_file(lower, outer, progress)
        descriptor = unpacked.fileno()
    allow = allow_backing_file and not outer  # what is packed has no files beside it
    try:
        node, detail = image_node(file_region(lower), kind, f"/proc/self/fd/{_IMAGE_FD}", name, allow=allow)
        images = (*outer, DiskImage(kind.value, detail, size, program=PROGRAM))
        client, pid = _start(program, node, descriptor, name)
    except BaseException:
        lower.close()
        raise
    return QemuDevice(client, pid, lower, disk_images=images, identity=lower.identity)


def _as_file(lower: Device, images: tuple[DiskImage, ...], progress: UnpackProgress | None) -> UnpackedDevice:
    """The same bytes in a file: QEMU reads nothing else."""
    size = file_region(lower).size_bytes
    pieces = (
        (read_bytes(lower, start, min(_PIECE_BYTES, lower.size_bytes - start)), start)
        for start in range(0, size, _PIECE_BYTES)
    )
    return unpack_whole(lower, pieces, disk_images=images, progress=progress)


def _start(program: str, node: dict[str, object], image: int, name: str) -> tuple[NbdDevice, int]:
    """The client of a new process, and the process. Raises DeviceError with what it said."""
    command = [program, "--read-only", "--shared=1", f"json:{json.dumps(node)}"]
    with ExitStack() as stack:
        said = stack.enter_context(tempfile.TemporaryFile())
        ours, listening = _connected_socket(stack)
        pid = _spawn(command, image, listening.fileno(), said)
        listening.close()  # or we would wait for ourselves when the process has ended
        connection = None
        try:
            connection = NbdConnection(ours, "", name=name, timeout_seconds=START_SECONDS, sources=False, tls=None)
            client = NbdDevice(connection, identity=Identity(name))
        except (Error, OSError) as fault:
            if connection is None:
                ours.close()
            else:
                connection.close()
            _end(pid)
            reason = _last_line(said)
            if reason is None:
                raise
            raise DeviceError(f"QEMU cannot open the image: {reason}", where=name) from fault
        except BaseException:
            ours.close()
            _end(pid)
            raise
    return client, pid


def _connected_socket(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """(our end, what listens): connected before anybody answers, at a path that exists no more."""
    listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with tempfile.TemporaryDirectory(prefix="bootpath-") as folder:
            opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, opened)
            path = f"/proc/self/fd/{opened}/s"  # a socket's path has at most 107 bytes, and TMPDIR may be longer
            listening.bind(path)
            listening.listen(1)
            ours.settimeout(START_SECONDS)
            ours.connect(path)
    except BaseException:
        ours.close()
        raise
    return ours, listening


def _spawn(command: list[str], image: int, listening: int, said: IO[bytes]) -> int:
    """Start it in a group of its own, so that Ctrl-C is for us alone to obey."""
    with ExitStack() as stack:

        def moved(descriptor: int) -> int:
            copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FREE_FD)
            stack.callback(os.close, copy)
            return copy

        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, nothing)
        actions = [
            (os.POSIX_SPAWN_DUP2, moved(nothing), 0),
            (os.POSIX_SPAWN_DUP2, moved(nothing), 1),
            (os.POSIX_SPAWN_DUP2, moved(said.fileno()), 2),
            (os.POSIX_SPAWN_DUP2, moved(listening), _SOCKET_FD),
            (os.POSIX_SPAWN_DUP2, moved(image), _IMAGE_FD),
        ]
        words = [_SHELL, "-c", _START, "sh", *command]
        return os.posix_spawn(_SHELL, words, {**os.environ}, file_actions=actions, setpgroup=0)


def _end(pid: int) -> None:
    """Wait until it has ended; kill it when it does not."""
    deadline = time.monotonic() + _END_SECONDS
    with suppress(ChildProcessError):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            os.waitpid(pid, 0)
            return
        try:
            import select

            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                os.kill(pid, 9)
        finally:
            os.close(descriptor)
        os.waitpid(pid, 0)


def _last_line(said: IO[bytes]) -> str | None:
    """Why it ended, without its own name and the description of the image."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(size - _MAX_SAID_BYTES, 0))
    lines = said.read().decode("utf-8", "replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), None)
    if last is None:
        return None
    return last.rpartition("}': ")[2].removeprefix(f"{PROGRAM}: ").strip()
