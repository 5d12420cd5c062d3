"""Values as people type them, and the options that several commands share. Light: every start pays for it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from bootpath.formats.partitions.imagepolicy import ImagePolicy

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(iB|B)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)?", re.ASCII)
_CERTIFICATE_BYTES = 1 << 20
_FACTORS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def size(text: str) -> int:
    """Bytes: ``4096``, ``1024MiB``, ``4G`` (binary, like truncate and qemu-img); ``1MB`` is decimal."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write bytes, or a number with KiB, MiB, GiB or TiB")
    number, prefix, suffix = match.groups()
    base = 1000 if prefix and (suffix or "").upper() == "B" else 1024
    whole, _, part = number.partition(".")
    # In whole numbers: a float cannot tell odd bytes beyond 8 PiB.
    unit: int = base ** _FACTORS[prefix.upper()]
    scale: int = 10 ** len(part)
    value, rest = divmod(int(whole + part) * unit, scale)
    if rest:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of bytes")
    return value


def duration(text: str) -> float:
    """Seconds: ``2``, ``2s``, ``500ms``, ``1m``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write seconds, or a number with ms, s or m")
    return float(match[1]) * {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0}[match[2]]


def preload(text: str) -> str | int:
    """A preload: ``full``, ``plan``, or the size of a prefix."""
    return text if text in ("full", "plan") else size(text)


def uuid(text: str) -> UUID:
    """A dashed UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID") from None


def add_disk(parser: argparse.ArgumentParser) -> None:
    """The positional DISK."""
    argument = parser.add_argument("disk", metavar="DISK", help="disk image, block device, or bare RedoxFS image")
    argument.complete = {"bash": "_shtab_compgen_files", "zsh": "_files"}  # type: ignore[attr-defined]


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON (schemas: docs/schemas)")


def add_password(parser: argparse.ArgumentParser) -> None:
    """``--password-file``."""
    parser.add_argument(
        "--password-file",
        metavar="F",
        help="file with the password of an encrypted RedoxFS; one final newline is dropped",
    )


def read_password(path: str | None) -> bytes | None:
    """The password in a file, or None without a file. Raises OSError."""
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read().removesuffix(b"\n").removesuffix(b"\r")


def image_policy(text: str) -> ImagePolicy:
    """An image policy, as systemd.image-policy(7)."""
    from bootpath.core.errors import FormatError
    from bootpath.formats.partitions.imagepolicy import parse_image_policy

    try:
        return parse_image_policy(text)
    except FormatError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def add_certificates(parser: argparse._ActionsContainer, what: str) -> None:
    """``--certificate``, for `read_certificates`."""
    parser.add_argument("--certificate", metavar="F", type=Path, action="append", default=[], help=what)


def read_certificates(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """The certificates in files, each of which has to hold some. Raises Error, OSError."""
    from bootpath.image.signatures.roothash import check_certificates

    found = []
    for path in paths:
        with path.open("rb") as file:
            found.append(file.read(_CERTIFICATE_BYTES))
        check_certificates(found[-1], str(path))
    return tuple(found)


def root_hash(text: str) -> bytes:
    """A root hash in hexadecimal."""
    if re.fullmatch(r"([0-9a-fA-F]{2}){16,64}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a root hash: 16 to 64 bytes in hexadecimal")
    return bytes.fromhex(text)


def source_date_epoch(environment: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH in seconds, or None where it is not set. Raises Error when it is no number."""
    from bootpath.core.errors import Error

    epoch = environment.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return None
    if not (epoch.isascii() and epoch.isdecimal()):
        raise Error("is not a number of seconds", where="SOURCE_DATE_EPOCH", found=repr(epoch))
    return int(epoch)
