"""Values as people type them, and the options that several commands share. Light: every start pays for it.

A function here that is the `type` of an option says what is wrong with a value that no disk could make right: exit
code 2. What is wrong only with a disk, or on this machine, is found later, and is exit code 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from bootpath.cli.failures import UsageError
from bootpath.core.errors import Error

if TYPE_CHECKING:
    from bootpath.core.limits import Budgets
    from bootpath.formats.partitions.dps import Architecture
    from bootpath.formats.partitions.imagepolicy import ImagePolicy
    from bootpath.formats.systemdboot.loadervariables import LoaderVariables

T = TypeVar("T")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?)(iB|B)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)?", re.ASCII)
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_MAX_SECONDS = 1_000_000  # poll(2) counts milliseconds in 31 bits
MAX_BYTES = 2**63 - 1
"""What an offset in a file can be (off_t)."""
DEADLINE_HELP = "how long a read waits for the physical disk, in seconds (default: 30)"
DISK_HELP = "file, block device, or URI: nbd://, http(s)://, s3://"
RAW_HELP = (
    "take each file as the bytes of a disk, whatever it begins with (default: unpack .gz, .xz, .zst and Android sparse "
    "images, and let qemu-nbd read qcow2, VMDK, VHDX, VHD and VDI; all these are only read)"
)
BACKING_HELP = "let a disk image name other files that are read with it: a backing file, a data file, extents"
UNLOCK_HELP = "file with the password of an encrypted RedoxFS; one final newline is dropped"
POLICY_HELP = (
    "image policy, as systemd.image-policy(7): root=verity+signed:usr=absent:=open (default: only what a given "
    "certificate or root hash vouches for; anything when none is given)"
)
SLOT_HELP = (
    "which of several roots: its partition (4), its volume (vg0/root), or DISK:NUMBER:FIRST-LBA, the disk by its GUID "
    "or by the signature in its MBR"
)
TRUSTED_HELP = "trust signatures made with this certificate (PEM or DER); repeatable"
_FACTORS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def judged_by(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A type that is read by a parser of ours, whose Error is about the value."""

    @wraps(parse)
    def judged(text: str) -> T:
        try:
            return parse(text)
        except Error as fault:
            raise argparse.ArgumentTypeError(str(fault)) from None

    return judged


def named(text: str) -> str:
    """The name of a file, a disk or a device; also what goes into texts."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name names nothing")
    return text


def path(text: str) -> Path:
    """The name of a file."""
    return Path(named(text))


def words(text: str) -> str:
    """What is stored or sent as text in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{text!a} is not text in UTF-8") from None
    return text


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number from `least` to `most`, in decimal."""

    def parse(text: str) -> int:
        if _WHOLE.fullmatch(text) is None or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return parse


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
    if value > MAX_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is more than a file can have: {MAX_BYTES} bytes")
    return value


def room(text: str) -> int:
    """A size that is not 0."""
    found = size(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} leaves no room: write 1 byte or more")
    return found


def duration(text: str) -> float:
    """Seconds: ``2``, ``2s``, ``500ms``, ``1m``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write seconds, or a number with ms, s or m")
    seconds = float(match[1]) * {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0}[match[2]]
    if seconds > _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is too long: at most {_MAX_SECONDS} seconds")
    return seconds


def preload(text: str) -> str | int:
    """A preload: ``full``, ``plan``, or the size of a prefix."""
    return text if text in ("full", "plan") else size(text)


