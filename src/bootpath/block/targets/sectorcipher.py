"""The ciphers of the crypt target: whole sectors, each under an IV made of its number.

``aes-xts-plain64`` (AES-128 or AES-256 in XTS, IEEE 1619; the IV is the sector number in 64 bits, little-endian) and
its other spellings: cryptsetup's default. Every other cipher is refused: nothing is decrypted into noise.

The work is done by the `cryptography` package, imported when a cipher is opened.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bootpath.core.device import Buffer
from bootpath.core.errors import DeviceError
from bootpath.core.extras import pip_install
from bootpath.formats.dm.crypt import OPENABLE_CIPHERS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

_IV_MASK = 2**64 - 1
_KEY_BYTES = (32, 64)  # two halves: one for the data, one for the tweak


class SectorCipher(Protocol):
    """Encrypts and decrypts lines of sectors."""

    def encrypt(self, data: Buffer, sector_bytes: int, first_iv: int, iv_step: int) -> bytes:
        """Whole sectors; the IV number of sector n is first_iv + n * iv_step."""
        ...

    def decrypt(self, data: Buffer, sector_bytes: int, first_iv: int, iv_step: int) -> bytes:
        """The same, back."""
        ...


def open_cipher(name: str, key: bytes, *, where: str) -> SectorCipher:
    """The cipher of that name, which is one of `OPENABLE_CIPHERS`. `where` is for messages, which never show the key.

    DeviceError: ENOTSUP for another cipher, EINVAL for a wrong key, ENOPKG without the package.
    """
    if name not in OPENABLE_CIPHERS:
        raise DeviceError(
            "this cipher is not supported",
            errno=errno.ENOTSUP,
            where=where,
            found=repr(name[:80]),
            expected="one of " + " ".join(OPENABLE_CIPHERS),
        )
    if len(key) not in _KEY_BYTES:
        raise DeviceError(
            "the key has the wrong length",
            errno=errno.EINVAL,
            where=where,
            found=f"{len(key)} bytes",
            expected="32 or 64 for XTS",
        )
    half = len(key) // 2
    if key[:half] == key[half:]:  # it would be no XTS: IEEE 1619, FIPS 140 IG C.I
        raise DeviceError("the two halves of the key are the same", errno=errno.EINVAL, where=where)
    try:
        return AesXts(key)
    except ImportError:
        raise DeviceError(
            "the crypt target needs cryptography, which is not installed",
            errno=errno.ENOPKG,
            where=where,
            hint=pip_install("crypt"),
        ) from None


class AesXts:
    """AES in XTS mode under a key of 32 or 64 bytes. A context is made for each sector: OpenSSL's has one tweak."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        algorithm = algorithms.AES(key)
        self._encryptor = lambda tweak: Cipher(algorithm, modes.XTS(tweak)).encryptor()
        self._decryptor = lambda tweak: Cipher(algorithm, modes.XTS(tweak)).decryptor()

    def encrypt(self, data: Buffer, sector_bytes: int, first_iv: int, iv_step: int) -> bytes:
        """See `SectorCipher.encrypt`."""
        return _each_sector(self._encryptor, data, sector_bytes, first_iv, iv_step)

    def decrypt(self, data: Buffer, sector_bytes: int, first_iv: int, iv_step: int) -> bytes:
        """See `SectorCipher.decrypt`."""
        return _each_sector(self._decryptor, data, sector_bytes, first_iv, iv_step)


def _each_sector(
    context: Callable[[bytes], CipherContext], data: Buffer, sector_bytes: int, first_iv: int, iv_step: int
) -> bytes:
    view = memoryview(data)
    number = first_iv
    sectors: list[bytes] = []
    for start in range(0, len(view), sector_bytes):
        tweak = (number & _IV_MASK).to_bytes(16, "little")  # plain64: 64 bits of it, the rest zeros
        sectors.append(context(tweak).update(view[start : start + sector_bytes]))
        number += iv_step
    return b"".join(sectors)
