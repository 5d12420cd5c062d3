"""TLS for the client of an NBD server, as libnbd's URIs say it, and a socket that has it.

======================  =============================================================================================
tls-certificates=DIR    ca-cert.pem signs servers; client-cert.pem and client-key.pem, if they are there, are ours;
                        ca-crl.pem, if it is there, which servers' certificates are revoked
without                 who signs servers is the system's to say, and no certificate is shown
tls-hostname=NAME       what the server's certificate has to name (default: the host; localhost behind a Unix socket)
tls-verify-peer=0       any certificate will do: encryption, and nobody knows with whom
tls-psk-file=FILE       a key that both ends share (`formats.nbd.pskfile`) instead; the URI's user says whose
======================  =============================================================================================

OpenSSL's object is for one thread at a time, and a connection is read by one thread and written by others. So TLS runs
over two `ssl.MemoryBIO` under a lock, and the socket is waited for without it.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from bootpath.block.leaves.wholefile import read_parsed, read_whole
from bootpath.core.device import Buffer
from bootpath.core.errors import DeviceError, FormatError, os_reason
from bootpath.formats.nbd.pskfile import PSK_CIPHERS, parse_psk_file
from bootpath.formats.nbd.uri import NbdUri

_RAW_BYTES = 256 << 10


def client_tls(uri: NbdUri) -> Callable[[socket.socket], TlsSocket]:
    """What makes a socket to the server secure, or raises OSError. Raises DeviceError (ENOENT, EINVAL, ENOTSUP)."""
    given = uri.parameters
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if _kind(given) == "psk":
            _share_key(context, Path(given["tls-psk-file"]), uri.username or "")
        else:
            _certify(context, given)
    except FormatError as fault:
        raise DeviceError(str(fault), errno=errno.EINVAL) from fault
    except DeviceError:
        raise
    except OSError as error:
        where = str(error.filename or given.get("tls-certificates", "tls"))
        what = f"the TLS certificates or keys cannot be used: {os_reason(error)}"
        raise DeviceError(what, errno=error.errno or errno.EINVAL, where=where) from error
    name = given.get("tls-hostname") or uri.host or "localhost"
    return lambda connected: TlsSocket(connected, context, name)


def _kind(given: Mapping[str, str]) -> str:
    kind = given.get("tls-type", "psk" if "tls-psk-file" in given else "x509")
    if kind not in ("x509", "psk") or (kind == "psk") != ("tls-psk-file" in given):
        raise FormatError(
            "tls-type does not say what is given",
            where="nbd uri",
            found=kind,
            expected="x509, or psk with tls-psk-file",
        )
    return kind


def _certify(context: ssl.SSLContext, given: Mapping[str, str]) -> None:
    if given.get("tls-verify-peer") == "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "tls-certificates" not in given:
        context.load_default_certs()
        return
    directory = Path(given["tls-certificates"])
    if context.verify_mode is ssl.CERT_REQUIRED:
        _existing(directory / "ca-cert.pem")
        context.load_verify_locations(directory / "ca-cert.pem")
        if (directory / "ca-crl.pem").exists():
            context.load_verify_locations(_existing(directory / "ca-crl.pem"))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    certificate, key = directory / "client-cert.pem", directory / "client-key.pem"
    if certificate.exists() or key.exists():
        context.load_cert_chain(_existing(certificate), _existing(key), password="")  # or it would ask on the terminal


def _existing(path: Path) -> Path:
    read_whole(path)  # whose errors, unlike those of ssl, have the name; and ssl would read a device without end
    return path


def _share_key(context: ssl.SSLContext, file: Path, user: str) -> None:
    install = getattr(context, "set_psk_client_callback", None)
    if install is None:
        raise DeviceError("TLS with pre-shared keys needs Python 3.13 or newer", errno=errno.ENOTSUP, where=str(file))
    key = read_parsed(file, parse_psk_file).get(user)
    if key is None:
        raise FormatError("the URI's user has no key", where=str(file), found=repr(user))
    # And no authority is trusted: a server that shows a certificate instead is refused.
    context.set_ciphers(PSK_CIPHERS)
    install(lambda hint: (user, key))


class TlsSocket:
    """A connected socket, which it owns, and TLS over it, with the methods of one. Raises OSError (SSLError is one)."""

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._socket = connected
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._lock = threading.Lock()  # of what is above
        self._sending = threading.Lock()  # records go out in the order in which they were made
        self._raw = memoryview(bytearray(_RAW_BYTES))
        self.shutdown = connected.shutdown
        self.close = connected.close
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert that says why
                raise
            else:
                self._flush()
                return

    def recv_into(self, view: memoryview) -> int:
        """See `socket.socket.recv_into`."""
        while True:
            with self._lock:
                try:
                    # With a buffer, read returns how many bytes it put there.
                    return cast(int, self._tls.read(len(view), view))
                except ssl.SSLWantReadError:
                    pass
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    return 0
            if self._outgoing.pending and self._sending.acquire(blocking=False):
                # The answer to a new key. Who is sending now may be waiting for us to read: it goes with what is next.
                try:
                    self._flush()
                finally:
                    self._sending.release()
            self._fill()

    def sendall(self, data: Buffer) -> None:
        """See `socket.socket.sendall`."""
        view = memoryview(data).cast("B")
        with self._sending:
            for start in range(0, len(view), _RAW_BYTES):
                with self._lock:
                    self._tls.write(view[start : start + _RAW_BYTES])
                self._flush()

    def sendmsg(self, buffers: tuple[Buffer, ...]) -> int:
        """See `socket.socket.sendmsg`: all of them."""
        for data in buffers:
            self.sendall(data)
        return sum(map(len, buffers))

    def _flush(self) -> None:
        with self._lock:
            records = self._outgoing.read()
        if records:
            self._socket.sendall(records)

    def _fill(self) -> None:
        count = self._socket.recv_into(self._raw)
        with self._lock:
            if count:
                self._incoming.write(self._raw[:count])
            else:
                self._incoming.write_eof()