def uuid(text: str) -> UUID:
    """A dashed UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID") from None


def architecture(text: str) -> Architecture:
    """An architecture, as ``uname -m``, systemd or UEFI call it."""
    from bootpath.formats.entries.uki import EfiArchitecture
    from bootpath.formats.partitions.dps import Architecture

    of_efi = EfiArchitecture.named(text)
    found = Architecture.of_machine(text) or (None if of_efi is None else _of_efi(of_efi.value))
    if found is None:
        names = ", ".join(each.value for each in Architecture)
        raise argparse.ArgumentTypeError(f"{text!r} is not an architecture: {names}")
    return found


def _of_efi(name: str) -> Architecture | None:
    from bootpath.formats.partitions.dps import Architecture

    return Architecture.of_machine({"ia32": "x86", "x64": "x86-64", "aa64": "arm64"}.get(name, name))


def add_disk(parser: argparse.ArgumentParser) -> None:
    """The positional DISK."""
    argument = parser.add_argument("disk", metavar="DISK", type=named, help=DISK_HELP)
    argument.complete = {"bash": "_shtab_compgen_files", "zsh": "_files"}  # type: ignore[attr-defined]
    add_images(parser)


def add_images(parser: argparse._ActionsContainer) -> None:
    """``--raw`` and ``--allow-backing-file``: what may be made of a file, for `cli.disks`."""
    parser.add_argument("--raw", action="store_true", help=RAW_HELP)
    parser.add_argument("--allow-backing-file", action="store_true", help=BACKING_HELP)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON (schemas: docs/schemas)")


def add_password(parser: argparse.ArgumentParser) -> None:
    """``--password-file``."""
    parser.add_argument("--password-file", metavar="F", type=path, help=UNLOCK_HELP)


def read_password(file: Path | None) -> bytes | None:
    """The password in a file, or None without a file. Raises OSError."""
    if file is None:
        return None
    from bootpath.block.leaves.wholefile import read_whole

    return read_whole(file).removesuffix(b"\n").removesuffix(b"\r")


@judged_by
def image_policy(text: str) -> ImagePolicy:
    """An image policy, as systemd.image-policy(7)."""
    from bootpath.formats.partitions.imagepolicy import parse_image_policy

    return parse_image_policy(text)


def add_certificates(parser: argparse._ActionsContainer) -> None:
    """``--certificate``, for `read_certificates`."""
    parser.add_argument("--certificate", metavar="F", type=path, action="append", default=[], help=TRUSTED_HELP)


def add_policy(parser: argparse._ActionsContainer) -> None:
    """``--policy``."""
    parser.add_argument("--policy", metavar="P", type=image_policy, help=POLICY_HELP)


def add_signing_key(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    """``--key``, ``--key-certificate`` and ``--key-password-file``: what signs."""
    parser.add_argument(
        "--key", type=path, metavar="F", required=required, help="private key that signs, RSA or ECDSA (PEM or DER)"
    )
    parser.add_argument(
        "--key-certificate", type=path, metavar="F", required=required, help="the certificate of --key (PEM or DER)"
    )
    parser.add_argument("--key-password-file", metavar="F", type=path, help="file with the password of --key")


def add_output(parser: argparse._ActionsContainer, what: str, *, required: bool = False) -> None:
    """``-o``."""
    parser.add_argument("-o", "--output", metavar="F", type=path, required=required, help=what)


def add_table(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    """``--table``."""
    parser.add_argument(
        "--table", metavar="F", type=named, required=required, help="file with a device-mapper table, - for stdin"
    )


def refer_to_family(parser: argparse.ArgumentParser, actions: argparse._SubParsersAction[Any]) -> None:
    """Let the help of each action say where the examples of all of them are."""
    for action in actions.choices.values():
        if action.epilog is None:
            action.epilog = f"Examples and exit codes: {parser.prog} --help"


def table_name(path: str) -> str:
    """The file of a table, for messages."""
    return "standard input" if path == "-" else path


def read_stdin(limit: str = "file_bytes") -> bytes:
    """All of standard input. Raises Error when it is closed, LimitError when it is more than the limit allows."""
    from bootpath.block.leaves.wholefile import read_stream

    if sys.stdin is None:
        raise Error("standard input is closed")
    return read_stream(sys.stdin.buffer, "standard input", limit)


def read_table(path: str) -> str:
    """The text of a table. Raises Error, OSError."""
    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.core.errors import FormatError

    data = read_stdin("table_bytes") if path == "-" else read_whole(path, "table_bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError("the table is not text in UTF-8", where=table_name(path)) from None


def add_export(parser: argparse._ActionsContainer) -> None:
    """``--export``."""
    parser.add_argument(
        "--export", metavar="NAME", type=words, default="", help="name of the default export (default: the empty one)"
    )


def add_read_only(parser: argparse._ActionsContainer) -> None:
    """``--read-only``."""
    parser.add_argument("--read-only", action="store_true", help="refuse writes")


def add_touch(parser: argparse._ActionsContainer) -> None:
    """``--touch``."""
    parser.add_argument(
        "--touch",
        metavar="PATH",
        nargs="+",
        action="extend",
        default=[],
        help="paths of the root that are read as well",
    )


def read_certificates(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """The certificates in files, each of which has to hold some. Raises Error, OSError."""
    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.image.signatures.roothash import check_certificates

    found = []
    for path in paths:
        found.append(read_whole(path))
        check_certificates(found[-1], str(path))
    return tuple(found)


def read_loader_variables(file: Path | None) -> LoaderVariables | None:
    """What the EFI variables in a file say of boot entries, None without one. Raises FormatError, OSError."""
    if file is None:
        return None
    from bootpath.block.leaves.wholefile import read_beginning
    from bootpath.formats.efivars.store import parse_variable_store
    from bootpath.formats.systemdboot.loadervariables import loader_variables

    # The firmware of some machines has files of 64 MiB, which begin with the variables.
    data = read_beginning(file)
    try:
        return loader_variables(parse_variable_store(data))
    except Error as fault:
        raise fault.at(str(file)) from None


def root_hash(text: str) -> bytes:
    """A root hash in hexadecimal."""
    if re.fullmatch(r"([0-9a-fA-F]{2}){16,64}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a root hash: 16 to 64 bytes in hexadecimal")
    return bytes.fromhex(text)


def limits_of(text: str) -> AbstractContextManager[Budgets | None]:
    """What BOOTPATH_LIMITS says an image may cost (`core.limits`), in a ``with``: "NAME=VALUE …". Raises UsageError."""
    if not text.strip():
        return nullcontext()
    from bootpath.core.limits import limits_raised

    return limits_raised(**dict(_parse_limit(word) for word in text.replace(",", " ").split()))


def _parse_limit(word: str) -> tuple[str, int]:
    from bootpath.core.limits import VARIABLE, limit_meanings

    name, separator, value = word.partition("=")
    known = limit_meanings()
    if name not in known:
        from difflib import get_close_matches

        similar = get_close_matches(name, known, n=1)
        hint = f"did you mean {similar[0]}?" if similar else "docs/reference/limits.md has their names"
        raise UsageError(f"{VARIABLE}: there is no limit {name!r}; {hint}")
    try:
        number = size(value) if name.endswith("_bytes") else int(value)
    except (argparse.ArgumentTypeError, ValueError):
        number = -1
    if number < 0 or not separator:
        example = "64MiB" if name.endswith("_bytes") else "100"
        raise UsageError(f"{VARIABLE}: {value!r} is no value of {name}; write {name}={example}")
    return name, number
