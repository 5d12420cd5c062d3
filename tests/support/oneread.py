"""Connect to the NBD server at the socket that is the first argument, and read its first 512 bytes.

A program of its own that imports nothing of ours: `serve --run` starts it dozens of times. Source: the NBD protocol,
doc/proto.md: fixed newstyle, NBD_OPT_EXPORT_NAME, one NBD_CMD_READ.
"""

import socket
import struct
import sys


def main() -> None:
    """Read, or say what goes wrong."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        stream = server.makefile("rb")
        magic, option, flags = struct.unpack(">8s8sH", stream.read(18))
        expect((magic, option) == (b"NBDMAGIC", b"IHAVEOPT"), "no NBD server")
        server.sendall(struct.pack(">I8sII", flags & 3, b"IHAVEOPT", 1, 0))
        size, _ = struct.unpack(">QH", stream.read(10))
        expect(size >= 512, f"an export of {size} bytes")
        server.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 512))
        reply, error, handle = struct.unpack(">IIQ", stream.read(16))
        expect((reply, error, handle) == (0x67446698, 0, 1), f"error {error}")
        expect(len(stream.read(512)) == 512, "fewer than 512 bytes")
        server.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 2, 2, 0, 0))


def expect(what: bool, otherwise: str) -> None:
    """End the program when something is not so."""
    if not what:
        sys.exit(f"the read failed: {otherwise}")


main()
