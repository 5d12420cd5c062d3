"""crypt: an encrypted device.

Source: Linux Documentation/admin-guide/device-mapper/dm-crypt.rst; drivers/md/dm-crypt.c (6.12)::

    crypt <cipher> <key>|:<key_bytes>:<type>:<description> <iv_offset> <device> <start_sector> [<#options> <option>…]

    cipher ::= <name>[:<keys>]-<mode>-<iv>[:<iv option>] | capi:<crypto API name>-<iv>[:<iv option>]

`iv_offset` is added to the sector number before the IV is made of it. Options that change what is on the disk:
sector_size:<bytes>, iv_large_sectors (the IV counts in units of sector_size), integrity:<bytes>:<type>. All others say
how the work is done. `dmsetup table` shows zeros for the key without ``--showkeys``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import FormatError
from bootpath.formats.dm.target import SECTOR_BYTES, DeviceOffset, Target
from bootpath.formats.dm.words import counted_words, pack_counted, parse_decimal

# The ciphers that this package opens (`block.targets.sectorcipher`): spellings of one.
OPENABLE_CIPHERS = ("aes-xts-plain64", "aes:1-xts-plain64", "capi:xts(aes)-plain64")
MAX_KEY_BYTES = 256
SECTOR_SIZES = (512, 1024, 2048, 4096)
PLAIN_OPTIONS = (
    "allow_discards",
    "same_cpu_crypt",
    "high_priority",
    "submit_from_crypt_cpus",
    "no_read_workqueue",
    "no_write_workqueue",
    "iv_large_sectors",
)
_KEYRING = re.compile(r":(?P<bytes>[0-9]{1,4}):(?P<type>logon|user|encrypted|trusted):(?P<description>.+)")


@dataclass(frozen=True, slots=True)
class CryptTarget(Target):
    """`key` is empty when it is in the kernel's `keyring` (``:32:logon:name``). Raises FormatError."""

    cipher: str
    key: bytes
    iv_offset: int
    start: DeviceOffset
    options: tuple[str, ...] = ()
    keyring: str | None = None

    def __post_init__(self) -> None:
        if len(self.key) > MAX_KEY_BYTES:
            raise FormatError(
                "the key is too long", found=f"{len(self.key)} bytes", expected=f"at most {MAX_KEY_BYTES}"
            )
        names = [option.partition(":")[0] for option in self.options]
        if len(set(names)) != len(names):
            raise FormatError(
                "an option is given twice", found=brief(" ".join(self.options)), expected="each at most once"
            )
        for name, option in zip(names, self.options, strict=True):
            if option not in PLAIN_OPTIONS and (name not in ("sector_size", "integrity") or ":" not in option):
                expected = "one of " + " ".join((*PLAIN_OPTIONS, "sector_size:<bytes>", "integrity:<bytes>:<type>"))
                raise FormatError("there is no such option", found=brief(option), expected=expected)
        if self.sector_bytes not in SECTOR_SIZES:
            raise FormatError(
                "sector_size is not one of the kernel's", found=self.sector_bytes, expected="512, 1024, 2048 or 4096"
            )
        # "The <iv_offset> must be multiple of <sector_size> (in 512 bytes units) if this flag is specified."
        if self.iv_large_sectors and self.iv_offset % (self.sector_bytes // SECTOR_BYTES):
            expected = f"a multiple of {self.sector_bytes // SECTOR_BYTES} with iv_large_sectors"
            raise FormatError(
                "iv_offset does not begin on a unit of encryption", found=self.iv_offset, expected=expected
            )

    @property
    def sector_bytes(self) -> int:
        """The unit of encryption."""
        return parse_decimal("sector_size", self.option("sector_size") or str(SECTOR_BYTES))

    @property
    def iv_large_sectors(self) -> bool:
        """Whether IVs count such units; otherwise they count 512 bytes whatever the unit."""
        return "iv_large_sectors" in self.options

    @property
    def hidden(self) -> bool:
        """Whether the key is the zeros that `dmsetup table` shows instead of it."""
        return bool(self.key) and not any(self.key)

    def option(self, name: str) -> str | None:
        """What is behind the colon of an option, or None without it."""
        return next((option.partition(":")[2] for option in self.options if option.startswith(f"{name}:")), None)

    @classmethod
    def parse(cls, args: Sequence[str]) -> CryptTarget:
        """See `Target.parse`; no error shows the key."""
        if not 5 <= len(args) <= 20:
            grammar = "<cipher> <key> <iv_offset> <device> <start_sector> [<#options> <option>…]"
            raise FormatError("the arguments do not fit the target", found=f"{len(args)} words", expected=repr(grammar))
        cipher, key, iv_offset, device, start, *rest = args
        keyring = None
        secret = b""
        if key.startswith(":"):
            if _KEYRING.fullmatch(key) is None:
                raise FormatError(
                    "the name of the key is wrong", found=brief(key), expected=":<key_bytes>:logon|user:<description>"
                )
            keyring = key
        elif key != "-":  # a cipher without a key
            try:
                secret = bytes.fromhex(key)
            except ValueError:
                raise FormatError(
                    "the key is not hexadecimal", found=f"{len(key)} characters", expected="pairs of digits"
                ) from None
        offset = parse_decimal("iv_offset", iv_offset)
        return cls(cipher, secret, offset, DeviceOffset.parse(device, start), counted_words("options", rest), keyring)

    def pack(self) -> tuple[str, ...]:
        """See `Target.pack`: with the key."""
        key = self.keyring or self.key.hex() or "-"
        return (self.cipher, key, str(self.iv_offset), *self.start.pack(), *pack_counted(self.options))

    @property
    def openable(self) -> bool:
        """See `Target.openable`: with a cipher of `OPENABLE_CIPHERS`, a key in the line and no integrity metadata."""
        return self.cipher in OPENABLE_CIPHERS and self.keyring is None and self.option("integrity") is None

    def describe(self, size_bytes: int) -> str:
        """See `Target.describe`; it never shows the key."""
        if self.keyring is not None:
            key = "a key of the kernel's keyring"
        else:
            key = "a key that is not shown" if self.hidden else f"a key of {len(self.key) * 8} bits"
        unit = "" if self.sector_bytes == SECTOR_BYTES else f", in units of {self.sector_bytes} bytes"
        ivs = " that also count the IVs" if self.iv_large_sectors else ""
        offset = f", IVs from {self.iv_offset}" if self.iv_offset else ""
        closed = "" if self.openable else ", which cannot be opened here"
        return f"{self.start}, decrypted with {self.cipher} and {key}{unit}{ivs}{offset}{closed}"
