"""TLS with pre-shared keys for a Python that lacks it: OpenSSL has it, and is asked by its own name.

Python 3.13 has `SSLContext.set_psk_server_callback` and `set_psk_client_callback`; before, `install` puts functions of
the same meaning there.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
from collections.abc import Callable
from typing import Any

_LIBSSL = ctypes.CDLL(_ssl.__file__)
_SERVER = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint)
_CLIENT = ctypes.CFUNCTYPE(
    *(ctypes.c_uint, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_uint)
)


def set_psk_server_callback(context: Any, callback: Callable[[str | None], bytes], identity_hint: None = None) -> None:
    """See `ssl.SSLContext.set_psk_server_callback` of Python 3.13."""

    def called(connection: int, identity: bytes | None, room: int, size: int) -> int:
        key = callback(None if identity is None else identity.decode())
        ctypes.memmove(room, key, len(key))
        return len(key)

    _install(context, "SSL_CTX_set_psk_server_callback", _SERVER(called))


def set_psk_client_callback(context: Any, callback: Callable[[str | None], tuple[str, bytes]]) -> None:
    """See `ssl.SSLContext.set_psk_client_callback` of Python 3.13."""

    def called(connection: int, hint: bytes | None, user: int, user_size: int, room: int, size: int) -> int:
        name, key = callback(None if hint is None else hint.decode())
        ctypes.memmove(user, name.encode() + b"\0", len(name.encode()) + 1)
        ctypes.memmove(room, key, len(key))
        return len(key)

    pointer = _install(context, "SSL_CTX_set_psk_client_callback", _CLIENT(called))
    # Before 3.13 clients too have a session context, which in TLS 1.3 a key then lacks.
    function = _LIBSSL.SSL_CTX_set_session_id_context
    function.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint)
    function(pointer, b"", 0)


def install() -> None:
    """Make this Python's contexts like those of 3.13, if they are not."""
    if not hasattr(ssl.SSLContext, "set_psk_server_callback"):
        for function in (set_psk_server_callback, set_psk_client_callback):
            setattr(ssl.SSLContext, function.__name__, function)


def _install(context: ssl.SSLContext, name: str, callback: Any) -> int | None:
    context.__dict__["psk callback"] = callback  # OpenSSL holds only its address
    # PySSLContext: the head of every object, then SSL_CTX *ctx.
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    function = _LIBSSL[name]
    function.argtypes, function.restype = (ctypes.c_void_p, type(callback)), None
    function(pointer, callback)
    return pointer
